package link

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/store/oplog"
)

// ensemble is the log of one group on several nodes, whose leader is whom a test says. What is proposed is committed a
// little later; a change of the leader loses what is not.
type ensemble struct {
	t        testing.TB
	mu       sync.Mutex
	arrived  *sync.Cond
	leader   uint64
	waiting  []oplog.Batch
	entries  []oplog.Entry
	replicas map[uint64]*replica
	closed   bool
	held     bool             // nothing is committed
	live     map[uint64]int64 // octets that each member needs
	running  sync.WaitGroup
}

var errNotLeading = errors.New("this member does not lead")

func newEnsemble(t testing.TB) *ensemble {
	e := &ensemble{t: t, replicas: map[uint64]*replica{}, live: map[uint64]int64{}}
	e.arrived = sync.NewCond(&e.mu)
	e.running.Go(e.commit)
	return e
}

// commit makes entries of what waits.
func (e *ensemble) commit() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		for (len(e.waiting) == 0 || e.held) && !e.closed {
			e.arrived.Wait()
		}
		if e.closed {
			return
		}
		e.commitSome(1 + len(e.waiting)/2)
	}
}

func (e *ensemble) commitSome(n int) {
	for _, b := range e.waiting[:n] {
		index := uint64(len(e.entries)) + 1
		entry := oplog.Entry{Index: index, Time: int64(index), Data: b.Data, Batches: []oplog.Batch{b}}
		e.entries = append(e.entries, entry)
		for _, r := range e.replicas {
			r.push(func(m oplog.Machine) { m.Apply([]oplog.Entry{entry}) })
		}
	}
	e.waiting = e.waiting[n:]
}

// lead makes a member the leader, or nobody: the rest of what waits is lost.
func (e *ensemble) lead(node uint64, committed int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.commitSome(min(committed, len(e.waiting)))
	e.waiting = nil
	if old := e.replicas[e.leader]; old != nil {
		old.push(func(m oplog.Machine) { m.Lead(false) })
	}
	e.leader = node
	if leads := e.replicas[node]; leads != nil {
		leads.push(func(m oplog.Machine) { m.Lead(true) })
	}
}

// hold lets nothing be committed, or goes on.
func (e *ensemble) hold(on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = on
	e.arrived.Broadcast()
}

func (e *ensemble) leads() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leader
}

func (e *ensemble) close() {
	e.mu.Lock()
	e.closed = true
	e.arrived.Broadcast()
	e.mu.Unlock()
	e.running.Wait()
}

// member is the ensemble as the Host of a node.
type member struct {
	*ensemble
	node uint64
}

// Open implements oplog.Host.
func (h member) Open(_ uint64, _ []uint64, m oplog.Machine) (oplog.Log, error) {
	r := &replica{ensemble: h.ensemble, node: h.node, tasks: make(chan func(oplog.Machine), 1<<20)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.replicas[h.node] = r
	r.done.Go(func() {
		for task := range r.tasks {
			task(m)
		}
	})
	return r, nil
}

// replica is one member's log.
type replica struct {
	*ensemble
	node  uint64
	tasks chan func(oplog.Machine)
	done  sync.WaitGroup
	once  sync.Once
}

func (r *replica) push(task func(oplog.Machine)) { r.tasks <- task }

func (r *replica) Propose(b oplog.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leader != r.node {
		return errNotLeading
	}
	r.waiting = append(r.waiting, b)
	r.arrived.Broadcast()
	return nil
}

func (r *replica) Read(s oplog.Span) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entries[s.Index-1].Data[s.Offset : s.Offset+s.Length], nil
}

func (r *replica) Near(s oplog.Span) ([]byte, bool) {
	data, err := r.Read(s)
	return data, err == nil
}

func (r *replica) Now() int64    { return 1 }
func (r *replica) Damage() error { return nil }
func (r *replica) Account(_ uint64, octets int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live[r.node] += octets
	r.arrived.Broadcast()
}

// until waits until something holds of the ensemble. It is asked under the lock.
func (e *ensemble) until(what string, holds func() bool) {
	e.t.Helper()
	late := false
	over := time.AfterFunc(patience, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		late = true
		e.arrived.Broadcast()
	})
	defer over.Stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	for !holds() {
		if late {
			e.t.Fatalf("waited in vain for %s: %v", what, e.live)
		}
		e.arrived.Wait()
	}
}

func (r *replica) Do(f func()) error {
	r.push(func(oplog.Machine) { f() })
	return nil
}

func (r *replica) Close() error {
	r.once.Do(func() {
		r.mu.Lock()
		delete(r.replicas, r.node)
		r.mu.Unlock()
		close(r.tasks)
	})
	r.done.Wait()
	return nil
}
