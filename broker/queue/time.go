package queue

// elapse lets the log's time reach the queues whose moment has come.
func (s *Set) elapse() {
	for len(s.alarms.items) > 0 && s.alarms.items[0].at <= s.now {
		a := s.alarms.pop()
		q := s.queues[a.queue]
		if q == nil || q.armed != a.at {
			continue
		}
		q.armed = 0
		if q.deleted {
			continue
		}
		if s.outlived(q) {
			s.remove(q, Expired)
			continue
		}
		s.settle(q)
	}
}

// outlived tells whether nobody has used the queue for as long as it may be unused.
func (s *Set) outlived(q *queue) bool {
	return q.config.ExpiresMs != None && len(q.consumers) == 0 && s.now >= q.lastUsed+q.config.ExpiresMs
}

// expire takes messages whose time is over off the heads. One that came with this very entry is given a chance first:
// a time-to-live of zero means "only if somebody takes it at once".
func (s *Set) expire(q *queue) {
	for {
		r := q.returned.front()
		if r == nil || !s.over(r) {
			break
		}
		s.bury(q, q.takeFront(fromReturned, r.count), ExpiredTTL, false)
	}
	for i := range q.lanes {
		for {
			r := q.lanes[i].front()
			if r == nil || !s.over(r) {
				break
			}
			s.bury(q, q.takeFront(i, r.count), ExpiredTTL, false)
		}
	}
}

func (s *Set) over(r *run) bool { return r.expires != 0 && r.expires <= s.now && r.index != s.fresh }

// limit drops messages off the head until the queue is within its limits again.
func (s *Set) limit(q *queue) {
	c := &q.config
	if c.MaxLength == None && c.MaxLengthBytes == None || q.refuses() {
		return
	}
	for {
		excess := int64(0)
		r, from := q.front()
		if r == nil {
			return
		}
		if c.MaxLength != None {
			excess = q.limited() - c.MaxLength
		}
		if over := q.limitedBytes() - c.MaxLengthBytes; c.MaxLengthBytes != None && over > 0 {
			excess = max(excess, (over+max(int64(r.size), 1)-1)/max(int64(r.size), 1))
		}
		if excess <= 0 {
			return
		}
		s.bury(q, q.takeFront(from, uint32(min(excess, int64(r.count)))), MaxLength, false)
	}
}

// limited is what a length limit counts: ready messages, and in a quorum queue those that wait for their dead-letter
// target.
func (q *queue) limited() int64 {
	if q.config.AtLeastOnce {
		return q.ready + int64(q.outbox.Len())
	}
	return q.ready
}

func (q *queue) limitedBytes() int64 {
	if q.config.AtLeastOnce {
		return q.bytes + q.outboxBytes
	}
	return q.bytes
}

// arm sees to it that the queue is looked at when something in it becomes due.
func (s *Set) arm(q *queue) {
	at := q.due()
	if at == 0 || q.armed != 0 && q.armed <= at {
		return
	}
	q.armed = at
	s.alarms.push(alarm{at: at, queue: q.id})
}

// due is the next moment at which time alone changes the queue; 0: never.
func (q *queue) due() int64 {
	at := int64(0)
	sooner := func(t int64) {
		if t != 0 && (at == 0 || t < at) {
			at = t
		}
	}
	if r := q.returned.front(); r != nil {
		sooner(r.expires)
	}
	for i := range q.lanes {
		if r := q.lanes[i].front(); r != nil {
			sooner(r.expires)
		}
	}
	if q.config.ExpiresMs != None && len(q.consumers) == 0 {
		sooner(q.lastUsed + q.config.ExpiresMs)
	}
	return at
}

// wake asks for a Tick when the first alarm is due, once for each moment.
func (s *Set) wake() {
	if len(s.alarms.items) == 0 {
		return
	}
	if at := s.alarms.items[0].at; at != s.woken {
		s.woken = at
		s.emit(Effect{Kind: WakeAt, Number: uint64(at)})
	}
}

// alarm is a queue's wish to be looked at.
type alarm struct {
	at    int64
	queue ID
}

// alarms is a heap of alarms, the soonest first. A queue's alarm that no longer holds is recognised when it goes off.
type alarms struct{ items []alarm }

func (h *alarms) less(i, j int) bool {
	a, b := h.items[i], h.items[j]
	return a.at < b.at || a.at == b.at && a.queue < b.queue
}

func (h *alarms) push(a alarm) {
	h.items = append(h.items, a)
	for i := len(h.items) - 1; i > 0; {
		up := (i - 1) / 2
		if !h.less(i, up) {
			return
		}
		h.items[i], h.items[up] = h.items[up], h.items[i]
		i = up
	}
}

func (h *alarms) pop() alarm {
	first := h.items[0]
	n := len(h.items) - 1
	h.items[0] = h.items[n]
	h.items = h.items[:n]
	for i := 0; ; {
		low := 2*i + 1
		if low >= n {
			return first
		}
		if low+1 < n && h.less(low+1, low) {
			low++
		}
		if !h.less(low, i) {
			return first
		}
		h.items[i], h.items[low] = h.items[low], h.items[i]
		i = low
	}
}
