package compat

import (
	"fmt"
	"sort"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestDeliveryNamesWhereItCameFrom(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.exchange("topic", nil)
	q := c.boundQueue(x, "a.#")
	ds := c.consumeWith(q, "my tag", false, nil)
	c.publish(x, "a.b", "1")
	c.publish("", q, "2")
	d := c.next(ds)
	equal(t, "first", fmt.Sprintf("%q", []string{d.ConsumerTag, d.Exchange, d.RoutingKey, string(d.Body)}),
		fmt.Sprintf("%q", []string{"my tag", x, "a.b", "1"}))
	equal(t, "tag", d.DeliveryTag, uint64(1))
	equal(t, "redelivered", d.Redelivered, false)
	d = c.next(ds)
	equal(t, "second", [2]string{d.Exchange, d.RoutingKey}, [2]string{"", q})
	equal(t, "tag", d.DeliveryTag, uint64(2))
}

func TestConsumerTagsAreOfTheChannel(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q, other := c.exclusiveQueue(), c.channel()
	ds, otherDs := c.consumeWith(q, "tag", true, nil), other.consumeWith(q, "tag", true, nil)
	_, consumers := c.counts(q)
	equal(t, "consumers", consumers, 2)
	c.publish("", q, "1")
	c.publish("", q, "2")
	equal(t, "each gets one", string(c.next(ds).Body)+string(c.next(otherDs).Body), "12")
}

func TestConsumerTagIsUniqueOnItsChannel(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.exclusiveQueue()
	c.consumeWith(q, "tag", true, nil)
	_, err := c.Consume(q, "tag", true, false, false, false, nil)
	wantRefusal(t, err, amqp.NotAllowed, "attempt to reuse consumer tag 'tag'")
}

func TestConsumeFromAMissingQueue(t *testing.T) {
	t.Parallel()
	c := connect(t)
	_, err := c.channel().Consume(unique("missing"), "", true, false, false, false, nil)
	wantRefusal(t, err, amqp.NotFound, "no queue")
	_, _, err = c.Get(unique("missing"), true)
	wantRefusal(t, err, amqp.NotFound, "no queue")
}

func TestExclusiveConsumer(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	_, err := c.Consume(q, "only", false, true, false, false, nil)
	c.must(err, "basic.consume exclusive")
	_, err = c.channel().Consume(q, "", false, false, false, false, nil)
	wantRefusal(t, err, amqp.AccessRefused, "queue '"+q+"'", "in exclusive use")
	c.must(c.Cancel("only", false), "basic.cancel")
	c.channel().consume(q)
	_, err = c.channel().Consume(q, "", false, true, false, false, nil)
	wantRefusal(t, err, amqp.AccessRefused, "in exclusive use")
}

func TestConsumersTakeTurns(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	one, two := c.consumeWith(q, "one", true, nil), c.consumeWith(q, "two", true, nil)
	for _, body := range numbered(20) {
		c.publish("", q, body)
	}
	got := append(c.nextBodies(one, 10), c.nextBodies(two, 10)...)
	sort.Strings(got)
	want := numbered(20)
	sort.Strings(want)
	equal(t, "all messages", got, want)
}

func TestConsumerPriority(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.prefetch(2)
	low := c.consumeWith(q, "low", false, amqp.Table{"x-priority": int32(-1)})
	high := c.consumeWith(q, "high", false, amqp.Table{"x-priority": int32(10)})
	usual := c.consumeWith(q, "usual", false, nil)
	for _, body := range numbered(5) {
		c.publish("", q, body)
	}
	equal(t, "the highest is served first", c.nextBodies(high, 2), []string{"0", "1"})
	equal(t, "then the one without a priority", c.nextBodies(usual, 2), []string{"2", "3"})
	equal(t, "the lowest gets the rest", c.nextBodies(low, 1), []string{"4"})
}

func TestPrefetchLimitsEachConsumer(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, numbered(10)...)
	c.prefetch(3)
	first := c.consumeWith(q, "first", false, nil)
	equal(t, "first", c.nextBodies(first, 3), []string{"0", "1", "2"})
	c.prefetch(2)
	second := c.consumeWith(q, "second", false, nil)
	equal(t, "second", c.nextBodies(second, 2), []string{"3", "4"})
	c.quiet(first)
	c.quiet(second)
	c.waitReady(q, 5)
	c.must(c.Ack(2, true), "basic.ack of two")
	equal(t, "room for two more", c.nextBodies(first, 2), []string{"5", "6"})
	c.must(c.Nack(4, false, false), "basic.nack")
	equal(t, "room for one more", c.nextBodies(second, 1), []string{"7"})
	c.quiet(first)
	c.waitReady(q, 2)
}

func TestPrefetchOfTheChannelHoldsOneConsumer(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, numbered(4)...)
	// Whether a global limit is shared or, as RabbitMQ 4.3 reads it, each consumer's own: one consumer sees it as its limit.
	c.must(c.Qos(2, 0, true), "basic.qos global")
	ds := c.consume(q)
	equal(t, "delivered", c.nextBodies(ds, 2), []string{"0", "1"})
	c.quiet(ds)
	c.must(c.Ack(1, false), "basic.ack")
	equal(t, "delivered", c.nextBodies(ds, 1), []string{"2"})
	c.quiet(ds)
}

func TestPrefetchDoesNotHoldAutomaticAcknowledgement(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, numbered(10)...)
	c.prefetch(1)
	equal(t, "delivered", c.nextBodies(c.consumeWith(q, "", true, nil), 10), numbered(10))
	c.must(c.Close(), "channel.close")
	messages, _ := c.counts(q)
	equal(t, "ready after the channel closed", messages, 0)
}

func TestPrefetchSizeIsNotImplemented(t *testing.T) {
	t.Parallel()
	wantRefusal(t, connect(t).Qos(0, 1000, false), amqp.NotImplemented, "prefetch_size!=0")
}

func TestPrefetchOneGivesWorkToTheIdle(t *testing.T) {
	t.Parallel()
	c, busy, idle := connect(t), connect(t), connect(t)
	q := c.queue(nil)
	busy.prefetch(1)
	idle.prefetch(1)
	stuck := busy.consume(q)
	c.fill(q, "slow")
	busy.next(stuck)
	ds := idle.consume(q)
	c.fill(q, numbered(5)...)
	for _, want := range numbered(5) {
		d := idle.next(ds)
		equal(t, "body", string(d.Body), want)
		idle.must(d.Ack(false), "basic.ack")
	}
	c.quiet(stuck)
}

func TestCancelStopsDeliveriesAndKeepsWhatIsUnacknowledged(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, "held")
	ds := c.consumeWith(q, "tag", false, nil)
	held := c.next(ds)
	c.must(c.Cancel("tag", false), "basic.cancel")
	if _, open := <-ds; open {
		t.Fatal("a delivery after cancel")
	}
	c.fill(q, "later")
	c.waitReady(q, 1)
	c.must(held.Ack(false), "basic.ack after the cancel")
	equal(t, "left", c.drain(q), []string{"later"})
	c.must(c.Cancel("no such tag", false), "basic.cancel of no consumer")
}

func TestCancelNotificationWhenTheQueueGoes(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	cancelled := c.NotifyCancel(make(chan string, 1))
	ds := c.consumeWith(q, "tag", false, nil)
	_, err := c.channel().QueueDelete(q, false, false, false)
	c.must(err, "queue.delete")
	c.eventually("the cancellation", func() bool { return len(cancelled) == 1 })
	equal(t, "cancelled", <-cancelled, "tag")
	if _, open := <-ds; open {
		t.Fatal("a delivery from a deleted queue")
	}
	c.exclusiveQueue() // the channel lives
}

func TestConsumerCount(t *testing.T) {
	t.Parallel()
	c, other := connect(t), connect(t)
	q := c.queue(nil)
	c.consumeWith(q, "a", false, nil)
	c.channel().consumeWith(q, "b", true, nil)
	other.consume(q)
	_, consumers := c.counts(q)
	equal(t, "consumers", consumers, 3)
	c.must(c.Cancel("a", false), "basic.cancel")
	c.must(other.conn.Close(), "connection.close")
	c.eventually("one consumer", func() bool { _, consumers := c.counts(q); return consumers == 1 })
}

func TestConsumeWithoutWaiting(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	ds, err := c.Consume(q, "tag", true, false, false, true, nil)
	c.must(err, "basic.consume nowait")
	c.publish("", q, "m")
	equal(t, "body", string(c.next(ds).Body), "m")
	c.must(c.Cancel("tag", true), "basic.cancel nowait")
	c.fill(q, "stays")
	c.waitReady(q, 1)
}

func TestSeveralConsumersOnOneChannel(t *testing.T) {
	t.Parallel()
	c := connect(t)
	var queues []string
	var inboxes []<-chan amqp.Delivery
	for i := range 10 {
		queues = append(queues, c.exclusiveQueue())
		inboxes = append(inboxes, c.consumeWith(queues[i], fmt.Sprint("tag ", i), false, nil))
	}
	for i, q := range queues {
		c.publish("", q, strings.Repeat("x", i))
	}
	for i, ds := range inboxes {
		d := c.next(ds)
		equal(t, "consumer", d.ConsumerTag, fmt.Sprint("tag ", i))
		equal(t, "length", len(d.Body), i)
		c.must(d.Ack(false), "basic.ack")
	}
}

func TestTheTagIsLookedAtFirst(t *testing.T) {
	t.Parallel()
	c := connect(t)
	c.consumeWith(c.queue(nil), "tag", true, nil)
	closed := c.conn.NotifyClose(make(chan *amqp.Error, 1))
	_, err := c.Consume(unique("missing"), "tag", true, false, false, false, nil)
	wantRefusal(t, err, amqp.NotAllowed, "attempt to reuse consumer tag 'tag'")
	c.refused(closed, amqp.NotAllowed, "attempt to reuse consumer tag 'tag'")
}
