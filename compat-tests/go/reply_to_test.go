package compat

import (
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

const replyTo = "amq.rabbitmq.reply-to"

func TestDirectReplyTo(t *testing.T) {
	t.Parallel()
	asker, answerer := connect(t), connect(t)
	requests := answerer.queue(nil)
	replies := asker.consumeWith(replyTo, "replies", true, nil)
	for _, body := range []string{"1", "2"} {
		asker.send("", requests, amqp.Publishing{ReplyTo: replyTo, CorrelationId: body, Body: []byte("request " + body)})
		request := answerer.get(requests)
		if !strings.HasPrefix(request.ReplyTo, replyTo+".") {
			t.Fatalf("reply_to %q, want a name of its own", request.ReplyTo)
		}
		answerer.send("", request.ReplyTo, amqp.Publishing{CorrelationId: request.CorrelationId, Body: []byte("reply " + body)})
		reply := asker.next(replies)
		equal(t, "reply", string(reply.Body), "reply "+body)
		equal(t, "correlation", reply.CorrelationId, body)
		equal(t, "consumer", reply.ConsumerTag, "replies")
		equal(t, "address", [2]string{reply.Exchange, reply.RoutingKey}, [2]string{"", request.ReplyTo})
	}
}

func TestDirectReplyToNeedsItsConsumerFirst(t *testing.T) {
	t.Parallel()
	c := connect(t)
	closed := c.closed()
	c.send("", "k", amqp.Publishing{ReplyTo: replyTo})
	c.refused(closed, amqp.PreconditionFailed, "fast reply consumer does not exist")
}

func TestDirectReplyToIsAcknowledgedAutomatically(t *testing.T) {
	t.Parallel()
	_, err := connect(t).Consume(replyTo, "", false, false, false, false, nil)
	wantRefusal(t, err, amqp.PreconditionFailed, "reply consumer cannot acknowledge")
}

func TestDirectReplyToEndsWithTheAsker(t *testing.T) {
	t.Parallel()
	asker, answerer := connect(t), connect(t)
	requests := answerer.queue(nil)
	asker.consumeWith(replyTo, "", true, nil)
	asker.send("", requests, amqp.Publishing{ReplyTo: replyTo})
	name := answerer.get(requests).ReplyTo
	equal(t, "the reply queue exists", answerer.exists(name), true)
	asker.must(asker.conn.Close(), "connection.close")
	answerer.eventually("the reply queue to be gone", func() bool { return !answerer.exists(name) })
	// A reply that comes too late is dropped without harm to the one who sends it. (RabbitMQ returned a mandatory one
	// until 4.0 and takes it as routed since.)
	answerer.must(answerer.Confirm(false), "confirm.select")
	equal(t, "confirmed", answerer.confirm("", name, amqp.Publishing{}), true)
}
