// Package queue owns the queue machine: all queues of one group, changed by commands, answering with effects.
//
// It has no clock, lock, goroutine, logger, random number or environment: the same commands give the same state and the
// same effects on every member of the group and in every run.
//
//  1. A session gathers commands in a Batch; the group's log orders batches into entries.
//  2. Set.Apply decodes the commands of an entry one after another. A publish becomes runs in its queues; an
//     acknowledgement takes runs out of a consumer's ledger.
//  3. Every command ends in settle for the queues it touched: checkout hands ready messages to consumers with room, what is
//     too old expires, what is over a length limit is dropped, and the next moment of interest is noted.
//  4. Effects say what the leader must now do. What bytes of the log came to life or died goes to the account function.
package queue

import (
	"cmp"
	"slices"

	"github.com/warrenmq/warren/store/oplog"
)

// Set is the queues of one group. owner: the group's log
type Set struct {
	queues   map[ID]*queue
	sessions map[SessionKey]*session
	recent   *session
	early    earlies
	revision uint64 // of the newest metadata that the leader may not have had; see Knows
	alarms   alarms
	account  func(index uint64, bytes int64)
	shared   *Config // of the queue that was configured last: most are configured alike

	// of the entry being applied
	index uint64
	now   int64
	woken int64 // log time of the last WakeAt
	out   []Effect
	from  SessionKey
	seq   uint64
	owed  oplogDebt

	reader  reader  // scratch, as are these
	publish publish // the commands that come with every burst
	settles Settle
	credits Credit
	returns Return
	gets    Get
}

// oplogDebt gathers changes of live bytes in one entry.
type oplogDebt struct {
	index uint64
	bytes int64
}

// NewSet makes an empty set. account is told of every change in the live bytes of an entry.
func NewSet(account func(index uint64, bytes int64)) *Set {
	return &Set{queues: map[ID]*queue{}, sessions: map[SessionKey]*session{}, account: account}
}

// Apply changes the queues by one entry and appends what must now happen to out. An error means that the entry holds
// something this version does not know: the state is then of no use.
func (s *Set) Apply(e *oplog.Entry, out []Effect) ([]Effect, error) {
	s.index, s.out = e.Index, out
	s.now = max(s.now, e.Time)
	s.elapse()
	for i := range e.Batches {
		if err := s.applyBatch(&e.Batches[i]); err != nil {
			return s.out, err
		}
	}
	s.wake()
	s.pay()
	out, s.out = s.out, nil
	return out, nil
}

func (s *Set) applyBatch(b *oplog.Batch) error {
	s.from, s.seq = SessionKey{Node: b.From.Node, Session: b.From.Session}, b.From.Seq
	again := false
	if b.From.Seq != 0 && s.from.Node != Forwarders {
		ses := s.session(s.from)
		if b.From.Seq > ses.last+1 {
			return nil // one before it was lost: both come again, in order
		}
		again = b.From.Seq <= ses.last
		ses.last = max(ses.last, b.From.Seq)
	}
	data, at := b.Data, b.At
	for len(data) > 0 {
		if len(data) < commandHead || data[1] != commandVersion {
			return ErrCommand
		}
		op, n := Op(data[0]), le.Uint32(data[2:])
		if uint64(len(data)) < commandHead+uint64(n) {
			return ErrCommand
		}
		payload := data[commandHead : commandHead+n]
		if err := s.applyCommand(op, payload, at+commandHead, again); err != nil {
			return err
		}
		data, at = data[commandHead+n:], at+commandHead+n
	}
	if b.From.Seq != 0 && s.early.batches[batchKey{s.from, s.seq}] == 0 {
		s.emit(Effect{Kind: Applied, To: s.from, Number: b.From.Seq})
	}
	return nil
}

func (s *Set) applyCommand(op Op, payload []byte, at uint32, again bool) error {
	if op == OpPublish {
		if err := s.publish.decode(payload, at); err != nil {
			return err
		}
		s.publish.again = again
		return s.applyPublish(&s.publish)
	}
	c := s.newCommand(op)
	if c == nil {
		return ErrCommand
	}
	s.reader = reader{data: payload}
	c.decode(&s.reader)
	if s.reader.bad {
		return ErrCommand
	}
	if again {
		s.answerAgain(c)
	} else {
		s.applyOther(c)
	}
	return nil
}

func (s *Set) newCommand(op Op) Command {
	switch op {
	case OpSettle:
		return &s.settles
	case OpCredit:
		return &s.credits
	case OpReturn:
		return &s.returns
	case OpReject:
		return new(Reject)
	case OpGet:
		return &s.gets
	case OpAttach:
		return new(Attach)
	case OpDetach:
		return new(Detach)
	case OpDeclare:
		return new(Declare)
	case OpConfigure:
		return new(Configure)
	case OpDelete:
		return new(Delete)
	case OpPurge:
		return new(Purge)
	case OpDown:
		return new(Down)
	case OpTick:
		return new(Tick)
	case OpForwarded:
		return new(Forwarded)
	case OpLeave:
		return new(Leave)
	case OpAdjust:
		return new(Adjust)
	case OpKnows:
		return new(Knows)
	}
	return nil
}

func (s *Set) applyOther(c Command) {
	switch c := c.(type) {
	case *Settle:
		s.applySettle(c)
	case *Credit:
		s.applyCredit(c)
	case *Return:
		s.applyReturn(c)
	case *Reject:
		s.applyReject(c)
	case *Get:
		s.applyGet(c)
	case *Attach:
		s.applyAttach(c)
	case *Detach:
		s.applyDetach(c)
	case *Declare:
		s.applyDeclare(c)
	case *Configure:
		s.applyConfigure(c)
	case *Delete:
		s.applyDelete(c)
	case *Purge:
		s.applyPurge(c)
	case *Down:
		s.applyDown(c)
	case *Forwarded:
		s.applyForwarded(c)
	case *Leave:
		s.applyLeave(c)
	case *Adjust:
		s.applyAdjust(c)
	case *Knows:
		s.revision = max(s.revision, c.Revision)
	case *Tick: // time has passed already, in Apply
		s.woken = 0 // one that came too early wants to be called again
	}
}

func (s *Set) emit(e Effect) { s.out = append(s.out, e) }

func (s *Set) answer(request uint32, outcome Outcome, ready uint64) {
	s.answerFor(0, request, outcome, ready)
}

// answerFor is answer for a request about a consumer: it comes behind what the consumer is given.
func (s *Set) answerFor(consumer, request uint32, outcome Outcome, ready uint64) {
	if request != 0 {
		s.emit(Effect{Kind: Answer, To: s.from, Consumer: consumer, Request: request, Outcome: outcome, Ready: ready})
	}
}

// keep notes that r keeps its bytes alive; free that it no longer does.
func (s *Set) keep(r *run) { s.owe(r.index, r.live()) }
func (s *Set) free(r *run) { s.owe(r.index, -r.live()) }

func (s *Set) owe(index uint64, bytes int64) {
	if s.owed.index != index {
		s.pay()
		s.owed.index = index
	}
	s.owed.bytes += bytes
}

func (s *Set) pay() {
	if s.owed.bytes != 0 {
		s.account(s.owed.index, s.owed.bytes)
		s.owed.bytes = 0
	}
}

// settle brings a queue to rest after a command touched it.
func (s *Set) settle(q *queue) {
	if q.deleted {
		return
	}
	if q.config.Type == Stream {
		s.feed(q)
		q.stream.trim(q.config.MaxLengthBytes, q.config.MaxAgeMs, s.now, s.free)
		s.arm(q)
		return
	}
	s.releaseDue(q)
	s.checkout(q)
	s.expire(q)
	s.limit(q)
	s.arm(q)
}

// ids gives the queues in order, for whatever must not depend on the order of a map.
func (s *Set) ids() []ID {
	ids := make([]ID, 0, len(s.queues))
	for id := range s.queues {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// sorted gives a session's consumers in order.
func (ses *session) sorted() []*consumer {
	list := make([]*consumer, 0, len(ses.consumers))
	for _, c := range ses.consumers {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *consumer) int { return cmp.Compare(a.id, b.id) })
	return list
}
