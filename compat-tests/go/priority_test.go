package compat

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// fillPriorities publishes one message per priority, with bodies "0", "1", ...
func (c *client) fillPriorities(queue string, priorities ...uint8) {
	c.t.Helper()
	ch := c.channel()
	defer ch.Close()
	ch.must(ch.Confirm(false), "confirm.select")
	for i, priority := range priorities {
		p := amqp.Publishing{Priority: priority, Body: []byte(numbered(i + 1)[i])}
		equal(c.t, "confirmed", ch.confirm("", queue, p), true)
	}
}

func TestPriorityQueueDeliversTheHighestFirst(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(amqp.Table{"x-max-priority": 5})
	c.fillPriorities(q, 1, 0, 5, 3, 5, 1, 0)
	equal(t, "order", c.drain(q), []string{"2", "4", "3", "0", "5", "1", "6"})
}

func TestPriorityAboveTheMaximumIsTheMaximum(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(amqp.Table{"x-max-priority": 3})
	c.fillPriorities(q, 3, 200, 2, 3)
	d := c.get(q)
	equal(t, "first", string(d.Body), "0")
	d = c.get(q)
	equal(t, "second", string(d.Body), "1")
	equal(t, "its priority as published", d.Priority, uint8(200))
	equal(t, "rest", c.drain(q), []string{"3", "2"})
}

func TestPriorityOfRequeuedMessages(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(amqp.Table{"x-max-priority": 5})
	c.fillPriorities(q, 1, 1, 1)
	d := c.get(q)
	c.fillPriorities(q, 4)
	c.must(d.Nack(false, true), "basic.nack")
	c.waitReady(q, 4)
	d = c.get(q)
	equal(t, "the higher one comes first", [2]any{d.Priority, d.Redelivered}, [2]any{uint8(4), false})
	d = c.get(q)
	equal(t, "then the requeued one", [2]any{string(d.Body), d.Redelivered}, [2]any{"0", true})
	equal(t, "rest", c.drain(q), []string{"1", "2"})
}

func TestPrioritiesWithoutAPriorityQueue(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fillPriorities(q, 1, 9, 5)
	equal(t, "order", c.drain(q), numbered(3))
}
