package broker_test

import (
	"fmt"
	"testing"

	"github.com/warrenmq/warren/protocol"
)

// bodies are messages to a queue, numbered.
func bodies(queue string, from, to int) []message {
	var list []message
	for i := from; i < to; i++ {
		list = append(list, message{key: queue, body: fmt.Sprint(i)})
	}
	return list
}

// TestNothingComesBehindChannelClose: a client that has answered channel.close takes a delivery for an error.
func TestNothingComesBehindChannelClose(t *testing.T) {
	b := start(t)
	p, c := connect(t, b), connect(t, b)
	p.channel(1)
	p.queue(1, protocol.QueueDeclare{Queue: "q"})
	for round := range 20 {
		c.channel(1)
		c.send(1, &protocol.BasicConsume{Queue: "q", NoAck: round%2 == 0})
		expect[*protocol.BasicConsumeOk](c, 1)
		p.publish(1, bodies("q", 0, 300)...)
		c.send(1, &protocol.QueueDeclare{Queue: "missing", Passive: true})
		c.until(protocol.ChannelCloseID)
		p.count(1, "q")
		c.send(1, &protocol.ChannelCloseOk{})
	}
	c.channel(1)
}

// TestWhatIsOnItsWayComesBack: a channel closes while deliveries are on their way to it, and the client has none yet.
func TestWhatIsOnItsWayComesBack(t *testing.T) {
	b := start(t)
	p, c := connect(t, b), connect(t, b)
	p.channel(1)
	p.queue(1, protocol.QueueDeclare{Queue: "q"})
	for round := range 50 {
		c.channel(1)
		c.send(1, &protocol.BasicConsume{Queue: "q"})
		expect[*protocol.BasicConsumeOk](c, 1)
		p.publish(1, bodies("q", 0, 50)...)
		if round%2 == 0 {
			c.send(1, &protocol.ChannelClose{ReplyCode: 200})
			c.until(protocol.ChannelCloseOkID)
		} else {
			c.send(1, &protocol.QueueDeclare{Queue: "missing", Passive: true})
			c.until(protocol.ChannelCloseID)
			c.send(1, &protocol.ChannelCloseOk{})
		}
		eventually(t, "all messages are ready again", func() bool {
			ready, consumers := p.count(1, "q")
			return ready == 50 && consumers == 0
		})
		for i := range 50 {
			if _, body, ok := p.get(1, "q", true); !ok || body != fmt.Sprint(i) {
				t.Fatalf("round %d: got %q, want %d", round, body, i)
			}
		}
	}
}

// TestRecoverGivesBackWhatTheClientHas, and nothing that is still on its way: no message may come twice at a time.
func TestRecoverGivesBackWhatTheClientHas(t *testing.T) {
	b := start(t)
	p, c := connect(t, b), connect(t, b)
	p.channel(1)
	p.queue(1, protocol.QueueDeclare{Queue: "q"})
	c.channel(1)
	c.send(1, &protocol.BasicQos{PrefetchCount: 40}, &protocol.BasicConsume{Queue: "q"})
	expect[*protocol.BasicQosOk](c, 1)
	expect[*protocol.BasicConsumeOk](c, 1)
	const count = 2000
	held, acked := map[string]bool{}, map[string]bool{}
	deliveries, recovering := 0, false
	go func() {
		for i := 0; i < count; i += 5 {
			p.publish(1, bodies("q", i, i+5)...)
		}
	}()
	for len(acked) < count {
		_, m, err := c.method()
		switch m := m.(type) {
		case *protocol.BasicRecoverOk:
			clear(held)
			recovering = false
		case *protocol.BasicDeliver:
			_, octets := c.content(1)
			body := string(octets)
			if held[body] || acked[body] {
				t.Fatalf("message %s comes again: held %v, acked %v", body, held[body], acked[body])
			}
			if recovering {
				continue // it will come again, unless it came behind recover-ok
			}
			held[body] = true
			if deliveries++; deliveries%3 == 0 {
				c.send(1, &protocol.BasicAck{DeliveryTag: m.DeliveryTag})
				delete(held, body)
				acked[body] = true
			}
			if deliveries%20 == 19 || len(held) >= 30 || len(held)+len(acked) >= count && len(held) > 0 {
				c.send(1, &protocol.BasicRecover{Requeue: true})
				recovering = true
			}
		default:
			t.Fatalf("%T %+v (%v)", m, m, err)
		}
	}
	if ready, _ := p.count(1, "q"); ready != 0 {
		t.Errorf("%d messages are left", ready)
	}
}
