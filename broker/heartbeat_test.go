package broker_test

import (
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol"
)

// TestTheBrokerSendsHeartbeats when it has nothing else to say, and none if the client wants none.
func TestTheBrokerSendsHeartbeats(t *testing.T) {
	t.Parallel()
	how := guest
	how.heartbeat = 1
	c := connectAs(t, start(t), how)
	start := time.Now()
	for range 3 {
		for {
			f, n, err := protocol.ParseFrame(c.in, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if c.in = c.in[n:]; n > 0 {
				if f.Type != protocol.FrameHeartbeat || f.Channel != 0 || len(f.Payload) != 0 {
					t.Fatalf("%+v", f)
				}
				break
			}
			var chunk [100]byte
			if n, err = c.conn.Read(chunk[:]); err != nil {
				t.Fatal(err)
			}
			c.in = append(c.in, chunk[:n]...)
		}
		c.write(protocol.AppendHeartbeat(nil))
	}
	t.Logf("three heartbeats at an interval of 1 s took %v", time.Since(start))
}

// TestASilentClientIsDropped once two intervals have gone by, without a word; one that says anything is not.
func TestASilentClientIsDropped(t *testing.T) {
	t.Parallel()
	b := start(t)
	how := guest
	how.heartbeat = 1
	silent, talks := connectAs(t, b, how), connectAs(t, b, how)
	talks.channel(1)
	silent.channel(1)
	silent.queue(1, protocol.QueueDeclare{Queue: "own", Exclusive: true})
	dropped := make(chan time.Duration, 1)
	start := time.Now()
	go func() {
		silent.wantEnd()
		dropped <- time.Since(start)
	}()
	for {
		select {
		case after := <-dropped:
			t.Logf("dropped after %v", after)
			talks.quiet(1)
			eventually(t, "its queue is gone", func() bool { return b.Editor().Catalog().VHost("/").QueueCount() == 0 })
			return
		default:
			talks.quiet(1)
		}
	}
}
