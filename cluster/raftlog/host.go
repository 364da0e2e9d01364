// Package raftlog owns the logs of groups: oplog.Host over raft and Pebble.
//
// A group has one or more members; one member is the same code without peers. All groups of a node run on a few workers,
// and all that are dirty at the same moment share one synced write.
//
//  1. Open restores the machine from the newest snapshot and starts the raft node. A group of one elects itself at once.
//  2. Propose queues a batch and wakes the group's worker, which merges what waits into entries and proposes them.
//  3. The worker writes what raft wants written, for all its dirty groups in one batch. When that is on the disk, raft
//     hears of it and commits.
//  4. The group's applier runs the machine on the committed entries, keeps account of what lives, and takes snapshots.
package raftlog

import (
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/oplog"
)

// Options are what a Host is told.
type Options struct {
	Node   uint64 // id of this node, its member id in every group
	Store  *store.Store
	Clock  func() int64 // milliseconds since the epoch
	Fatal  func(error)  // ends the process
	Logger zerolog.Logger
	// Network reaches the other members of groups; nil: every group has this node alone.
	Network Network
	// Workers is how many goroutines run the groups. Default 1.
	Workers int
	// SnapshotBytes is after how many bytes of log a snapshot is taken, at least. Default 16 MiB.
	SnapshotBytes int64
	// GarbageBytes is how many bytes of the log nobody needs may lie on the disk, of all groups together and beside a part
	// of what is needed. Default 96 MiB.
	GarbageBytes int64
	// PartBytes is how many bytes of a snapshot are written at once. Default 1 MiB.
	PartBytes int
	// CacheBytes is how many bytes of the newest and the last read entries are kept in memory, of all groups together.
	// Default 16 MiB.
	CacheBytes int64
	// FlightBytes is how many bytes of a group may be proposed and not yet applied; then batches wait and grow. Default
	// 16 MiB.
	FlightBytes int64
}

// Host opens logs. It is safe for concurrent use.
type Host struct {
	Options
	workers []*worker
	running sync.WaitGroup
	closed  chan struct{}

	mu        sync.Mutex
	open      map[uint64]*member
	streams   map[uint64][]sending // that wait, of nodes that one is on its way to
	receiving map[uint64]bool      // groups
	ended     bool
	many      atomic.Int64 // open groups

	driven func()       // a test drives workers, appliers and ticks: this tells it that something waits
	soon   func(func()) // runs something after a short time of chance

	held atomic.Int64 // bytes of the entries of all groups, as far as they were reported
}

// NewHost starts the workers.
func NewHost(o Options) *Host {
	h := newHost(o)
	for i, w := range h.workers {
		h.start("raftlog.worker", uint64(i), w.run)
	}
	if o.Network != nil {
		h.start("raftlog.ticks", o.Node, h.drive)
	}
	return h
}

// newHost makes a host of which nothing runs yet.
func newHost(o Options) *Host {
	if o.Workers == 0 {
		o.Workers = 1
	}
	if o.SnapshotBytes == 0 {
		o.SnapshotBytes = 16 << 20
	}
	if o.GarbageBytes == 0 {
		o.GarbageBytes = 96 << 20
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 16 << 20
	}
	if o.FlightBytes == 0 {
		o.FlightBytes = 16 << 20
	}
	h := &Host{Options: o, open: map[uint64]*member{}, streams: map[uint64][]sending{}, receiving: map[uint64]bool{}, soon: afterAWhile, closed: make(chan struct{})}
	for range o.Workers {
		h.workers = append(h.workers, newWorker(h))
	}
	return h
}

// start runs a goroutine that Close waits for.
func (h *Host) start(label string, id uint64, f func()) {
	labels := pprof.Labels(label, strconv.FormatUint(id, 10))
	h.running.Go(func() { pprof.Do(context.Background(), labels, func(context.Context) { f() }) })
}

// nudge tells a test that drives the host that it may go on.
func (h *Host) nudge() {
	if h.driven != nil {
		h.driven()
	}
}

// Open opens the log of a group and starts to drive its machine, as oplog.Host says. The error is oplog.ErrDamaged if what is stored of the
// group is not what was written: then this group cannot be opened, and others can.
func (h *Host) Open(group uint64, members []uint64, machine oplog.Machine) (oplog.Log, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open[group] != nil {
		return nil, fmt.Errorf("group %d is open already", group)
	}
	m, err := openMember(h, h.workers[group%uint64(len(h.workers))], group, members, machine)
	if err != nil {
		return nil, fmt.Errorf("group %d: %w", group, damage(err))
	}
	h.open[group] = m
	h.many.Store(int64(len(h.open)))
	if h.driven == nil {
		h.start("raftlog.applier", group, m.applier.run)
	}
	m.worker.call(m.begin)
	return m, nil
}

// Drop removes everything of a group that is not open from the disk, but for the promises it gave (entries.Store.DropTo). It
// is for what is left of a member that the group no longer has: one that it has would be missed.
func (h *Host) Drop(group uint64) error {
	if _, err := h.member(group); err == nil {
		return fmt.Errorf("group %d is open", group)
	}
	s := entries.New(h.Store, group)
	b := s.NewBatch()
	if err := s.DropTo(b); err != nil {
		return errors.Join(fmt.Errorf("group %d: %w", group, damage(err)), b.Close())
	}
	done := make(chan struct{})
	h.Store.Commit(b, func() { close(done) })
	<-done
	return nil
}

func (h *Host) forget(group uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, group)
	h.many.Store(int64(len(h.open)))
}

// garbageShare is how many dead bytes one group may leave on the disk.
func (h *Host) garbageShare() int64 { return h.GarbageBytes / max(h.many.Load(), 1) }

// cacheShare is how many bytes of entries one group may keep in memory.
func (h *Host) cacheShare() int64 { return h.CacheBytes / max(h.many.Load(), 1) }

// Close stops the workers. The logs must be closed before.
func (h *Host) Close() error {
	h.mu.Lock()
	h.ended = true
	h.mu.Unlock()
	close(h.closed)
	for _, w := range h.workers {
		w.stop()
	}
	h.running.Wait()
	return nil
}
