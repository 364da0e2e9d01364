package queue

import (
	"cmp"
	"slices"
)

// checkout hands ready messages to consumers that have room, until one of both runs out. Each message is looked at when
// it is next: it may have waited too long behind others. One that came with this very entry is given its chance all the
// same: a time-to-live of zero means "only if somebody takes it at once".
func (s *Set) checkout(q *queue) {
	for {
		r, from := q.front()
		if r == nil {
			return
		}
		if s.over(r) && (r.index != s.index || from == fromReturned) {
			s.bury(q, q.takeFront(from, r.count), ExpiredTTL)
			continue
		}
		c, alone := q.nextConsumer()
		if c == nil {
			return
		}
		n := c.room(r)
		if !alone {
			n = min(n, 1)
		}
		s.deliver(q, c, q.takeFront(from, n))
		q.invite(c)
	}
}

// nextConsumer takes the consumer whose turn it is out of its level; alone tells that nobody else of its priority waits.
func (q *queue) nextConsumer() (c *consumer, alone bool) {
	if q.config.SingleActive {
		if c := q.single; c != nil && c.open() && !q.quiescing {
			return c, true
		}
		return nil, false
	}
	for i := range q.levels {
		l := &q.levels[i]
		for l.at < len(l.waiting) {
			c := l.pop()
			c.waiting = false
			if c.open() {
				return c, l.at == len(l.waiting)
			}
		}
	}
	return nil, false
}

// leave takes a consumer out of its level, and the level away if nobody is left in it.
func (q *queue) leave(c *consumer) {
	i, found := q.level(c.priority)
	if !found {
		return
	}
	l := &q.levels[i]
	if c.waiting {
		c.waiting = false
		at := l.at + slices.Index(l.waiting[l.at:], c)
		l.waiting = slices.Delete(l.waiting, at, at+1)
	}
	if l.at == len(l.waiting) {
		q.levels = slices.Delete(q.levels, i, i+1)
	}
}

func (l *level) pop() *consumer {
	c := l.waiting[l.at]
	l.waiting[l.at] = nil
	l.at++
	if l.at == len(l.waiting) {
		l.waiting, l.at = l.waiting[:0], 0
	}
	return c
}

func (l *level) push(c *consumer) {
	if len(l.waiting) == cap(l.waiting) && l.at > len(l.waiting)/2 {
		n := copy(l.waiting, l.waiting[l.at:])
		clear(l.waiting[n:])
		l.waiting, l.at = l.waiting[:n], 0
	}
	l.waiting = append(l.waiting, c)
}

// invite puts a consumer that has room behind the others of its priority.
func (q *queue) invite(c *consumer) {
	if c.waiting || c.getter || !c.open() || q.config.SingleActive || q.config.Type == Stream {
		return
	}
	q.enter(c)
}

// enter puts a consumer at the end of its level.
func (q *queue) enter(c *consumer) {
	i, found := q.level(c.priority)
	if !found {
		q.levels = slices.Insert(q.levels, i, level{priority: c.priority})
	}
	q.levels[i].push(c)
	c.waiting = true
}

// level finds the level of a priority, or where it would be.
func (q *queue) level(priority int64) (at int, found bool) {
	return slices.BinarySearchFunc(q.levels, priority, func(l level, p int64) int { return cmp.Compare(p, l.priority) })
}

// deliver puts r, which has left the ready messages, into the hands of c.
func (s *Set) deliver(q *queue, c *consumer, r run) {
	first := c.next
	c.next += uint64(r.count)
	c.window -= int64(r.count) * (int64(r.stride) + DeliveryOverhead)
	s.emit(Effect{
		Kind: Deliver, To: c.session.key, Queue: q.id, Consumer: c.id, Channel: c.channel, NoAck: c.noAck,
		Number: first, Count: r.count, Index: r.index, Offset: r.offset, Stride: r.stride,
		Redelivered: r.flags&runRedelivered != 0, Deliveries: q.failures(&r), Acquired: r.acquired,
	})
	s.handOver(q, c, first, r)
}

// handOver moves r to the unacked messages, or lets it go if no acknowledgement will come.
func (s *Set) handOver(q *queue, c *consumer, first uint64, r run) {
	if r.flags&runRedelivered != 0 {
		q.stats.Redelivered += uint64(r.count)
	}
	*q.stats.handedOver(c) += uint64(r.count)
	if c.noAck {
		q.depart(&r)
		s.free(&r)
		return
	}
	s.watch(q, c)
	q.unacked += int64(r.count)
	q.held += r.bytes()
	c.hold(first, r, s.now)
}

// handedOver is the counter for messages that go to c.
func (st *Stats) handedOver(c *consumer) *uint64 {
	switch {
	case c.getter && c.noAck:
		return &st.GotNoAck
	case c.getter:
		return &st.Got
	case c.noAck:
		return &st.DeliveredNoAck
	}
	return &st.Delivered
}
