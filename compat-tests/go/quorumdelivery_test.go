package compat

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What counts as a failed delivery: basic.reject with requeue and a channel that went away; not basic.nack, not a cancel.
func TestWhatCountsAsAFailedDelivery(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	q := c.quorumQueue(nil)
	c.fill(q, "m")
	d := c.get(q)
	equal(t, "count at first", d.Headers["x-delivery-count"], any(nil))
	equal(t, "acquired at first", d.Headers["x-acquired-count"], any(nil))
	c.must(d.Nack(false, true), "basic.nack")
	d = c.get(q)
	equal(t, "count after nack", d.Headers["x-delivery-count"], any(nil))
	equal(t, "acquired after nack", d.Headers["x-acquired-count"], any(int64(1)))
	equal(t, "redelivered", d.Redelivered, true)
	c.must(d.Reject(true), "basic.reject")
	d = c.get(q)
	equal(t, "count after reject", d.Headers["x-delivery-count"], any(int64(1)))
	equal(t, "acquired after reject", d.Headers["x-acquired-count"], any(int64(2)))
	c.must(d.Nack(false, true), "basic.nack")
	other := c.channel()
	d = other.next(other.consume(q))
	equal(t, "count after another nack", d.Headers["x-delivery-count"], any(int64(1)))
	other.must(other.Close(), "channel.close")
	d = c.get(q)
	equal(t, "count after a closed channel", d.Headers["x-delivery-count"], any(int64(2)))
	equal(t, "acquired after a closed channel", d.Headers["x-acquired-count"], any(int64(4)))
}

func TestDeliveryLimitIsTwentyOrWhatIsAsked(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	dead := c.queue(nil)
	args := amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
	usual := c.quorumQueue(args)
	args["x-delivery-limit"] = -1
	endless := c.quorumQueue(args)
	for q, attempts := range map[string]int{usual: 21, endless: 30} {
		c.fill(q, q)
		for range attempts {
			c.must(c.get(q).Reject(true), "basic.reject")
		}
	}
	d := c.get(dead)
	c.wantDeath(c.deaths(d)[0], 1, "delivery_limit", usual, "", usual)
	equal(t, "redelivered", d.Redelivered, true)
	equal(t, "in the queue without a limit", c.get(endless).Headers["x-delivery-count"], any(int64(30)))
	c.staysEmpty(dead)
}

// At least once: the dead letter stays in its queue until those it goes to have it.
func TestDeadLettersAtLeastOnce(t *testing.T) {
	t.Parallel()
	c := connect(t)
	args := amqp.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish", "x-max-length": 1,
	}
	dead := c.queue(nil)
	args["x-dead-letter-routing-key"] = dead
	q := c.quorumQueue(args)
	c.fill(q, "m")
	c.must(c.get(q).Nack(false, false), "basic.nack")
	d := c.get(dead)
	equal(t, "body", string(d.Body), "m")
	c.wantDeath(c.deaths(d)[0], 1, "rejected", q, "", q)
	c.eventually("room, when the dead letter is away", func() bool {
		ch := c.channel()
		defer ch.Close()
		ch.confirming()
		return ch.confirm("", q, amqp.Publishing{})
	})

	args["x-dead-letter-routing-key"] = unique("missing")
	q = c.quorumQueue(args)
	c.fill(q, "kept")
	c.must(c.get(q).Nack(false, false), "basic.nack")
	equal(t, "ready", c.drain(q), []string{})
	ch := c.channel()
	ch.confirming()
	c.eventually("a refusal: dead letters take room", func() bool { return !ch.confirm("", q, amqp.Publishing{}) })
}

func TestDelayedRetry(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	const least = 150
	for kind, delays := range map[string]struct{ reject, nack bool }{
		"all": {true, true}, "failed": {true, false}, "returned": {false, true}, "disabled": {false, false},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := c.channel()
			c.t = t
			q := c.quorumQueue(amqp.Table{
				"x-delayed-retry-type": kind, "x-delayed-retry-min": least, "x-delayed-retry-max": 10 * least,
			})
			for what, test := range map[string]struct {
				settle  func(amqp.Delivery) error
				delayed bool
			}{
				"reject": {func(d amqp.Delivery) error { return d.Reject(true) }, delays.reject},
				"nack":   {func(d amqp.Delivery) error { return d.Nack(false, true) }, delays.nack},
			} {
				c.fill(q, what)
				c.must(test.settle(c.get(q)), "basic.%s", what)
				returned := time.Now()
				d := c.get(q)
				equal(t, "redelivered", d.Redelivered, true)
				// Without a delay it may be slow, with one it may not be quick.
				if took := time.Since(returned); test.delayed && took < (least-20)*time.Millisecond {
					t.Fatalf("it came back after %v", took)
				}
				c.must(d.Ack(false), "basic.ack")
			}
		})
	}
}

func TestConsumerTimeoutAsAnArgument(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	for _, test := range []struct{ queue, consumer amqp.Table }{
		{amqp.Table{"x-consumer-timeout": 200}, nil},
		{nil, amqp.Table{"x-consumer-timeout": 200}},
	} {
		q := c.quorumQueue(test.queue)
		c.fill(q, "slow")
		c.wantTimedOut(q, test.consumer)
	}
	_, err := c.channel().Consume(c.queue(nil), "", false, false, false, false, amqp.Table{"x-consumer-timeout": 200})
	wantRefusal(t, err, amqp.PreconditionFailed, "x-consumer-timeout", "of queue type rabbit_classic_queue")
}

// Where there is no consumer left to cancel, the channel is closed.
func TestConsumerTimeoutWithoutAConsumer(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	for what, take := range map[string]func(*client, string){
		"polled": func(slow *client, q string) { slow.get(q) },
		"cancelled": func(slow *client, q string) {
			slow.next(slow.consumeWith(q, "tag", false, nil))
			slow.must(slow.Cancel("tag", false), "basic.cancel")
		},
	} {
		t.Run(what, func(t *testing.T) {
			q := c.quorumQueue(amqp.Table{"x-consumer-timeout": 200})
			c.fill(q, "slow")
			slow := connect(t)
			closed := slow.closed()
			take(slow, q)
			slow.refused(closed, amqp.PreconditionFailed, "delivery acknowledgement on channel", "timed out")
			d := c.get(q)
			equal(t, "it is there again", string(d.Body), "slow")
			equal(t, "x-acquired-count", d.Headers["x-acquired-count"], any(int64(1)))
			c.must(d.Ack(false), "basic.ack")
		})
	}
}

// A quorum queue has priorities without asking for them: 0 to 31, the absent one is 4.
func TestQuorumQueuePriorities(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	q := c.quorumQueue(nil)
	c.confirming()
	for _, p := range []uint8{0, 3, 4, 5, 31, 200} {
		c.confirm("", q, amqp.Publishing{Priority: p, Body: []byte{'a' + p%26}, MessageId: string(rune('0' + p%10))})
	}
	order := ""
	for range 6 {
		order += c.get(q).MessageId
	}
	// amqp091-go sends no priority for 0: it stands with 4.
	equal(t, "order", order, "105043")
}

func TestQuorumQueueDeleteFlagsAreNotImplemented(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.quorumQueue(nil)
	_, err := connect(t).QueueDelete(q, true, false, false)
	wantRefusal(t, err, amqp.NotImplemented, "queue.delete operations with if-unused flag set are not supported by quorum queues")
	_, err = connect(t).QueueDelete(q, false, true, false)
	wantRefusal(t, err, amqp.NotImplemented, "queue.delete operations with if-empty flag set are not supported by quorum queues")
}

func TestQuorumQueueWithOneActiveConsumerIsNotPolled(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	_, _, err := c.Get(c.quorumQueue(amqp.Table{"x-single-active-consumer": true}), false)
	wantRefusal(t, err, amqp.ResourceLocked, "basic.get operations are not supported by <<\"quorum\">> queues with single active consumer")
}

// The consumer of the highest priority is the active one; who comes with a higher one takes over, once the old is done.
func TestQuorumQueueActiveConsumerByPriority(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c, low, high := connect(t), connect(t), connect(t)
	q := c.quorumQueue(amqp.Table{"x-single-active-consumer": true})
	first := low.consumeWith(q, "", false, amqp.Table{"x-priority": 1})
	c.fill(q, "a")
	d := low.next(first)
	equal(t, "to the first", string(d.Body), "a")
	second := high.consumeWith(q, "", false, amqp.Table{"x-priority": 5})
	c.fill(q, "b")
	high.quiet(second)
	low.must(d.Ack(false), "basic.ack")
	equal(t, "to the higher", string(high.next(second).Body), "b")
	low.quiet(first)
}
