package compat

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// pluginExchange declares an exchange of a type that RabbitMQ has from a plugin; a broker without it is not tested.
func (c *client) pluginExchange(kind string, args amqp.Table) string {
	c.t.Helper()
	probe, err := amqp.Dial(brokerURL) // an unknown type may close the connection
	c.must(err, "connect")
	defer probe.Close()
	ch, err := probe.Channel()
	c.must(err, "channel.open")
	name := unique(kind)
	err = ch.ExchangeDeclare(name, kind, true, false, false, false, args)
	var refusal *amqp.Error
	if errors.As(err, &refusal) && strings.Contains(refusal.Reason, "exchange type") {
		c.t.Skipf("the broker has no exchanges of type %s: %s", kind, refusal.Reason)
	}
	c.must(err, "exchange.declare %s %v", kind, args)
	c.cleanUp(func(ch *amqp.Channel) error { return ch.ExchangeDelete(name, false, false) })
	return name
}

// confirmed publishes and wants the broker's confirm.
func (c *client) confirmed(exchange, key, body string, headers amqp.Table) {
	c.t.Helper()
	if !c.confirm(exchange, key, amqp.Publishing{Body: []byte(body), Headers: headers}) {
		c.t.Fatalf("message %q was refused", body)
	}
}

func (c *client) confirming() {
	c.t.Helper()
	c.must(c.Confirm(false), "confirm.select")
}

func TestConsistentHashSharesByWeight(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.pluginExchange("x-consistent-hash", nil)
	light, heavy := c.boundQueue(x, "1"), c.boundQueue(x, "9")
	c.confirming()
	const n = 500
	for i := range n {
		c.confirmed(x, fmt.Sprint("key", i), "m", nil)
		if i%10 == 0 {
			c.confirmed(x, "always the same", "s", nil)
		}
	}
	a, _ := c.counts(light)
	b, _ := c.counts(heavy)
	equal(t, "messages in all", a+b, n+n/10)
	same := strings.Count(strings.Join(c.drain(light), ""), "s")
	if same != 0 && same != n/10 {
		t.Errorf("one routing key went to both queues: %d of %d to the first", same, n/10)
	}
	if a-same >= n/3 {
		t.Errorf("a queue of weight 1 got %d of %d messages, beside one of weight 9", a-same, n)
	}
}

func TestConsistentHashOfAHeader(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.pluginExchange("x-consistent-hash", amqp.Table{"hash-header": "customer"})
	a, b := c.boundQueue(x, "1"), c.boundQueue(x, "1")
	c.confirming()
	for i := range 20 {
		c.confirmed(x, fmt.Sprint(i), "m", amqp.Table{"customer": "one"})
	}
	inA, _ := c.counts(a)
	inB, _ := c.counts(b)
	equal(t, "the queue with all, and the one with none", [2]int{max(inA, inB), min(inA, inB)}, [2]int{20, 0})
}

func TestModulusHash(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.pluginExchange("x-modulus-hash", nil)
	queues := []string{c.boundQueue(x, ""), c.boundQueue(x, ""), c.boundQueue(x, "")}
	c.confirming()
	for range 10 {
		c.confirmed(x, "the same key", "m", nil)
	}
	most, all := 0, 0
	for _, q := range queues {
		n, _ := c.counts(q)
		most, all = max(most, n), all+n
	}
	equal(t, "messages in one queue, and in all", [2]int{most, all}, [2]int{10, 10})
}

func TestRandomExchange(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.pluginExchange("x-random", nil)
	a, b := c.boundQueue(x, ""), c.boundQueue(x, "")
	c.confirming()
	const n = 200
	for range n {
		c.confirmed(x, "any", "m", nil)
	}
	inA, _ := c.counts(a)
	inB, _ := c.counts(b)
	equal(t, "messages in all", inA+inB, n)
	if min(inA, inB) < n/10 {
		t.Errorf("%d messages in one queue and %d in the other is not by chance", inA, inB)
	}
}

func TestRecentHistoryIsReplayedToNewBindings(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.pluginExchange("x-recent-history", amqp.Table{"x-recent-history-length": 3})
	c.confirming()
	for _, body := range numbered(5) {
		c.confirmed(x, "", body, nil)
	}
	c.confirmed(x, "", "not kept", amqp.Table{"x-recent-history-no-store": true})
	q := c.boundQueue(x, "")
	c.waitReady(q, 3)
	equal(t, "replayed", c.drain(q), []string{"2", "3", "4"})
	c.confirmed(x, "", "new", nil)
	equal(t, "and then like a fanout", c.drain(q), []string{"new"})
}

func TestDelayedMessages(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.pluginExchange("x-delayed-message", amqp.Table{"x-delayed-type": "topic"})
	q := c.boundQueue(x, "job.*")
	c.confirming()
	start := time.Now()
	delays := []any{int32(600), int64(300), "450", int32(0), int32(-5), nil}
	for i, delay := range delays {
		headers := amqp.Table{"i": int32(i)}
		if delay != nil {
			headers["x-delay"] = delay
		}
		c.confirmed(x, "job.a", fmt.Sprint(i), headers)
	}
	c.confirmed(x, "other", "nowhere", amqp.Table{"x-delay": int32(1)})
	ds := c.consume(q)
	equal(t, "in the order of their times", c.nextBodies(ds, 5), []string{"3", "4", "5", "1", "2"})
	last := c.next(ds)
	equal(t, "the last", string(last.Body), "0")
	equal(t, "x-delay is negated", fmt.Sprint(last.Headers["x-delay"]), "-600")
	if age := time.Since(start); age < 600*time.Millisecond {
		t.Errorf("a message with a delay of 600 ms came after %v", age)
	}
	equal(t, "routing key", last.RoutingKey, "job.a")
	c.quiet(ds)
}

func TestDelayedExchangeNeedsAType(t *testing.T) {
	t.Parallel()
	c := connect(t)
	c.pluginExchange("x-delayed-message", amqp.Table{"x-delayed-type": "direct"})
	for what, args := range map[string]amqp.Table{"none": nil, "unknown": {"x-delayed-type": "x-none-such"}} {
		t.Run(what, func(t *testing.T) {
			err := c.channel().ExchangeDeclare(unique("x"), "x-delayed-message", true, false, false, false, args)
			wantRefusal(t, err, amqp.PreconditionFailed, "'x-delayed-type' must be an existing exchange type")
		})
	}
}

func TestDelayedAndMandatory(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.pluginExchange("x-delayed-message", amqp.Table{"x-delayed-type": "fanout"})
	q := c.boundQueue(x, "")
	returns := c.NotifyReturn(make(chan amqp.Return, 1))
	c.must(c.Publish(x, "k", true, false, amqp.Publishing{Body: []byte("m"), Headers: amqp.Table{"x-delay": int32(50)}}), "basic.publish")
	select {
	case r := <-returns:
		equal(t, "reply code", r.ReplyCode, uint16(amqp.NoRoute))
	case <-time.After(patience):
		t.Fatal("nothing was returned")
	}
	equal(t, "it comes nevertheless", string(c.get(q).Body), "m")
}

func TestDeduplicationExchange(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.pluginExchange("x-message-deduplication", amqp.Table{"x-cache-size": int32(2)})
	q := c.boundQueue(x, "")
	c.confirming()
	for i, key := range []any{"a", "a", "b", nil, nil, "a", "c", "a", int32(1), int64(1)} {
		headers := amqp.Table{}
		if key != nil {
			headers["x-deduplication-header"] = key
		}
		c.confirmed(x, "", fmt.Sprint(i), headers)
	}
	// Two keys are remembered: c pushes out a. Messages without a key are none's copy.
	c.waitReady(q, 7)
	equal(t, "left", c.drain(q), []string{"0", "2", "3", "4", "6", "7", "8"})
}

func TestDeduplicationForgetsInTime(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.pluginExchange("x-message-deduplication", amqp.Table{"x-cache-size": int32(10), "x-cache-ttl": int32(100)})
	q := c.boundQueue(x, "")
	c.confirming()
	c.eventually("a key to be forgotten", func() bool {
		c.confirmed(x, "", "m", amqp.Table{"x-deduplication-header": "a"})
		n, _ := c.counts(q)
		return n == 2
	})
}

func TestDeduplicationInAQueue(t *testing.T) {
	t.Parallel()
	c := connect(t)
	c.pluginExchange("x-message-deduplication", amqp.Table{"x-cache-size": int32(1)})
	q := c.queue(amqp.Table{"x-message-deduplication": true})
	c.confirming()
	key := func(name string) amqp.Publishing {
		return amqp.Publishing{Body: []byte(name), Headers: amqp.Table{"x-deduplication-header": name}}
	}
	c.confirm("", q, key("a"))
	c.confirm("", q, key("a"))
	c.confirm("", q, key("b"))
	c.waitReady(q, 2)
	d := c.get(q)
	c.confirm("", q, key("a")) // still there, unacknowledged
	c.waitReady(q, 1)
	c.must(d.Ack(false), "basic.ack")
	c.confirm("", q, key("a"))
	c.waitReady(q, 2)
	equal(t, "left", c.drain(q), []string{"b", "a"})
}

// A delay of years is one, and what waits is told by the API.
func TestDelayedMessagesAreCounted(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.pluginExchange("x-delayed-message", amqp.Table{"x-delayed-type": "fanout"})
	m := manage(t)
	q := c.boundQueue(x, "")
	c.confirming()
	for _, delay := range []int64{3_600_000, 1<<32 - 1} {
		c.confirmed(x, "", "later", amqp.Table{"x-delay": delay})
	}
	c.confirmed(x, "", "now", nil)
	equal(t, "routed", string(c.get(q).Body), "now")
	uri, err := amqp.ParseURI(brokerURL)
	c.must(err, "the address")
	path := "/exchanges/" + url.PathEscape(uri.Vhost) + "/" + x
	m.shows(float64(2), path, "messages_delayed")
}
