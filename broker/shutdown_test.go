package broker_test

import (
	"context"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol"
)

const shutdownText = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"

// closing closes the broker on a goroutine of its own; the channel tells when that is done, and what came of it.
func closing(b *broker.Broker) <-chan error {
	done := make(chan error, 1)
	go func() { done <- b.Close() }()
	return done
}

// within waits for a channel.
func within(t *testing.T, what string, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	case <-time.After(patience):
		t.Fatalf("%s does not end", what)
	}
}

func TestShutdownTellsEveryClient(t *testing.T) {
	b := start(t)
	var clients []*client
	for range 20 {
		c := connect(t, b)
		c.channel(1)
		clients = append(clients, c)
	}
	addr := b.Addr().String()
	done := closing(b)
	for _, c := range clients {
		c.wantClose(0, protocol.CodeConnectionForced, shutdownText)
		c.wantEnd()
	}
	within(t, "closing", done)
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("connections are still accepted")
	}
	if err := b.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

// TestShutdownDoesNotWaitForHandshakes: a connection that has not come further than that is cut.
func TestShutdownDoesNotWaitForHandshakes(t *testing.T) {
	b := start(t)
	silent, header, tuning := dial(t, b), dial(t, b), dial(t, b)
	header.write([]byte(protocol.ProtocolHeader))
	expect[*protocol.ConnectionStart](header, 0)
	tuning.login(guest)
	expect[*protocol.ConnectionTune](tuning, 0)
	start := time.Now()
	within(t, "closing", closing(b))
	t.Logf("closing with three handshakes under way took %v", time.Since(start))
	for _, c := range []*client{silent, header, tuning} {
		c.wantEnd()
	}
}

// TestShutdownEndsClientsThatDoNotAnswer, whatever their connection waits for.
func TestShutdownEndsClientsThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	b := start(t)
	idle, deaf := connect(t, b), connect(t, b)
	deaf.channel(1)
	deaf.queue(1, protocol.QueueDeclare{Queue: "q"})
	deaf.send(1, &protocol.BasicConsume{Queue: "q", NoAck: true})
	expect[*protocol.BasicConsumeOk](deaf, 1)
	var big []message
	for range 64 {
		big = append(big, message{key: "q", body: strings.Repeat("x", 256<<10)})
	}
	p := connect(t, b)
	p.channel(1)
	p.publish(1, big...)
	p.count(1, "q")
	p.close()
	within(t, "closing", closing(b))
	for _, c := range []*client{idle, deaf} {
		c.wantEnd()
	}
}

// TestShutdownEndsBlockedPublishers: a publisher that an alarm holds back is not read from.
func TestShutdownEndsBlockedPublishers(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *broker.Config) { c.MemoryLimit = 1 })
	c := connect(t, b)
	c.channel(1)
	q := c.queue(1, protocol.QueueDeclare{})
	for blocked := false; !blocked; {
		c.publish(1, message{key: q.Queue, body: "m"})
		c.send(1, &protocol.BasicQos{})
		_, m, err := c.method()
		if err != nil {
			t.Fatal(err)
		}
		_, blocked = m.(*protocol.ConnectionBlocked)
	}
	done := closing(b)
	c.until(protocol.ConnectionCloseID)
	c.send(0, &protocol.ConnectionCloseOk{}) // which is not read
	within(t, "closing", done)
	c.wantEnd()
}

func TestManyBrokersInOneProcess(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 300 {
		b, err := broker.Start(context.Background(), broker.Config{Listen: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		c := connect(t, b)
		c.confirming(1)
		q := c.queue(1, protocol.QueueDeclare{Exclusive: true})
		c.publish(1, message{key: q.Queue, body: "m"})
		wantAcked(t, c.confirms(1, 1, 1))
		c.close()
		c.conn.Close()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+2 })
}

func TestStartRefusesWhatCannotBe(t *testing.T) {
	b := start(t)
	for _, c := range []struct {
		what   string
		config broker.Config
	}{
		{"an address in use", broker.Config{Listen: b.Addr().String()}},
		{"no address", broker.Config{Listen: "nonsense"}},
		{"no port", broker.Config{Listen: "127.0.0.1"}},
		{"an unknown port", broker.Config{Listen: "127.0.0.1:nonsense"}},
		{"a small frame_max", withSmallFrames()},
		{"no groups", broker.Config{Listen: "127.0.0.1:0", Groups: -1}},
	} {
		if other, err := broker.Start(context.Background(), c.config); err == nil {
			t.Errorf("%s is fine", c.what)
			_ = other.Close()
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if other, err := broker.Start(ended, broker.Config{Listen: "127.0.0.1:0"}); err == nil {
		_ = other.Close()
	}
}

func withSmallFrames() broker.Config {
	c := broker.Config{Listen: "127.0.0.1:0"}
	c.Session.FrameMax = 4096
	return c
}
