package queue

import (
	"maps"
	"slices"

	"github.com/warrenmq/warren/broker/message"
)

// A message may come before its queue: whoever publishes it knew of the queue before this group's leader did. Such messages
// wait. They go into their queue, in order, as soon as it is declared, and are answered for only then; a Delete says that
// there is no such queue any more, and that they have nowhere to go.

// early is messages that wait for their queue: one run, as it would be enqueued.
type early struct {
	run
	to      SessionKey
	channel uint16
	number  uint64 // of the first message; 0: they are not answered for
	seq     uint64 // of the batch, which counts as applied only once they are answered for
	head    []byte // of the first record
}

// earlyMost bounds the runs that wait. What comes beyond that is refused.
const earlyMost = 1 << 16

// earlies is what waits, by queue.
type earlies struct {
	queues  map[ID][]early
	count   int
	batches map[batchKey]int // runs of a batch that are to be answered for
}

// batchKey names a batch of a session.
type batchKey struct {
	session SessionKey
	seq     uint64
}

func (w *earlies) add(id ID, e early) {
	if w.queues == nil {
		w.queues, w.batches = map[ID][]early{}, map[batchKey]int{}
	}
	w.queues[id] = append(w.queues[id], e)
	w.count++
	if e.number != 0 && e.seq != 0 {
		w.batches[batchKey{e.to, e.seq}]++
	}
}

// take gives what waits for a queue, which waits no longer.
func (w *earlies) take(id ID) []early {
	waiting := w.queues[id]
	delete(w.queues, id)
	w.count -= len(waiting)
	return waiting
}

// answered notes that a run was answered for, and tells whether it was the last of its batch.
func (w *earlies) answered(e *early) bool {
	if e.number == 0 || e.seq == 0 {
		return false
	}
	key := batchKey{e.to, e.seq}
	if w.batches[key]--; w.batches[key] > 0 {
		return false
	}
	delete(w.batches, key)
	return true
}

// hold lets a run wait for a queue that is not here; the leader hears of the first one. all is what became of it in its
// other queues, which is told anew: only the first queue that messages wait for answers for them.
func (s *Set) hold(p *publish, id ID, number uint64, r run, all fate) fate {
	head, err := message.HeadOf(p.records[r.offset-p.at:])
	if err != nil || s.early.count >= earlyMost {
		return refused
	}
	if !p.confirm || all != taken {
		number = 0
	}
	if len(s.early.queues[id]) == 0 {
		s.emit(Effect{Kind: Unknown, Queue: id})
	}
	s.keep(&r)
	s.early.add(id, early{run: r, to: s.from, channel: p.channel, number: number, seq: s.seq, head: slices.Clone(head)})
	if all == refused {
		return refused
	}
	return waits
}

// arrive puts what has waited for a queue into it.
func (s *Set) arrive(q *queue) {
	waiting := s.early.take(q.id)
	if len(waiting) == 0 {
		return
	}
	from := s.from
	var h message.Head
	for i := range waiting {
		e := &waiting[i]
		if message.ParseHead(e.head, &h) == nil { // as when it came
			s.from = e.to
			p := publish{confirm: e.number != 0, channel: e.channel, targets: le.AppendUint64(nil, uint64(q.id))}
			s.publishRun(&p, e.number, &h, e.run)
		}
		s.leaves(e)
	}
	s.from = from
	s.settle(q)
}

// turnBack answers for what waits for a queue that does not come, as for messages that were routed nowhere.
func (s *Set) turnBack(id ID) {
	waiting := s.early.take(id)
	for i := range waiting {
		e := &waiting[i]
		if e.number != 0 {
			s.emit(Effect{Kind: Confirm, To: e.to, Channel: e.channel, Number: e.number, Count: e.count})
		}
		s.leaves(e)
	}
}

// leaves is the end of what has waited and is answered for.
func (s *Set) leaves(e *early) {
	s.free(&e.run)
	if s.early.answered(e) {
		s.emit(Effect{Kind: Applied, To: e.to, Number: e.seq})
	}
}

// awaits tells whether a message of the session that asks is going to be answered for by a queue that is to come.
func (s *Set) awaits(channel uint16, number uint64) bool {
	for _, waiting := range s.early.queues {
		for i := range waiting {
			e := &waiting[i]
			if e.to == s.from && e.channel == channel && e.number != 0 && number >= e.number && number-e.number < uint64(e.count) {
				return true
			}
		}
	}
	return false
}

// publishedAgain answers for a run of a batch that was applied before, but for messages that wait.
//
// Where a queue turns publishes away it is not known how it went: such a message counts as refused, which promises nothing.
func (s *Set) publishedAgain(p *publish, number uint64, count uint32) uint64 {
	all := taken
	if s.refuses(p) {
		all = refused
	}
	if s.early.batches[batchKey{s.from, s.seq}] == 0 {
		return s.respond(p, number, count, all)
	}
	for range count {
		one := all
		if s.awaits(p.channel, number) {
			one = waits
		}
		number = s.respond(p, number, 1, one)
	}
	return number
}

// Awaited visits the queues that messages wait for, in order.
func (s *Set) Awaited(visit func(ID)) {
	for _, id := range slices.Sorted(maps.Keys(s.early.queues)) {
		visit(id)
	}
}

// eachEarly visits the runs that wait.
func (s *Set) eachEarly(visit func(*run)) {
	s.Awaited(func(id ID) {
		for i := range s.early.queues[id] {
			visit(&s.early.queues[id][i].run)
		}
	})
}

// Revision is how new the leader's metadata must be for it to say that there is no such queue: somebody who handed
// messages in had metadata of that revision.
func (s *Set) Revision() uint64 { return s.revision }

func (s *Set) appendEarly(dst []byte) []byte {
	dst = le.AppendUint64(dst, s.revision)
	dst = le.AppendUint32(dst, uint32(len(s.early.queues)))
	s.Awaited(func(id ID) {
		waiting := s.early.queues[id]
		dst = le.AppendUint32(le.AppendUint64(dst, uint64(id)), uint32(len(waiting)))
		for i := range waiting {
			e := &waiting[i]
			dst = appendRuns(appendKey(dst, e.to), []run{e.run})
			dst = le.AppendUint64(le.AppendUint64(le.AppendUint16(dst, e.channel), e.number), e.seq)
			dst = appendBytes(dst, e.head)
		}
	})
	return dst
}

func (s *Set) readEarly(r *reader) {
	s.revision = r.uint64()
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		id := ID(r.uint64())
		for m := r.uint32(); m > 0 && !r.bad; m-- {
			e := early{to: SessionKey{Node: r.uint64(), Session: r.uint64()}, run: readRun(r)}
			e.channel, e.number, e.seq = r.uint16(), r.uint64(), r.uint64()
			e.head = append([]byte(nil), r.bytes()...)
			s.early.add(id, e)
		}
	}
}
