package group

import (
	"container/heap"

	"github.com/warrenmq/warren/broker/queue"
)

// Gate stands between groups and sessions where there are other nodes. Its methods are called on the goroutines of groups,
// and never block.
type Gate interface {
	// Pass takes the events of one group for a session, and gives those that are to be posted here; it may change the slice.
	Pass(to queue.SessionKey, events []Event) []Event
	// Room tells whether deliveries of a group to a session of another node are welcome; here is false for sessions of this
	// one. If they are not, w is told once they are.
	Room(group uint64, to queue.SessionKey, w Waker) (room, elsewhere bool)
	// Leads tells that a group began or ceased to lead here.
	Leads(g *Group, leading bool)
	// Buried tells that a group has ended all sessions of a node: one that was attached has to begin anew.
	Buried(group, node uint64)
	// Gone tells that a session of this node ended.
	Gone(key queue.SessionKey)
}

// Caller is a session that has lost its leader, or the way to it.
type Caller struct {
	Key  queue.SessionKey
	Seen []queue.Seen // the consumers it knows of, and the last delivery to each that reached it
}

// Resume says again what callers have not seen, as soon as what the machine shows can be relied on. Before that, ready is
// called on the log's goroutine with the number of each caller's last batch that was applied; if it gives false, nothing is
// said.
func (g *Group) Resume(callers []Caller, ready func(last []uint64) bool) error {
	return g.Ask(func(s *queue.Set) {
		if !g.leading {
			return
		}
		last := make([]uint64, len(callers))
		for i := range callers {
			last[i] = s.Last(callers[i].Key)
		}
		if !ready(last) {
			return
		}
		for i := range callers {
			behind := g.dropBehind(callers[i].Key)
			for _, e := range s.Resume(callers[i].Key, callers[i].Seen, nil) {
				g.say(Event{Effect: e, Group: g.ID}, nil)
			}
			for _, e := range behind {
				g.say(Event{Effect: e, Group: g.ID}, nil)
			}
		}
		g.outgo.send(g.inboxes)
	})
}

// dropBehind takes a session out of the backlog. It gives what waited behind its deliveries.
func (g *Group) dropBehind(key queue.SessionKey) (others []queue.Effect) {
	s := g.backlog.sessions[key]
	if s == nil {
		return nil
	}
	delete(g.backlog.sessions, key)
	for _, l := range s.lines {
		g.unpin(&l.front)
		l.rest.each(func(e *queue.Effect) {
			g.unpin(e)
			if !carries(e.Kind) {
				others = append(others, *e)
			}
		})
	}
	kept := g.backlog.lines[:0]
	for _, l := range g.backlog.lines {
		if l.of != s {
			kept = append(kept, l)
		}
	}
	clear(g.backlog.lines[len(kept):])
	g.backlog.lines = kept
	heap.Init(&g.backlog.lines)
	return others
}
