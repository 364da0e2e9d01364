package queue

import (
	"cmp"
	"slices"
)

func (s *Set) applyDeclare(d *Declare) {
	q := s.queues[d.Queue]
	switch {
	case q == nil:
		q = s.newQueue(d.Queue, d.VHost, d.Name, d.Config)
		q.lastUsed = s.now
		s.queues[d.Queue] = q
		s.arm(q)
		s.arrive(q)
	case q.config.Type != Quorum:
		q.lastUsed = s.now
	}
	s.answer(d.Request, Done, 0)
}

func (s *Set) applyConfigure(c *Configure) {
	q := s.live(c.Queue)
	if q == nil {
		return
	}
	if c.Config.ExpiresMs != q.config.ExpiresMs && q.config.Type != Quorum {
		q.lastUsed = s.now // a classic queue gets the whole of a new time
	}
	slower := q.config.ConsumerTimeoutMs
	s.configure(q, c.Config)
	if q.config.ConsumerTimeoutMs != slower {
		q.overdue = s.now
		s.endSlow(q)
	}
	s.settle(q)
}

func (s *Set) applyDelete(d *Delete) {
	q := s.live(d.Queue)
	switch {
	case q == nil:
		s.turnBack(d.Queue)
		s.answer(d.Request, NoQueue, 0)
	case d.IfEmpty && q.ready > 0:
		s.answer(d.Request, NotEmpty, uint64(q.ready))
	case d.IfUnused && len(q.consumers) > 0 && q.config.Type != Stream:
		s.answer(d.Request, InUse, uint64(q.ready))
	default:
		ready := uint64(q.ready)
		s.remove(q, Done)
		s.answer(d.Request, Done, ready)
	}
}

func (s *Set) applyPurge(p *Purge) {
	q := s.live(p.Queue)
	if q == nil {
		s.answer(p.Request, NoQueue, 0)
		return
	}
	dropped := uint64(q.limited())
	q.takeAll(func(r *run) {
		q.depart(r)
		s.free(r)
	})
	if q.config.AtLeastOnce {
		s.dropOutbox(q, 0, Everything)
	}
	s.answer(p.Request, Done, dropped)
	s.arm(q)
}

// remove ends a queue. why is Done if somebody asked for it; else the leader has to see to its metadata.
func (s *Set) remove(q *queue, why Outcome) {
	for _, c := range q.consumers {
		s.emit(Effect{Kind: Cancelled, To: c.session.key, Queue: q.id, Consumer: c.id, Channel: c.channel})
		c.gone = true
	}
	holders := slices.Concat(q.consumers, q.strays)
	q.consumers, q.strays, q.levels, q.single, q.exclusive, q.quiescing = nil, nil, nil, nil, nil, false
	q.takeAll(s.free)
	for _, c := range holders {
		s.release(c, 0, Everything, func(r run) {
			if q.config.Type != Stream {
				s.free(&r)
			}
		})
		s.forget(c)
	}
	if why != Done {
		s.emit(Effect{Kind: Gone, Queue: q.id, Outcome: why})
	}
	q.deleted, q.keyring, q.producers, q.letters = true, keyring{}, nil, nil
	s.alarms.remove(q)
	if q.outbox.Len() == 0 {
		delete(s.queues, q.id)
	}
}

func sortSessions(list []*session) {
	slices.SortFunc(list, func(a, b *session) int {
		return cmp.Or(cmp.Compare(a.key.Node, b.key.Node), cmp.Compare(a.key.Session, b.key.Session))
	})
}

func sortedIDs(set map[ID]bool) []ID {
	ids := make([]ID, 0, len(set))
	for id := range set {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
