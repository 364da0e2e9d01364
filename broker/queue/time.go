package queue

// elapse lets the log's time reach the queues whose moment has come.
func (s *Set) elapse() {
	for q := s.alarms.first(); q != nil && q.armed <= s.now; q = s.alarms.first() {
		s.alarms.remove(q)
		if s.outlived(q) {
			s.remove(q, Expired)
			continue
		}
		s.endSlow(q)
		s.settle(q)
	}
}

// outlived tells whether nobody has used the queue for as long as it may be unused.
func (s *Set) outlived(q *queue) bool {
	at := q.outlives()
	return at != 0 && s.now >= at
}

// quorumPatience is how much longer an unused quorum queue lives: RabbitMQ looks at those only every five seconds.
const quorumPatience = 5000

// outlives is when an unused queue ends; 0: never.
func (q *queue) outlives() int64 {
	if q.config.ExpiresMs == None || len(q.consumers) > 0 {
		return 0
	}
	at := q.lastUsed + q.config.ExpiresMs
	if q.config.Type == Quorum {
		at += quorumPatience
	}
	return at
}

// expire takes messages whose time is over off the head; a quorum queue has one for each priority.
func (s *Set) expire(q *queue) {
	if q.config.Type != Quorum {
		for r, from := q.front(); r != nil && s.over(r); r, from = q.front() {
			s.bury(q, q.takeFront(from, r.count), ExpiredTTL)
		}
		return
	}
	for {
		r := q.returned.front()
		if r == nil || !s.over(r) {
			break
		}
		s.bury(q, q.takeFront(fromReturned, r.count), ExpiredTTL)
	}
	for p := q.lanes.top(); p >= 0; {
		if r := q.lanes.list[p].front(); s.over(r) {
			s.bury(q, q.takeFront(p, r.count), ExpiredTTL)
			p = q.lanes.below(p + 1)
		} else {
			p = q.lanes.below(p)
		}
	}
}

func (s *Set) over(r *run) bool { return r.expires != 0 && r.expires <= s.now }

// limit drops messages off the head until the queue is within its limits again. One that has waited too long behind others
// expires when it comes to the head.
func (s *Set) limit(q *queue) {
	c := q.config
	if c.MaxLength == None && c.MaxLengthBytes == None || q.refuses() {
		return
	}
	for {
		excess := int64(0)
		r, from := q.front()
		if r == nil {
			return
		}
		if s.over(r) {
			s.bury(q, q.takeFront(from, r.count), ExpiredTTL)
			continue
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
		s.bury(q, q.takeFront(from, uint32(min(excess, int64(r.count)))), MaxLength)
	}
}

// limited is what a length limit counts: ready messages, and in a quorum queue those that wait for their dead-letter
// target.
func (q *queue) limited() int64 {
	if q.config.AtLeastOnce {
		return q.ready + q.waiting.count + int64(q.outbox.Len())
	}
	return q.ready + q.waiting.count
}

func (q *queue) limitedBytes() int64 {
	if q.config.AtLeastOnce {
		return q.bytes + q.waiting.bytes + q.outboxBytes
	}
	return q.bytes + q.waiting.bytes
}

// arm sees to it that the queue is looked at when something in it becomes due.
func (s *Set) arm(q *queue) {
	at := q.due()
	if q.scanning {
		at = s.now + 1
	}
	if at != 0 && (q.armed == 0 || at < q.armed) {
		s.alarms.set(q, at)
	}
}

// due is the next moment at which time alone changes the queue; 0: never.
func (q *queue) due() int64 {
	at := int64(0)
	sooner := func(t int64) {
		if t != 0 && (at == 0 || t < at) {
			at = t
		}
	}
	if q.config.Type != Quorum {
		if r, _ := q.front(); r != nil {
			sooner(r.expires)
		}
	} else {
		if r := q.returned.front(); r != nil {
			sooner(r.expires)
		}
		for p := q.lanes.top(); p >= 0; p = q.lanes.below(p) {
			sooner(q.lanes.list[p].front().expires)
		}
	}
	sooner(q.outlives())
	if len(q.stream.segments) > 1 && q.config.MaxAgeMs != None {
		sooner(q.stream.segments[0].newest + q.config.MaxAgeMs)
	}
	sooner(q.waiting.next())
	sooner(q.overdue)
	return at
}

// wake asks for a Tick when the first alarm is due, once for each moment.
func (s *Set) wake() {
	if q := s.alarms.first(); q != nil && q.armed != s.woken {
		s.woken = q.armed
		s.emit(Effect{Kind: WakeAt, Number: uint64(q.armed)})
	}
}
