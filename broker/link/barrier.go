package link

import "time"

// A frontend may know of a queue before the leader's node does: what it proposes waits until the leader's Catalog is as new.
// It does not wait for ever: the leader's metadata may be cut off.

// barrierTime is how long a batch waits at most.
const barrierTime = 2 * time.Second

// holds keeps a batch back if it must wait, and tells whether it did.
func (s *guests) holds(at visit, v *visitor, m *proposeMessage) bool {
	if len(v.held) == 0 && m.revision <= uint64(s.links.Revision()) {
		return false
	}
	v.held = append(v.held, m)
	time.AfterFunc(barrierTime, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.visitors[at] == v {
			s.release(at, v, m.revision)
		}
	})
	return true
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
