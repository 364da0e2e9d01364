package queue

import "fmt"

// commandAgain answers a command that was applied before.
func (m *model) commandAgain(c Command) {
	switch c := c.(type) {
	case *Attach:
		switch {
		case m.consumer(c.Consumer) != nil:
			m.answer(c.Request, Done, 0)
		case m.live(c.Queue) == nil:
			m.answer(c.Request, NoQueue, 0)
		default:
			m.answer(c.Request, ExclusiveUse, 0)
		}
	case *Get:
		m.getAgain(c)
	case *Delete:
		if m.live(c.Queue) != nil {
			m.delete(c)
			return
		}
		m.answer(c.Request, Done, 0)
	case *Purge:
		outcome := Done
		if m.live(c.Queue) == nil {
			outcome = NoQueue
		}
		m.answer(c.Request, outcome, 0)
	case *Declare:
		m.answer(c.Request, Done, 0)
	case *Detach:
		m.answer(c.Request, Done, 0)
	case *Down:
		m.answer(c.Request, Done, 0)
	case *Leave:
		m.answer(c.Request, Done, 0)
	}
}

// getAgain gives what the holder has in its hands.
func (m *model) getAgain(c *Get) {
	q, holder := m.live(c.Queue), m.consumer(c.Consumer)
	switch {
	case holder != nil && holder.getter && holder.q.id == c.Queue && len(holder.unacked) > 0:
		got := holder.unacked[0]
		m.seen.add(fmt.Sprint("replies ", m.from), "got %d: c%d ch%d #%d %s, %d left", c.Request, c.Consumer, c.Channel,
			got.number, holder.q.describe(got.m, false), holder.q.count())
	case q == nil:
		m.answer(c.Request, NoQueue, 0)
	case q.quorum() && q.c.SingleActive:
		m.answer(c.Request, SingleActive, 0)
	default:
		m.answer(c.Request, Empty, 0)
	}
}
