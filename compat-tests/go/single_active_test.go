package compat

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestSingleActiveConsumerTakesAllUntilItGoes(t *testing.T) {
	t.Parallel()
	c, first, second, third := connect(t), connect(t), connect(t), connect(t)
	q := c.queue(amqp.Table{"x-single-active-consumer": true})
	one := first.consumeWith(q, "one", false, nil)
	two := second.consumeWith(q, "two", false, nil)
	three := third.consumeWith(q, "three", false, nil)
	c.fill(q, numbered(5)...)
	equal(t, "the first", first.nextBodies(one, 5), numbered(5))
	second.quiet(two)
	third.quiet(three)
	first.must(first.Ack(0, true), "basic.ack")

	first.must(first.Cancel("one", false), "basic.cancel")
	c.fill(q, "after cancel")
	equal(t, "the second", second.nextBodies(two, 1), []string{"after cancel"})
	third.quiet(three)

	second.must(second.conn.Close(), "connection.close")
	d := third.next(three)
	equal(t, "the third gets what the second held", [2]any{string(d.Body), d.Redelivered}, [2]any{"after cancel", true})
	c.fill(q, "more")
	equal(t, "and the rest", third.nextBodies(three, 1), []string{"more"})
}

func TestSingleActiveConsumerKeepsOrderWithPrefetch(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(amqp.Table{"x-single-active-consumer": true})
	c.fill(q, numbered(30)...)
	one, two := c.channel(), c.channel()
	one.prefetch(4)
	two.prefetch(4)
	active, standby := one.consume(q), two.consume(q)
	for _, want := range numbered(30)[:10] {
		d := one.next(active)
		equal(t, "body", string(d.Body), want)
		one.must(d.Ack(false), "basic.ack")
	}
	two.quiet(standby)
	one.must(one.Close(), "channel.close")
	for _, want := range numbered(30)[10:] {
		d := two.next(standby)
		equal(t, "body", string(d.Body), want)
		two.must(d.Ack(false), "basic.ack")
	}
}

func TestSingleActiveConsumerExcludesExclusiveOnes(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(amqp.Table{"x-single-active-consumer": true})
	_, err := c.Consume(q, "", false, true, false, false, nil)
	wantRefusal(t, err, amqp.AccessRefused, "in exclusive use")
}
