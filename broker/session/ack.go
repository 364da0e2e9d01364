package session

import (
	"math/bits"
	"strconv"

	"github.com/warrenmq/warren/broker/ledger"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/protocol"
)

// ack is an acknowledgement as the client sent it: ack, nack or reject.
type ack struct {
	channel  uint16
	method   protocol.MethodID
	tag      uint64
	multiple bool
	requeue  bool
}

// settling is acknowledgements of one consumer that lie side by side, gathered into one command.
type settling struct {
	consumer *consumer
	from, to uint64
	like     ack // method and requeue
}

// acknowledge settles messages, or refuses a tag that is not outstanding.
func (w *writer) acknowledge(a *ack) {
	o := w.outlet(a.channel)
	if o == nil || o.closed {
		return
	}
	from, to := a.tag, a.tag
	if a.multiple {
		from = 0
	}
	all := a.multiple && a.tag == 0
	if all {
		to = queue.Everything
	}
	if !all && !w.outstanding(o, to) {
		w.failOutlet(o.channel, &protocol.Error{
			Code: protocol.CodePreconditionFailed, Text: "unknown delivery tag " + strconv.FormatUint(a.tag, 10), Method: a.method,
		})
		return
	}
	if o.tx != nil {
		o.tx.acks = append(o.tx.acks, txAck{from: from, to: min(to, o.next-1), like: *a})
		return
	}
	w.take(o, from, to, a)
}

func (w *writer) outstanding(o *outlet, tag uint64) bool {
	return o.unacked.Has(tag) && (o.tx == nil || !o.tx.has(tag))
}

// take settles the tags from..to of a channel.
func (w *writer) take(o *outlet, from, to uint64, a *ack) {
	if o.spans != nil {
		o.spanSettled(from, to, a.method)
	}
	o.unacked.Take(from, to, func(chunk *ledger.Chunk[delivered], taken uint64) {
		c := chunk.Item.consumer
		for taken != 0 {
			skip := bits.TrailingZeros64(taken)
			n := bits.TrailingZeros64(^(taken >> skip))
			number := chunk.Item.number + uint64(skip)
			w.settle(c, number, number+uint64(n)-1, a)
			o.sent -= c.share(n)
			if a.method == protocol.BasicAckID {
				w.countOf(c, stats.Ack, n)
			}
			if skip+n >= 64 {
				return
			}
			taken = taken >> (skip + n) << (skip + n)
		}
	})
	w.mark(o)
	if o.limit > 0 {
		w.release(o)
	}
}

// settle adds deliveries of one consumer to the settlement being gathered.
func (w *writer) settle(c *consumer, from, to uint64, a *ack) {
	c.unacked -= int(to - from + 1)
	s := &w.settling
	if s.consumer == c && s.to+1 == from && s.like.method == a.method && s.like.requeue == a.requeue {
		s.to = to
		return
	}
	w.closeSettling()
	w.settling = settling{consumer: c, from: from, to: to, like: *a}
}

// closeSettling makes a command of what was gathered.
func (w *writer) closeSettling() {
	s := w.settling
	if s.consumer == nil {
		return
	}
	w.settling = settling{}
	c := s.consumer
	w.propose(c.group, settlement(c.id, &s))
	if c.gone && c.unacked == 0 {
		delete(w.consumers, c.id)
	}
}

func settlement(id uint32, s *settling) queue.Command {
	switch {
	case s.like.method == protocol.BasicAckID:
		return &queue.Settle{Consumer: id, From: s.from, To: s.to}
	case s.like.method == protocol.BasicRecoverID:
		return &queue.Return{Consumer: id, From: s.from, To: s.to, Cause: queue.CauseRecover}
	case s.like.method == protocol.BasicNackID && s.like.requeue:
		return &queue.Return{Consumer: id, From: s.from, To: s.to, Cause: queue.CauseNack}
	case s.like.requeue:
		return &queue.Return{Consumer: id, From: s.from, To: s.to, Cause: queue.CauseReject}
	case s.like.method == protocol.BasicNackID:
		return &queue.Reject{Consumer: id, From: s.from, To: s.to, Cause: queue.CauseNack}
	}
	return &queue.Reject{Consumer: id, From: s.from, To: s.to, Cause: queue.CauseReject}
}

// giveBack returns everything a channel holds: what the client has, and what it never got.
func (w *writer) giveBack(o *outlet, cause queue.Cause) {
	w.closeSettling()
	for i := range o.waiting {
		h := &o.waiting[i]
		last := h.event.Number + uint64(h.event.Count) - 1
		w.propose(h.consumer.group, &queue.Return{Consumer: h.consumer.id, From: h.event.Number, To: last, Cause: queue.CauseUndelivered})
	}
	o.waiting = nil
	holders := map[*consumer]uint64{} // with the highest number: what is still on its way to here stays
	var order []*consumer             // by their oldest message, as a queue of type quorum delivers in the order of return
	o.unacked.Take(0, queue.Everything, func(chunk *ledger.Chunk[delivered], taken uint64) {
		c := chunk.Item.consumer
		c.unacked -= bits.OnesCount64(taken)
		if _, known := holders[c]; !known {
			order = append(order, c)
		}
		holders[c] = chunk.Item.number + uint64(bits.Len64(taken)) - 1
	})
	o.sent = 0
	w.mark(o)
	for _, c := range order {
		w.propose(c.group, &queue.Return{Consumer: c.id, To: holders[c], Cause: cause})
		if c.gone && c.unacked == 0 {
			delete(w.consumers, c.id)
		}
	}
}

// recoverOutlet puts everything unacknowledged back, for whoever comes next. What a transaction has settled stays.
func (w *writer) recoverOutlet(number uint16) {
	o := w.outlet(number)
	switch {
	case o == nil || o.closed:
	case o.tx == nil || len(o.tx.acks) == 0:
		w.giveBack(o, queue.CauseRecover)
	default:
		for from, to := range o.tx.gaps() {
			w.take(o, from, to, &ack{method: protocol.BasicRecoverID, requeue: true})
		}
		w.closeSettling()
	}
}

// limitOutlet sets the limit that all consumers of a channel share.
func (w *writer) limitOutlet(number uint16, limit uint16) {
	if o := w.outlet(number); o != nil && !o.closed {
		o.limit = limit
		for _, c := range o.consumers {
			if c.queueType != stats.Classic {
				continue // it began before there was a limit, and keeps its own
			}
			w.propose(c.group, &queue.Adjust{Consumer: c.id, Prefetch: prefetch(uint16(c.prefetch), limit)})
		}
		w.release(o)
	}
}
