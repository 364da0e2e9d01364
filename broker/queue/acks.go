package queue

import "github.com/warrenmq/warren/broker/ledger"

func (s *Set) applySettle(a *Settle) {
	c := s.consumer(a.Consumer)
	if c == nil {
		return
	}
	q := c.queue
	n := s.release(c, a.From, a.To, func(r run) { s.settled(q, r) })
	q.stats.Acked += uint64(n)
	s.afterRelease(c)
}

// settled lets messages go that a consumer is done with. Those of a stream stay.
func (s *Set) settled(q *queue, r run) {
	if q.config.Type == Stream {
		return
	}
	q.depart(&r)
	s.free(&r)
}

// release takes messages out of the consumer's hands and visits them.
func (s *Set) release(c *consumer, from, to uint64, visit func(run)) int {
	q := c.queue
	return c.unacked.Take(from, to, func(chunk *ledger.Chunk[handed], taken uint64) {
		openRuns(chunk.Item.run, taken, func(r run) {
			q.unacked -= int64(r.count)
			q.held -= r.bytes()
			visit(r)
		})
	})
}

// afterRelease lets the consumer, which has room again, have more.
func (s *Set) afterRelease(c *consumer) {
	q := c.queue
	s.forget(c)
	s.electSingle(q)
	q.invite(c)
	s.settle(q)
}

func (s *Set) applyReturn(a *Return) {
	c := s.consumer(a.Consumer)
	if c == nil {
		return
	}
	s.giveBack(c, a.From, a.To, a.Cause)
	s.curb(c.queue)
	s.afterRelease(c)
}

// curb drops what returned messages are too many in a classic queue. It does so before anybody gets one of them; a quorum
// queue delivers first.
func (s *Set) curb(q *queue) {
	if q.config.Type != Quorum {
		s.limit(q)
	}
}

// giveBack makes messages in a consumer's hands ready again.
func (s *Set) giveBack(c *consumer, from, to uint64, cause Cause) {
	q := c.queue
	if q.config.Type == Stream { // what was read is where it always was
		s.release(c, from, to, func(run) {})
		return
	}
	s.release(c, from, to, func(back run) {
		if cause == CauseUndelivered {
			q.putBack(back)
			return
		}
		back.flags |= runRedelivered
		q.count(&back, failed(cause))
		if q.exhausted(&back) {
			s.bury(q, back, DeliveryLimit)
			return
		}
		if delay := q.retryDelay(&back, cause); delay > 0 {
			back.due = s.now + delay
			q.waiting.add(back, s.now)
			return
		}
		q.putBack(back)
	})
}

// failed tells whether a return counts toward the delivery limit.
func failed(cause Cause) bool { return cause == CauseReject || cause == CauseClosed }

// count notes a delivery that came back. A failure stays with the message, through dead-lettering from queue to queue, and
// counts and shows when it is in a quorum queue.
func (q *queue) count(r *run, failed bool) {
	if q.config.Type == Quorum {
		r.acquired++
	}
	if failed {
		r.deliveries++
	}
}

// failures is how many failed deliveries the session is told of.
func (q *queue) failures(r *run) uint32 {
	if q.config.Type != Quorum {
		return 0
	}
	return r.deliveries
}

// exhausted tells whether a message has failed too often.
func (q *queue) exhausted(r *run) bool {
	return q.config.Type == Quorum && q.config.DeliveryLimit >= 0 && int64(r.deliveries) > q.config.DeliveryLimit
}

func (s *Set) applyReject(a *Reject) {
	c := s.consumer(a.Consumer)
	if c == nil {
		return
	}
	q := c.queue
	if q.config.Type == Stream {
		s.giveBack(c, a.From, a.To, a.Cause)
		s.afterRelease(c)
		return
	}
	s.release(c, a.From, a.To, func(back run) {
		back.acquired = 0 // the dead letter begins anew; only failures stay with it
		if a.Cause == CauseReject {
			back.deliveries++
		}
		s.bury(q, back, Rejected)
	})
	s.afterRelease(c)
}

func (s *Set) sessionsOf(d *Down) []*session {
	if d.First == d.Last {
		if ses := s.sessions[SessionKey{Node: d.Node, Session: d.First}]; ses != nil {
			return []*session{ses}
		}
		return nil
	}
	var list []*session
	for key, ses := range s.sessions {
		if key.Node == d.Node && key.Session >= d.First && key.Session <= d.Last && key.Session != Grave {
			list = append(list, ses)
		}
	}
	sortSessions(list)
	return list
}

// applyDown ends sessions: what they hold goes back, their consumers go.
func (s *Set) applyDown(d *Down) {
	cause := CauseClosed
	if d.Lost {
		cause = CauseLost
	}
	var all []*consumer
	for _, ses := range s.sessionsOf(d) {
		all = append(all, ses.sorted()...)
		delete(s.sessions, ses.key)
	}
	s.recent = nil
	s.end(all, cause, nil)
	s.answer(d.Request, Done, 0)
	if d.Lost && d.First == 0 && d.Last == Everything {
		s.session(SessionKey{Node: d.Node, Session: Grave}).last++
		s.emit(Effect{Kind: Buried, Number: d.Node})
	}
}

// applyLeave ends what a session has on one channel.
func (s *Set) applyLeave(l *Leave) {
	var all []*consumer
	if ses := s.sessions[s.from]; ses != nil {
		for _, c := range ses.sorted() {
			if c.channel == l.Channel {
				all = append(all, c)
			}
		}
	}
	seen := make(map[uint32]uint64, len(l.Seen))
	for _, one := range l.Seen {
		seen[one.Consumer] = one.Number
	}
	s.end(all, CauseClosed, seen)
	s.answer(l.Request, Done, 0)
}

// end gives back what consumers hold and takes them off their queues, all before anybody gets any of it. seen, if it is
// not nil, says what of it was delivered.
func (s *Set) end(consumers []*consumer, cause Cause, seen map[uint32]uint64) {
	touched := map[ID]bool{}
	for _, c := range consumers {
		if seen != nil {
			s.giveBack(c, 0, seen[c.id], cause)
			s.giveBack(c, 0, Everything, CauseUndelivered)
		}
		s.giveBack(c, 0, Everything, cause)
		if c.gone || c.getter {
			s.forget(c)
		} else {
			s.detach(c)
		}
		touched[c.queue.id] = true
	}
	for _, id := range sortedIDs(touched) {
		q := s.queues[id]
		if s.abandoned(q) {
			s.remove(q, Unused)
			continue
		}
		s.electSingle(q)
		s.curb(q)
		s.settle(q)
	}
}

func (s *Set) applyAdjust(a *Adjust) {
	c := s.consumer(a.Consumer)
	if c == nil || c.gone {
		return
	}
	c.prefetch = a.Prefetch
	c.queue.invite(c)
	s.settle(c.queue)
}
