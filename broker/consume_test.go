package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol"
)

// consume starts a consumer and gives its tag.
func (c *client) consume(channel uint16, m protocol.BasicConsume) string {
	c.t.Helper()
	c.send(channel, &m)
	return expect[*protocol.BasicConsumeOk](c, channel).ConsumerTag
}

// wantDelivery reads a delivery with that body, tag and flag.
func (c *client) wantDelivery(channel uint16, body string, tag uint64, redelivered bool) {
	c.t.Helper()
	if d, got := c.delivery(channel); got != body || d.DeliveryTag != tag || d.Redelivered != redelivered {
		c.t.Fatalf("got %q with tag %d, redelivered %v; want %q, %d, %v", got, d.DeliveryTag, d.Redelivered, body, tag, redelivered)
	}
}

// TestConsumeOkComesBeforeTheFirstDelivery, even if it waits behind an answer that was promised earlier.
func TestConsumeOkComesBeforeTheFirstDelivery(t *testing.T) {
	disk := newSlowDisk()
	b := start(t, func(c *broker.Config) { c.Meta = disk })
	c, other := connect(t, b), connect(t, b)
	c.channel(1)
	other.channel(1)
	other.queue(1, protocol.QueueDeclare{Queue: "q"})
	other.publish(1, bodies("q", 0, 5)...)
	other.count(1, "q")
	disk.Shut()
	c.send(1,
		&protocol.QueueDeclare{Queue: "durable", Durable: true}, &protocol.BasicQos{PrefetchCount: 3},
		&protocol.BasicConsume{Queue: "q", ConsumerTag: "c"},
	)
	eventually(t, "the consumer is attached", func() bool { _, consumers := other.count(1, "q"); return consumers == 1 })
	disk.Lift()
	expect[*protocol.QueueDeclareOk](c, 1)
	expect[*protocol.BasicQosOk](c, 1)
	expect[*protocol.BasicConsumeOk](c, 1)
	for i := range 3 {
		c.wantDelivery(1, fmt.Sprint(i), uint64(i+1), false)
	}
	disk.Shut()
	c.send(1,
		&protocol.QueueDeclare{Queue: "more", Durable: true}, &protocol.BasicConsume{Queue: "q", ConsumerTag: "d"},
		&protocol.BasicCancel{ConsumerTag: "d"},
	)
	eventually(t, "the consumer has come and gone", func() bool { ready, _ := other.count(1, "q"); return ready == 0 })
	disk.Lift()
	expect[*protocol.QueueDeclareOk](c, 1)
	expect[*protocol.BasicConsumeOk](c, 1)
	c.wantDelivery(1, "3", 4, false)
	c.wantDelivery(1, "4", 5, false)
	expect[*protocol.BasicCancelOk](c, 1)
	c.send(1, &protocol.BasicAck{DeliveryTag: 5, Multiple: true})
	c.close()
	eventually(t, "all was acknowledged", func() bool { ready, consumers := other.count(1, "q"); return ready+consumers == 0 })
}

func TestPrefetchIsPerConsumer(t *testing.T) {
	c := connect(t, start(t))
	c.channel(1)
	c.channel(2)
	q := c.queue(1, protocol.QueueDeclare{Exclusive: true}).Queue
	c.send(1, &protocol.BasicQos{PrefetchCount: 2})
	expect[*protocol.BasicQosOk](c, 1)
	c.consume(1, protocol.BasicConsume{Queue: q, ConsumerTag: "two"})
	c.send(1, &protocol.BasicQos{PrefetchCount: 1})
	expect[*protocol.BasicQosOk](c, 1)
	c.consume(1, protocol.BasicConsume{Queue: q, ConsumerTag: "one"})
	c.publish(2, bodies(q, 0, 10)...)
	got := map[string]int{}
	var tags []uint64
	for range 3 {
		d, _ := c.delivery(1)
		got[string(d.ConsumerTag)]++
		tags = append(tags, d.DeliveryTag)
	}
	if got["two"] != 2 || got["one"] != 1 {
		t.Errorf("got %v", got)
	}
	if ready, consumers := c.count(2, q); ready != 7 || consumers != 2 {
		t.Errorf("%d ready, %d consumers", ready, consumers)
	}
	c.send(1, &protocol.BasicAck{DeliveryTag: tags[2], Multiple: true})
	for range 3 {
		c.delivery(1)
	}
	c.send(2, &protocol.BasicQos{PrefetchCount: 1}) // which automatic acks do not feel
	expect[*protocol.BasicQosOk](c, 2)
	c.consume(2, protocol.BasicConsume{Queue: q, NoAck: true})
	for range 4 {
		c.delivery(2)
	}
}

func TestRequeuedMessagesComeBackInTheirOrder(t *testing.T) {
	c := connect(t, start(t))
	c.channel(1)
	q := c.queue(1, protocol.QueueDeclare{Exclusive: true}).Queue
	c.publish(1, bodies(q, 0, 6)...)
	for i := range 4 {
		m, body, ok := c.get(1, q, false)
		if !ok || body != fmt.Sprint(i) || m.DeliveryTag != uint64(i+1) || m.Redelivered || m.MessageCount != uint32(5-i) {
			t.Fatalf("%+v %q %v", m, body, ok)
		}
	}
	c.send(1, &protocol.BasicNack{DeliveryTag: 3, Requeue: true}, &protocol.BasicReject{DeliveryTag: 1, Requeue: true},
		&protocol.BasicNack{DeliveryTag: 2})
	for _, want := range []struct {
		body        string
		redelivered bool
	}{{"0", true}, {"2", true}, {"4", false}, {"5", false}} {
		if m, body, ok := c.get(1, q, true); !ok || body != want.body || m.Redelivered != want.redelivered {
			t.Errorf("%+v %q %v, want %+v", m, body, ok, want)
		}
	}
	c.send(1, &protocol.BasicAck{DeliveryTag: 4}) // from before
	c.quiet(1)
	c.send(1, &protocol.BasicAck{DeliveryTag: 5}) // was acknowledged when it was sent
	c.wantClose(1, protocol.CodePreconditionFailed, "PRECONDITION_FAILED - unknown delivery tag 5")
}

func TestCancelComesBehindTheDeliveries(t *testing.T) {
	b := start(t)
	c, p := connect(t, b), connect(t, b)
	c.channel(1)
	p.channel(1)
	p.queue(1, protocol.QueueDeclare{Queue: "q"})
	for range 20 {
		tag := c.consume(1, protocol.BasicConsume{Queue: "q"})
		if !strings.HasPrefix(tag, "amq.ctag-") || len(tag) != len("amq.ctag-")+22 {
			t.Fatalf("consumer tag %q", tag)
		}
		p.publish(1, bodies("q", 0, 100)...)
		c.send(1, &protocol.BasicCancel{ConsumerTag: tag})
		held := uint64(0)
		for open := true; open; {
			_, m, err := c.method()
			switch m := m.(type) {
			case *protocol.BasicDeliver:
				c.content(1)
				held = m.DeliveryTag
			case *protocol.BasicCancelOk:
				open = false
			default:
				t.Fatalf("%T %v", m, err)
			}
		}
		p.count(1, "q")
		c.quiet(1) // nothing came behind
		if held > 0 {
			c.send(1, &protocol.BasicAck{DeliveryTag: held, Multiple: true}) // what a cancelled consumer got stays with it
		}
		p.send(1, &protocol.QueuePurge{Queue: "q"})
		expect[*protocol.QueuePurgeOk](p, 1)
	}
	c.send(1, &protocol.BasicCancel{ConsumerTag: "nobody"}, &protocol.BasicCancel{ConsumerTag: "nobody", NoWait: true}, &protocol.BasicQos{})
	expect[*protocol.BasicCancelOk](c, 1)
	expect[*protocol.BasicQosOk](c, 1)
}

func TestExclusiveConsumers(t *testing.T) {
	b := start(t)
	c, other := connect(t, b), connect(t, b)
	c.channel(1)
	c.queue(1, protocol.QueueDeclare{Queue: "q"})
	refused := func(exclusive bool) {
		t.Helper()
		other.channel(1)
		other.send(1, &protocol.BasicConsume{Queue: "q", Exclusive: exclusive})
		other.wantClose(1, protocol.CodeAccessRefused, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use")
	}
	tag := c.consume(1, protocol.BasicConsume{Queue: "q", Exclusive: true})
	refused(false)
	refused(true)
	c.send(1, &protocol.BasicCancel{ConsumerTag: tag})
	expect[*protocol.BasicCancelOk](c, 1)
	c.consume(1, protocol.BasicConsume{Queue: "q"})
	refused(true)
	other.channel(1)
	other.consume(1, protocol.BasicConsume{Queue: "q"})
}

// TestConsumersHearThatTheirQueueIsGone, if they said that they understand it.
func TestConsumersHearThatTheirQueueIsGone(t *testing.T) {
	b := start(t)
	how := guest
	how.capabilities = nil
	hears, deaf, other := connect(t, b), connectAs(t, b, how), connect(t, b)
	for _, c := range []*client{hears, deaf, other} {
		c.channel(1)
	}
	other.queue(1, protocol.QueueDeclare{Queue: "q"})
	other.publish(1, bodies("q", 0, 1)...)
	hears.consume(1, protocol.BasicConsume{Queue: "q", ConsumerTag: "a"})
	hears.wantDelivery(1, "0", 1, false)
	deaf.consume(1, protocol.BasicConsume{Queue: "q", ConsumerTag: "b"})
	other.send(1, &protocol.QueueDelete{Queue: "q"})
	if ok := expect[*protocol.QueueDeleteOk](other, 1); ok.MessageCount != 0 {
		t.Errorf("%d messages were ready", ok.MessageCount)
	}
	if m := expect[*protocol.BasicCancel](hears, 1); m.ConsumerTag != "a" || !m.NoWait {
		t.Errorf("%+v", m)
	}
	hears.send(1, &protocol.BasicAck{DeliveryTag: 1}) // a tag is known as long as its channel
	hears.quiet(1)
	deaf.quiet(1)
	for _, c := range []*client{hears, deaf} { // the tags are free again
		other.queue(1, protocol.QueueDeclare{Queue: "q"})
		c.consume(1, protocol.BasicConsume{Queue: "q", ConsumerTag: "a"})
	}
}

func TestNoWaitHasNoAnswer(t *testing.T) {
	c := connect(t, start(t))
	c.channel(1)
	c.send(1,
		&protocol.QueueDeclare{Queue: "q", NoWait: true}, &protocol.ExchangeDeclare{Exchange: "x", Type: "fanout", NoWait: true},
		&protocol.ExchangeDeclare{Exchange: "y", Type: "fanout", NoWait: true}, &protocol.QueueBind{Queue: "q", Exchange: "x", NoWait: true},
		&protocol.ExchangeBind{Destination: "x", Source: "y", NoWait: true}, &protocol.ConfirmSelect{NoWait: true},
		&protocol.BasicConsume{Queue: "q", ConsumerTag: "c", NoWait: true}, &protocol.BasicCancel{ConsumerTag: "c", NoWait: true},
		&protocol.QueueDeclare{Queue: "q", Passive: true, NoWait: true}, &protocol.ExchangeDeclare{Exchange: "x", Passive: true, NoWait: true},
	)
	c.publish(1, message{exchange: "y", body: "m"})
	wantAcked(t, c.confirms(1, 1, 1))
	if _, body, ok := c.get(1, "q", true); !ok || body != "m" {
		t.Errorf("got %q, %v", body, ok)
	}
	c.send(1,
		&protocol.QueuePurge{Queue: "q", NoWait: true}, &protocol.ExchangeUnbind{Destination: "x", Source: "y", NoWait: true},
		&protocol.ExchangeDelete{Exchange: "y", NoWait: true}, &protocol.ExchangeDelete{Exchange: "missing", NoWait: true},
		&protocol.QueueDelete{Queue: "q", NoWait: true}, &protocol.QueueDelete{Queue: "missing", NoWait: true},
	)
	c.quiet(1)
	c.send(1, &protocol.QueueDeclare{Queue: "q", Passive: true, NoWait: true}) // errors are told
	c.wantClose(1, protocol.CodeNotFound, "NOT_FOUND - no queue 'q' in vhost '/'")
}
