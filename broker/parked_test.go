package broker_test

import (
	"fmt"
	"testing"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol"
)

// gated starts a broker whose durable queues can be made to wait, and declares one.
func gated(t *testing.T) (*gate, *broker.Broker, *client) {
	t.Helper()
	g := newGate()
	b := start(t, func(c *broker.Config) { c.Log = g })
	c := connect(t, b)
	c.channel(1)
	c.channel(2)
	c.queue(1, protocol.QueueDeclare{Queue: "held", Durable: true})
	c.queue(1, protocol.QueueDeclare{Queue: "free"})
	return g, b, c
}

// TestOneChannelWaitsAndOthersGoOn: methods that come one behind the other are answered in order, and what another
// channel asks is answered meanwhile.
func TestOneChannelWaitsAndOthersGoOn(t *testing.T) {
	g, _, c := gated(t)
	g.Shut()
	c.send(1,
		&protocol.BasicGet{Queue: "held"}, &protocol.BasicQos{PrefetchCount: 3}, &protocol.QueuePurge{Queue: "held"},
		&protocol.BasicConsume{Queue: "held", ConsumerTag: "one"}, &protocol.BasicCancel{ConsumerTag: "one"},
		&protocol.QueueDeclare{Queue: "another"}, &protocol.QueueDelete{Queue: "held"}, &protocol.BasicRecover{Requeue: true},
	)
	for i := range 100 { // not held back by channel 1
		c.publish(2, message{key: "free", body: fmt.Sprint(i)})
		if _, body, ok := c.get(2, "free", true); !ok || body != fmt.Sprint(i) {
			t.Fatalf("got %q, %v", body, ok)
		}
	}
	g.Lift()
	expect[*protocol.BasicGetEmpty](c, 1)
	expect[*protocol.BasicQosOk](c, 1)
	expect[*protocol.QueuePurgeOk](c, 1)
	expect[*protocol.BasicConsumeOk](c, 1)
	expect[*protocol.BasicCancelOk](c, 1)
	expect[*protocol.QueueDeclareOk](c, 1)
	expect[*protocol.QueueDeleteOk](c, 1)
	expect[*protocol.BasicRecoverOk](c, 1)
}

// TestPublishesKeepTheirPlace: what is published in front of a get is there when it looks, and what is behind is not.
func TestPublishesKeepTheirPlace(t *testing.T) {
	g, _, c := gated(t)
	g.Shut()
	var out []byte
	for i := range 50 {
		out = c.appendPublish(out, 1, message{key: "held", body: fmt.Sprint(i)})
		out = protocol.AppendMethodFrame(out, 1, &protocol.BasicGet{Queue: "held", NoAck: true})
		out = protocol.AppendMethodFrame(out, 1, &protocol.BasicGet{Queue: "held", NoAck: true})
	}
	c.write(out)
	c.quiet(2)
	g.Lift()
	for i := range 50 {
		expect[*protocol.BasicGetOk](c, 1)
		if _, body := c.content(1); string(body) != fmt.Sprint(i) {
			t.Fatalf("got %s, want %d", body, i)
		}
		expect[*protocol.BasicGetEmpty](c, 1)
	}
}

// TestAParkedChannelIsClosed by either side, with frames behind that nobody should send.
func TestAParkedChannelIsClosed(t *testing.T) {
	g, b, c := gated(t)
	noise := func(out []byte) []byte {
		for range 200_000 {
			out = protocol.AppendMethodFrame(out, 1, &protocol.BasicQos{})
		}
		return out
	}
	g.Shut()
	out := protocol.AppendMethodFrame(nil, 1, &protocol.BasicGet{Queue: "held"})
	out = protocol.AppendMethodFrame(out, 1, &protocol.ChannelClose{})
	go c.conn.Write(noise(out)) //nolint:errcheck // the channel has nothing left to say
	eventually(t, "the get is on its way", func() bool { return g.Behind() > 0 })
	g.Lift()
	expect[*protocol.BasicGetEmpty](c, 1)
	expect[*protocol.ChannelCloseOk](c, 1)
	c.wantClose(0, protocol.CodeChannelError, "CHANNEL_ERROR - expected 'channel.open'")

	c = connect(t, b)
	c.channel(1)
	c.channel(2)
	g.Shut()
	out = protocol.AppendMethodFrame(nil, 1, &protocol.BasicGet{Queue: "held"})
	out = protocol.AppendMethodFrame(out, 1, &protocol.QueueDeclare{Queue: "missing", Passive: true})
	before := g.Behind()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.conn.Write(noise(out)) // ignored
	}()
	eventually(t, "the get is on its way", func() bool { return g.Behind() > before })
	g.Lift()
	expect[*protocol.BasicGetEmpty](c, 1)
	c.wantClose(1, protocol.CodeNotFound, "NOT_FOUND - no queue 'missing' in vhost '/'")
	<-done
	c.quiet(2)
	c.channel(1)
}

// TestAConnectionEndsWhileChannelsWait: what they wait for comes to nobody.
func TestAConnectionEndsWhileChannelsWait(t *testing.T) {
	for _, how := range []string{"close", "cut"} {
		t.Run(how, func(t *testing.T) {
			g, b, c := gated(t)
			c.publish(1, message{key: "held", body: "m", properties: persistent})
			eventually(t, "the message is there", func() bool { ready, _ := c.count(2, "held"); return ready == 1 })
			g.Shut()
			c.send(1, &protocol.BasicGet{Queue: "held"}, &protocol.BasicConsume{Queue: "held"})
			c.send(2, &protocol.BasicConsume{Queue: "held"}, &protocol.BasicGet{Queue: "held"})
			eventually(t, "both are on their way", func() bool { return g.Behind() > 0 })
			if how == "close" {
				c.send(0, &protocol.ConnectionClose{})
			} else {
				c.conn.Close()
			}
			other := connect(t, b)
			other.channel(1)
			g.Lift()
			eventually(t, "the message is back", func() bool {
				ready, consumers := other.count(1, "held")
				return ready == 1 && consumers == 0
			})
			if how == "close" {
				c.until(protocol.ConnectionCloseOkID)
			}
		})
	}
}

// TestCountsComeBehindWhatTheChannelDid: messages it has published, and given back, are counted.
func TestCountsComeBehindWhatTheChannelDid(t *testing.T) {
	g, _, c := gated(t)
	g.Shut()
	var out []byte
	for _, m := range bodies("held", 0, 10) {
		out = c.appendPublish(out, 1, m)
	}
	out = protocol.AppendMethodFrame(out, 1, &protocol.QueueDeclare{Queue: "held", Passive: true})
	c.write(protocol.AppendMethodFrame(out, 1, &protocol.QueueDeclare{Queue: "held", Durable: true}))
	c.quiet(2)
	eventually(t, "the messages are on their way", func() bool { return g.Behind() > 0 })
	g.Lift()
	for range 2 {
		if ok := expect[*protocol.QueueDeclareOk](c, 1); ok.MessageCount != 10 {
			t.Errorf("%d messages were counted", ok.MessageCount)
		}
	}
	for _, q := range []string{"held", "free"} {
		c.send(1, &protocol.QueuePurge{Queue: q})
		expect[*protocol.QueuePurgeOk](c, 1)
		for i := range 200 {
			c.publish(1, message{key: q})
			m, _, ok := c.get(1, q, false)
			if !ok {
				t.Fatal("nothing to get")
			}
			c.send(1, &protocol.BasicNack{DeliveryTag: m.DeliveryTag, Requeue: true}, &protocol.QueueDeclare{Queue: q, Passive: true})
			if ok := expect[*protocol.QueueDeclareOk](c, 1); ok.MessageCount != 1 {
				t.Fatalf("%s, round %d: %d messages were counted", q, i, ok.MessageCount)
			}
			if _, _, ok := c.get(1, q, true); !ok {
				t.Fatal("it did not come back")
			}
		}
	}
}

// TestASlowDiskHoldsBackWhoDeclares: the answers that wait for it are bounded, and all come when it has caught up.
func TestASlowDiskHoldsBackWhoDeclares(t *testing.T) {
	disk := newSlowDisk()
	b := start(t, func(c *broker.Config) { c.Meta = disk })
	c, other := connect(t, b), connect(t, b)
	c.channel(1)
	other.channel(1)
	disk.Shut()
	const count = 30_000
	var out []byte
	for i := range count {
		out = protocol.AppendMethodFrame(out, 1, &protocol.ExchangeDeclare{Exchange: fmt.Sprint("x", i%10), Type: "fanout", Durable: true})
		out = protocol.AppendMethodFrame(out, 1, &protocol.BasicQos{})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.conn.Write(out)
	}()
	waiting := func() int {
		disk.mu.Lock()
		defer disk.mu.Unlock()
		return len(disk.waiting)
	}
	eventually(t, "the declarations are on their way to the disk", func() bool { return waiting() == 10 })
	other.quiet(1)
	disk.Lift()
	for range count {
		expect[*protocol.ExchangeDeclareOk](c, 1)
		expect[*protocol.BasicQosOk](c, 1)
	}
	<-done
}
