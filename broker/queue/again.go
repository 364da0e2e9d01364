package queue

// A batch that comes again was applied before, and its answers may be lost. Publishes answer for themselves, see respond;
// here is what the other commands say.

// answerAgain answers a command of a batch that was applied before, as far as the state shows how it went.
func (s *Set) answerAgain(c Command) {
	switch c := c.(type) {
	case *Attach:
		s.answer(c.Request, s.attachedAlready(c), 0)
	case *Detach:
		s.answerFor(c.Consumer, c.Request, Done, 0)
	case *Get:
		s.getAgain(c)
	case *Delete:
		if s.live(c.Queue) != nil {
			s.applyDelete(c) // it was refused, or the queue has come back: whoever asks still waits
			return
		}
		s.answer(c.Request, Done, 0)
	case *Declare:
		s.answer(c.Request, Done, 0)
	case *Purge:
		outcome := Done
		if s.live(c.Queue) == nil {
			outcome = NoQueue
		}
		s.answer(c.Request, outcome, 0)
	case *Down:
		s.answer(c.Request, Done, 0)
	case *Leave:
		s.answer(c.Request, Done, 0)
	}
}

// Without gives how a request ends if its group is gone, and all queues in it.
func Without(c Command) Outcome {
	switch c.(type) {
	case *Attach, *Get, *Purge:
		return NoQueue
	}
	return Done
}

// attachedAlready tells what became of an Attach.
func (s *Set) attachedAlready(a *Attach) Outcome {
	switch {
	case s.consumer(a.Consumer) != nil:
		return Done
	case s.live(a.Queue) == nil:
		return NoQueue
	}
	return ExclusiveUse
}

// getAgain gives the message that a holder has in its hands. What was taken without acknowledgement is gone.
func (s *Set) getAgain(g *Get) {
	c := s.consumer(g.Consumer)
	if c == nil || !c.getter || c.queue.id != g.Queue || c.unacked.Len() == 0 {
		s.answer(g.Request, s.gotNothing(g), 0)
		return
	}
	number, _ := c.unacked.First()
	held, _ := c.unacked.Front()
	one := held.Item.part(uint32(number-held.First), 1)
	s.emit(Effect{
		Kind: Got, To: s.from, Queue: c.queue.id, Consumer: c.id, Channel: g.Channel, Request: g.Request,
		Number: number, Count: 1, Index: one.index, Offset: one.offset, Stride: one.stride, Ready: uint64(c.queue.ready),
		Redelivered: one.flags&runRedelivered != 0, Deliveries: c.queue.failures(&one), Acquired: one.acquired,
	})
}

// gotNothing tells why.
func (s *Set) gotNothing(g *Get) Outcome {
	switch q := s.live(g.Queue); {
	case q == nil:
		return NoQueue
	case q.config.SingleActive && q.config.Type == Quorum:
		return SingleActive
	}
	return Empty
}
