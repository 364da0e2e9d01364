package compat

import (
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestMaxLengthDropsTheOldest(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(amqp.Table{"x-max-length": 3})
	c.fill(q, numbered(10)...)
	equal(t, "left", c.drain(q), []string{"7", "8", "9"})
}

func TestMaxLengthCountsWhatIsReady(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(amqp.Table{"x-max-length": 2})
	c.fill(q, "a", "b")
	c.get(q)
	c.get(q)
	c.fill(q, "c", "d")
	messages, _ := c.counts(q)
	equal(t, "ready beside two unacknowledged", messages, 2)
	c.fill(q, "e")
	equal(t, "left", c.drain(q), []string{"d", "e"})
}

func TestMaxLengthBytes(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(amqp.Table{"x-max-length-bytes": 1000})
	bodies := []string{strings.Repeat("a", 400), strings.Repeat("b", 400), strings.Repeat("c", 400)}
	c.fill(q, bodies...)
	equal(t, "left", c.drain(q), bodies[1:])
}

func TestRejectPublishRefuses(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(amqp.Table{"x-max-length": 2, "x-overflow": "reject-publish"})
	c.must(c.Confirm(false), "confirm.select")
	for i, want := range []bool{true, true, false, false} {
		equal(t, "confirmed", c.confirm("", q, amqp.Publishing{Body: []byte(numbered(4)[i])}), want)
	}
	other := c.channel()
	d := other.get(q)
	equal(t, "the oldest stays", string(d.Body), "0")
	c.must(d.Ack(false), "basic.ack")
	equal(t, "confirmed when there is room", c.confirm("", q, amqp.Publishing{Body: []byte("4")}), true)
	equal(t, "left", c.drain(q), []string{"1", "4"})
}

func TestRejectPublishOfOneQueueRefusesTheMessage(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.exchange("fanout", nil)
	full, open := c.queue(amqp.Table{"x-max-length": 0, "x-overflow": "reject-publish"}), c.boundQueue(x, "")
	c.bind(full, "", x, nil)
	c.must(c.Confirm(false), "confirm.select")
	equal(t, "confirmed", c.confirm(x, "", amqp.Publishing{Body: []byte("m")}), false)
	c.waitReady(open, 1)
}

func TestRejectPublishWithoutConfirmsDropsSilently(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	for _, body := range numbered(3) {
		c.publish("", q, body)
	}
	// A declaration is answered after the publishes before it on its channel.
	c.exclusiveQueue()
	c.waitReady(q, 1)
	equal(t, "left", c.drain(q), []string{"0"})
}

func TestRejectPublishDeadLetters(t *testing.T) {
	t.Parallel()
	c := connect(t)
	source, dead, _ := c.deadLettering(amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish-dlx"})
	c.must(c.Confirm(false), "confirm.select")
	equal(t, "first", c.confirm("", source, amqp.Publishing{Body: []byte("kept")}), true)
	equal(t, "second", c.confirm("", source, amqp.Publishing{Body: []byte("refused")}), false)
	d := c.get(dead)
	equal(t, "body", string(d.Body), "refused")
	c.wantDeath(c.deaths(d)[0], 1, "maxlen", source, "", source)
	equal(t, "left", c.drain(source), []string{"kept"})
}

func TestRejectPublishInATransaction(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(amqp.Table{"x-max-length": 0, "x-overflow": "reject-publish"})
	ch := c.channel()
	ch.must(ch.Tx(), "tx.select")
	ch.publish("", q, "m")
	wantRefusal(t, ch.TxCommit(), amqp.PreconditionFailed, "partial tx completion")
}
