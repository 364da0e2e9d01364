package compat

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// quorumQueue declares a queue of type quorum with further arguments.
func (c *client) quorumQueue(args amqp.Table) string {
	c.t.Helper()
	all := amqp.Table{"x-queue-type": "quorum"}
	for k, v := range args {
		all[k] = v
	}
	return c.queue(all)
}

func TestQuorumQueue(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.quorumQueue(nil)
	c.fill(q, numbered(100)...)
	ch := c.channel()
	ch.prefetch(10)
	ds := ch.consume(q)
	for _, want := range numbered(100)[:50] {
		d := ch.next(ds)
		equal(t, "body", string(d.Body), want)
		ch.must(d.Ack(false), "basic.ack")
	}
	ch.must(ch.Close(), "channel.close")
	c.waitReady(q, 50)
	equal(t, "next", string(c.get(q).Body), "50")
}

func TestQuorumQueueIsDurable(t *testing.T) {
	t.Parallel()
	c := connect(t)
	tests := map[string]struct{ durable, autoDelete, exclusive bool }{
		"transient": {false, false, false}, "exclusive": {true, false, true},
	}
	for what, test := range tests {
		t.Run(what, func(t *testing.T) {
			_, err := c.channel().QueueDeclare(unique("quorum"), test.durable, test.autoDelete, test.exclusive, false,
				amqp.Table{"x-queue-type": "quorum"})
			wantRefusal(t, err, amqp.PreconditionFailed, "invalid property")
		})
	}
	q := c.queue(nil)
	_, err := c.QueueDeclare(q, true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
	wantRefusal(t, err, amqp.PreconditionFailed, "inequivalent arg 'x-queue-type' for queue '"+q)
}

func TestDeliveryCountAndLimit(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.exchange("fanout", nil)
	dead := c.boundQueue(x, "")
	q := c.quorumQueue(amqp.Table{"x-delivery-limit": 2, "x-dead-letter-exchange": x})
	c.fill(q, "poison")
	for attempt := range 3 {
		d := c.get(q)
		// Absent at first; RabbitMQ 3 says 0 there to a basic.get.
		count, _ := d.Headers["x-delivery-count"].(int64)
		equal(t, "x-delivery-count", count, int64(attempt))
		c.must(d.Reject(true), "basic.reject with requeue")
	}
	d := c.get(dead)
	equal(t, "body", string(d.Body), "poison")
	c.wantDeath(c.deaths(d)[0], 1, "delivery_limit", q, "", q)
}

func TestQuorumQueueDeadLettersAndLimits(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.exchange("fanout", nil)
	dead := c.boundQueue(x, "")
	q := c.quorumQueue(amqp.Table{"x-max-length": 2, "x-dead-letter-exchange": x})
	c.fill(q, numbered(3)...)
	d := c.get(dead)
	equal(t, "body", string(d.Body), "0")
	c.wantDeath(c.deaths(d)[0], 1, "maxlen", q, "", q)
	c.must(c.get(q).Nack(false, false), "basic.nack")
	d = c.get(dead)
	equal(t, "body", string(d.Body), "1")
	c.wantDeath(c.deaths(d)[0], 1, "rejected", q, "", q)
}

func TestQuorumQueueSingleActiveConsumer(t *testing.T) {
	t.Parallel()
	c, first, second := connect(t), connect(t), connect(t)
	q := c.quorumQueue(amqp.Table{"x-single-active-consumer": true})
	one, two := first.consume(q), second.consume(q)
	c.fill(q, numbered(3)...)
	equal(t, "the first", first.nextBodies(one, 3), numbered(3))
	second.quiet(two)
	first.must(first.conn.Close(), "connection.close")
	equal(t, "the second", second.nextBodies(two, 3), numbered(3))
}

func TestQuorumQueueKnowsNoClassicPriorities(t *testing.T) {
	t.Parallel()
	_, err := connect(t).QueueDeclare(unique("quorum"), true, false, false, false,
		amqp.Table{"x-queue-type": "quorum", "x-max-priority": 5})
	wantRefusal(t, err, amqp.PreconditionFailed, "x-max-priority")
}
