package link

import (
	"time"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// A frontend may know of a queue before the leader's node does: what it proposes waits until the leader's Catalog is as new.
// It does not wait for ever: the leader's metadata may be cut off. Then the group is told how new the frontend's are, so that
// what is for a queue that the leader does not know is not taken for something that came too late.

// barrierTime is how long a batch waits at most.
const barrierTime = 2 * time.Second

// holds keeps a batch back if it must wait, and tells whether it did.
func (s *guests) holds(at visit, v *visitor, m *proposeMessage) bool {
	if len(v.held) == 0 && m.revision <= uint64(s.links.Revision()) {
		return false
	}
	v.held = append(v.held, m)
	s.links.After(barrierTime, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.visitors[at] == v && len(v.held) > 0 && v.held[0].revision <= m.revision {
			s.overtake(at.group, m.revision)
			s.release(at, v, m.revision)
		}
	})
	return true
}

// overtake tells a group that what follows knows of newer metadata than its leader.
func (s *guests) overtake(id, revision uint64) {
	if local := s.links.Local(id); local != nil {
		var b queue.Batch
		b.Add(&queue.Knows{Revision: revision})
		_ = local.Propose(oplog.Batch{Data: b.Bytes()}) // if it is not taken, nor is what follows
	}
}

// release hands in the batches, in order, that wait for a revision or one before.
func (s *guests) release(at visit, v *visitor, revision uint64) {
	for len(v.held) > 0 && v.held[0].revision <= revision && s.visitors[at] == v {
		m := v.held[0]
		v.held = v.held[1:]
		s.proposeNow(at, v, m)
	}
}

// advanced goes on with what waited for a revision.
func (s *guests) advanced(revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, v := range s.visitors {
		s.release(at, v, revision)
	}
}
