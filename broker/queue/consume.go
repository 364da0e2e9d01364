package queue

import "slices"

func (s *Set) applyAttach(a *Attach) {
	q := s.live(a.Queue)
	if q == nil {
		s.answer(a.Request, NoQueue, 0)
		return
	}
	if s.consumer(a.Consumer) != nil {
		s.answer(a.Request, InUse, 0)
		return
	}
	exclusive := a.Exclusive && q.config.Type == Classic
	if q.exclusive != nil || exclusive && (len(q.consumers) > 0 || q.config.SingleActive) {
		s.answer(a.Request, ExclusiveUse, 0)
		return
	}
	ses := s.session(s.from)
	c := &consumer{
		id: a.Consumer, session: ses, queue: q, channel: a.Channel, tag: a.Tag, arguments: a.Arguments,
		priority: a.Priority, prefetch: a.Prefetch, window: int64(a.Window), timeout: a.TimeoutMs,
		next: 1, noAck: a.NoAck, exclusive: exclusive, filters: a.Filters, unfiltered: a.Unfiltered,
	}
	if q.config.Type == Stream {
		s.seek(q, c, a.From)
	}
	ses.consumers[c.id] = c
	q.consumers = append(q.consumers, c)
	q.everUsed = true
	if exclusive {
		q.exclusive = c
	}
	s.answer(a.Request, Done, uint64(q.ready))
	s.electSingle(q)
	q.invite(c)
	s.settle(q)
}

// live gives a queue that is there for commands.
func (s *Set) live(id ID) *queue {
	if q := s.queues[id]; q != nil && !q.deleted {
		return q
	}
	return nil
}

// electSingle names the single active consumer where the queue has one: of those with the highest priority, the first that
// came. In a quorum queue a better one takes over as soon as the one before has nothing unacked.
func (s *Set) electSingle(q *queue) {
	q.quiescing = false
	if !q.config.SingleActive || len(q.consumers) == 0 || q.single != nil && q.config.Type != Quorum {
		return
	}
	best := q.consumers[0]
	for _, c := range q.consumers[1:] {
		if c.priority > best.priority {
			best = c
		}
	}
	if before := q.single; before != nil {
		if best.priority <= before.priority {
			return
		}
		if before.unacked.Len() > 0 {
			q.quiescing = true
			return
		}
		s.emit(Effect{Kind: Active, To: before.session.key, Queue: q.id, Consumer: before.id})
	}
	q.single = best
	s.emit(Effect{Kind: Active, To: best.session.key, Queue: q.id, Consumer: best.id, Count: 1})
}

func (s *Set) applyDetach(d *Detach) {
	c := s.consumer(d.Consumer)
	if c == nil || c.gone || c.getter {
		s.answerFor(d.Consumer, d.Request, Done, 0)
		return
	}
	q := c.queue
	s.detach(c)
	if s.abandoned(q) {
		s.remove(q, Unused)
	} else {
		s.electSingle(q)
		s.settle(q)
	}
	s.answerFor(d.Consumer, d.Request, Done, 0)
}

// detach takes a consumer off its queue. What it holds stays in its hands.
func (s *Set) detach(c *consumer) {
	q := c.queue
	c.gone = true
	if i := slices.Index(q.consumers, c); i >= 0 {
		q.consumers = slices.Delete(q.consumers, i, i+1)
	}
	if q.exclusive == c {
		q.exclusive = nil
	}
	if q.single == c {
		q.single = nil
	}
	q.leave(c)
	q.lastUsed = s.now
	q.strays = append(q.strays, c)
	s.forget(c)
}

// forget drops a consumer that is neither attached nor holds anything.
func (s *Set) forget(c *consumer) {
	if !c.gone && !c.getter || c.unacked.Len() > 0 {
		return
	}
	delete(c.session.consumers, c.id)
	q := c.queue
	if i := slices.Index(q.strays, c); i >= 0 {
		q.strays = slices.Delete(q.strays, i, i+1)
	}
}

// abandoned tells whether auto-delete strikes.
func (s *Set) abandoned(q *queue) bool {
	return q.config.AutoDelete && q.everUsed && len(q.consumers) == 0
}

func (s *Set) applyCredit(cr *Credit) {
	c := s.consumer(cr.Consumer)
	if c == nil || c.gone {
		return
	}
	c.window += int64(cr.Bytes)
	c.queue.invite(c)
	s.settle(c.queue)
}

func (s *Set) applyGet(g *Get) {
	q := s.live(g.Queue)
	if q == nil {
		s.answer(g.Request, NoQueue, 0)
		return
	}
	if q.config.SingleActive && q.config.Type == Quorum {
		s.answer(g.Request, SingleActive, 0)
		return
	}
	if c := s.consumer(g.Consumer); c != nil && (!c.getter || c.queue != q) {
		s.answer(g.Request, InUse, 0)
		return
	}
	q.lastUsed = s.now
	s.expire(q)
	r, from := q.front()
	if r == nil {
		q.stats.GotEmpty++
		s.answer(g.Request, Empty, 0)
		s.arm(q)
		return
	}
	c := s.holder(q, g)
	one := q.takeFront(from, 1)
	s.expire(q)
	number := c.next
	c.next++
	s.emit(Effect{
		Kind: Got, To: s.from, Queue: q.id, Consumer: c.id, Channel: g.Channel, Request: g.Request, NoAck: g.NoAck,
		Number: number, Count: 1, Index: one.index, Offset: one.offset, Stride: one.stride, Ready: uint64(q.ready),
		Redelivered: one.flags&runRedelivered != 0, Deliveries: q.failures(&one), Acquired: one.acquired,
	})
	c.noAck = g.NoAck
	s.handOver(q, c, number, one)
	s.forget(c)
	s.arm(q)
}

// holder gives the consumer that stands for what a channel got, new if it holds nothing.
func (s *Set) holder(q *queue, g *Get) *consumer {
	ses := s.session(s.from)
	if c := ses.consumers[g.Consumer]; c != nil {
		return c
	}
	c := &consumer{id: g.Consumer, session: ses, queue: q, channel: g.Channel, next: 1, getter: true}
	ses.consumers[c.id] = c
	q.strays = append(q.strays, c)
	return c
}
