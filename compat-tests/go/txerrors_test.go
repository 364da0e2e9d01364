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
