package compat

import (
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// producer connects as a publisher that numbers its messages; a broker that takes no notice is not tested.
func producer(t *testing.T, name string) *client {
	t.Helper()
	c := connectWith(t, amqp.Config{Properties: amqp.Table{"x-producer-id": name}})
	if platform := c.conn.Properties["platform"]; platform != "Warren" {
		t.Skipf("only Warren recognises repeated messages, this is %v", platform)
	}
	c.confirming()
	return c
}

func (c *client) numberedMessage(queue string, seq int64) {
	c.t.Helper()
	c.confirmed("", queue, fmt.Sprint(seq), amqp.Table{"x-producer-seq": seq})
}

func TestARepeatedMessageIsConfirmedAndDropped(t *testing.T) {
	t.Parallel()
	name := unique("producer")
	c := producer(t, name)
	q := c.queue(nil)
	for _, seq := range []int64{1, 2, 3, 2, 3, 4} {
		c.numberedMessage(q, seq)
	}
	c.must(c.conn.Close(), "connection.close")
	again := producer(t, name) // after a lost connection: what was not confirmed comes again
	for _, seq := range []int64{3, 4, 5} {
		again.numberedMessage(q, seq)
	}
	equal(t, "in the queue", again.drain(q), numbered(6)[1:])
}

func TestProducersAreApart(t *testing.T) {
	t.Parallel()
	one, two := producer(t, unique("producer")), producer(t, unique("producer"))
	q, other := one.queue(nil), one.queue(nil)
	one.numberedMessage(q, 1)
	two.numberedMessage(q, 1)
	one.numberedMessage(other, 1) // each queue keeps count by itself
	one.confirmed("", q, "unnumbered", nil)
	one.confirmed("", q, "unnumbered", nil)
	equal(t, "in the queue", one.drain(q), []string{"1", "1", "unnumbered", "unnumbered"})
	equal(t, "in the other", one.drain(other), []string{"1"})
}
