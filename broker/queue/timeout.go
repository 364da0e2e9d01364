package queue

// A consumer of a quorum queue has a limited time to settle what it was given, and so has who only gets, or was detached
// while holding something. Who exceeds it is detached, and what it holds goes to others.

// patience is how long the consumer may take, 0 if as long as it likes.
func (c *consumer) patience() int64 {
	q := c.queue
	switch {
	case q.config.Type != Quorum || c.noAck && !c.getter: // a getter says for each message whether it acknowledges
		return 0
	case c.timeout > 0:
		return c.timeout
	case q.config.ConsumerTimeoutMs != None:
		return q.config.ConsumerTimeoutMs
	}
	return 0
}

// watch sees to it that the queue is looked at when c, which now holds something, may have been too slow. The moment is
// only a lower bound, so that acknowledging costs nothing.
func (s *Set) watch(q *queue, c *consumer) {
	patience := c.patience()
	if patience == 0 {
		return
	}
	if at := s.now + patience; q.overdue == 0 || at < q.overdue {
		q.overdue = at
	}
}

// endSlow detaches the consumers that have been too slow, and finds the next moment to look.
func (s *Set) endSlow(q *queue) {
	if q.overdue == 0 || s.now < q.overdue {
		return
	}
	q.overdue = 0
	var slow []*consumer
	for _, list := range [...][]*consumer{q.consumers, q.strays} {
		for _, c := range list {
			patience := c.patience()
			since, holds := c.oldest()
			if patience == 0 || !holds {
				continue
			}
			if at := since + patience; at <= s.now {
				slow = append(slow, c)
			} else if q.overdue == 0 || at < q.overdue {
				q.overdue = at
			}
		}
	}
	for _, c := range slow {
		s.emit(Effect{
			Kind: Cancelled, Outcome: TimedOut, To: c.session.key, Queue: q.id, Consumer: c.id, Channel: c.channel,
			Number: uint64(c.patience()),
		})
		s.giveBack(c, 0, Everything, CauseTimeout)
		if c.gone || c.getter {
			s.forget(c)
		} else {
			s.detach(c)
		}
	}
	if len(slow) > 0 {
		s.electSingle(q)
	}
}

// oldest is the log time of what the consumer has held longest.
func (c *consumer) oldest() (since int64, holds bool) {
	chunk, ok := c.unacked.Front()
	if !ok {
		return 0, false
	}
	return chunk.Item.since, true
}
