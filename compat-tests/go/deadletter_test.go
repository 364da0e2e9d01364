package compat

import (
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// deadLettering declares a queue whose dead letters go to a second one, and returns both and the exchange between.
func (c *client) deadLettering(args amqp.Table) (source, dead, exchange string) {
	c.t.Helper()
	exchange = c.exchange("fanout", nil)
	dead = c.boundQueue(exchange, "")
	all := amqp.Table{"x-dead-letter-exchange": exchange}
	for k, v := range args {
		all[k] = v
	}
	return c.queue(all), dead, exchange
}

// deaths reads the x-death header of a delivery: what happened last comes first.
func (c *client) deaths(d amqp.Delivery) []amqp.Table {
	c.t.Helper()
	list, _ := d.Headers["x-death"].([]any)
	deaths := make([]amqp.Table, len(list))
	for i := range list {
		deaths[i], _ = list[i].(amqp.Table)
	}
	if len(deaths) == 0 {
		c.t.Fatalf("no x-death in the headers %v", d.Headers)
	}
	return deaths
}

func (c *client) wantDeath(death amqp.Table, count int64, reason, queue, exchange string, keys ...any) {
	c.t.Helper()
	equal(c.t, "x-death count", death["count"], any(count))
	equal(c.t, "x-death reason", death["reason"], any(reason))
	equal(c.t, "x-death queue", death["queue"], any(queue))
	equal(c.t, "x-death exchange", death["exchange"], any(exchange))
	equal(c.t, "x-death routing-keys", death["routing-keys"], any(keys))
	at, _ := death["time"].(time.Time)
	if age := time.Since(at); age < -time.Hour || age > time.Hour {
		c.t.Fatalf("x-death time %v", death["time"])
	}
}

func TestRejectedMessageIsDeadLettered(t *testing.T) {
	t.Parallel()
	ways := map[string]func(d amqp.Delivery) error{
		"reject": func(d amqp.Delivery) error { return d.Reject(false) },
		"nack":   func(d amqp.Delivery) error { return d.Nack(false, false) },
	}
	for what, settle := range ways {
		t.Run(what, func(t *testing.T) {
			c := connect(t)
			source, dead, exchange := c.deadLettering(nil)
			c.send("", source, amqp.Publishing{
				Headers: amqp.Table{"mine": "kept"}, MessageId: "id", DeliveryMode: 2, Body: []byte("m"),
			})
			c.must(settle(c.get(source)), "%s", what)
			d := c.get(dead)
			equal(t, "body", string(d.Body), "m")
			equal(t, "kept", fmt.Sprintln(d.Headers["mine"], d.MessageId, d.DeliveryMode), "kept id 2\n")
			equal(t, "address", [2]string{d.Exchange, d.RoutingKey}, [2]string{exchange, source})
			deaths := c.deaths(d)
			equal(t, "deaths", len(deaths), 1)
			c.wantDeath(deaths[0], 1, "rejected", source, "", source)
			for header, want := range map[string]string{
				"x-first-death-reason": "rejected", "x-first-death-queue": source, "x-first-death-exchange": "",
			} {
				equal(t, header, d.Headers[header], any(want))
			}
			messages, _ := c.counts(source)
			equal(t, "left in the source", messages, 0)
		})
	}
}

func TestExpiredMessageIsDeadLettered(t *testing.T) {
	t.Parallel()
	c := connect(t)
	source, dead, _ := c.deadLettering(amqp.Table{"x-message-ttl": 50})
	c.fill(source, "by the queue")
	d := c.get(dead)
	equal(t, "body", string(d.Body), "by the queue")
	c.wantDeath(c.deaths(d)[0], 1, "expired", source, "", source)

	source, dead, _ = c.deadLettering(nil)
	c.send("", source, amqp.Publishing{Expiration: "50", Body: []byte("by itself")})
	d = c.get(dead)
	equal(t, "body", string(d.Body), "by itself")
	c.wantDeath(c.deaths(d)[0], 1, "expired", source, "", source)
	equal(t, "original expiration", c.deaths(d)[0]["original-expiration"], any("50"))
	equal(t, "expiration, so that it does not expire again", d.Expiration, "")
}

func TestOverflowIsDeadLettered(t *testing.T) {
	t.Parallel()
	c := connect(t)
	source, dead, _ := c.deadLettering(amqp.Table{"x-max-length": 2})
	c.fill(source, numbered(4)...)
	for _, want := range []string{"0", "1"} {
		d := c.get(dead)
		equal(t, "body", string(d.Body), want)
		c.wantDeath(c.deaths(d)[0], 1, "maxlen", source, "", source)
	}
	equal(t, "left", c.drain(source), []string{"2", "3"})
}

func TestDeadLetterRoutingKey(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x, in := c.exchange("direct", nil), c.exchange("direct", nil)
	original, chosen := c.boundQueue(x, "original"), c.boundQueue(x, "chosen")
	source := c.queue(amqp.Table{"x-dead-letter-exchange": x, "x-dead-letter-routing-key": "chosen"})
	c.bind(source, "original", in, nil)
	c.publish(in, "original", "m")
	c.must(c.get(source).Nack(false, false), "basic.nack")
	d := c.get(chosen)
	equal(t, "key", d.RoutingKey, "chosen")
	c.wantDeath(c.deaths(d)[0], 1, "rejected", source, in, "original")
	equal(t, "by the original key", c.drain(original), []string{})

	source = c.queue(amqp.Table{"x-dead-letter-exchange": x})
	c.bind(source, "original", in, nil)
	c.publish(in, "original", "n")
	c.must(c.get(source).Nack(false, false), "basic.nack")
	equal(t, "without a key of its own", c.get(original).RoutingKey, "original")
}

func TestDeadLetterToTheDefaultExchange(t *testing.T) {
	t.Parallel()
	c := connect(t)
	dead := c.queue(nil)
	source := c.queue(amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	c.fill(source, "m")
	c.must(c.get(source).Nack(false, false), "basic.nack")
	equal(t, "body", string(c.get(dead).Body), "m")
}

func TestWithoutADeadLetterExchangeMessagesGo(t *testing.T) {
	t.Parallel()
	c := connect(t)
	missing := c.queue(amqp.Table{"x-dead-letter-exchange": unique("missing")})
	none := c.queue(nil)
	for _, q := range []string{missing, none} {
		c.fill(q, "m")
		c.must(c.get(q).Nack(false, false), "basic.nack")
		c.fill(q, "n")
		equal(t, "left", c.drain(q), []string{"n"})
	}
}

func TestDeathsOfSeveralQueuesAddUp(t *testing.T) {
	t.Parallel()
	c := connect(t)
	second, dead, _ := c.deadLettering(nil)
	first := c.queue(amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": second, "x-message-ttl": 20})
	c.fill(first, "m")
	c.must(c.get(second).Reject(false), "basic.reject")
	d := c.get(dead)
	deaths := c.deaths(d)
	equal(t, "deaths", len(deaths), 2)
	c.wantDeath(deaths[0], 1, "rejected", second, "", second)
	c.wantDeath(deaths[1], 1, "expired", first, "", first)
	equal(t, "first death", d.Headers["x-first-death-queue"], any(first))
}

// The usual way to retry later: a rejected message waits in a queue whose TTL sends it back.
func TestRetryThroughAWaitingQueue(t *testing.T) {
	t.Parallel()
	c := connect(t)
	work, waiting := unique("work"), unique("waiting")
	for name, args := range map[string]amqp.Table{
		work:    {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": waiting},
		waiting: {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": work, "x-message-ttl": 30},
	} {
		_, err := c.QueueDeclare(name, true, false, false, false, args)
		c.must(err, "queue.declare")
		c.cleanUp(func(ch *amqp.Channel) error { _, err := ch.QueueDelete(name, false, false, false); return err })
	}
	c.fill(work, "m")
	for attempt := range 4 {
		d := c.get(work)
		if attempt == 0 {
			equal(t, "x-death at the first attempt", d.Headers["x-death"], any(nil))
		} else {
			deaths := c.deaths(d)
			equal(t, "deaths", len(deaths), 2)
			c.wantDeath(deaths[0], int64(attempt), "expired", waiting, "", waiting)
			c.wantDeath(deaths[1], int64(attempt), "rejected", work, "", work)
		}
		c.must(d.Nack(false, false), "basic.nack")
	}
}

func TestExpiryIntoItselfIsDropped(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := unique("circle")
	_, err := c.QueueDeclare(q, true, false, false, false, amqp.Table{
		"x-message-ttl": 50, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": q,
	})
	c.must(err, "queue.declare")
	c.cleanUp(func(ch *amqp.Channel) error { _, err := ch.QueueDelete(q, false, false, false); return err })
	c.fill(q, "m")
	c.waitReady(q, 0)
	c.staysEmpty(q)
}

func TestDeletedAndPurgedMessagesAreNotDeadLettered(t *testing.T) {
	t.Parallel()
	c := connect(t)
	source, dead, _ := c.deadLettering(nil)
	c.fill(source, "purged")
	_, err := c.QueuePurge(source, false)
	c.must(err, "queue.purge")
	c.fill(source, "deleted")
	_, err = c.QueueDelete(source, false, false, false)
	c.must(err, "queue.delete")
	c.staysEmpty(dead)
}

func TestDeadLetterKeepsCarbonCopyKeys(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x, in := c.exchange("direct", nil), c.exchange("direct", nil)
	to, cc := c.boundQueue(x, "to"), c.boundQueue(x, "cc")
	source := c.queue(amqp.Table{"x-dead-letter-exchange": x})
	c.bind(source, "to", in, nil)
	c.send(in, "to", amqp.Publishing{Headers: amqp.Table{"CC": []any{"cc"}}, Body: []byte("m")})
	c.must(c.get(source).Nack(false, false), "basic.nack")
	for _, q := range []string{to, cc} {
		c.wantDeath(c.deaths(c.get(q))[0], 1, "rejected", source, in, "to", "cc")
	}
}
