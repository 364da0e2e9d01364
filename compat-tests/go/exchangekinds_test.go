package compat

import (
	"context"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestHeadersMatchingWithX(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	tests := []struct {
		mode    string
		binding amqp.Table
		headers amqp.Table
		matches bool
	}{
		{"all", amqp.Table{"x-a": "1"}, amqp.Table{"b": "2"}, true}, // nothing is left to compare
		{"any", amqp.Table{"x-a": "1"}, amqp.Table{"x-a": "1"}, false},
		{"any", amqp.Table{}, amqp.Table{"a": "1"}, false},
		{"all-with-x", amqp.Table{"x-a": "1", "b": "2"}, amqp.Table{"x-a": "1", "b": "2"}, true},
		{"all-with-x", amqp.Table{"x-a": "1", "b": "2"}, amqp.Table{"x-a": "9", "b": "2"}, false},
		{"all-with-x", amqp.Table{}, amqp.Table{"x-a": "9"}, true},
		{"any-with-x", amqp.Table{"x-a": "1", "b": "2"}, amqp.Table{"x-a": "1"}, true},
		{"any-with-x", amqp.Table{"x-a": "1", "b": "2"}, amqp.Table{"b": "2"}, true},
		{"any-with-x", amqp.Table{"x-a": "1", "b": "2"}, amqp.Table{"x-a": "2", "b": "1"}, false},
		{"any", amqp.Table{"a": nil}, amqp.Table{"a": int32(5)}, true},
		{"all", amqp.Table{"a": int32(1)}, amqp.Table{"a": float64(1)}, false},
		{"all", amqp.Table{"a": int16(1)}, amqp.Table{"a": int64(1)}, true},
		{"all", amqp.Table{"a": []any{"x"}}, amqp.Table{"a": []any{"x"}}, true},
	}
	c := connect(t)
	for _, test := range tests {
		t.Run(fmt.Sprint(test.mode, test.binding, test.headers), func(t *testing.T) {
			x, q := c.exchange("headers", nil), c.queue(nil)
			binding := amqp.Table{"x-match": test.mode}
			for k, v := range test.binding {
				binding[k] = v
			}
			c.bind(q, "", x, binding)
			c.send(x, "", amqp.Publishing{Headers: test.headers, Body: []byte("m")})
			equal(t, "matches", len(c.routed(q)) == 1, test.matches)
		})
	}
}

func TestBindingsThatAreRefused(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	q := c.queue(nil)
	for _, test := range []struct {
		kind, key string
		args      amqp.Table
		words     string
	}{
		{"headers", "", amqp.Table{"x-match": "some"}, "Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x"},
		{"headers", "", amqp.Table{"x-match": int32(1)}, "Invalid x-match field type signedint (value 1); expected longstr"},
		{"topic", "#.a.#.b.#", nil, "Topic binding key '#.a.#.b.#' uses 3 '#' wildcards, at most 2 are allowed"},
		{"x-consistent-hash", "heavy", nil, "The binding key must be an integer: <<\"heavy\">>"},
		{"x-consistent-hash", "0", nil, "must be greater than 0"},
		{"x-consistent-hash", "10001", nil, "must not exceed 10000"},
		{"x-local-random", "key", nil, "Non empty binding 'key' key not permitted"},
	} {
		t.Run(test.kind+" "+test.key, func(t *testing.T) {
			c := channelOf(t, c.conn)
			x := c.pluginExchange(test.kind, nil)
			wantRefusal(t, c.channel().QueueBind(q, test.key, x, false, test.args), amqp.PreconditionFailed, test.words)
		})
	}
}

func TestExchangeArgumentsThatAreRefused(t *testing.T) {
	t.Parallel()
	c := connect(t)
	c.pluginExchange("x-consistent-hash", nil)
	for _, test := range []struct {
		kind  string
		args  amqp.Table
		words string
	}{
		{"direct", amqp.Table{"alternate-exchange": int32(1)}, "invalid type 'signedint' for arg 'alternate-exchange' in exchange"},
		{"x-consistent-hash", amqp.Table{"hash-header": "h", "hash-property": "message_id"}, "hash-header and hash-property are mutually exclusive"},
		{"x-consistent-hash", amqp.Table{"hash-property": "type"}, "Unsupported property: type"},
	} {
		err := c.channel().ExchangeDeclare(unique("x"), test.kind, true, false, false, false, test.args)
		wantRefusal(t, err, amqp.PreconditionFailed, test.words)
	}
}

func TestConsistentHashOfAProperty(t *testing.T) {
	t.Parallel()
	c := connect(t)
	for property, set := range map[string]func(p *amqp.Publishing, i int){
		"message_id":     func(p *amqp.Publishing, i int) { p.MessageId = fmt.Sprint("m", i) },
		"correlation_id": func(p *amqp.Publishing, i int) { p.CorrelationId = fmt.Sprint("c", i) },
		"timestamp":      func(p *amqp.Publishing, i int) { p.Timestamp = time.Unix(int64(1_700_000_000+i), 0) },
	} {
		t.Run(property, func(t *testing.T) {
			c := channelOf(t, c.conn)
			x := c.pluginExchange("x-consistent-hash", amqp.Table{"hash-property": property})
			a, b := c.boundQueue(x, "5"), c.boundQueue(x, "5")
			for range 2 { // each value twice, and always to the same queue
				for i := range 50 {
					p := amqp.Publishing{Body: fmt.Append(nil, i)}
					set(&p, i)
					c.send(x, fmt.Sprint("any key ", i), p)
				}
			}
			inA, inB := c.routed(a), c.routed(b)
			equal(t, "messages in all", len(inA)+len(inB), 100)
			if min(len(inA), len(inB)) == 0 {
				t.Errorf("all %d messages went to one of two queues", len(inA)+len(inB))
			}
			for _, bodies := range [][]string{inA, inB} {
				half := len(bodies) / 2
				equal(t, "the second round", bodies[half:], bodies[:half])
			}
		})
	}
}

// A second binding of a queue changes nothing, and without bindings nothing is routed.
func TestConsistentHashBindings(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.pluginExchange("x-consistent-hash", nil)
	returns := c.NotifyReturn(make(chan amqp.Return, 1))
	mandatory := func() {
		c.must(c.PublishWithContext(context.Background(), x, "k", true, false, amqp.Publishing{Body: []byte("m")}), "basic.publish")
	}
	mandatory()
	equal(t, "without bindings", c.nextReturn(returns).ReplyText, "NO_ROUTE")
	q := c.boundQueue(x, "1", "7")
	mandatory()
	equal(t, "one copy", c.routed(q), []string{"m"})
	c.must(c.QueueUnbind(q, "1", x, nil), "queue.unbind")
	c.must(c.QueueUnbind(q, "7", x, nil), "queue.unbind")
	mandatory()
	equal(t, "unbound", c.nextReturn(returns).ReplyText, "NO_ROUTE")
}

func TestLocalRandomExchange(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.pluginExchange("x-local-random", nil)
	a, b := c.boundQueue(x, ""), c.boundQueue(x, "")
	const n = 100
	for range n {
		c.publish(x, "any", "m")
	}
	inA, inB := len(c.routed(a)), len(c.routed(b))
	equal(t, "messages in all", inA+inB, n)
	if min(inA, inB) < n/20 {
		t.Errorf("%d messages in one queue and %d in the other is not by chance", inA, inB)
	}
	wantRefusal(t, c.channel().QueueBind(c.quorumQueue(nil), "", x, false, nil), amqp.PreconditionFailed, "not valid for this exchange type")
}

// Alternates hold for each exchange on the way, and one that leads in a circle ends.
func TestAlternateExchangesInAChain(t *testing.T) {
	t.Parallel()
	c := connect(t)
	first, second := unique("first"), unique("second")
	for name, next := range map[string]string{first: second, second: first} {
		c.must(c.ExchangeDeclare(name, "direct", true, false, false, false, amqp.Table{"alternate-exchange": next}), "exchange.declare")
		c.cleanUp(func(ch *amqp.Channel) error { return ch.ExchangeDelete(name, false, false) })
	}
	q := c.boundQueue(second, "key")
	returns := c.NotifyReturn(make(chan amqp.Return, 2))
	for _, key := range []string{"key", "other"} {
		c.must(c.PublishWithContext(context.Background(), first, key, true, false, amqp.Publishing{Body: []byte(key)}), "basic.publish")
	}
	equal(t, "routed by the alternate", c.routed(q), []string{"key"})
	back := c.nextReturn(returns)
	equal(t, "returned", [3]string{back.Exchange, back.RoutingKey, back.ReplyText}, [3]string{first, "other", "NO_ROUTE"})
}

func TestCarbonCopiesAreHiddenOrSeen(t *testing.T) {
	t.Parallel()
	c := connect(t)
	to, copied, blind := c.queue(nil), c.queue(nil), c.queue(nil)
	c.send("", to, amqp.Publishing{
		Headers: amqp.Table{"CC": []any{copied, to, int32(5)}, "BCC": []any{blind, copied}}, Body: []byte("m"),
	})
	for _, q := range []string{to, copied, blind} {
		d := c.get(q)
		equal(t, "routing key", d.RoutingKey, to)
		equal(t, "CC", fmt.Sprint(d.Headers["CC"]), fmt.Sprint([]any{copied, to, 5}))
		equal(t, "BCC", d.Headers["BCC"], any(nil))
		equal(t, "more copies", c.drain(q), []string{})
	}
	for _, header := range []string{"CC", "BCC"} {
		ch := c.channel()
		closed := ch.closed()
		ch.send("", to, amqp.Publishing{Headers: amqp.Table{header: to}})
		ch.refused(closed, amqp.PreconditionFailed, "{unacceptable_type_in_header,")
	}
}

// The names of kinds with a dash come within quotes of their own.
func TestRedeclareAsAnotherKind(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	hashing, direct := c.exchange("x-modulus-hash", nil), c.exchange("direct", nil)
	err := c.channel().ExchangeDeclare(hashing, "direct", false, false, false, false, nil)
	wantRefusal(t, err, amqp.PreconditionFailed, "inequivalent arg 'type' for exchange '"+hashing+"'", "received 'direct' but current is ''x-modulus-hash''")
	err = c.channel().ExchangeDeclare(direct, "x-modulus-hash", false, false, false, false, nil)
	wantRefusal(t, err, amqp.PreconditionFailed, "inequivalent arg 'type' for exchange '"+direct+"'", "received ''x-modulus-hash'' but current is 'direct'")
}
