package compat

import (
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestQueueDeclareAnswersNameAndCounts(t *testing.T) {
	t.Parallel()
	c := connect(t)
	name := c.queue(nil)
	q, err := c.QueueDeclare(name, true, false, false, false, nil)
	c.must(err, "queue.declare")
	equal(t, "new queue", q, amqp.Queue{Name: name})
	c.fill(name, "a", "b", "c")
	c.channel().next(c.channel().consume(name))
	c.eventually("one consumer that holds all three", func() bool {
		q, err := c.QueueDeclare(name, true, false, false, false, nil)
		c.must(err, "queue.declare again")
		return q == amqp.Queue{Name: name, Consumers: 1}
	})
}

func TestPassiveDeclareOfAMissingQueue(t *testing.T) {
	t.Parallel()
	name := unique("missing")
	_, err := connect(t).QueueDeclarePassive(name, true, false, false, false, nil)
	wantRefusal(t, err, amqp.NotFound, "NOT_FOUND - no queue '"+name+"' in vhost")
}

func TestPassiveDeclareAsksForTheNameAlone(t *testing.T) {
	t.Parallel()
	c := connect(t)
	name := c.queue(amqp.Table{"x-max-length": 5})
	_, err := c.QueueDeclarePassive(name, false, true, false, false, amqp.Table{"x-max-length": 6})
	c.must(err, "queue.declare passive with other properties")
}

func TestQueueRedeclareMustAgree(t *testing.T) {
	t.Parallel()
	declared := amqp.Table{"x-message-ttl": 60000, "x-max-length": 10, "x-overflow": "drop-head"}
	same := func(change amqp.Table) amqp.Table {
		args := amqp.Table{"x-message-ttl": 60000, "x-max-length": 10, "x-overflow": "drop-head"}
		for k, v := range change {
			args[k] = v
			if v == nil {
				delete(args, k)
			}
		}
		return args
	}
	tests := []struct {
		what                           string
		durable, autoDelete, exclusive bool
		args                           amqp.Table
		code                           int
		words                          string
	}{
		{"the same", true, false, false, same(nil), 0, ""},
		{"an integer of another width", true, false, false, same(amqp.Table{"x-max-length": int64(10)}), 0, ""},
		{"transient", false, false, false, same(nil), 406, "inequivalent arg 'durable' for queue"},
		{"auto-delete", true, true, false, same(nil), 406, "inequivalent arg 'auto_delete' for queue"},
		{"exclusive", true, false, true, same(nil), 405, "cannot obtain exclusive access to locked queue"},
		{"another TTL", true, false, false, same(amqp.Table{"x-message-ttl": 5000}), 406,
			"inequivalent arg 'x-message-ttl' for queue"},
		{"no length", true, false, false, same(amqp.Table{"x-max-length": nil}), 406, "inequivalent arg 'x-max-length' for queue"},
		{"a DLX more", true, false, false, same(amqp.Table{"x-dead-letter-exchange": "x"}), 406,
			"inequivalent arg 'x-dead-letter-exchange' for queue"},
		{"another overflow", true, false, false, same(amqp.Table{"x-overflow": "reject-publish"}), 406,
			"inequivalent arg 'x-overflow' for queue"},
	}
	c := connect(t)
	name := c.queue(declared)
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			_, err := c.channel().QueueDeclare(name, test.durable, test.autoDelete, test.exclusive, false, test.args)
			if test.code == 0 {
				c.must(err, "queue.declare")
				return
			}
			wantRefusal(t, err, test.code, test.words, name)
		})
	}
}

func TestQueueArgumentsAreValidated(t *testing.T) {
	t.Parallel()
	tests := []struct {
		what string
		args amqp.Table
		arg  string
	}{
		{"negative TTL", amqp.Table{"x-message-ttl": -1}, "x-message-ttl"},
		{"TTL as text", amqp.Table{"x-message-ttl": "60000"}, "x-message-ttl"},
		{"expires at once", amqp.Table{"x-expires": 0}, "x-expires"},
		{"negative length", amqp.Table{"x-max-length": -1}, "x-max-length"},
		{"negative bytes", amqp.Table{"x-max-length-bytes": -1}, "x-max-length-bytes"},
		{"unknown overflow", amqp.Table{"x-overflow": "spill"}, "x-overflow"},
		{"DLX as a number", amqp.Table{"x-dead-letter-exchange": 1}, "x-dead-letter-exchange"},
		{"DLRK without DLX", amqp.Table{"x-dead-letter-routing-key": "k"}, "x-dead-letter-routing-key"},
		{"too many priorities", amqp.Table{"x-max-priority": 256}, "x-max-priority"},
		{"negative priorities", amqp.Table{"x-max-priority": -1}, "x-max-priority"},
		{"unknown type", amqp.Table{"x-queue-type": "heap"}, "x-queue-type"},
	}
	c := connect(t)
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			_, err := c.channel().QueueDeclare(unique("invalid"), true, false, false, false, test.args)
			wantRefusal(t, err, amqp.PreconditionFailed, "PRECONDITION_FAILED", test.arg)
		})
	}
}

func TestUnknownQueueArgumentsAreAccepted(t *testing.T) {
	t.Parallel()
	connect(t).queue(amqp.Table{"x-of-mine": "yes", "plain": amqp.Table{"nested": int32(1)}})
}

func TestReservedQueueName(t *testing.T) {
	t.Parallel()
	_, err := connect(t).QueueDeclare("amq.mine", true, false, false, false, nil)
	wantRefusal(t, err, amqp.AccessRefused, "queue name 'amq.mine' contains reserved prefix 'amq.*'")
}

func TestServerNamedQueue(t *testing.T) {
	t.Parallel()
	c := connect(t)
	first, second := c.exclusiveQueue(), c.exclusiveQueue()
	if first == second || !strings.HasPrefix(first, "amq.gen-") {
		t.Fatalf("generated names %q and %q", first, second)
	}
	// The empty name stands for the queue this channel declared last.
	c.bind("", "key", "amq.direct", nil)
	c.publish("amq.direct", "key", "to the second")
	equal(t, "body", string(c.get("").Body), "to the second")
	c.publish("", second, "again")
	equal(t, "body", string(c.next(c.consume("")).Body), "again")
	messages, _ := c.counts(first)
	equal(t, "messages in the first queue", messages, 0)
}

func TestEmptyQueueNameWithoutADeclaration(t *testing.T) {
	t.Parallel()
	_, _, err := connect(t).Get("", true)
	wantRefusal(t, err, amqp.NotFound, "no previously declared queue")
}

func TestExclusiveQueueIsLockedForOthers(t *testing.T) {
	t.Parallel()
	owner, other := connect(t), connect(t)
	q := unique("exclusive")
	_, err := owner.QueueDeclare(q, false, false, true, false, nil)
	owner.must(err, "queue.declare")
	tests := map[string]func(ch *client) error{
		"declare": func(ch *client) error { _, err := ch.QueueDeclare(q, false, false, true, false, nil); return err },
		"passive": func(ch *client) error {
			_, err := ch.QueueDeclarePassive(q, false, false, true, false, nil)
			return err
		},
		"consume": func(ch *client) error { _, err := ch.Consume(q, "", true, false, false, false, nil); return err },
		"get":     func(ch *client) error { _, _, err := ch.Get(q, true); return err },
		"bind":    func(ch *client) error { return ch.QueueBind(q, "k", "amq.direct", false, nil) },
		"purge":   func(ch *client) error { _, err := ch.QueuePurge(q, false); return err },
		"delete":  func(ch *client) error { _, err := ch.QueueDelete(q, false, false, false); return err },
	}
	for what, call := range tests {
		t.Run(what, func(t *testing.T) {
			wantRefusal(t, call(other.channel()), amqp.ResourceLocked, "cannot obtain exclusive access to locked queue '"+q)
		})
	}
	// Its owner's other channels may use it, and anyone may publish to it.
	other.fill(q, "from outside")
	equal(t, "body", string(owner.channel().get(q).Body), "from outside")
}

func TestExclusiveQueueDiesWithItsConnection(t *testing.T) {
	t.Parallel()
	c, owner := connect(t), connect(t)
	q := owner.exclusiveQueue()
	c.must(owner.conn.Close(), "connection.close")
	equal(t, "the queue exists", c.exists(q), false)
}

func TestAutoDeleteQueueGoesWithItsLastConsumer(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q, err := c.QueueDeclare(unique("auto"), true, true, false, false, nil)
	c.must(err, "queue.declare")
	c.fill(q.Name, "m")
	equal(t, "body", string(c.get(q.Name).Body), "m")
	equal(t, "before any consumer it exists", c.exists(q.Name), true)
	c.consumeWith(q.Name, "first", false, nil)
	second := c.channel()
	second.consume(q.Name)
	c.must(c.Cancel("first", false), "basic.cancel")
	equal(t, "with a consumer left it exists", c.exists(q.Name), true)
	c.must(second.Close(), "channel.close")
	c.waitGone(q.Name)
}

func TestQueueExpiresWhenUnused(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q, err := c.QueueDeclare(unique("expires"), true, false, false, false, amqp.Table{"x-expires": 300})
	c.must(err, "queue.declare")
	used, err := c.QueueDeclare(unique("expires"), true, false, false, false, amqp.Table{"x-expires": 300})
	c.must(err, "queue.declare")
	ds := c.consumeWith(used.Name, "tag", true, nil)
	// Passive declares would renew the lease of the queue; publishing asks whether it exists without using it.
	returns := c.NotifyReturn(make(chan amqp.Return, 1000))
	c.eventually("the queue to expire", func() bool {
		c.must(c.Publish("", q.Name, true, false, amqp.Publishing{}), "basic.publish")
		return len(returns) > 0
	})
	c.publish("", used.Name, "a queue with a consumer stays")
	c.next(ds)
	c.must(c.Cancel("tag", false), "basic.cancel")
	c.eventually("the other to expire", func() bool {
		for len(returns) > 0 {
			if (<-returns).RoutingKey == used.Name {
				return true
			}
		}
		c.must(c.Publish("", used.Name, true, false, amqp.Publishing{}), "basic.publish")
		return false
	})
}

func TestDeleteIfUnusedAndIfEmpty(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, "a", "b")
	_, err := c.channel().QueueDelete(q, false, true, false)
	wantRefusal(t, err, amqp.PreconditionFailed, "queue '"+q+"'", "not empty")
	c.consumeWith(q, "tag", true, nil)
	c.waitReady(q, 0)
	_, err = c.channel().QueueDelete(q, true, false, false)
	wantRefusal(t, err, amqp.PreconditionFailed, "queue '"+q+"'", "in use")
	c.must(c.Cancel("tag", false), "basic.cancel")
	c.fill(q, "c", "d", "e")
	n, err := c.QueueDelete(q, true, false, false)
	c.must(err, "queue.delete")
	equal(t, "messages that went with the queue", n, 3)
	equal(t, "the queue exists", c.exists(q), false)
}

func TestDeletingWhatIsNotThereSucceeds(t *testing.T) {
	t.Parallel()
	c := connect(t)
	n, err := c.QueueDelete(unique("missing"), false, false, false)
	c.must(err, "queue.delete")
	equal(t, "messages", n, 0)
	c.must(c.ExchangeDelete(unique("missing"), false, false), "exchange.delete")
}

func TestPurgeTakesWhatIsReady(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, numbered(5)...)
	held := c.get(q)
	n, err := c.QueuePurge(q, false)
	c.must(err, "queue.purge")
	equal(t, "purged", n, 4)
	c.must(held.Nack(false, true), "basic.nack")
	c.waitReady(q, 1)
	equal(t, "left", c.drain(q), []string{"0"})
	_, err = c.QueuePurge(unique("missing"), false)
	wantRefusal(t, err, amqp.NotFound, "no queue")
}

func TestDeclareWithoutWaiting(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q, x := unique("queue"), unique("exchange")
	_, err := c.QueueDeclare(q, true, false, false, true, nil)
	c.must(err, "queue.declare nowait")
	c.cleanUp(func(ch *amqp.Channel) error { _, err := ch.QueueDelete(q, false, false, false); return err })
	c.must(c.ExchangeDeclare(x, "fanout", true, false, false, true, nil), "exchange.declare nowait")
	c.cleanUp(func(ch *amqp.Channel) error { return ch.ExchangeDelete(x, false, false) })
	c.must(c.QueueBind(q, "", x, true, nil), "queue.bind nowait")
	c.publish(x, "", "arrived")
	equal(t, "body", string(c.get(q).Body), "arrived")
}

func TestNowaitErrorsStillCloseTheChannel(t *testing.T) {
	t.Parallel()
	c := connect(t)
	closed := c.closed()
	_, err := c.QueueDeclare("amq.mine", true, false, false, true, nil)
	c.must(err, "queue.declare nowait")
	c.refused(closed, amqp.AccessRefused, "reserved prefix")
}

func TestDeletingCountsWhatWasPublishedBefore(t *testing.T) {
	t.Parallel()
	c := connect(t)
	for range 20 {
		q, err := c.QueueDeclare(unique("queue"), true, false, false, false, nil)
		c.must(err, "queue.declare")
		for _, body := range numbered(5) { // on the same channel, without confirms
			c.publish("", q.Name, body)
		}
		n, err := c.QueueDelete(q.Name, false, false, false)
		c.must(err, "queue.delete")
		equal(t, "deleted", n, 5)
	}
}
