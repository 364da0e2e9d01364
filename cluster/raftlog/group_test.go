package raftlog

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/oplog"
)

// wire carries messages between the hosts of a test, each link in its own order.
type wire struct {
	mu    sync.Mutex
	hosts map[uint64]*Host
	cut   map[[2]uint64]bool
	links map[[2]uint64]chan []byte
	done  chan struct{}
}

// end is a node's end of the wire.
type end struct {
	*wire
	node uint64
}

// Send implements Network.
func (e end) Send(to uint64, data []byte) {
	e.mu.Lock()
	link := e.links[[2]uint64{e.node, to}]
	if link == nil {
		link = make(chan []byte, 1<<16)
		e.links[[2]uint64{e.node, to}] = link
		go e.carry(e.node, to, link)
	}
	e.mu.Unlock()
	select {
	case link <- data:
	default:
	}
}

func (w *wire) carry(from, to uint64, link chan []byte) {
	for {
		select {
		case data := <-link:
			w.mu.Lock()
			h := w.hosts[to]
			if w.cut[[2]uint64{from, to}] || w.hosts[from] == nil {
				h = nil
			}
			w.mu.Unlock()
			if h != nil {
				h.Receive(from, data)
			}
		case <-w.done:
			return
		}
	}
}

// isolate cuts a node off, or mends that; told says whether the others notice at once.
func (w *wire) isolate(node uint64, cut, told bool) {
	w.mu.Lock()
	var others []*Host
	for id, h := range w.hosts {
		if id != node {
			w.cut[[2]uint64{id, node}], w.cut[[2]uint64{node, id}] = cut, cut
			others = append(others, h)
		}
	}
	w.mu.Unlock()
	for _, h := range others {
		if told {
			h.Lost(node)
		}
	}
}

// copier is a machine that remembers what was applied, and when.
type copier struct {
	mu      sync.Mutex
	told    chan struct{} // closed when something changes
	applied []string
	times   []int64
	leading bool
}

func (c *copier) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.told)
	c.told = make(chan struct{})
}

// Apply implements oplog.Machine.
func (c *copier) Apply(entries []oplog.Entry) {
	c.change(func() {
		for _, e := range entries {
			for _, b := range e.Batches {
				c.applied = append(c.applied, string(b.Data))
				c.times = append(c.times, e.Time)
			}
		}
	})
}

// Lead implements oplog.Machine.
func (c *copier) Lead(leading bool) { c.change(func() { c.leading = leading }) }

// Snapshot implements oplog.Machine.
func (c *copier) Snapshot(w io.Writer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return json.NewEncoder(w).Encode(state{c.applied, c.times})
}

// Restore implements oplog.Machine.
func (c *copier) Restore(r io.Reader) error {
	var s state
	err := json.NewDecoder(r).Decode(&s)
	c.applied, c.times = s.Applied, s.Times
	return err
}

// Live implements oplog.Machine.
func (c *copier) Live(uint64, uint64, func(oplog.Span)) {}

// state is what a copier's snapshot holds.
type state struct {
	Applied []string
	Times   []int64
}

// cluster is three nodes with one group.
type cluster struct {
	t        *testing.T
	wire     *wire
	nodes    map[uint64]*member3
	proposed int
}

type member3 struct {
	fs      *vfs.MemFS
	store   *store.Store
	host    *Host
	log     oplog.Log
	machine *copier
	clock   atomic.Int64
}

const nodes = 3

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, wire: &wire{
		hosts: map[uint64]*Host{}, cut: map[[2]uint64]bool{}, links: map[[2]uint64]chan []byte{}, done: make(chan struct{}),
	}, nodes: map[uint64]*member3{}}
	for id := uint64(1); id <= nodes; id++ {
		c.nodes[id] = &member3{fs: vfs.NewMem()}
		c.nodes[id].clock.Store(1_000_000)
		c.start(id)
	}
	t.Cleanup(func() {
		for id := range c.nodes {
			c.stop(id)
		}
		close(c.wire.done)
	})
	return c
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) start(id uint64) {
	c.t.Helper()
	n := c.nodes[id]
	var err error
	n.store, err = store.Open("data", store.Options{FS: n.fs, Fatal: func(err error) { c.t.Error(err) }})
	c.must(err)
	n.host = NewHost(Options{
		Node: id, Store: n.store, Clock: n.clock.Load, Fatal: func(err error) { c.t.Error(err) }, Logger: zerolog.Nop(),
		Network: end{c.wire, id}, SnapshotBytes: 1 << 40,
	})
	n.machine = &copier{told: make(chan struct{})}
	n.log, err = n.host.Open(1, []uint64{1, 2, 3}, n.machine)
	c.must(err)
	c.wire.mu.Lock()
	c.wire.hosts[id] = n.host
	c.wire.mu.Unlock()
}

// stop ends a node as a crash does, as far as others can tell.
func (c *cluster) stop(id uint64) {
	n := c.nodes[id]
	if n.host == nil {
		return
	}
	c.wire.mu.Lock()
	delete(c.wire.hosts, id)
	c.wire.mu.Unlock()
	_ = n.log.Close()
	_ = n.host.Close()
	_ = n.store.Close()
	n.host = nil
}

// wait blocks until something holds of the machines of the nodes that run.
func (c *cluster) wait(what string, holds func() bool) {
	c.t.Helper()
	deadline := time.After(time.Minute)
	for {
		var told []chan struct{}
		for _, n := range c.nodes {
			n.machine.mu.Lock()
			told = append(told, n.machine.told)
			n.machine.mu.Unlock()
		}
		if holds() {
			return
		}
		select {
		case <-told[0]:
		case <-told[1]:
		case <-told[2]:
		case <-deadline:
			c.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// leader waits for a leader other than the one given.
func (c *cluster) leader(but uint64) (id uint64) {
	c.t.Helper()
	c.wait("a leader", func() bool {
		for n, m := range c.nodes {
			m.machine.mu.Lock()
			leading := m.machine.leading && m.host != nil && n != but
			m.machine.mu.Unlock()
			if leading {
				id = n
				return true
			}
		}
		return false
	})
	return id
}

// propose hands count batches to a node, and waits until its machine has applied them.
func (c *cluster) propose(id uint64, count int) {
	c.t.Helper()
	n := c.nodes[id]
	for range count {
		c.proposed++
		c.must(n.log.Propose(oplog.Batch{Data: fmt.Appendf(nil, "batch %d", c.proposed)}))
	}
	c.applied(id)
}

// applied waits until a node's machine has applied all that was proposed, in order.
func (c *cluster) applied(id uint64) {
	c.t.Helper()
	m := c.nodes[id].machine
	c.wait(fmt.Sprintf("everything to be applied on node %d", id), func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.applied) >= c.proposed
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, got := range m.applied {
		if want := fmt.Sprint("batch ", i+1); got != want {
			c.t.Fatalf("node %d applied %q as number %d, want %q", id, got, i+1, want)
		}
	}
	if !slices.IsSorted(m.times) {
		c.t.Fatalf("node %d: log time goes back: %v", id, m.times)
	}
}

func TestEveryMemberAppliesTheSame(t *testing.T) {
	c := newCluster(t)
	leader := c.leader(0)
	c.propose(leader, 500)
	for id := range c.nodes {
		c.applied(id)
		if id != leader {
			if err := c.nodes[id].log.Propose(oplog.Batch{Data: []byte("x")}); err != oplog.ErrNotLeading {
				t.Errorf("node %d takes a batch: %v", id, err)
			}
		}
	}
}

// TestALeaderThatDies is followed by one that has everything, and finds it when it comes back.
func TestALeaderThatDies(t *testing.T) {
	c := newCluster(t)
	for range 3 {
		old := c.leader(0)
		c.propose(old, 50)
		c.stop(old)
		for id, n := range c.nodes {
			if id != old {
				n.host.Lost(old)
			}
		}
		c.propose(c.leader(old), 50)
		c.start(old)
		c.applied(old)
	}
}

// TestAMinorityCommitsNothing, and what it was given is gone when it hears of the others.
func TestAMinorityCommitsNothing(t *testing.T) {
	c := newCluster(t)
	old := c.leader(0)
	c.propose(old, 10)
	c.wire.isolate(old, true, false)
	c.must(c.nodes[old].log.Propose(oplog.Batch{Data: []byte("of a minority")}))
	next := c.leader(old)
	c.propose(next, 10)
	c.wire.isolate(old, false, false)
	c.applied(old)
}

// TestClocksThatDiffer: whoever leads, log time goes on from where it was at the pace of a clock.
func TestClocksThatDiffer(t *testing.T) {
	const hour = 3_600_000
	c := newCluster(t)
	c.nodes[1].clock.Store(1_000_000 + hour)
	c.nodes[2].clock.Store(1_000_000)
	c.nodes[3].clock.Store(1_000_000 - hour/2)
	first := c.leader(0)
	c.propose(first, 5)
	for id := range c.nodes {
		c.applied(id)
	}
	c.wire.isolate(first, true, true)
	next := c.leader(first)
	c.nodes[next].clock.Add(70)
	c.propose(next, 5)
	m := c.nodes[next].machine
	m.mu.Lock()
	defer m.mu.Unlock()
	if passed := m.times[len(m.times)-1] - m.times[0]; passed != 70 {
		t.Errorf("log time has moved by %d ms, the clocks by 70", passed)
	}
}
