package queue

import "github.com/warrenmq/warren/broker/ledger"

// Reason says why a message died.
type Reason uint8

// Reasons, as x-death tells them.
const (
	Rejected Reason = iota + 1
	ExpiredTTL
	MaxLength
	DeliveryLimit
	// Due is no death: the message has waited in a relay, and goes on.
	Due
)

// String is the word in x-death.
func (r Reason) String() string {
	switch r {
	case Rejected:
		return "rejected"
	case ExpiredTTL:
		return "expired"
	case MaxLength:
		return "maxlen"
	case DeliveryLimit:
		return "delivery_limit"
	case Due:
		return "due"
	}
	return "unknown"
}

// dead is messages in a queue's outbox.
type dead struct {
	run
	reason Reason
	// flagged: the next delivery says redelivered, as one delivery has failed already
	flagged bool
}

// bury takes r, which is no longer counted anywhere, to its dead-letter exchange, or lets it go if there is none.
func (s *Set) bury(q *queue, r run, reason Reason) {
	if reason == ExpiredTTL {
		q.stats.Expired += uint64(r.count)
	}
	q.depart(&r)
	if !q.config.DeadLetter {
		q.stats.Dropped += uint64(r.count)
		s.free(&r)
		return
	}
	q.stats.DeadLettered += uint64(r.count)
	if q.told != s.index { // once for all of an entry
		q.told = s.index
		s.emit(Effect{Kind: DeadLetters, Queue: q.id})
	}
	q.outboxBytes += r.bytes()
	for r.count > 0 {
		part := r.take(min(r.count, ledger.Width))
		q.outbox.Push(q.outboxNext, int(part.count), dead{run: part, reason: reason, flagged: r.deliveries > 0})
		q.outboxNext += uint64(part.count)
	}
}

func (s *Set) applyForwarded(c *Forwarded) {
	q := s.queues[c.Queue]
	if q == nil {
		return
	}
	s.dropOutbox(q, c.From, c.To)
	if q.deleted && q.outbox.Len() == 0 {
		delete(s.queues, q.id)
		return
	}
	s.settle(q)
}

// dropOutbox lets go of dead letters.
func (s *Set) dropOutbox(q *queue, from, to uint64) {
	q.outbox.Take(from, to, func(chunk *ledger.Chunk[dead], taken uint64) {
		openRuns(chunk.Item.run, taken, func(r run) {
			q.outboxBytes -= r.bytes()
			s.free(&r)
		})
	})
}

// DeadLetter is a stretch of dead messages that lie one after another and died alike.
type DeadLetter struct {
	Number     uint64 // in the outbox, of the first
	Count      uint32
	Index      uint64
	Offset     uint32
	Stride     uint32
	Reason     Reason
	Flagged    bool
	Deliveries uint32
	Acquired   uint32
}

// Outbox visits the dead letters of a queue from number on, oldest first, until visit says no.
func (s *Set) Outbox(id ID, from uint64, visit func(DeadLetter) bool) {
	q := s.queues[id]
	if q == nil {
		return
	}
	stop := false
	q.outbox.From(from, func(c *ledger.Chunk[dead]) bool {
		openRuns(c.Item.run, c.Open, func(r run) {
			number := c.First + uint64((r.offset-c.Item.offset)/r.stride)
			if number < from {
				skip := min(uint32(from-number), r.count)
				r.take(skip)
				number += uint64(skip)
			}
			if stop || r.count == 0 {
				return
			}
			stop = !visit(DeadLetter{
				Number: number, Count: r.count, Index: r.index, Offset: r.offset, Stride: r.stride,
				Reason: c.Item.reason, Flagged: c.Item.flagged, Deliveries: r.deliveries, Acquired: r.acquired,
			})
		})
		return !stop
	})
}
