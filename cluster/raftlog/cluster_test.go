package raftlog

import (
	"encoding/json"
	"errors"
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
	changed func()
	mu      sync.Mutex
	hosts   map[uint64]*Host
	cut     map[[2]uint64]bool
	links   map[[2]uint64]chan []byte
	done    chan struct{}
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

// Stream implements Network.
func (e end) Stream(to uint64, write func(io.Writer) error) error {
	e.mu.Lock()
	h := e.hosts[to]
	if e.cut[[2]uint64{e.node, to}] {
		h = nil
	}
	e.mu.Unlock()
	if h == nil {
		return errors.New("there is no way")
	}
	r, w := io.Pipe()
	verdict := make(chan error, 1)
	go func() {
		err := h.ReceiveStream(e.node, r)
		_ = r.CloseWithError(errors.Join(io.ErrClosedPipe, err))
		verdict <- err
	}()
	if err := write(w); err != nil {
		_ = w.CloseWithError(io.ErrUnexpectedEOF)
		return errors.Join(err, <-verdict)
	}
	_ = w.Close()
	return <-verdict
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
				w.changed()
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

// copier is a machine that remembers what was applied, and when. All of it stays alive but what it is told to forget.
type copier struct {
	log     oplog.Log
	opened  chan struct{}
	changed func()
	mu      sync.Mutex
	applied []string
	times   []int64
	spans   []oplog.Span
	dead    int // of spans, from the first
	leading bool
}

func (c *copier) change(f func()) {
	c.mu.Lock()
	f()
	c.mu.Unlock()
	c.changed()
}

// Apply implements oplog.Machine.
func (c *copier) Apply(entries []oplog.Entry) {
	<-c.opened
	c.change(func() {
		for _, e := range entries {
			for _, b := range e.Batches {
				c.applied = append(c.applied, string(b.Data))
				c.times = append(c.times, e.Time)
				c.spans = append(c.spans, oplog.Span{Index: e.Index, Offset: b.At, Length: uint32(len(b.Data))})
				c.log.Account(e.Index, int64(len(b.Data)))
			}
		}
		for n := len(c.applied) / 2; c.dead < n; c.dead++ { // the older half is no longer needed
			c.log.Account(c.spans[c.dead].Index, -int64(c.spans[c.dead].Length))
		}
	})
}

// Lead implements oplog.Machine.
func (c *copier) Lead(leading bool) { c.change(func() { c.leading = leading }) }

// Snapshot implements oplog.Machine.
func (c *copier) Snapshot(w io.Writer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return json.NewEncoder(w).Encode(state{c.applied, c.times, c.spans, c.dead})
}

// Restore implements oplog.Machine.
func (c *copier) Restore(r io.Reader) error {
	var s state
	err := json.NewDecoder(r).Decode(&s)
	c.change(func() { c.applied, c.times, c.spans, c.dead = s.Applied, s.Times, s.Spans, s.Dead })
	return err
}

// Live implements oplog.Machine.
func (c *copier) Live(from, to uint64, visit func(oplog.Span)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans[c.dead:] {
		if s.Index >= from && s.Index < to {
			visit(s)
		}
	}
}

// read reads all that lives, and compares. On the machine's goroutine.
func (c *copier) read() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range c.spans[c.dead:] {
		if data, err := c.log.Read(s); err != nil || string(data) != c.applied[c.dead+i] {
			return fmt.Errorf("batch %d at %v: %.40q %w", c.dead+i, s, data, err)
		}
	}
	return nil
}

// state is what a copier's snapshot holds.
type state struct {
	Applied []string
	Times   []int64
	Spans   []oplog.Span
	Dead    int
}

// cluster is nodes with one group.
type cluster struct {
	t        *testing.T
	wire     *wire
	options  Options
	nodes    map[uint64]*member3
	proposed int
	batch    func(int) string

	mu   sync.Mutex
	told chan struct{} // closed when something changes
}

type member3 struct {
	fs      *vfs.MemFS
	begins  []uint64 // members; nil: it joins
	store   *store.Store
	host    *Host
	log     oplog.Log
	machine *copier
	clock   atomic.Int64
}

const nodes = 3

func newCluster(t *testing.T, o Options) *cluster {
	c := &cluster{t: t, options: o, told: make(chan struct{}), nodes: map[uint64]*member3{}}
	c.batch = func(i int) string { return fmt.Sprint("batch ", i) }
	c.wire = &wire{
		changed: c.changed,
		hosts:   map[uint64]*Host{}, cut: map[[2]uint64]bool{}, links: map[[2]uint64]chan []byte{}, done: make(chan struct{}),
	}
	for id := uint64(1); id <= nodes; id++ {
		c.add(id, []uint64{1, 2, 3})
	}
	t.Cleanup(func() {
		for id := range c.nodes {
			c.stop(id)
		}
		close(c.wire.done)
	})
	return c
}

// add starts a node that begins the group with members, or, without any, joins it.
func (c *cluster) add(id uint64, members []uint64) {
	c.t.Helper()
	c.nodes[id] = &member3{fs: vfs.NewMem(), begins: members}
	c.nodes[id].clock.Store(1_000_000)
	c.start(id)
}

func (c *cluster) changed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.told)
	c.told = make(chan struct{})
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
	o := c.options
	o.Node, o.Store, o.Clock, o.Fatal, o.Logger = id, n.store, n.clock.Load, func(err error) { c.t.Error(err) }, zerolog.Nop()
	o.Network = end{c.wire, id}
	n.host = NewHost(o)
	c.open(id)
	c.wire.mu.Lock()
	c.wire.hosts[id] = n.host
	c.wire.mu.Unlock()
}

// open opens the group on a node.
func (c *cluster) open(id uint64) {
	c.t.Helper()
	n := c.nodes[id]
	var err error
	n.machine = &copier{changed: c.changed, opened: make(chan struct{})}
	n.log, err = n.host.Open(1, n.begins, n.machine)
	c.must(err)
	n.machine.log = n.log
	close(n.machine.opened)
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

// wait blocks until something holds, and looks whenever a machine or a message has moved.
func (c *cluster) wait(what string, holds func() bool) {
	c.t.Helper()
	deadline := time.After(time.Minute)
	again := time.NewTicker(10 * time.Millisecond) // what a host says of itself changes without a word
	defer again.Stop()
	for {
		c.mu.Lock()
		told := c.told
		c.mu.Unlock()
		if holds() {
			return
		}
		select {
		case <-told:
		case <-again.C:
		case <-deadline:
			for id, n := range c.nodes {
				if n.host != nil {
					c.t.Logf("node %d: %+v", id, n.host.Status())
				}
			}
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
		c.must(n.log.Propose(oplog.Batch{Data: []byte(c.batch(c.proposed))}))
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
		if want := c.batch(i + 1); got != want {
			c.t.Fatalf("node %d applied %.40q as number %d, want %.40q", id, got, i+1, want)
		}
	}
	if !slices.IsSorted(m.times) {
		c.t.Fatalf("node %d: log time goes back: %v", id, m.times)
	}
}

// readable waits until a node's machine has applied everything, and reads all that lives.
func (c *cluster) readable(id uint64) {
	c.t.Helper()
	c.applied(id)
	said := make(chan error, 1)
	c.must(c.nodes[id].log.Do(func() { said <- c.nodes[id].machine.read() }))
	if err := <-said; err != nil {
		c.t.Fatalf("node %d: %v", id, err)
	}
}

// reach tells all members who should vote, and waits until they do, and nobody else.
func (c *cluster) reach(voters ...uint64) {
	c.t.Helper()
	for _, n := range c.nodes {
		if n.host != nil {
			c.must(n.host.Reach(1, voters))
		}
	}
	c.wait(fmt.Sprint("the voters ", voters), func() bool {
		for _, id := range voters {
			v, l, _ := c.nodes[id].host.Members(1)
			if slices.Sort(v); !slices.Equal(v, voters) || len(l) > 0 {
				return false
			}
		}
		return true
	})
}
