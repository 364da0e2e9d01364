package compat

import (
	"context"
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestTransactionErrors(t *testing.T) {
	t.Parallel()
	c := connect(t)
	wantRefusal(t, c.channel().TxRollback(), amqp.PreconditionFailed, "channel is not transactional")
	ch := c.channel()
	ch.must(ch.Tx(), "tx.select")
	ch.must(ch.Tx(), "tx.select again")
	ch.must(ch.TxCommit(), "tx.commit of nothing")
	closed := ch.closed()
	ch.must(ch.Ack(7, false), "basic.ack")
	ch.refused(closed, amqp.PreconditionFailed, "unknown delivery tag 7")
}

// Acknowledgements count at the commit: prefetch stays taken until then, and a rollback brings back the tags.
func TestTransactionHoldsPrefetch(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, numbered(3)...)
	ch := c.channel()
	ch.must(ch.Tx(), "tx.select")
	ch.prefetch(1)
	ds := ch.consume(q)
	d := ch.next(ds)
	ch.must(d.Ack(false), "basic.ack")
	ch.quiet(ds)
	ch.must(ch.TxRollback(), "tx.rollback")
	ch.quiet(ds)
	ch.must(d.Ack(false), "basic.ack")
	ch.must(ch.TxCommit(), "tx.commit")
	equal(t, "the next", string(ch.next(ds).Body), "1")
}

func TestTransactionOnAQuorumQueue(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.quorumQueue(nil)
	ch := c.channel()
	ch.must(ch.Tx(), "tx.select")
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	ch.publish("", q, "rolled back")
	ch.must(ch.TxRollback(), "tx.rollback")
	ch.publish("", q, "committed")
	ch.must(ch.PublishWithContext(context.Background(), "", unique("missing"), true, false, amqp.Publishing{}), "basic.publish")
	equal(t, "returned before the commit", len(returns), 0)
	c.staysEmpty(q)
	ch.must(ch.TxCommit(), "tx.commit")
	equal(t, "returned", len(returns), 1)
	c.waitReady(q, 1)
	d := ch.get(q)
	ch.must(d.Reject(false), "basic.reject")
	ch.must(ch.TxCommit(), "tx.commit")
	equal(t, "left", fmt.Sprint(string(d.Body), c.drain(q)), "committed[]")
}

func TestRecoverGivesToOthers(t *testing.T) {
	t.Parallel()
	c, other := connect(t), connect(t)
	for _, kind := range []string{"classic", "quorum"} {
		q := c.queue(amqp.Table{"x-queue-type": kind})
		c.fill(q, numbered(2)...)
		ch := c.channel()
		ch.get(q)
		ch.get(q)
		//lint:ignore SA1019 clients still use it
		ch.must(ch.Recover(true), "basic.recover")
		for _, want := range numbered(2) {
			d := other.get(q)
			equal(t, "body", string(d.Body), want)
			equal(t, "redelivered", d.Redelivered, true)
		}
		closed := ch.closed()
		ch.must(ch.Ack(1, false), "basic.ack")
		ch.refused(closed, amqp.PreconditionFailed, "unknown delivery tag 1")
	}
}

// What a transaction has acknowledged is settled at the commit, whatever basic.recover puts back meanwhile.
func TestRecoverLeavesWhatATransactionAcknowledged(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	for _, kind := range []string{"classic", "quorum"} {
		q := c.queue(amqp.Table{"x-queue-type": kind})
		c.fill(q, numbered(4)...)
		ch := c.channel()
		ch.must(ch.Tx(), "tx.select")
		for range 3 {
			ch.get(q)
		}
		ch.must(ch.Ack(2, false), "basic.ack")
		//lint:ignore SA1019 clients still use it
		ch.must(ch.Recover(true), "basic.recover")
		c.waitReady(q, 3)
		ch.must(ch.TxCommit(), "tx.commit")
		equal(t, kind, fmt.Sprint(c.drain(q)), "[0 2 3]")
	}
}

// A commit to a queue that is gone is an error: its messages would be lost unseen.
func TestCommitToAQueueThatWasDeleted(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	for _, kind := range []string{"classic", "quorum"} {
		c, other := connect(t), connect(t)
		q := other.queue(amqp.Table{"x-queue-type": kind})
		c.must(c.Tx(), "tx.select")
		c.publish("", q, "lost")
		c.must(c.Qos(1, 0, false), "basic.qos, by whose answer it was routed")
		_, err := other.QueueDelete(q, false, false, false)
		other.must(err, "queue.delete")
		wantRefusal(t, c.TxCommit(), amqp.ResourceError, "failed to deliver message", "not_found", q)
	}
}

func TestDirectReplyInATransaction(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	asker, answerer := connect(t), connect(t)
	requests := answerer.queue(nil)
	replies := asker.consumeWith(replyTo, "", true, nil)
	asker.send("", requests, amqp.Publishing{ReplyTo: replyTo})
	request := answerer.get(requests)
	answerer.must(answerer.Tx(), "tx.select")
	answerer.publish("", request.ReplyTo, "rolled back")
	answerer.must(answerer.TxRollback(), "tx.rollback")
	answerer.publish("", request.ReplyTo, "committed")
	asker.quiet(replies)
	answerer.must(answerer.TxCommit(), "tx.commit")
	equal(t, "reply", string(asker.next(replies).Body), "committed")
	asker.quiet(replies)
}
