package compat

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestQueueTTLExpiresMessages(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(amqp.Table{"x-message-ttl": 150})
	c.fill(q, numbered(3)...)
	start := time.Now()
	c.waitReady(q, 0)
	if waited := time.Since(start); waited < 50*time.Millisecond {
		t.Fatalf("expired after %v already", waited)
	}
	equal(t, "left", c.drain(q), []string{})
}

func TestMessageExpiration(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.send("", q, amqp.Publishing{Expiration: "100", Body: []byte("short")})
	c.send("", q, amqp.Publishing{Expiration: "600000", Body: []byte("long")})
	c.send("", q, amqp.Publishing{Body: []byte("for ever")})
	c.waitReady(q, 3)
	c.waitReady(q, 2)
	d := c.get(q)
	equal(t, "body", string(d.Body), "long")
	equal(t, "expiration", d.Expiration, "600000")
	equal(t, "rest", c.drain(q), []string{"for ever"})
}

func TestTheShorterTTLCounts(t *testing.T) {
	t.Parallel()
	c := connect(t)
	short, long := c.queue(amqp.Table{"x-message-ttl": 100}), c.queue(amqp.Table{"x-message-ttl": 600000})
	c.send("", short, amqp.Publishing{Expiration: "600000", Body: []byte("m")})
	c.send("", long, amqp.Publishing{Expiration: "100", Body: []byte("m")})
	c.send("", long, amqp.Publishing{Body: []byte("stays")})
	c.waitReady(short, 0)
	c.waitReady(long, 1)
	equal(t, "left", c.drain(long), []string{"stays"})
}

func TestTTLZeroDeliversAtOnceOrNever(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(amqp.Table{"x-message-ttl": 0})
	c.fill(q, "nobody waits")
	c.waitReady(q, 0)
	ds := c.consume(q)
	c.fill(q, "somebody waits")
	equal(t, "body", string(c.next(ds).Body), "somebody waits")
	c.quiet(ds)
}

func TestUnacknowledgedMessagesDoNotExpire(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(amqp.Table{"x-message-ttl": 200})
	c.fill(q, "held")
	ch := c.channel()
	d := ch.next(ch.consume(q))
	c.fill(q, "waits behind it")
	ch.must(ch.Cancel(d.ConsumerTag, false), "basic.cancel")
	// The second was delivered to the same consumer; a third, left ready, shows that the time is over.
	c.fill(q, "expires")
	c.waitReady(q, 1)
	c.waitReady(q, 0)
	ch.must(d.Ack(false), "basic.ack after the TTL")
	ch.must(d.Acknowledger.Nack(2, false, true), "basic.nack after the TTL")
	c.waitReady(q, 0) // what returns keeps its first deadline
	equal(t, "left", c.drain(q), []string{})
}

func TestRequeueKeepsTheDeadline(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(amqp.Table{"x-message-ttl": 1000})
	c.fill(q, "m")
	c.eventually("the end of a message that is requeued again and again", func() bool {
		d, ok, err := c.Get(q, false)
		c.must(err, "basic.get")
		if ok {
			c.must(d.Nack(false, true), "basic.nack")
		}
		return !ok
	})
}
