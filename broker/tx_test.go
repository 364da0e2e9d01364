package broker_test

import (
	"testing"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol"
)

// transacting opens a channel with transactions.
func (c *client) transacting(number uint16) {
	c.t.Helper()
	c.channel(number)
	c.send(number, &protocol.TxSelect{}, &protocol.TxSelect{})
	expect[*protocol.TxSelectOk](c, number)
	expect[*protocol.TxSelectOk](c, number)
}

func (c *client) commit(channel uint16) {
	c.t.Helper()
	c.send(channel, &protocol.TxCommit{})
	expect[*protocol.TxCommitOk](c, channel)
}

func (c *client) rollback(channel uint16) {
	c.t.Helper()
	c.send(channel, &protocol.TxRollback{})
	expect[*protocol.TxRollbackOk](c, channel)
}

func TestPublishesTakeEffectAtCommit(t *testing.T) {
	c := connect(t, start(t))
	c.transacting(1)
	c.channel(2)
	c.queue(2, protocol.QueueDeclare{Queue: "a"})
	c.queue(2, protocol.QueueDeclare{Queue: "b", Durable: true})
	want := func(what string, a, b uint32) {
		t.Helper()
		gotA, _ := c.count(2, "a")
		gotB, _ := c.count(2, "b")
		if gotA != a || gotB != b {
			t.Errorf("%s: %d and %d messages, want %d and %d", what, gotA, gotB, a, b)
		}
	}
	c.commit(1)
	c.publish(1, append(bodies("a", 0, 10), bodies("b", 0, 5)...)...)
	c.quiet(1)
	want("before the commit", 0, 0)
	c.commit(1)
	want("after the commit", 10, 5)
	c.publish(1, append(bodies("a", 0, 10), bodies("b", 0, 5)...)...)
	c.rollback(1)
	c.commit(1)
	want("after the rollback", 10, 5)
	c.publish(1, bodies("a", 0, 3)...)
	c.send(1, &protocol.ChannelClose{})
	expect[*protocol.ChannelCloseOk](c, 1)
	want("after the channel was closed", 10, 5)
	c.transacting(1)
	c.commit(1)
	want("after a commit of its successor", 10, 5)
}

// TestMessagesAreRoutedWhenTheyArePublished, not when they are committed.
func TestMessagesAreRoutedWhenTheyArePublished(t *testing.T) {
	c := connect(t, start(t))
	c.transacting(1)
	c.channel(2)
	c.queue(2, protocol.QueueDeclare{Queue: "early"})
	c.publish(1, message{key: "early"}, message{key: "late"}, message{key: "gone"})
	c.quiet(1)
	c.queue(2, protocol.QueueDeclare{Queue: "late"})
	c.commit(1)
	if ready, _ := c.count(2, "early"); ready != 1 {
		t.Errorf("%d messages in the queue that was there", ready)
	}
	if ready, _ := c.count(2, "late"); ready != 0 {
		t.Errorf("%d messages in the queue that was not", ready)
	}
	c.publish(1, message{exchange: "missing"})
	c.wantClose(1, protocol.CodeNotFound, "NOT_FOUND - no exchange 'missing' in vhost '/'")
}

// TestCommitToAQueueThatIsGone, which would lose what was published unseen.
func TestCommitToAQueueThatIsGone(t *testing.T) {
	c := connect(t, start(t))
	c.transacting(1)
	c.channel(2)
	c.queue(2, protocol.QueueDeclare{Queue: "gone"})
	c.publish(1, message{key: "gone"})
	c.quiet(1)
	c.send(2, &protocol.QueueDelete{Queue: "gone"})
	expect[*protocol.QueueDeleteOk](c, 2)
	c.send(1, &protocol.TxCommit{})
	c.wantClose(0, protocol.CodeResourceError,
		`RESOURCE_ERROR - failed to deliver message: {not_found,{resource,<<"/">>,queue,<<"gone">>}}`)
}

// TestRecoverInATransaction leaves what was acknowledged, in the middle and at either end.
func TestRecoverInATransaction(t *testing.T) {
	for what, acked := range map[string][]uint64{"first": {1}, "middle": {2, 3}, "out of order": {3, 1}, "last": {4}, "all": {2, 1, 4, 3}} {
		t.Run(what, func(t *testing.T) {
			c := connect(t, start(t))
			c.channel(2)
			c.queue(2, protocol.QueueDeclare{Queue: "q"})
			c.publish(2, bodies("q", 0, 4)...)
			c.quiet(2)
			c.transacting(1)
			for range 4 {
				c.send(1, &protocol.BasicGet{Queue: "q"})
				expect[*protocol.BasicGetOk](c, 1)
				c.content(1)
			}
			for _, tag := range acked {
				c.send(1, &protocol.BasicAck{DeliveryTag: tag})
			}
			c.send(1, &protocol.BasicRecover{Requeue: true})
			expect[*protocol.BasicRecoverOk](c, 1)
			c.commit(1)
			if ready, _ := c.count(2, "q"); int(ready) != 4-len(acked) {
				t.Errorf("%d are ready, of 4 %d were acknowledged", ready, len(acked))
			}
		})
	}
}

func TestReturnsComeBeforeCommitOk(t *testing.T) {
	c := connect(t, start(t))
	c.transacting(1)
	c.publish(1, message{key: "nobody", mandatory: true, body: "one"}, message{key: "nobody", body: "unwanted"},
		message{key: "nobody", mandatory: true, body: "two"})
	c.quiet(1)
	c.send(1, &protocol.TxCommit{})
	for _, body := range []string{"one", "two"} {
		m := expect[*protocol.BasicReturn](c, 1)
		if _, got := c.content(1); m.ReplyCode != 312 || string(m.ReplyText) != "NO_ROUTE" || string(m.RoutingKey) != "nobody" || string(got) != body {
			t.Errorf("%+v with %q", m, got)
		}
	}
	expect[*protocol.TxCommitOk](c, 1)
	c.publish(1, message{key: "nobody", mandatory: true, body: "rolled back"})
	c.rollback(1)
	c.commit(1)
}

func TestAcknowledgementsTakeEffectAtCommit(t *testing.T) {
	c := connect(t, start(t))
	c.channel(2)
	c.queue(2, protocol.QueueDeclare{Queue: "q"})
	c.publish(2, bodies("q", 0, 6)...)
	c.transacting(1)
	c.send(1, &protocol.BasicQos{PrefetchCount: 4})
	expect[*protocol.BasicQosOk](c, 1)
	c.consume(1, protocol.BasicConsume{Queue: "q"})
	for range 4 {
		c.delivery(1)
	}
	c.send(1, &protocol.BasicAck{DeliveryTag: 1}, &protocol.BasicNack{DeliveryTag: 2, Requeue: true})
	c.quiet(1)
	if ready, _ := c.count(2, "q"); ready != 2 {
		t.Errorf("%d ready before the commit", ready)
	}
	c.rollback(1)
	c.send(1, &protocol.BasicAck{DeliveryTag: 2, Multiple: true}) // both are the client's again
	c.commit(1)
	c.wantDelivery(1, "4", 5, false)
	c.wantDelivery(1, "5", 6, false)
	c.send(1, &protocol.BasicReject{DeliveryTag: 3, Requeue: true})
	c.commit(1)
	c.wantDelivery(1, "2", 7, true)
	c.send(1, &protocol.BasicAck{DeliveryTag: 0, Multiple: true})
	c.send(1, &protocol.BasicAck{DeliveryTag: 0, Multiple: true}) // nothing is left, and that is fine
	c.quiet(1)
	c.send(1, &protocol.BasicAck{DeliveryTag: 4}) // twice in a transaction
	c.wantClose(1, protocol.CodePreconditionFailed, "PRECONDITION_FAILED - unknown delivery tag 4")
	if ready, _ := c.count(2, "q"); ready != 4 {
		t.Errorf("%d ready after the channel has failed", ready)
	}
}

func TestTransactionsAndConfirmsDoNotMix(t *testing.T) {
	c := connect(t, start(t))
	c.transacting(1)
	c.send(1, &protocol.ConfirmSelect{})
	c.wantClose(1, protocol.CodePreconditionFailed, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")
	c.confirming(1)
	c.send(1, &protocol.ConfirmSelect{}, &protocol.TxSelect{})
	expect[*protocol.ConfirmSelectOk](c, 1)
	c.wantClose(1, protocol.CodePreconditionFailed, "PRECONDITION_FAILED - cannot switch from confirm to tx mode")
}

// full declares a queue that takes so many messages and refuses more.
func (c *client) full(channel uint16, name string, most int32, durable bool) {
	c.t.Helper()
	c.queue(channel, protocol.QueueDeclare{Queue: name, Durable: durable, Arguments: protocol.Table{
		{Key: "x-max-length", Value: most}, {Key: "x-overflow", Value: "reject-publish"},
	}.Raw()})
}

func TestACommitThatIsRefusedInPart(t *testing.T) {
	c := connect(t, start(t))
	c.transacting(1)
	c.channel(2)
	c.full(2, "q", 2, false)
	c.publish(1, bodies("q", 0, 2)...)
	c.commit(1)
	c.publish(1, bodies("q", 2, 3)...)
	c.send(1, &protocol.TxCommit{})
	c.wantClose(1, protocol.CodePreconditionFailed, "PRECONDITION_FAILED - partial tx completion")
	if ready, _ := c.count(2, "q"); ready != 2 {
		t.Errorf("%d messages", ready)
	}
}

// TestCommitOkWaitsForEveryQueue: for those that are on disk as for those that are not.
func TestCommitOkWaitsForEveryQueue(t *testing.T) {
	g := newGate()
	c := connect(t, start(t, func(c *broker.Config) { c.Log = g }))
	c.transacting(1)
	c.channel(2)
	c.queue(2, protocol.QueueDeclare{Queue: "a"})
	for _, name := range []string{"b", "c", "d", "e"} { // in both groups
		c.queue(2, protocol.QueueDeclare{Queue: name, Durable: true})
	}
	g.Shut()
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		c.publish(1, message{key: name, properties: persistent}, message{key: name, properties: persistent})
	}
	c.send(1, &protocol.TxCommit{}, &protocol.BasicQos{})
	eventually(t, "the free queue has its part", func() bool { ready, _ := c.count(2, "a"); return ready == 2 })
	c.quiet(2)
	g.Lift()
	expect[*protocol.TxCommitOk](c, 1)
	expect[*protocol.BasicQosOk](c, 1)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		if ready, _ := c.count(2, name); ready != 2 {
			t.Errorf("%s has %d messages", name, ready)
		}
	}
}
