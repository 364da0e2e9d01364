package link

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestALeaderOfAnEraBefore is not believed by those who know that the group has begun anew, whatever it says; one that knows more
// than who asks lets nobody in either.
func TestALeaderOfAnEraBefore(t *testing.T) {
	var known, here [5]atomic.Uint64 // by node
	w := newWorld(t, func(env *Env) {
		node := env.Node
		env.Era = func(uint64) (uint64, uint64) { return known[node].Load(), here[node].Load() }
	})
	id := w.declare("q")
	elsewhere, local := w.session(4, 100), w.session(1, 101)
	published := uint64(0)
	publish := func() {
		for _, s := range []*session{elsewhere, local} {
			s.publish(id, published+1, published+5)
		}
		published += 5
	}
	confirmed := func() {
		t.Helper()
		for _, s := range []*session{elsewhere, local} {
			s.until("confirms", func() bool { return len(s.confirmed) == int(published) })
		}
	}
	refused := func(node uint64) {
		t.Helper()
		r := w.links[node].known(1)
		turn := func() (uint64, bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.epoch, r.ready
		}
		again, late := time.NewTicker(time.Millisecond), time.After(patience)
		defer again.Stop()
		from, _ := turn()
		for epoch, ready := turn(); epoch < from+3*4; epoch, ready = turn() { // epochs are given out to all nodes
			select {
			case <-again.C:
			case <-late:
				t.Fatalf("node %d does not ask", node)
			}
			if ready {
				t.Fatalf("node %d is let in", node)
			}
		}
	}
	publish()
	confirmed()
	for _, node := range []uint64{4, 1} {
		known[node].Store(1)
		w.links[node].Renewed(1)
	}
	publish()
	refused(4)
	refused(1)
	here[1].Store(1)
	confirmed()
	here[1].Store(2)
	known[1].Store(2)
	for _, node := range []uint64{4, 1} {
		w.links[node].Renewed(1)
	}
	publish()
	refused(4)
	known[4].Store(2)
	confirmed()
	w.links[4].Renewed(7) // nobody uses it
}
