// Package group owns the running of one group: its queue machine, its log, and what the machine's effects mean outside.
//
//  1. A session's batch goes to Group.Propose, and so into the log.
//  2. The log applies entries on its goroutine: Apply runs the machine and gathers its effects.
//  3. While leading, perform carries the effects out: deliveries get their bytes from the entry or the log, events are
//     gathered for each session and posted once, a wanted wake-up becomes a timer that proposes a Tick, the end of a queue
//     is told to the metadata.
//  4. Follow keeps the machine's queues equal to the Catalog's.
package group

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/store/oplog"
)

// Hooks is what a group needs of the world above it. They are called on the log's goroutine and must not block.
type Hooks struct {
	// Catalog gives the newest metadata.
	Catalog func() *topology.Catalog
	// QueueGone tells that a queue ended by itself; done is to be called when its metadata is gone too.
	QueueGone func(id queue.ID, done func())
	// DeadLetters tells that queue has dead letters to be forwarded.
	DeadLetters func(g *Group, id queue.ID)
	// Delivered tells of the first delivery of a group that had messages when it began to lead. Nil: nobody wants to know.
	Delivered func()
	// FirstSession is the lowest session number of this life of the node: sessions below are gone.
	FirstSession uint64
	// Fatal ends the process: the group's state can no longer be relied on.
	Fatal func(error)
}

// Group is one group on this node. owner, but for Propose, Do and the Follow entry points: the log's goroutine
type Group struct {
	ID      uint64
	hooks   Hooks
	inboxes *Inboxes
	log     oplog.Log
	logger  zerolog.Logger

	set      *queue.Set
	leading  bool
	current  bool               // leading, and the queues have been reconciled with the Catalog
	asking   []func(*queue.Set) // until then
	found    bool               // it had messages when it began to lead, and none has been delivered since
	effects  []queue.Effect
	debts    []debt // changes of live bytes, told to the log when the effects have been performed
	outgo    outgoing
	backlog  backlog
	timer    *time.Timer
	leaving  int                          // queues that ended and whose metadata is not gone yet
	ended    bool                         // the last command has ended a queue: its answer waits for that
	doubtful atomic.Bool                  // messages may wait for queues that the metadata do not have
	held     map[queue.SessionKey][]Event // what is said behind such answers
}

// Open starts a group on a log of the host.
func Open(id uint64, host oplog.Host, members []uint64, inboxes *Inboxes, hooks Hooks, logger zerolog.Logger) (*Group, error) {
	g := &Group{ID: id, hooks: hooks, inboxes: inboxes, logger: logger.With().Uint64("group", id).Logger()}
	g.held = map[queue.SessionKey][]Event{}
	g.set = queue.NewSet(func(index uint64, bytes int64) { g.debts = append(g.debts, debt{index, bytes}) })
	ready := make(chan struct{})
	log, err := host.Open(id, members, &machine{Group: g, ready: ready})
	if err != nil {
		return nil, fmt.Errorf("opening group %d: %w", id, err)
	}
	g.log = log
	close(ready)
	return g, nil
}

// machine is the Group as its log sees it. Until Open is done, the log's goroutine waits.
type machine struct {
	*Group
	ready chan struct{}
}

// Apply implements oplog.Machine.
func (m *machine) Apply(entries []oplog.Entry) {
	<-m.ready
	m.apply(entries)
}

// Lead implements oplog.Machine.
func (m *machine) Lead(leading bool) {
	<-m.ready
	m.lead(leading)
}

// Snapshot implements oplog.Machine.
func (m *machine) Snapshot(w io.Writer) error { return m.set.Snapshot(w) }

// Restore implements oplog.Machine.
func (m *machine) Restore(r io.Reader) error { return m.set.Restore(r) }

// Live implements oplog.Machine.
func (m *machine) Live(from, to uint64, visit func(oplog.Span)) {
	m.set.Live(from, to, visit)
	m.live(from, to, visit)
}

// Propose gives a session's batch to the log.
func (g *Group) Propose(b oplog.Batch) error { return g.log.Propose(b) }

// Do runs f on the goroutine that owns the machine.
func (g *Group) Do(f func(s *queue.Set)) error { return g.log.Do(func() { f(g.set) }) }

// Ask runs f on the goroutine that owns the machine, as soon as what it shows can be relied on: not while entries of an
// earlier life are still being applied.
func (g *Group) Ask(f func(s *queue.Set)) error {
	return g.log.Do(func() {
		if !g.current {
			g.asking = append(g.asking, f)
			return
		}
		f(g.set)
	})
}

// Read gives live bytes of the log. Only on the goroutine that owns the machine.
func (g *Group) Read(s oplog.Span) ([]byte, error) { return g.log.Read(s) }

// Leading tells whether effects are performed here. Only on the goroutine that owns the machine.
func (g *Group) Leading() bool { return g.leading }

// Damage tells why the group refuses, nil if it does not: what is stored of it is damaged.
func (g *Group) Damage() error { return g.log.Damage() }

// Close stops the log, and with it the group.
func (g *Group) Close() error { return g.log.Close() }

func (g *Group) apply(entries []oplog.Entry) {
	g.effects = g.effects[:0]
	var err error
	for i := range entries {
		if g.effects, err = g.set.Apply(&entries[i], g.effects); err != nil {
			g.hooks.Fatal(fmt.Errorf("group %d, entry %d: %w", g.ID, entries[i].Index, err))
			return
		}
	}
	if g.leading {
		g.perform(entries)
		g.becomeCurrent()
	}
	for _, d := range g.debts {
		g.log.Account(d.index, d.bytes)
	}
	g.debts = g.debts[:0]
}

// debt is a change in the live bytes of an entry.
type debt struct {
	index uint64
	bytes int64
}

// becomeCurrent answers those who asked: the first entry that a leader applies is what it proposed to reconcile.
func (g *Group) becomeCurrent() {
	g.current = true
	asking := g.asking
	g.asking = nil
	for _, f := range asking {
		f(g.set)
	}
}

// lead begins or ends the performing of effects.
func (g *Group) lead(leading bool) {
	g.leading, g.current = leading, false
	g.logger.Debug().Bool("leading", leading).Msg("leadership")
	if gate := g.inboxes.gate; gate != nil {
		gate.Leads(g, leading)
	}
	if !leading {
		g.forget()
		if g.timer != nil {
			g.timer.Stop()
		}
		return
	}
	g.found = g.hooks.Delivered != nil && g.set.Holds()
	g.set.Pending(func(e queue.Effect) { g.effects = append(g.effects[:0], e); g.perform(nil) })
	g.reconcile()
}
