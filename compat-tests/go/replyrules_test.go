package compat

import (
	"context"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestDirectReplyToOncePerChannel(t *testing.T) {
	t.Parallel()
	c := connect(t)
	c.consumeWith(replyTo, "one", true, nil)
	_, err := c.Consume(replyTo, "two", true, false, false, false, nil)
	wantRefusal(t, err, amqp.PreconditionFailed, "reply consumer already set")
	other := connect(t)
	other.consumeWith(replyTo, "one", true, nil)
	other.must(other.Cancel("one", false), "basic.cancel")
	other.consumeWith(replyTo, "two", true, nil) // free again
	other.must(other.Cancel("two", false), "basic.cancel")
	closed := other.closed()
	other.send("", "k", amqp.Publishing{ReplyTo: replyTo})
	other.refused(closed, amqp.PreconditionFailed, "fast reply consumer does not exist")
}

func TestDirectReplyToIsNoQueue(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	for what, test := range map[string]struct {
		do   func(ch *amqp.Channel) error
		code int
		word string
	}{
		"bind": {func(ch *amqp.Channel) error { return ch.QueueBind(replyTo+".some", "k", "amq.direct", false, nil) },
			amqp.AccessRefused, "cannot bind or unbind to a volatile"},
		"get": {func(ch *amqp.Channel) error { _, _, err := ch.Get(replyTo, true); return err },
			amqp.NotFound, "no queue '" + replyTo},
		"purge": {func(ch *amqp.Channel) error { _, err := ch.QueuePurge(replyTo, false); return err },
			amqp.NotFound, "no queue '" + replyTo},
	} {
		t.Run(what, func(t *testing.T) { wantRefusal(t, test.do(c.channel().Channel), test.code, test.word) })
	}
	q, err := c.QueueDeclarePassive(replyTo, false, false, false, false, nil)
	c.must(err, "queue.declare passive")
	equal(t, "declared", q, amqp.Queue{Name: replyTo, Consumers: 1})
	n, err := c.QueueDelete(replyTo, false, false, false)
	c.must(err, "queue.delete")
	equal(t, "deleted", n, 0)
}

func TestDirectReplyToOfEachChannel(t *testing.T) {
	t.Parallel()
	asker, answerer := connect(t), connect(t)
	requests := answerer.queue(nil)
	second := asker.channel()
	first, other := asker.consumeWith(replyTo, "", true, nil), second.consumeWith(replyTo, "", true, nil)
	asker.send("", requests, amqp.Publishing{ReplyTo: replyTo, Body: []byte("first")})
	request := answerer.get(requests)
	second.send("", requests, amqp.Publishing{ReplyTo: replyTo, Body: []byte("second")})
	later := answerer.get(requests)
	returns := answerer.NotifyReturn(make(chan amqp.Return, 1))
	answerer.confirming()
	for _, d := range []amqp.Delivery{later, request} {
		equal(t, "confirmed", answerer.confirm("", d.ReplyTo, amqp.Publishing{Body: d.Body, ReplyTo: "kept"}), true)
	}
	for body, ds := range map[string]<-chan amqp.Delivery{"first": first, "second": other} {
		d := asker.next(ds)
		equal(t, "reply", [2]string{string(d.Body), d.ReplyTo}, [2]string{body, "kept"})
		equal(t, "redelivered", d.Redelivered, false)
	}
	answerer.must(answerer.PublishWithContext(context.Background(), "", replyTo+".nobody", true, false, amqp.Publishing{}), "basic.publish")
	equal(t, "to nobody", answerer.nextReturn(returns).ReplyText, "NO_ROUTE")
}

func TestDirectReplyKeepsThePropertiesOfTheRequest(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.consumeWith(replyTo, "", true, nil)
	for _, other := range []string{"another queue", replyTo + ".like", "AMQ.RABBITMQ.REPLY-TO"} {
		c.send("", q, amqp.Publishing{ReplyTo: other})
		equal(t, "reply_to", c.get(q).ReplyTo, other)
	}
}

// The made-up name is that of a queue without messages that nobody else may read, until its consumer is cancelled.
func TestDirectReplyToOfAnotherChannel(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	asker, answerer := connect(t), connect(t)
	requests := answerer.queue(nil)
	asker.consumeWith(replyTo, "tag", true, nil)
	asker.send("", requests, amqp.Publishing{ReplyTo: replyTo})
	name := answerer.get(requests).ReplyTo
	_, err := answerer.channel().Consume(name, "", true, false, false, false, nil)
	wantRefusal(t, err, amqp.PreconditionFailed, "only creator channel may consume from queue '"+name+"'")
	n, err := answerer.QueuePurge(name, false)
	answerer.must(err, "queue.purge")
	equal(t, "purged", n, 0)
	q, err := answerer.QueueDeclarePassive(name, false, false, false, false, nil)
	answerer.must(err, "queue.declare passive")
	equal(t, "declared", q, amqp.Queue{Name: name, Consumers: 1})
	asker.must(asker.Cancel("tag", false), "basic.cancel")
	_, err = answerer.QueueDeclarePassive(name, false, false, false, false, nil)
	wantRefusal(t, err, amqp.NotFound, "no queue '"+name+"'")
}

// A reply that is copied to a queue goes to both.
func TestDirectReplyWithACopy(t *testing.T) {
	t.Parallel()
	asker, answerer := connect(t), connect(t)
	requests, copies := answerer.queue(nil), answerer.queue(nil)
	replies := asker.consumeWith(replyTo, "", true, nil)
	asker.send("", requests, amqp.Publishing{ReplyTo: replyTo})
	request := answerer.get(requests)
	answerer.send("", request.ReplyTo, amqp.Publishing{Headers: amqp.Table{"CC": []any{copies}}, Body: []byte("answer")})
	equal(t, "reply", string(asker.next(replies).Body), "answer")
	answerer.waitReady(copies, 1)
	equal(t, "copy", string(answerer.get(copies).Body), "answer")
}

// Whoever waits for replies may be told that a message died, by a queue that dead-letters to the name.
func TestDeadLettersForARequester(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	asker, answerer := connect(t), connect(t)
	requests := answerer.queue(nil)
	replies := asker.consumeWith(replyTo, "", true, nil)
	asker.send("", requests, amqp.Publishing{ReplyTo: replyTo})
	name := answerer.get(requests).ReplyTo
	for _, kind := range []string{"classic", "quorum"} {
		dying := answerer.queue(amqp.Table{"x-queue-type": kind, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": name})
		answerer.fill(dying, kind)
		d := answerer.get(dying)
		answerer.must(d.Reject(false), "basic.reject")
		dead := asker.next(replies)
		equal(t, "body", string(dead.Body), kind)
		equal(t, "queue", dead.Headers["x-first-death-queue"], any(dying))
		equal(t, "key", dead.RoutingKey, name)
	}
}
