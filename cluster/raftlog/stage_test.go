package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/oplog"
)

// A stage is nodes with one group of which nothing moves but what a test moves: messages lie on links until they are carried,
// ticks pass where they are let pass, disks lose what was not synced, or hang. What a node does because of it is done before
// the test goes on (settle), so that the same moves lead to the same play.
type stage struct {
	options Options
	told    *history
	actors  map[uint64]*actor
	links   map[[2]uint64]*link
	looks   func(*actor) // called after each pass of a worker
	planted bugs
	streams int // that arrived

	moved chan struct{} // one place
	mu    sync.Mutex    // guards what follows
	long  map[[2]uint64]*streamed
	takes map[uint64]int // streams that are being received, by node
	fatal error
}

// link is what is under way from one node to another.
type link struct {
	cut      bool
	messages [][]byte
}

// cutOff ends the link, and what is under way on it, or mends it.
func (l *link) cutOff(cut bool) {
	if l.cut = cut; cut {
		l.messages = nil
	}
}

// streamed is a stream that was written and waits to be carried.
type streamed struct {
	data    []byte
	carried bool
	said    chan error // one place
}

// verdict tells the sender, unless it was told.
func (s *streamed) verdict(err error) {
	select {
	case s.said <- err:
	default:
	}
}

// actor is a node, running or not.
type actor struct {
	stage  *stage
	id     uint64
	begins []uint64
	disk   *vfs.MemFS
	now    int64 // its clock, milliseconds

	host    *Host // nil: it does not run
	store   *store.Store
	machine *scribe
	closing func() error
	member  *member
	tray    tray
	tasks   []task
	timers  []func()
	lags    bool // its machine applies nothing
	hang    *hang
}

// group is the only one.
const theGroup = 1

func newStage(o Options, told *history) *stage {
	return &stage{
		options: o, told: told, actors: map[uint64]*actor{}, links: map[[2]uint64]*link{}, moved: make(chan struct{}, 1),
		long: map[[2]uint64]*streamed{}, takes: map[uint64]int{}, looks: func(*actor) {},
	}
}

func (s *stage) nudge() {
	select {
	case s.moved <- struct{}{}:
	default:
	}
}

func (s *stage) link(from, to uint64) *link {
	l := s.links[[2]uint64{from, to}]
	if l == nil {
		l = &link{}
		s.links[[2]uint64{from, to}] = l
	}
	return l
}

// ids gives the nodes in order.
func (s *stage) ids() []uint64 { return slices.Sorted(maps.Keys(s.actors)) }

// add makes a node with an empty disk.
func (s *stage) add(id uint64, begins []uint64) *actor {
	a := &actor{stage: s, id: id, begins: begins, disk: vfs.NewCrashableMem(), now: 1_000_000}
	s.actors[id] = a
	return a
}

// start lets a node run.
func (a *actor) start() error {
	a.hang = &hang{nudge: a.stage.nudge}
	fatal := func(err error) {
		a.stage.mu.Lock()
		defer a.stage.mu.Unlock()
		a.stage.fatal = errors.Join(a.stage.fatal, fmt.Errorf("node %d: %w", a.id, err))
	}
	var err error
	a.store, err = store.Open("data", store.Options{FS: errorfs.Wrap(a.disk, a.hang), CacheBytes: 128 << 10, Fatal: fatal})
	if err != nil {
		return err
	}
	o := a.stage.options
	o.Node, o.Store, o.Clock, o.Fatal, o.Logger, o.Network = a.id, a.store, func() int64 { return a.now }, fatal, zerolog.Nop(), ends{a}
	a.host = newHost(o)
	a.host.driven = a.stage.nudge
	a.host.soon = func(f func()) { a.timers = append(a.timers, f) }
	a.timers, a.lags = nil, false
	a.machine = newScribe(a.id, a.stage.told, a.stage.planted)
	log, err := a.host.Open(theGroup, a.begins, a.machine)
	if err != nil {
		return err
	}
	a.machine.log, a.closing = log, log.Close
	a.member = log.(*member)
	return a.stage.settle()
}

// ends is a node's end of all links.
type ends struct{ *actor }

// Send implements Network.
func (e ends) Send(to uint64, data []byte) {
	if l := e.stage.link(e.id, to); !l.cut {
		l.messages = append(l.messages, data)
	}
}

// Stream implements Network.
func (e ends) Stream(to uint64, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	s := &streamed{data: b.Bytes(), said: make(chan error, 1)}
	e.stage.mu.Lock()
	e.stage.long[[2]uint64{e.id, to}] = s
	e.stage.mu.Unlock()
	e.stage.nudge()
	return <-s.said
}

// settle lets all nodes do what there is to do, but for what a hanging disk holds up.
func (s *stage) settle() error {
	for {
		any := false
		for _, id := range s.ids() {
			any = s.actors[id].pass() || any
		}
		if any {
			continue
		}
		if s.quiet() {
			s.mu.Lock()
			defer s.mu.Unlock()
			return errors.Join(s.fatal, s.told.err())
		}
		<-s.moved
	}
}

// pass lets a node's worker and applier look into their inboxes once.
func (a *actor) pass() bool {
	if a.host == nil {
		return false
	}
	w := a.host.workers[0]
	any, _ := w.pass(&a.tray)
	a.stage.wait(func() bool { return a.hang.stuck() || w.disk.outstanding() == 0 })
	if a.member == nil {
		return any
	}
	a.stage.looks(a)
	if a.lags {
		return any
	}
	wrote := a.member.applier.writing
	any = a.member.applier.pass(&a.tasks) || any
	if !wrote && a.member.applier.writing {
		a.stage.wait(func() bool { // for the snapshot
			w.mu.Lock()
			defer w.mu.Unlock()
			return a.hang.stuck() || len(w.calls) > 0
		})
	}
	return any
}

// unhang lets the disk go on, and waits until all that waited for it is written.
func (a *actor) unhang() error {
	a.hang.set(false)
	if a.host != nil {
		w := a.host.workers[0]
		a.stage.wait(func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.disk.outstanding() == 0 && (!a.member.applier.writing || len(w.calls) > 0)
		})
	}
	return a.stage.settle()
}

// wait waits until something holds of what goes on behind the stage.
func (s *stage) wait(holds func() bool) {
	for !holds() {
		<-s.moved
	}
	s.nudge() // for whoever waits next
}

// quiet tells whether nothing is under way behind the stage, nor waits in an inbox.
func (s *stage) quiet() bool {
	var streams [][2]uint64
	for _, a := range s.actors {
		if a.host == nil {
			continue
		}
		a.host.mu.Lock()
		for to := range a.host.streams {
			streams = append(streams, [2]uint64{a.id, to})
		}
		a.host.mu.Unlock()
	}
	s.mu.Lock()
	for _, a := range s.actors {
		if s.takes[a.id] > 0 && !a.holdsUp() {
			streams = append(streams, [2]uint64{})
		}
	}
	parked := true
	for _, at := range streams {
		parked = parked && s.long[at] != nil
	}
	s.mu.Unlock()
	for _, a := range s.actors {
		parked = parked && (a.host == nil || a.quiet())
	}
	return parked
}

// holdsUp tells whether a node cannot go on with a stream that has come: its disk hangs, or its machine lags.
func (a *actor) holdsUp() bool {
	if a.host == nil || !a.lags {
		return a.host != nil && a.hang.stuck() && a.member.applier.installing
	}
	a.member.applier.mu.Lock()
	defer a.member.applier.mu.Unlock()
	return slices.ContainsFunc(a.member.applier.tasks, func(t task) bool { return t.do != nil })
}

func (a *actor) quiet() bool {
	w := a.host.workers[0]
	if !a.hang.stuck() && (w.disk.outstanding() > 0 || a.member != nil && !a.lags && a.member.applier.writing) {
		return false
	}
	w.mu.Lock()
	some := len(w.calls) + len(w.dirty) + len(w.steps)
	w.mu.Unlock()
	if a.member != nil && !a.lags {
		a.member.applier.mu.Lock()
		some += len(a.member.applier.tasks)
		a.member.applier.mu.Unlock()
	}
	return some == 0
}

// carry brings the oldest so many messages of a link to where they go.
func (s *stage) carry(from, to uint64, many int) error {
	l := s.link(from, to)
	list := l.messages[:min(many, len(l.messages))]
	l.messages = l.messages[len(list):]
	a := s.actors[to]
	if l.cut || a == nil || a.host == nil || len(list) == 0 {
		return nil
	}
	for _, data := range list {
		a.host.Receive(from, data)
	}
	return s.settle()
}

// carryStream brings a stream to where it goes, or only so many bytes of it.
func (s *stage) carryStream(from, to uint64, bytesMax int) error {
	s.mu.Lock()
	long := s.long[[2]uint64{from, to}]
	s.mu.Unlock()
	if long == nil || long.carried {
		return nil
	}
	a := s.actors[to]
	if s.link(from, to).cut || a == nil || a.host == nil {
		return s.verdict(from, to, errors.New("there is no way"))
	}
	var r io.Reader = bytes.NewReader(long.data)
	if bytesMax < len(long.data) {
		r = io.MultiReader(bytes.NewReader(long.data[:bytesMax]), torn{})
	}
	s.mu.Lock()
	s.takes[to]++
	long.carried = true
	s.mu.Unlock()
	go func(h *Host) {
		err := h.ReceiveStream(from, r)
		s.mu.Lock()
		if s.long[[2]uint64{from, to}] == long {
			delete(s.long, [2]uint64{from, to})
		}
		s.takes[to]--
		if err == nil {
			s.streams++
		}
		s.mu.Unlock()
		long.verdict(err)
		s.nudge()
	}(a.host)
	return s.settle()
}

// torn is where a stream ends that should go on.
type torn struct{}

// Read implements io.Reader.
func (torn) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// verdict ends a stream that does not arrive.
func (s *stage) verdict(from, to uint64, err error) error {
	s.mu.Lock()
	long := s.long[[2]uint64{from, to}]
	delete(s.long, [2]uint64{from, to})
	s.mu.Unlock()
	if long != nil {
		long.verdict(err)
	}
	return s.settle()
}

// tick lets a tick pass on a node.
func (a *actor) tick() error {
	if a.host == nil {
		return nil
	}
	a.now += tickEvery.Milliseconds()
	timers := a.timers
	a.timers = nil
	for _, f := range timers {
		f()
	}
	for _, w := range a.host.workers {
		w.tick()
	}
	return a.stage.settle()
}

// crash ends a node: a part of what was not synced is lost.
func (a *actor) crash(random *rand.Rand, percent int) error {
	if a.host == nil {
		return nil
	}
	a.disk = a.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(random.Uint64(), 1))})
	a.machine.over()
	a.hang.set(false)
	h := a.host
	a.host, a.member = nil, nil
	a.stage.mu.Lock()
	for at, long := range a.stage.long {
		if at[0] == a.id {
			delete(a.stage.long, at)
			long.verdict(errors.New("the node has crashed"))
		}
	}
	a.stage.mu.Unlock()
	err := errors.Join(h.Close(), a.store.Close())
	for at, l := range a.stage.links {
		if at[0] == a.id || at[1] == a.id {
			l.messages = nil
		}
	}
	return errors.Join(err, a.stage.settle())
}

// lost tells all others that a node cannot be reached.
func (s *stage) lost(node uint64) error {
	for _, id := range s.ids() {
		if a := s.actors[id]; id != node && a.host != nil {
			a.host.Lost(node)
		}
	}
	return s.settle()
}

// end lets go of everything.
func (s *stage) end() error {
	var err error
	for _, id := range s.ids() {
		err = errors.Join(err, s.actors[id].crash(rand.New(rand.NewPCG(1, 1)), 100))
	}
	return err
}

// propose hands a batch to a node.
func (a *actor) propose(b oplog.Batch) error {
	if a.host == nil {
		return oplog.ErrClosed
	}
	if err := a.member.Propose(b); err != nil {
		return err
	}
	return a.stage.settle()
}

func (s *stage) isStreaming(from, to uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	long := s.long[[2]uint64{from, to}]
	return long != nil && !long.carried
}

// dropGroup removes the group from the disk of a node that does not run.
func (a *actor) dropGroup() error {
	s, err := store.Open("data", store.Options{FS: a.disk})
	if err != nil {
		return err
	}
	h := newHost(Options{Node: a.id, Store: s, Logger: zerolog.Nop()})
	return errors.Join(h.Drop(theGroup), h.Close(), s.Close())
}
