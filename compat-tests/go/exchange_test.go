package compat

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestPredeclaredExchanges(t *testing.T) {
	t.Parallel()
	c := connect(t)
	for name, kind := range map[string]string{
		"amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic", "amq.headers": "headers", "amq.match": "headers",
	} {
		c.must(c.ExchangeDeclare(name, kind, true, false, false, false, nil), "exchange.declare %s", name)
	}
}

func TestExchangeRefusals(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x, missing := c.exchange("direct", nil), unique("missing")
	declare := func(name, kind string, durable, autoDelete, internal bool) func(*client) error {
		return func(ch *client) error {
			return ch.ExchangeDeclare(name, kind, durable, autoDelete, internal, false, nil)
		}
	}
	tests := []struct {
		what  string
		call  func(*client) error
		code  int
		words string
	}{
		{"another type", declare(x, "fanout", true, false, false), 406,
			"inequivalent arg 'type' for exchange '" + x + "' in vhost"},
		{"another durability", declare(x, "direct", false, false, false), 406, "inequivalent arg 'durable' for exchange"},
		{"another auto-delete", declare(x, "direct", true, true, false), 406, "inequivalent arg 'auto_delete' for exchange"},
		{"another internal", declare(x, "direct", true, false, true), 406, "inequivalent arg 'internal' for exchange"},
		{"a reserved name", declare("amq.mine", "direct", true, false, false), 403,
			"exchange name 'amq.mine' contains reserved prefix 'amq.*'"},
		{"the default exchange", declare("", "direct", true, false, false), 403,
			"operation not permitted on the default exchange"},
		{"passive and missing", func(ch *client) error {
			return ch.ExchangeDeclarePassive(missing, "direct", true, false, false, false, nil)
		}, 404, "NOT_FOUND - no exchange '" + missing + "' in vhost"},
		{"delete the default exchange", func(ch *client) error { return ch.ExchangeDelete("", false, false) }, 403,
			"operation not permitted on the default exchange"},
		{"delete a predeclared exchange", func(ch *client) error { return ch.ExchangeDelete("amq.direct", false, false) }, 403,
			"deletion of system exchange 'amq.direct' in vhost"},
		{"bind to the default exchange", func(ch *client) error { return ch.QueueBind(ch.exclusiveQueue(), "k", "", false, nil) },
			403, "operation not permitted on the default exchange"},
		{"bind to a missing exchange", func(ch *client) error {
			return ch.QueueBind(ch.exclusiveQueue(), "k", missing, false, nil)
		}, 404, "no exchange '" + missing + "' in vhost"},
		{"bind a missing queue", func(ch *client) error { return ch.QueueBind(missing, "k", x, false, nil) }, 404,
			"no queue '" + missing + "' in vhost"},
		{"bind a missing exchange", func(ch *client) error { return ch.ExchangeBind(missing, "k", x, false, nil) }, 404,
			"no exchange '" + missing + "' in vhost"},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			wantRefusal(t, test.call(c.channel()), test.code, test.words)
		})
	}
	c.must(c.ExchangeDeclare(x, "direct", true, false, false, false, nil), "exchange.declare the same again")
}

func TestUnknownExchangeType(t *testing.T) {
	t.Parallel()
	c := connect(t)
	err := c.ExchangeDeclare(unique("exchange"), "x-sundial", true, false, false, false, nil)
	// RabbitMQ closed the connection with 503 until 4.0, and closes the channel with 406 since.
	if refusal, ok := err.(*amqp.Error); ok && refusal.Code == amqp.CommandInvalid {
		wantRefusal(t, err, amqp.CommandInvalid, "unknown exchange type 'x-sundial'")
		return
	}
	wantRefusal(t, err, amqp.PreconditionFailed, "unknown exchange type 'x-sundial'")
}

func TestExchangeDeleteIfUnused(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.exchange("direct", nil)
	q := c.boundQueue(x, "k")
	wantRefusal(t, c.channel().ExchangeDelete(x, true, false), amqp.PreconditionFailed, "exchange '"+x+"'", "in use")
	c.must(c.QueueUnbind(q, "k", x, nil), "queue.unbind")
	c.must(c.ExchangeDelete(x, true, false), "exchange.delete")
	wantRefusal(t, c.ExchangeDeclarePassive(x, "direct", true, false, false, false, nil), amqp.NotFound)
}

func TestAutoDeleteExchangeGoesWithItsLastBinding(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := unique("auto")
	c.must(c.ExchangeDeclare(x, "fanout", true, true, false, false, nil), "exchange.declare")
	c.must(c.ExchangeDeclarePassive(x, "fanout", true, true, false, false, nil), "before any binding it exists")
	unbound, deleted := c.boundQueue(x, ""), c.boundQueue(x, "")
	c.must(c.QueueUnbind(unbound, "", x, nil), "queue.unbind")
	c.must(c.ExchangeDeclarePassive(x, "fanout", true, true, false, false, nil), "with a binding left it exists")
	_, err := c.QueueDelete(deleted, false, false, false)
	c.must(err, "queue.delete")
	wantRefusal(t, c.ExchangeDeclarePassive(x, "fanout", true, true, false, false, nil), amqp.NotFound)
}

func TestInternalExchangeTakesNoPublishes(t *testing.T) {
	t.Parallel()
	c := connect(t)
	inner := unique("internal")
	c.must(c.ExchangeDeclare(inner, "fanout", true, false, true, false, nil), "exchange.declare internal")
	c.cleanUp(func(ch *amqp.Channel) error { return ch.ExchangeDelete(inner, false, false) })
	outer, q := c.exchange("fanout", nil), c.boundQueue(inner, "")
	c.must(c.ExchangeBind(inner, "", outer, false, nil), "exchange.bind")
	c.publish(outer, "", "through another exchange")
	equal(t, "body", string(c.get(q).Body), "through another exchange")
	closed := c.closed()
	c.publish(inner, "", "directly")
	c.refused(closed, amqp.AccessRefused, "cannot publish to internal exchange '"+inner)
}

func TestPublishToAMissingExchange(t *testing.T) {
	t.Parallel()
	c := connect(t)
	closed, missing := c.closed(), unique("missing")
	c.publish(missing, "k", "nowhere")
	c.refused(closed, amqp.NotFound, "no exchange '"+missing+"' in vhost")
}

func TestUnbindIsIdempotent(t *testing.T) {
	t.Parallel()
	c := connect(t)
	x := c.exchange("direct", nil)
	q := c.boundQueue(x, "k")
	c.must(c.QueueUnbind(q, "other", x, nil), "queue.unbind of no binding")
	c.must(c.ExchangeUnbind(x, "k", "amq.direct", false, nil), "exchange.unbind of no binding")
	c.publish(x, "k", "bound")
	equal(t, "body", string(c.get(q).Body), "bound")
}

func TestLineBreaksInNamesAreDropped(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	x := c.exchange("direct", nil)
	c.must(c.ExchangeDeclare(x+"\r\n", "direct", true, false, false, false, nil), "exchange.declare")
	c.must(c.ExchangeDeclarePassive("\n"+x, "direct", true, false, false, false, nil), "exchange.declare passive")
}

func TestWeightsOfConsistentHashing(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	x, q := c.exchange("x-consistent-hash", nil), c.queue(nil)
	for key, words := range map[string]string{
		"a": "must be an integer", "": "must be an integer", "1.5": "must be an integer", "0": "must be greater than 0", "-1": "must be greater than 0",
		"10001": "must not exceed 10000", "999999999999999999999": "must not exceed 10000", "-999999999999999999999": "must be greater than 0",
	} {
		wantRefusal(t, c.channel().QueueBind(q, key, x, false, nil), amqp.PreconditionFailed, "The binding key "+words)
	}
}
