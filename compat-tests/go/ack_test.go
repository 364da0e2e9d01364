package compat

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestGet(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	_, ok, err := c.Get(q, false)
	c.must(err, "basic.get")
	equal(t, "a message in the new queue", ok, false)
	c.fill(q, numbered(3)...)
	d := c.get(q)
	equal(t, "left behind it", d.MessageCount, uint32(2))
	equal(t, "body and key", [2]string{string(d.Body), d.RoutingKey}, [2]string{"0", q})
	equal(t, "tag", d.DeliveryTag, uint64(1))
	d, ok, err = c.Get(q, true)
	c.must(err, "basic.get")
	equal(t, "automatically acknowledged", [2]any{ok, d.DeliveryTag}, [2]any{true, uint64(2)})
	equal(t, "left behind it", d.MessageCount, uint32(1))
}

func TestAckRemoves(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, "acked", "not acked")
	ch := c.channel()
	ch.must(ch.get(q).Ack(false), "basic.ack")
	ch.get(q)
	ch.must(ch.Close(), "channel.close")
	c.waitReady(q, 1)
	equal(t, "left", c.drain(q), []string{"not acked"})
}

func TestAckMultiple(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, numbered(6)...)
	ch := c.channel()
	ch.nextBodies(ch.consume(q), 6)
	ch.must(ch.Ack(2, false), "basic.ack 2")
	ch.must(ch.Ack(4, true), "basic.ack up to 4")
	ch.must(ch.Close(), "channel.close")
	c.waitReady(q, 2)
	equal(t, "left", c.drain(q), []string{"4", "5"})
}

func TestAckMultipleWithTagZeroMeansAll(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, numbered(5)...)
	ch := c.channel()
	ch.nextBodies(ch.consume(q), 5)
	ch.must(ch.Ack(0, true), "basic.ack of all")
	ch.must(ch.Ack(0, true), "basic.ack of all when there is none")
	ch.must(ch.Close(), "channel.close")
	messages, _ := c.counts(q)
	equal(t, "left", messages, 0)
}

func TestUnknownDeliveryTag(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	tests := map[string]func(ch *client) error{
		"ack never issued":      func(ch *client) error { return ch.Ack(99, false) },
		"ack multiple":          func(ch *client) error { return ch.Ack(99, true) },
		"nack never issued":     func(ch *client) error { return ch.Nack(99, false, true) },
		"reject never issued":   func(ch *client) error { return ch.Reject(99, true) },
		"tag of another":        func(ch *client) error { return ch.Ack(ch.channel().get(q).DeliveryTag, false) },
		"ack twice":             func(ch *client) error { d := ch.get(q); d.Ack(false); return d.Ack(false) },
		"ack after nack":        func(ch *client) error { d := ch.get(q); d.Nack(false, false); return d.Ack(false) },
		"automatically acked":   func(ch *client) error { ch.Get(q, true); return ch.Ack(1, false) },
		"zero without multiple": func(ch *client) error { return ch.Ack(0, false) },
	}
	for what, call := range tests {
		t.Run(what, func(t *testing.T) {
			c.fill(q, "m")
			ch := c.channel()
			closed := ch.closed()
			ch.must(call(ch), "%s", what)
			ch.refused(closed, amqp.PreconditionFailed, "unknown delivery tag")
		})
	}
}

func TestNackRequeuesInOrder(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, numbered(6)...)
	for range 4 {
		c.get(q)
	}
	c.must(c.Nack(3, true, true), "basic.nack up to 3")
	c.waitReady(q, 5)
	for _, want := range []string{"0", "1", "2"} {
		d := c.get(q)
		equal(t, "body", string(d.Body), want)
		equal(t, "redelivered", d.Redelivered, true)
	}
	d := c.get(q)
	equal(t, "body", string(d.Body), "4")
	equal(t, "redelivered", d.Redelivered, false)
}

func TestRejectRequeuesOne(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, numbered(3)...)
	first, second := c.get(q), c.get(q)
	c.must(first.Reject(true), "basic.reject")
	c.waitReady(q, 2)
	d := c.get(q)
	equal(t, "back at its place", string(d.Body), "0")
	equal(t, "redelivered", d.Redelivered, true)
	c.must(second.Reject(false), "basic.reject without requeue")
	c.must(d.Nack(false, false), "basic.nack without requeue")
	equal(t, "left", c.drain(q), []string{"2"})
}

func TestRequeuedMessageGoesToAnotherConsumer(t *testing.T) {
	t.Parallel()
	c, first, second := connect(t), connect(t), connect(t)
	q := c.queue(nil)
	c.fill(q, "m")
	d := first.next(first.consumeWith(q, "tag", false, nil))
	ds := second.consume(q)
	first.must(first.Cancel("tag", false), "basic.cancel")
	first.must(d.Nack(false, true), "basic.nack")
	d = second.next(ds)
	equal(t, "redelivered", d.Redelivered, true)
	equal(t, "body", string(d.Body), "m")
}

func TestClosingTheChannelRequeuesInOrder(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, numbered(20)...)
	ch := c.channel()
	ch.prefetch(10)
	ch.nextBodies(ch.consume(q), 10)
	ch.must(ch.Ack(5, false), "basic.ack")
	ch.must(ch.Close(), "channel.close")
	c.waitReady(q, 19)
	want := append(numbered(4), numbered(20)[5:]...)
	equal(t, "order", c.drain(q), want)
}

func TestChannelErrorRequeues(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, "m")
	ch := c.channel()
	ch.next(ch.consume(q))
	_, err := ch.QueueDeclarePassive(unique("missing"), false, false, false, false, nil)
	wantRefusal(t, err, amqp.NotFound)
	d := c.get(q)
	equal(t, "redelivered", d.Redelivered, true)
}

func TestRecoverRedelivers(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, numbered(3)...)
	ds := c.consume(q)
	c.nextBodies(ds, 3)
	c.must(c.Ack(1, false), "basic.ack")
	//lint:ignore SA1019 clients still use it
	c.must(c.Recover(true), "basic.recover")
	for _, want := range []string{"1", "2"} {
		d := c.next(ds)
		equal(t, "body", string(d.Body), want)
		equal(t, "redelivered", d.Redelivered, true)
		c.must(d.Ack(false), "basic.ack")
	}
	c.waitReady(q, 0)
}

func TestRecoverWithoutRequeueIsNotImplemented(t *testing.T) {
	t.Parallel()
	//lint:ignore SA1019 clients still use it
	wantRefusal(t, connect(t).Recover(false), amqp.NotImplemented, "requeue=false")
}

func TestDeliveryTagsAreOfTheChannel(t *testing.T) {
	t.Parallel()
	c := connect(t)
	one, two := c.queue(nil), c.queue(nil)
	c.fill(one, "1", "2")
	c.fill(two, "3")
	equal(t, "first", c.get(one).DeliveryTag, uint64(1))
	equal(t, "from another queue", c.next(c.consume(two)).DeliveryTag, uint64(2))
	equal(t, "third", c.get(one).DeliveryTag, uint64(3))
	equal(t, "on another channel", func() uint64 { c.fill(one, "4"); return c.channel().get(one).DeliveryTag }(), uint64(1))
	c.must(c.Ack(3, true), "one ack over two queues")
	c.must(c.Close(), "channel.close")
}
