package compat

import (
	"fmt"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// routed returns what the queue received until now. It publishes a marker behind it on the same channel, and the order
// of a channel makes the marker come last.
func (c *client) routed(queue string) []string {
	c.t.Helper()
	c.publish("", queue, "END")
	bodies := []string{}
	for {
		d := c.get(queue)
		c.must(d.Ack(false), "basic.ack")
		if string(d.Body) == "END" {
			return bodies
		}
		bodies = append(bodies, string(d.Body))
	}
}

func TestDefaultExchangeRoutesByQueueName(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.publish("", q, "hello")
	d := c.get(q)
	equal(t, "exchange and key", [2]string{d.Exchange, d.RoutingKey}, [2]string{"", q})
	equal(t, "body", string(d.Body), "hello")
}

func TestDirectExchange(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.exchange("direct", nil)
	errors, all := c.boundQueue(x, "error"), c.boundQueue(x, "error", "info")
	for _, key := range []string{"error", "info", "Error", "", "debug"} {
		c.publish(x, key, key)
	}
	equal(t, "bound with error", c.routed(errors), []string{"error"})
	equal(t, "bound with error and info", c.routed(all), []string{"error", "info"})
}

func TestFanoutExchangeIgnoresKeys(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.exchange("fanout", nil)
	one, two := c.boundQueue(x, ""), c.boundQueue(x, "a.key")
	c.publish(x, "any", "1")
	c.publish(x, "", "2")
	equal(t, "one", c.routed(one), []string{"1", "2"})
	equal(t, "two", c.routed(two), []string{"1", "2"})
}

func TestTopicPatterns(t *testing.T) {
	t.Parallel()
	patterns := map[string][]string{
		"#":           {"", "a", "a.b", "a.b.c", "a..c", "quick.orange.rabbit", "lazy"},
		"*":           {"a", "lazy"},
		"a.*":         {"a.b"},
		"a.*.c":       {"a.b.c", "a..c"},
		"a.#":         {"a", "a.b", "a.b.c", "a..c"},
		"#.c":         {"a.b.c", "a..c"},
		"a.#.c":       {"a.b.c", "a..c"},
		"*.orange.*":  {"quick.orange.rabbit"},
		"*.*":         {"a.b"},
		"#.*":         {"a", "a.b", "a.b.c", "a..c", "quick.orange.rabbit", "lazy"},
		"a.b":         {"a.b"},
		"a.b*":        {},
		"lazy.#":      {"lazy"},
		"#.orange.#":  {"quick.orange.rabbit"},
		"*.*.*":       {"a.b.c", "a..c", "quick.orange.rabbit"},
		"A.B":         {},
		"quick.*.#.*": {"quick.orange.rabbit"},
	}
	keys := []string{"", "a", "a.b", "a.b.c", "a..c", "quick.orange.rabbit", "lazy"}
	c := connect(t)
	x := c.exchange("topic", nil)
	queues := map[string]string{}
	for pattern := range patterns {
		queues[pattern] = c.boundQueue(x, pattern)
	}
	for _, key := range keys {
		c.publish(x, key, key)
	}
	for pattern, want := range patterns {
		t.Run(pattern, func(t *testing.T) {
			equal(t, "keys matched", c.routed(queues[pattern]), want)
		})
	}
}

func TestHeadersMatching(t *testing.T) {
	t.Parallel()
	tests := []struct {
		what    string
		binding amqp.Table
		headers amqp.Table
		matches bool
	}{
		{"all present", amqp.Table{"x-match": "all", "a": "1", "b": int32(2)}, amqp.Table{"a": "1", "b": int32(2), "c": "3"}, true},
		{"one of all missing", amqp.Table{"x-match": "all", "a": "1", "b": int32(2)}, amqp.Table{"a": "1"}, false},
		{"one of all different", amqp.Table{"x-match": "all", "a": "1", "b": int32(2)}, amqp.Table{"a": "1", "b": int32(3)}, false},
		{"all is the default", amqp.Table{"a": "1", "b": "2"}, amqp.Table{"a": "1"}, false},
		{"any with one", amqp.Table{"x-match": "any", "a": "1", "b": "2"}, amqp.Table{"b": "2"}, true},
		{"any with none", amqp.Table{"x-match": "any", "a": "1", "b": "2"}, amqp.Table{"b": "1"}, false},
		{"a key alone", amqp.Table{"x-match": "all", "a": nil}, amqp.Table{"a": "whatever"}, true},
		{"a key that is absent", amqp.Table{"x-match": "all", "a": nil}, amqp.Table{"b": "whatever"}, false},
		{"no arguments match all", amqp.Table{}, amqp.Table{"b": "2"}, true},
		{"integers of different width", amqp.Table{"x-match": "all", "n": int32(7)}, amqp.Table{"n": int64(7)}, true},
		{"a number is no text", amqp.Table{"x-match": "all", "n": int32(7)}, amqp.Table{"n": "7"}, false},
		{"booleans", amqp.Table{"x-match": "all", "yes": true}, amqp.Table{"yes": true}, true},
		{"x- keys are left out", amqp.Table{"x-match": "all", "a": "1", "x-b": "2"}, amqp.Table{"a": "1"}, true},
		{"x- keys count with all-with-x", amqp.Table{"x-match": "all-with-x", "x-b": "2"}, amqp.Table{"a": "1"}, false},
		{"x- keys match with any-with-x", amqp.Table{"x-match": "any-with-x", "x-b": "2"}, amqp.Table{"x-b": "2"}, true},
		{"without headers", amqp.Table{"x-match": "all", "a": "1"}, nil, false},
	}
	c := connect(t)
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			x, q := c.exchange("headers", nil), c.queue(nil)
			c.bind(q, "the key does not matter", x, test.binding)
			c.send(x, "", amqp.Publishing{Headers: test.headers, Body: []byte("m")})
			equal(t, "matches", len(c.routed(q)) == 1, test.matches)
		})
	}
}

func TestUnbindNeedsTheSameArguments(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x, q := c.exchange("headers", nil), c.queue(nil)
	a, b := amqp.Table{"x-match": "any", "k": "a"}, amqp.Table{"x-match": "any", "k": "b"}
	c.bind(q, "", x, a)
	c.bind(q, "", x, b)
	c.must(c.QueueUnbind(q, "", x, b), "queue.unbind")
	c.send(x, "", amqp.Publishing{Headers: amqp.Table{"k": "a"}, Body: []byte("a")})
	c.send(x, "", amqp.Publishing{Headers: amqp.Table{"k": "b"}, Body: []byte("b")})
	equal(t, "still bound", c.routed(q), []string{"a"})
}

func TestAQueueGetsOneCopy(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.exchange("topic", nil)
	q := c.boundQueue(x, "a.*", "*.b", "#", "a.b", "a.b")
	c.publish(x, "a.b", "once")
	equal(t, "copies", c.routed(q), []string{"once"})
}

func TestExchangeToExchangeBindings(t *testing.T) {
	t.Parallel()
	c := connect(t)
	source, middle, sink := c.exchange("topic", nil), c.exchange("direct", nil), c.exchange("fanout", nil)
	q, direct := c.boundQueue(sink, ""), c.boundQueue(middle, "a.b")
	c.must(c.ExchangeBind(middle, "a.*", source, false, nil), "exchange.bind")
	c.must(c.ExchangeBind(sink, "a.b", middle, false, nil), "exchange.bind")
	// A way back to the start must not make messages run in circles.
	c.must(c.ExchangeBind(source, "", sink, false, nil), "exchange.bind")
	c.publish(source, "a.b", "matches both")
	c.publish(source, "a.c", "matches the first")
	c.publish(source, "b.b", "matches none")
	equal(t, "end of the chain", c.routed(q), []string{"matches both"})
	equal(t, "middle of the chain", c.routed(direct), []string{"matches both"})
	c.must(c.ExchangeUnbind(sink, "a.b", middle, false, nil), "exchange.unbind")
	c.publish(source, "a.b", "after unbind")
	equal(t, "end of the chain", c.routed(q), []string{})
	equal(t, "middle of the chain", c.routed(direct), []string{"after unbind"})
}

func TestAlternateExchange(t *testing.T) {
	t.Parallel()
	c := connect(t)
	last := c.exchange("fanout", nil)
	second := c.exchange("direct", amqp.Table{"alternate-exchange": last})
	first := c.exchange("direct", amqp.Table{"alternate-exchange": second})
	routed, caught, rest := c.boundQueue(first, "a"), c.boundQueue(second, "b"), c.boundQueue(last, "")
	returns := c.NotifyReturn(make(chan amqp.Return, 3))
	for _, key := range []string{"a", "b", "c"} {
		c.must(c.Publish(first, key, true, false, amqp.Publishing{Body: []byte(key)}), "basic.publish")
	}
	equal(t, "first", c.routed(routed), []string{"a"})
	equal(t, "its alternate", c.routed(caught), []string{"b"})
	equal(t, "the alternate's alternate", c.routed(rest), []string{"c"})
	equal(t, "returned", len(returns), 0)
}

func TestAlternateExchangeThatIsMissing(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.exchange("direct", amqp.Table{"alternate-exchange": unique("missing")})
	returns := c.NotifyReturn(make(chan amqp.Return, 1))
	c.must(c.Publish(x, "k", true, false, amqp.Publishing{}), "basic.publish")
	c.nextReturn(returns)
}

func TestMandatoryMessagesComeBack(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.exchange("direct", nil)
	q := c.boundQueue(x, "routed")
	returns := c.NotifyReturn(make(chan amqp.Return, 10))
	p := amqp.Publishing{
		Headers: amqp.Table{"h": "v"}, ContentType: "text/plain", MessageId: "id", DeliveryMode: 2, Body: []byte("lost"),
	}
	c.must(c.Publish(x, "unrouted", true, false, p), "basic.publish")
	c.must(c.Publish(x, "unrouted", false, false, p), "basic.publish")
	c.must(c.Publish(x, "routed", true, false, p), "basic.publish")
	r := c.nextReturn(returns)
	equal(t, "code", r.ReplyCode, uint16(amqp.NoRoute))
	equal(t, "text", r.ReplyText, "NO_ROUTE")
	equal(t, "address", [2]string{r.Exchange, r.RoutingKey}, [2]string{x, "unrouted"})
	equal(t, "body", string(r.Body), "lost")
	equal(t, "properties", fmt.Sprintln(r.Headers, r.ContentType, r.MessageId, r.DeliveryMode), "map[h:v] text/plain id 2\n")
	equal(t, "routed", c.routed(q), []string{"lost"})
	equal(t, "more returns", len(returns), 0)
}

func TestCarbonCopies(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.exchange("direct", nil)
	to, cc, bcc := c.boundQueue(x, "to"), c.boundQueue(x, "cc"), c.boundQueue(x, "bcc")
	c.send(x, "to", amqp.Publishing{
		Headers: amqp.Table{"CC": []any{"cc", "to"}, "BCC": []any{"bcc"}}, Body: []byte("m"),
	})
	for _, q := range []string{to, cc, bcc} {
		d := c.get(q)
		equal(t, "key", d.RoutingKey, "to")
		equal(t, "CC stays", fmt.Sprint(d.Headers["CC"]), "[cc to]")
		_, shown := d.Headers["BCC"]
		equal(t, "BCC is shown", shown, false)
		c.must(d.Ack(false), "basic.ack")
		equal(t, "more copies", c.routed(q), []string{})
	}
	// The default exchange takes carbon copies as well.
	c.send("", to, amqp.Publishing{Headers: amqp.Table{"CC": []any{cc}}, Body: []byte("n")})
	equal(t, "by name", append(c.routed(to), c.routed(cc)...), []string{"n", "n"})
}

func TestCarbonCopyOfTheWrongType(t *testing.T) {
	t.Parallel()
	c := connect(t)
	closed := c.closed()
	c.send("", c.queue(nil), amqp.Publishing{Headers: amqp.Table{"CC": "text"}})
	c.refused(closed, amqp.PreconditionFailed, "unacceptable_type_in_header")
}

func TestManyBindingsOfOneQueue(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x, q := c.exchange("direct", nil), c.queue(nil)
	keys := numbered(300)
	for _, key := range keys {
		c.must(c.QueueBind(q, key, x, true, nil), "queue.bind")
	}
	for _, key := range slices.Backward(keys) {
		c.publish(x, key, key)
	}
	slices.Reverse(keys)
	equal(t, "routed", c.routed(q), keys)
}

// Timestamps are compared as numbers: a binding's in seconds, a message's in milliseconds.
func TestHeadersMatchingOfTimes(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	fiveSeconds := time.Unix(5, 0).UTC()
	for _, test := range []struct {
		wanted, have any
		matches      bool
	}{
		{fiveSeconds, fiveSeconds, false},
		{fiveSeconds, int32(5), true},
		{fiveSeconds, int32(5000), false},
		{int64(5000), fiveSeconds, true},
		{int64(5), fiveSeconds, false},
		{5000.0, fiveSeconds, false},
	} {
		x := c.exchange("headers", nil)
		q := c.queue(nil)
		c.bind(q, "", x, amqp.Table{"x-match": "all", "h": test.wanted})
		c.send(x, "", amqp.Publishing{Headers: amqp.Table{"h": test.have}})
		equal(t, fmt.Sprintf("%T %v matches %T %v", test.have, test.have, test.wanted, test.wanted), len(c.routed(q)) == 1, test.matches)
	}
}
