package queue

import (
	"github.com/warrenmq/warren/broker/message"
)

// applyPublish puts the messages of a command into its queues: as one run if they are alike, else run by run.
func (s *Set) applyPublish(p *publish) error {
	if p.stride != 0 {
		if uint64(len(p.records)) != uint64(p.stride)*uint64(p.count) {
			return ErrCommand
		}
		var h message.Head
		if err := message.ParseHead(p.records[recordGap:], &h); err != nil {
			return ErrCommand
		}
		s.publishRun(p, p.number, &h, run{index: s.index, offset: p.at + recordGap, stride: p.stride, count: p.count})
	} else if err := s.publishEach(p); err != nil {
		return err
	}
	for i := range len(p.targets) / 8 {
		if q := s.queues[p.target(i)]; q != nil {
			s.settle(q)
		}
	}
	return nil
}

// publishEach goes through records that differ, joining those neighbours that do not.
func (s *Set) publishEach(p *publish) error {
	var first, h message.Head
	var r run
	number := p.number
	at := p.at
	for rest := p.records; len(rest) > 0; {
		if len(rest) < recordGap || uint64(len(rest)) < recordGap+uint64(le.Uint32(rest)) {
			return ErrCommand
		}
		stride := recordGap + le.Uint32(rest)
		if err := message.ParseHead(rest[recordGap:stride], &h); err != nil {
			return ErrCommand
		}
		if r.count > 0 && r.stride == stride && alike(&first, &h) {
			r.count++
		} else {
			number = s.publishRun(p, number, &first, r)
			first, r = h, run{index: s.index, offset: at + recordGap, stride: stride, count: 1}
		}
		at += stride
		rest = rest[stride:]
	}
	s.publishRun(p, number, &first, r)
	return nil
}

// alike tells whether two neighbours may share a run.
func alike(a, b *message.Head) bool {
	return a.Flags == b.Flags && a.Flags&singular == 0 && a.Priority == b.Priority && a.Size == b.Size &&
		a.Properties == b.Properties && a.Expiration == b.Expiration
}

// publishRun puts one run into all targets and answers for it. It gives the number of the message after it.
func (s *Set) publishRun(p *publish, number uint64, h *message.Head, r run) uint64 {
	if r.count == 0 {
		return number
	}
	if s.mayRefuse(p) {
		return s.publishSingly(p, number, h, r)
	}
	known := true
	for i := range len(p.targets) / 8 {
		id := p.target(i)
		q := s.queues[id]
		if q == nil {
			s.unknown(p, id, number, r, known)
			known = false
			continue
		}
		s.enqueue(q, h, r)
	}
	if p.confirm && known {
		s.emit(Effect{Kind: Confirm, To: s.from, Channel: p.channel, Number: number, Count: r.count})
	}
	if !p.confirm {
		return 0
	}
	return number + uint64(r.count)
}

// unknown hands messages for a queue that is not here back to the leader. Only the first of a message's unknown queues
// answers for it.
func (s *Set) unknown(p *publish, id ID, number uint64, r run, answers bool) {
	if !p.confirm || !answers {
		number = 0
	}
	s.emit(Effect{
		Kind: Unknown, To: s.from, Queue: id, Channel: p.channel, Number: number,
		Count: r.count, Index: r.index, Offset: r.offset, Stride: r.stride,
	})
}

// enqueue makes r ready in q.
func (s *Set) enqueue(q *queue, h *message.Head, r run) {
	q.stats.Published += uint64(r.count)
	if q.deleted {
		return
	}
	r.size = h.Size
	if q.config.Type == Quorum {
		r.size += h.Properties
	}
	r.priority = q.lane(h.Priority)
	if h.Flags&message.FlagPersistent != 0 {
		r.flags |= runPersistent
	}
	if h.Flags&message.FlagRedelivered != 0 {
		r.flags |= runRedelivered
	}
	if h.Flags&message.FlagCounts != 0 && q.config.Type == Quorum {
		r.deliveries, r.acquired = h.Deliveries, h.Acquired
	}
	r.expires = s.deadline(q, h)
	s.keep(&r)
	q.add(r)
}

// deadline is when a message that arrives now expires: the sooner of what it and its queue say.
func (s *Set) deadline(q *queue, h *message.Head) int64 {
	ttl := q.config.MessageTTLMs
	if h.Flags&message.FlagExpiration != 0 && (ttl == None || int64(h.Expiration) < ttl) {
		ttl = int64(h.Expiration)
	}
	if ttl == None {
		return 0
	}
	return s.now + ttl
}

// mayRefuse tells whether some target has a limit that turns publishes away.
func (s *Set) mayRefuse(p *publish) bool {
	for i := range len(p.targets) / 8 {
		if q := s.queues[p.target(i)]; q != nil && q.refuses() {
			return true
		}
	}
	return false
}

// refuses tells whether the queue turns publishes away when it is full.
func (q *queue) refuses() bool {
	return q.config.Overflow != DropHead && (q.config.MaxLength != None || q.config.MaxLengthBytes != None)
}

// full tells whether a message of that size is one too many.
func (q *queue) full(size uint32) bool {
	c := &q.config
	return c.MaxLength != None && q.limited()+1 > c.MaxLength ||
		c.MaxLengthBytes != None && q.limitedBytes()+int64(size) > c.MaxLengthBytes
}

// publishSingly is publishRun message by message, for queues whose limit depends on the message before.
func (s *Set) publishSingly(p *publish, number uint64, h *message.Head, r run) uint64 {
	for r.count > 0 {
		one := r.take(1)
		refused, known := false, true
		for i := range len(p.targets) / 8 {
			id := p.target(i)
			q := s.queues[id]
			switch {
			case q == nil:
				s.unknown(p, id, number, one, known && !refused)
				known = false
			case q.refuses() && q.full(h.Size):
				refused = true
				s.turnAway(q, h, one)
			default:
				s.enqueue(q, h, one)
				s.settle(q)
			}
		}
		if !p.confirm {
			continue
		}
		if kind := verdict(refused); refused || known {
			s.emit(Effect{Kind: kind, To: s.from, Channel: p.channel, Number: number, Count: 1})
		}
		number++
	}
	return number
}

func verdict(refused bool) Kind {
	if refused {
		return Refuse
	}
	return Confirm
}

// turnAway is what a full queue does with a message beside refusing it.
func (s *Set) turnAway(q *queue, h *message.Head, one run) {
	if q.config.Overflow != RejectPublishDLX {
		return
	}
	one.size = h.Size
	one.priority = q.lane(h.Priority)
	s.keep(&one)
	s.bury(q, one, MaxLength, false)
}

// publishAgain answers for a batch that was applied before: its first answer may be lost. Where a queue turns publishes
// away it is not known how it went, and a refusal promises nothing.
func (s *Set) publishAgain(p *publish) error {
	if p.confirm {
		s.emit(Effect{Kind: verdict(s.mayRefuse(p)), To: s.from, Channel: p.channel, Number: p.number, Count: p.count})
	}
	return nil
}
