package queue

import (
	"github.com/warrenmq/warren/broker/message"
)

// applyPublish puts the messages of a command into its queues: as one run if they are alike, else run by run.
func (s *Set) applyPublish(p *publish) error {
	if err := s.publishAll(p); err != nil || p.again {
		return err
	}
	for i := range len(p.targets) / 8 {
		if q := s.queues[p.target(i)]; q != nil {
			s.settle(q)
		}
	}
	return nil
}

func (s *Set) publishAll(p *publish) error {
	if p.stride == 0 {
		return s.publishEach(p)
	}
	var h message.Head
	if uint64(len(p.records)) != uint64(p.stride)*uint64(p.count) {
		return ErrCommand
	}
	if stride, err := readHead(p.records, &h); err != nil || stride != p.stride {
		return ErrCommand
	}
	s.publishRun(p, p.number, &h, run{index: s.index, offset: p.at + RecordGap, stride: p.stride, count: p.count})
	return nil
}

// readHead reads the head of the record at the front of records, and tells how far away the next one is.
func readHead(records []byte, h *message.Head) (stride uint32, err error) {
	if len(records) < RecordGap || uint64(len(records)) < RecordGap+uint64(le.Uint32(records)) {
		return 0, ErrCommand
	}
	stride = RecordGap + le.Uint32(records)
	if err := message.ParseHead(records[RecordGap:stride], h); err != nil {
		return 0, ErrCommand
	}
	if uint64(h.Size)+uint64(h.Properties) > uint64(stride) {
		return 0, ErrCommand
	}
	return stride, nil
}

// publishEach goes through records that differ, joining those neighbours that do not.
func (s *Set) publishEach(p *publish) error {
	var first, h message.Head
	var r run
	number := p.number
	at, count := p.at, uint32(0)
	for rest := p.records; len(rest) > 0; count++ {
		stride, err := readHead(rest, &h)
		if err != nil {
			return err
		}
		if r.count > 0 && r.stride == stride && alike(&first, &h) {
			r.count++
		} else {
			number = s.publishRun(p, number, &first, r)
			first, r = h, run{index: s.index, offset: at + RecordGap, stride: stride, count: 1}
		}
		at += stride
		rest = rest[stride:]
	}
	if count != p.count {
		return ErrCommand
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
	if p.again {
		return s.publishedAgain(p, number, r.count)
	}
	if s.mayRefuse(p, h, r.count) {
		return s.publishSingly(p, number, h, r)
	}
	careful := s.refuses(p)
	all := taken
	for i := range len(p.targets) / 8 {
		id := p.target(i)
		q := s.queues[id]
		if q == nil {
			all = s.hold(p, id, number, r, all)
			continue
		}
		s.enqueue(q, h, r)
		if careful { // the next run finds what this one leaves
			s.settle(q)
		}
	}
	return s.respond(p, number, r.count, all)
}

// fate is what became of messages in all their queues together.
type fate uint8

const (
	taken   fate = iota
	refused      // by one of them
	waits        // for one of them, which will answer
)

// respond answers for messages unless they wait, and gives the number of the one after them.
//
// A batch that was applied before is answered for again, since its first answer may be lost. What is said again says so, as
// Redelivered: whoever has heard the first answer must not count another.
func (s *Set) respond(p *publish, number uint64, count uint32, all fate) uint64 {
	if !p.confirm {
		return 0
	}
	switch all {
	case refused:
		s.emit(Effect{Kind: Refuse, To: s.from, Channel: p.channel, Number: number, Count: count, Redelivered: p.again})
	case taken:
		s.emit(Effect{Kind: Confirm, To: s.from, Channel: p.channel, Number: number, Count: count, Redelivered: p.again})
	}
	return number + uint64(count)
}

// enqueue makes r ready in q.
func (s *Set) enqueue(q *queue, h *message.Head, r run) {
	q.stats.Published += uint64(r.count)
	switch {
	case q.deleted || q.repeated(h, r.index):
		return
	case q.config.Type == Relay:
		s.relay(q, h, r)
		return
	case q.config.Type == Stream:
		s.record(q, h, r)
		return
	case h.Flags&message.FlagDedup != 0 && q.config.Dedup:
		r.flags |= runDedup
		q.keyring.hold(string(h.Dedup), place{r.index, r.offset})
	}
	r.size = q.size(h)
	r.priority = q.lane(h.Priority)
	if h.Flags&message.FlagPersistent != 0 {
		r.flags |= runPersistent
	}
	if h.Flags&message.FlagRedelivered != 0 {
		r.flags |= runRedelivered
	}
	if h.Flags&message.FlagCounts != 0 {
		r.deliveries = h.Deliveries
		if r.deliveries > 0 {
			r.flags |= runRedelivered
		}
	}
	r.expires = s.deadline(q, h)
	s.keep(&r)
	q.add(r)
}

// size is the bytes a message counts for: in a quorum queue its properties as well.
func (q *queue) size(h *message.Head) uint32 {
	if q.config.Type == Quorum {
		return h.Size + h.Properties
	}
	return h.Size
}

// ttlMax keeps deadlines from overflowing.
const ttlMax = 1 << 60

// deadline is when a message that arrives now expires: the sooner of what it and its queue say.
func (s *Set) deadline(q *queue, h *message.Head) int64 {
	ttl := q.config.MessageTTLMs
	if h.Flags&message.FlagExpiration != 0 && (ttl == None || h.Expiration < uint64(ttl)) {
		ttl = int64(min(h.Expiration, ttlMax))
	}
	if ttl == None {
		return 0
	}
	return max(s.now+min(ttl, ttlMax), 1)
}

// refuses tells whether some target is of the kind that turns publishes away.
func (s *Set) refuses(p *publish) bool {
	for i := range len(p.targets) / 8 {
		if q := s.queues[p.target(i)]; q != nil && (q.refuses() || q.config.Dedup && !q.deleted) {
			return true
		}
	}
	return false
}

// mayRefuse tells whether some target could turn one of count messages away.
func (s *Set) mayRefuse(p *publish, h *message.Head, count uint32) bool {
	for i := range len(p.targets) / 8 {
		if q := s.queues[p.target(i)]; q != nil && q.full(h, count) {
			return true
		}
	}
	return false
}

// refuses tells whether the queue turns publishes away when it is full.
func (q *queue) refuses() bool {
	return q.config.Overflow != DropHead && !q.deleted && (q.config.MaxLength != None || q.config.MaxLengthBytes != None)
}

// full tells whether the queue would turn the last of count messages away.
func (q *queue) full(h *message.Head, count uint32) bool {
	if q.repeats(h) {
		return false
	}
	if q.duplicate(h) {
		return true
	}
	if !q.refuses() {
		return false
	}
	c := q.config
	return c.MaxLength != None && q.limited()+int64(count) > c.MaxLength ||
		c.MaxLengthBytes != None && q.limitedBytes()+int64(count)*int64(q.size(h)) > c.MaxLengthBytes
}

// publishSingly is publishRun message by message, for queues whose limit depends on the message before.
func (s *Set) publishSingly(p *publish, number uint64, h *message.Head, r run) uint64 {
	for r.count > 0 {
		one := r.take(1)
		all := taken
		if s.mayRefuse(p, h, 1) {
			all = refused
		}
		for i := range len(p.targets) / 8 {
			id := p.target(i)
			switch q := s.queues[id]; {
			case q == nil:
				all = s.hold(p, id, number, one, all)
			case q.full(h, 1):
				s.turnAway(q, h, one)
			default:
				s.enqueue(q, h, one)
				s.settle(q)
			}
		}
		number = s.respond(p, number, 1, all)
	}
	return number
}

// turnAway is what a full queue does with a message beside refusing it.
func (s *Set) turnAway(q *queue, h *message.Head, one run) {
	if q.config.Overflow != RejectPublishDLX && !q.duplicate(h) {
		return
	}
	one.size = q.size(h)
	one.priority = q.lane(h.Priority)
	s.keep(&one)
	s.bury(q, one, MaxLength)
}
