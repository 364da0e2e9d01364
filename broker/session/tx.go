package session

import (
	"bytes"
	"cmp"
	"iter"
	"slices"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/routing"
	"github.com/warrenmq/warren/protocol"
)

// transaction is what a channel published since the last commit: routed already, encoded already. owner: reader
type transaction struct {
	batches map[uint64]*queue.Batch // by group
	answers int
	returns []byte            // frames
	replies []message.Message // direct replies
	targets map[uint64]string // the names of the queues that it goes to
}

// txAcks is what a channel acknowledged since the last commit. owner: writer
type txAcks struct {
	acks    []txAck
	answers int // confirms that the commit waits for
	refused bool
	done    func(refused bool)
}

type txAck struct {
	from, to uint64
	like     ack
}

func (r *reader) txSelect(c *channel) {
	if c.confirm {
		r.fail(c, protocol.PreconditionFailed("cannot switch from confirm to tx mode"), protocol.TxSelectID)
		return
	}
	if c.tx == nil {
		c.tx = &transaction{batches: map[uint64]*queue.Batch{}}
		c.tally.transactional.Store(true)
	}
	r.order(func(w *writer) {
		if o := w.outlet(c.number); o != nil && o.tx == nil {
			o.tx = &txAcks{}
		}
		w.reply(c.number, &protocol.TxSelectOk{})
	})
}

// publish notes a message for the commit.
func (t *transaction) publish(r *reader, c *channel, route *routing.Route, m *message.Message) {
	if route.Unroutable && c.content.Mandatory {
		t.returns = protocol.AppendMethodFrame(t.returns, c.number, &protocol.BasicReturn{
			ReplyCode: protocol.CodeNoRoute, ReplyText: []byte("NO_ROUTE"), Exchange: m.Exchange, RoutingKey: m.RoutingKey,
		})
		t.returns = protocol.AppendContent(t.returns, c.number, m.Props, m.Body, r.frameMax)
	}
	if route.Empty() {
		return
	}
	number := c.next
	c.next++
	t.note(r, route)
	for i := range route.Groups {
		g := &route.Groups[i]
		b := t.batches[g.Group]
		if b == nil {
			b = &queue.Batch{}
			t.batches[g.Group] = b
		}
		b.Publish(c.number, number, g.Queues, m)
		t.answers++
	}
}

// note keeps the names of the queues on a route.
func (t *transaction) note(r *reader, route *routing.Route) {
	if t.targets == nil {
		t.targets = map[uint64]string{}
	}
	for i := range route.Groups {
		for _, id := range route.Groups[i].Queues {
			if q := r.catalog().QueueByID(uint64(id)); q != nil {
				t.targets[uint64(id)] = q.Name
			}
		}
	}
}

// reply notes a direct reply for the commit.
func (t *transaction) reply(m *message.Message) {
	t.replies = append(t.replies, message.Message{
		RoutingKey: bytes.Clone(m.RoutingKey), Props: bytes.Clone(m.Props), Body: bytes.Clone(m.Body),
	})
}

// lost is the refusal of a commit to a queue that has been deleted meanwhile.
func (t *transaction) lost(r *reader) *protocol.Error {
	for id, name := range t.targets {
		if r.catalog().QueueByID(id) == nil {
			return protocol.Errorf(protocol.CodeResourceError, `failed to deliver message: {not_found,{resource,<<"%s">>,queue,<<"%s">>}}`, r.vhost, name)
		}
	}
	return nil
}

func (r *reader) txCommit(c *channel) {
	if c.tx == nil {
		r.fail(c, protocol.PreconditionFailed("channel is not transactional"), protocol.TxCommitID)
		return
	}
	t := c.tx
	c.tx = &transaction{batches: map[uint64]*queue.Batch{}}
	if refusal := t.lost(r); refusal != nil {
		r.fail(c, refusal, protocol.TxCommitID)
		return
	}
	for i := range t.replies {
		r.env.Replies.Reply(&t.replies[i])
	}
	r.park(c)
	r.before(func(w *writer) { w.commit(c, t) })
}

func (r *reader) txRollback(c *channel) {
	if c.tx == nil {
		r.fail(c, protocol.PreconditionFailed("channel is not transactional"), protocol.TxRollbackID)
		return
	}
	c.tx = &transaction{batches: map[uint64]*queue.Batch{}}
	r.order(func(w *writer) {
		if o := w.outlet(c.number); o != nil && o.tx != nil {
			o.tx.acks = nil
		}
		w.reply(c.number, &protocol.TxRollbackOk{})
	})
}

// commit hands in what the transaction holds: for each group in one batch, which takes effect as a whole.
func (w *writer) commit(ch *channel, t *transaction) {
	o := w.open(ch)
	if o == nil {
		return
	}
	for group := range t.batches { // of which there is no way to one nothing is done
		if _, err := w.door.Batch(group); err != nil {
			refusal := *asRefusal(err)
			refusal.Method = protocol.TxCommitID
			w.refuse(&refusal)
			return
		}
	}
	acks := o.tx.acks
	o.tx.acks = nil
	for i := range acks {
		w.take(o, acks[i].from, acks[i].to, &acks[i].like)
	}
	w.closeSettling()
	w.out = append(w.out, t.returns...)
	for group, batch := range t.batches {
		if to, err := w.door.Batch(group); err == nil {
			to.Append(batch.Bytes())
		}
	}
	o.tx.answers, o.tx.refused = t.answers, false
	o.tx.done = func(refused bool) {
		w.resume(o.number)
		if refused {
			w.refuseMethod(o, protocol.PreconditionFailed("partial tx completion"), protocol.TxCommitID)
			return
		}
		w.reply(o.number, &protocol.TxCommitOk{})
	}
	if t.answers == 0 {
		o.tx.done(false)
	}
}

// answered counts the confirms of a commit.
func (t *txAcks) answered(count uint32, refused bool) {
	t.answers -= int(count)
	t.refused = t.refused || refused
	if t.answers == 0 && t.done != nil {
		done := t.done
		t.done = nil
		done(t.refused)
	}
}

// gaps gives the tags that lie outside of what was acknowledged, in order.
func (t *txAcks) gaps() iter.Seq2[uint64, uint64] {
	acks := slices.SortedFunc(slices.Values(t.acks), func(a, b txAck) int { return cmp.Compare(a.from, b.from) })
	return func(yield func(from, to uint64) bool) {
		next := uint64(0)
		for i := range acks {
			if acks[i].from > next && !yield(next, acks[i].from-1) {
				return
			}
			next = max(next, acks[i].to+1)
		}
		yield(next, queue.Everything)
	}
}

// has tells whether a tag was acknowledged in the transaction already.
func (t *txAcks) has(tag uint64) bool {
	for i := range t.acks {
		if tag >= t.acks[i].from && tag <= t.acks[i].to {
			return true
		}
	}
	return false
}
