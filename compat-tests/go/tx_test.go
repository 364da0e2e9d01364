package compat

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestCommitPublishes(t *testing.T) {
	t.Parallel()
	c := connect(t)
	one, two := c.queue(nil), c.queue(nil)
	c.must(c.Tx(), "tx.select")
	for _, body := range numbered(3) {
		c.publish("", one, body)
		c.publish("", two, body)
	}
	c.waitReady(one, 0)
	c.must(c.TxCommit(), "tx.commit")
	messages, _ := c.counts(one)
	equal(t, "after commit", messages, 3)
	equal(t, "one", c.drain(one), numbered(3))
	equal(t, "two", c.drain(two), numbered(3))
}

func TestRollbackDropsPublishes(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.must(c.Tx(), "tx.select")
	c.publish("", q, "rolled back")
	c.must(c.TxRollback(), "tx.rollback")
	c.publish("", q, "committed")
	c.must(c.TxCommit(), "tx.commit")
	equal(t, "in the queue", c.drain(q), []string{"committed"})
}

func TestClosingTheChannelRollsBack(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, "acknowledged in the transaction")
	ch := c.channel()
	ch.must(ch.Tx(), "tx.select")
	ch.must(ch.get(q).Ack(false), "basic.ack")
	ch.publish("", q, "published in the transaction")
	ch.must(ch.Close(), "channel.close")
	c.waitReady(q, 1)
	d := c.get(q)
	equal(t, "body", string(d.Body), "acknowledged in the transaction")
	equal(t, "redelivered", d.Redelivered, true)
}

func TestCommitAcknowledges(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, numbered(3)...)
	ch := c.channel()
	ch.must(ch.Tx(), "tx.select")
	ch.nextBodies(ch.consume(q), 3)
	ch.must(ch.Ack(2, true), "basic.ack")
	ch.must(ch.TxCommit(), "tx.commit")
	ch.must(ch.Close(), "channel.close")
	c.waitReady(q, 1)
	equal(t, "left", c.drain(q), []string{"2"})
}

func TestRollbackRestoresAcknowledgements(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, numbered(2)...)
	ch := c.channel()
	ch.must(ch.Tx(), "tx.select")
	ds := ch.consume(q)
	ch.nextBodies(ds, 2)
	ch.must(ch.Ack(2, true), "basic.ack")
	ch.must(ch.TxRollback(), "tx.rollback")
	ch.quiet(ds) // a rollback does not redeliver: the messages are unacknowledged as before
	ch.must(ch.Ack(1, false), "basic.ack again")
	ch.must(ch.TxCommit(), "tx.commit")
	ch.must(ch.Close(), "channel.close")
	c.waitReady(q, 1)
	equal(t, "left", c.drain(q), []string{"1"})
}

func TestMandatoryReturnsComeWithTheCommit(t *testing.T) {
	t.Parallel()
	c := connect(t)
	returns := c.NotifyReturn(make(chan amqp.Return, 1))
	c.must(c.Tx(), "tx.select")
	c.must(c.Publish("", unique("missing"), true, false, amqp.Publishing{}), "basic.publish")
	c.must(c.TxCommit(), "tx.commit")
	equal(t, "text", c.nextReturn(returns).ReplyText, "NO_ROUTE")
}

func TestCommitWithoutSelect(t *testing.T) {
	t.Parallel()
	c := connect(t)
	wantRefusal(t, c.channel().TxCommit(), amqp.PreconditionFailed, "channel is not transactional")
	wantRefusal(t, c.channel().TxRollback(), amqp.PreconditionFailed, "channel is not transactional")
}

func TestErrorInATransactionDropsIt(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	ch := c.channel()
	ch.must(ch.Tx(), "tx.select")
	closed := ch.closed()
	ch.publish("", q, "dropped")
	ch.publish(unique("missing"), "k", "the error")
	ch.refused(closed, amqp.NotFound)
	c.fill(q, "marker")
	equal(t, "in the queue", c.drain(q), []string{"marker"})
}
