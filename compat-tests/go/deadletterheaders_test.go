package compat

import (
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// wantLastDeath checks the headers of the latest death, which change with every death.
func (c *client) wantLastDeath(d amqp.Delivery, reason, queue, exchange string) {
	c.t.Helper()
	for header, want := range map[string]string{
		"x-last-death-reason": reason, "x-last-death-queue": queue, "x-last-death-exchange": exchange,
	} {
		equal(c.t, header, d.Headers[header], any(want))
	}
}

func TestDeathHeadersOfAChain(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	for _, kind := range []string{"classic", "quorum"} {
		x := c.exchange("fanout", nil)
		last := c.boundQueue(x, "")
		second := c.queue(amqp.Table{"x-queue-type": kind, "x-dead-letter-exchange": x})
		first := c.queue(amqp.Table{"x-queue-type": kind, "x-dead-letter-exchange": "amq.direct", "x-dead-letter-routing-key": second})
		c.bind(second, second, "amq.direct", nil)
		c.send("", first, amqp.Publishing{Expiration: "20", Priority: 3, Body: []byte("m")})
		d := c.get(second)
		equal(t, "first address", [2]string{d.Exchange, d.RoutingKey}, [2]string{"amq.direct", second})
		c.wantLastDeath(d, "expired", first, "")
		c.must(d.Nack(false, false), "basic.nack")
		d = c.get(last)
		equal(t, "second address", [2]string{d.Exchange, d.RoutingKey}, [2]string{x, second})
		deaths := c.deaths(d)
		equal(t, "deaths", len(deaths), 2)
		c.wantDeath(deaths[0], 1, "rejected", second, "amq.direct", second)
		c.wantDeath(deaths[1], 1, "expired", first, "", first)
		equal(t, "original-expiration of the first", deaths[1]["original-expiration"], any("20"))
		_, has := deaths[0]["original-expiration"]
		equal(t, "original-expiration of the second", has, false)
		equal(t, "fields", [2]int{len(deaths[0]), len(deaths[1])}, [2]int{6, 7})
		c.wantLastDeath(d, "rejected", second, "amq.direct")
		for header, want := range map[string]string{
			"x-first-death-reason": "expired", "x-first-death-queue": first, "x-first-death-exchange": "",
		} {
			equal(t, header, d.Headers[header], any(want))
		}
		equal(t, "priority", d.Priority, uint8(3))
	}
}

// A second death of the same cause in the same queue counts up, comes to the front, and keeps the time of the first.
func TestRepeatedDeathsKeepTheirFirstTime(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	q := c.queue(nil)
	source := c.queue(amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": q})
	back := func(d amqp.Delivery, to string) {
		c.send("", to, amqp.Publishing{Headers: d.Headers, Body: d.Body})
		c.must(d.Ack(false), "basic.ack")
	}
	c.publish("", source, "m")
	c.must(c.get(source).Nack(false, false), "basic.nack")
	d := c.get(q)
	c.wantDeath(c.deaths(d)[0], 1, "rejected", source, "", source)
	// What a client publishes again begins anew: its x-death is its own, and replaced.
	back(d, source)
	d = c.get(source)
	c.wantDeath(c.deaths(d)[0], 1, "rejected", source, "", source)
	c.must(d.Nack(false, false), "basic.nack")
	d = c.get(q)
	equal(t, "deaths", len(c.deaths(d)), 1)
	c.wantDeath(c.deaths(d)[0], 1, "rejected", source, "", source)

	loop := unique("loop")
	_, err := c.QueueDeclare(loop, true, false, false, false, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": loop})
	c.must(err, "queue.declare")
	c.cleanUp(func(ch *amqp.Channel) error { _, err := ch.QueueDelete(loop, false, false, false); return err })
	c.publish("", loop, "m")
	c.must(c.get(loop).Nack(false, false), "basic.nack")
	d = c.get(loop)
	at, _ := c.deaths(d)[0]["time"].(time.Time)
	c.eventually("the next second", func() bool { return time.Now().Unix() > at.Unix()+1 })
	for count := range 2 {
		c.must(d.Nack(false, false), "basic.nack")
		d = c.get(loop)
		equal(t, "deaths", len(c.deaths(d)), 1)
		c.wantDeath(c.deaths(d)[0], int64(count+2), "rejected", loop, "", loop)
		equal(t, "time of the first", c.deaths(d)[0]["time"], any(at))
	}
}

// A rejection is somebody's will, and goes round for ever; what goes round by itself is dropped.
func TestDeadLetterCycles(t *testing.T) {
	t.Parallel()
	c := connect(t)
	for _, kind := range []string{"classic", "quorum"} {
		a, b := unique("cycle"), unique("cycle")
		for q, args := range map[string]amqp.Table{
			a: {"x-queue-type": kind, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": b, "x-message-ttl": 20},
			b: {"x-queue-type": kind, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": a, "x-max-length": 0},
		} {
			_, err := c.QueueDeclare(q, true, false, false, false, args)
			c.must(err, "queue.declare")
			c.cleanUp(func(ch *amqp.Channel) error { _, err := ch.QueueDelete(q, false, false, false); return err })
		}
		c.fill(a, "m") // expires to b, which is full, back to a: dropped
		c.waitReady(a, 0)
		c.staysEmpty(a)
		c.staysEmpty(b)
	}
}

func TestDeadLetterHidesBlindCopiesAndUsesThem(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x, in := c.exchange("direct", nil), c.exchange("direct", nil)
	blind, copied, to := c.boundQueue(x, "blind"), c.boundQueue(x, "copy"), c.boundQueue(x, "to")
	source := c.queue(amqp.Table{"x-dead-letter-exchange": x})
	c.bind(source, "to", in, nil)
	c.send(in, "to", amqp.Publishing{Headers: amqp.Table{"CC": []any{"copy"}, "BCC": []any{"blind"}}, Body: []byte("m")})
	c.must(c.get(source).Nack(false, false), "basic.nack")
	for _, q := range []string{to, copied, blind} {
		d := c.get(q)
		c.wantDeath(c.deaths(d)[0], 1, "rejected", source, in, "to", "copy")
		equal(t, "BCC", d.Headers["BCC"], any(nil))
		equal(t, "CC", fmt.Sprint(d.Headers["CC"]), "[copy]")
		equal(t, "routing key", d.RoutingKey, "to")
	}
	source = c.queue(amqp.Table{"x-dead-letter-exchange": x, "x-dead-letter-routing-key": "to"})
	c.bind(source, "again", in, nil)
	c.send(in, "again", amqp.Publishing{Headers: amqp.Table{"CC": []any{"copy"}}, Body: []byte("n")})
	c.must(c.get(source).Nack(false, false), "basic.nack")
	c.wantDeath(c.deaths(c.get(to))[0], 1, "rejected", source, in, "again", "copy")
	c.staysEmpty(copied)
}

// Whether a dead letter was delivered before: after basic.reject yes, after basic.nack and by itself no.
func TestDeadLettersThatAreRedelivered(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	for _, kind := range []string{"classic", "quorum"} {
		source, dead, _ := c.deadLettering(amqp.Table{"x-queue-type": kind, "x-max-length": 1})
		c.fill(source, "reject")
		c.must(c.get(source).Reject(false), "basic.reject")
		equal(t, "redelivered after reject from "+kind, c.get(dead).Redelivered, true)
		c.fill(source, "nack")
		c.must(c.get(source).Nack(false, false), "basic.nack")
		equal(t, "redelivered after nack from "+kind, c.get(dead).Redelivered, false)
		c.fill(source, "dropped", "dropping")
		equal(t, "redelivered after overflow of "+kind, c.get(dead).Redelivered, false)
	}
}

func TestDeadLetterExchangeThatComesLaterAndIsInternal(t *testing.T) {
	t.Parallel()
	c := connect(t)
	name := unique("later")
	source := c.queue(amqp.Table{"x-dead-letter-exchange": name})
	c.fill(source, "lost")
	c.must(c.get(source).Nack(false, false), "basic.nack")
	c.must(c.ExchangeDeclare(name, "topic", true, false, true, false, nil), "exchange.declare")
	c.cleanUp(func(ch *amqp.Channel) error { return ch.ExchangeDelete(name, false, false) })
	dead := c.boundQueue(name, "#")
	c.fill(source, "found")
	c.must(c.get(source).Nack(false, false), "basic.nack")
	equal(t, "dead letter", string(c.get(dead).Body), "found")
	equal(t, "more", c.drain(dead), []string{})
}

func TestDeadLetterExchangeMustBeAString(t *testing.T) {
	t.Parallel()
	_, err := connect(t).QueueDeclare(unique("queue"), true, false, false, false, amqp.Table{"x-dead-letter-exchange": int32(1)})
	wantRefusal(t, err, amqp.PreconditionFailed, "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue")
}

// A failed delivery stays with a message on its way from queue to queue: its dead letter says redelivered, whatever it
// died of, and a quorum queue counts on.
func TestFailedDeliveriesStayWithADeadLetter(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	for _, kind := range []string{"classic", "quorum"} {
		last := c.quorumQueue(nil)
		middle := c.queue(amqp.Table{"x-queue-type": kind, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": last})
		first := c.queue(amqp.Table{
			"x-queue-type": kind, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": middle, "x-message-ttl": 300,
		})
		c.fill(first, "m")
		c.must(c.get(first).Reject(true), "basic.reject with requeue")
		d := c.get(middle) // expired there
		equal(t, "redelivered after a failure and "+kind, d.Redelivered, true)
		c.must(d.Nack(false, false), "basic.nack")
		d = c.get(last)
		equal(t, "redelivered at last", d.Redelivered, true)
		equal(t, "x-delivery-count", d.Headers["x-delivery-count"], any(int64(1)))
	}
}
