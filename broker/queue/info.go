package queue

import "github.com/warrenmq/warren/store/oplog"

// Counts is what declare-ok tells.
type Counts struct {
	Ready     uint64
	Unacked   uint64
	Consumers uint32
}

// Counts gives the counts of a queue; ok is false if it is not here.
func (s *Set) Counts(id ID) (c Counts, ok bool) {
	q := s.live(id)
	if q == nil {
		return c, false
	}
	return q.counts(), true
}

// Ready visits the places of a queue's ready messages that were never delivered, oldest first within a priority, until
// visit says no.
func (s *Set) Ready(id ID, visit func(oplog.Span) bool) {
	q := s.live(id)
	if q == nil {
		return
	}
	more := true
	q.lanes.within(0, Everything, func(r *run) {
		for i := uint32(0); i < r.count && more; i++ {
			more = visit(oplog.Span{Index: r.index, Offset: r.offset + i*r.stride, Length: r.stride - RecordGap})
		}
	})
}

// Has tells whether a queue is here.
func (s *Set) Has(id ID) bool { return s.live(id) != nil }

// Origin is what a dead letter needs to know of the queue it comes from.
type Origin struct {
	ID     ID
	VHost  string
	Name   string
	Config Config
	Floor  uint64 // the lowest number in its outbox, 0 if that is empty
}

// Origin gives where dead letters come from; ok is false if nothing is left of the queue.
func (s *Set) Origin(id ID) (o Origin, ok bool) {
	q := s.queues[id]
	if q == nil {
		return Origin{ID: id}, false
	}
	floor, _ := q.outbox.First()
	return Origin{ID: id, VHost: q.vhost, Name: q.name, Config: *q.config, Floor: floor}, true
}

// Config gives a queue's configuration; ok is false if it is not here.
func (s *Set) Config(id ID) (config Config, ok bool) {
	q := s.live(id)
	if q == nil {
		return Config{}, false
	}
	return *q.config, true
}

// Pending visits what a new leader must see to: dead letters that wait, queues that messages wait for, and the next wake-up.
func (s *Set) Pending(visit func(Effect)) {
	s.Awaited(func(id ID) { visit(Effect{Kind: Unknown, Queue: id}) })
	for _, id := range s.ids() {
		if s.queues[id].outbox.Len() > 0 {
			visit(Effect{Kind: DeadLetters, Queue: id})
		}
	}
	if q := s.alarms.first(); q != nil {
		visit(Effect{Kind: WakeAt, Number: uint64(q.armed)})
	}
}

// IDs gives the queues that are here, in order.
func (s *Set) IDs() []ID {
	ids := s.ids()
	live := ids[:0]
	for _, id := range ids {
		if s.live(id) != nil {
			live = append(live, id)
		}
	}
	return live
}

// Live visits the spans in the entries from <= index < to that some queue still needs.
func (s *Set) Live(from, to uint64, visit func(oplog.Span)) {
	some := func(r *run) { visit(r.span()) }
	for _, q := range s.queues {
		if q.ready+q.unacked+q.waiting.count+q.stream.count()+int64(q.outbox.Len()) > 0 {
			q.within(from, to, some)
		}
	}
	s.eachEarly(func(r *run) {
		if r.index >= from && r.index < to {
			some(r)
		}
	})
}

// Messages visits the places of all messages of a queue, whatever became of them so far: ready and handed out ones, those
// held back, and dead letters that wait.
func (s *Set) Messages(id ID, visit func(oplog.Span)) {
	q := s.queues[id]
	if q == nil {
		return
	}
	q.each(func(r *run) {
		for i := uint32(0); i < r.count; i++ {
			visit(oplog.Span{Index: r.index, Offset: r.offset + i*r.stride, Length: r.stride - RecordGap})
		}
	})
}

// Reckon calls account for everything that is alive, as after a Restore.
func (s *Set) Reckon(account func(index uint64, bytes int64)) {
	for _, id := range s.ids() {
		s.queues[id].each(func(r *run) { account(r.index, r.live()) })
	}
	s.eachEarly(func(r *run) { account(r.index, r.live()) })
}

// Holds tells whether any queue has messages.
func (s *Set) Holds() bool {
	for _, q := range s.queues {
		if q.ready > 0 || q.unacked > 0 {
			return true
		}
	}
	return false
}
