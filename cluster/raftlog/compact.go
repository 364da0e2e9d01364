package raftlog

import (
	"fmt"
	"io"
	"slices"
	"sort"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/oplog"
)

// A log is compacted behind a snapshot that is on the disk: entries of which nothing lives are removed in ranges, and where
// too much is dead beside what lives, the sparsest stretches of the log are packed: what lives of them is copied together,
// at its old addresses. So a straggler pins nothing, and no queue's backlog stands in the way of another's space.
//
// Entries that no snapshot covers are left alone: after a crash they are applied again, and must be whole.
const (
	// packRound is how much is copied between two tasks of the applier.
	packRound = 4 << 20
	// stateShare: a state is not written again before the log has grown by so many times its size.
	stateShare = 4
	// sinceMax bounds, in Options.SnapshotBytes, how much log there may be behind a snapshot: it is replayed at a start.
	sinceMax = 16
	// liveShare: dead bytes are tolerated up to this part of the live ones.
	liveShare = 12
)

// compaction is what the applier knows of snapshots and of what they free. owner: the applier's goroutine
type compaction struct {
	head    *entries.Head     // newest snapshot
	since   int64             // bytes applied since
	state   int64             // size of its state
	spared  int64             // dead bytes that the last compaction left
	writing bool              // a snapshot is on its way to the disk
	packing bool              // and what it covers is being packed
	sparse  []entries.Segment // to be packed, in order
	ending  bool
	// installing: what another member has sent is about to take the place of all this.
	installing bool
	base       uint64 // where the log began
	marks      []mark
	total      int64 // bytes applied since the log was opened
	// reported is what the host was told that the group's entries take.
	reported int64
}

// snapshotDue tells whether a snapshot is worth its writing: because there is much to be replayed, or to be freed.
func (a *applier) snapshotDue() bool {
	if a.writing || a.packing || a.installing {
		return false
	}
	least := a.member.host.SnapshotBytes
	return a.since >= min(max(least, stateShare*a.state), sinceMax*least) || a.segments.Dead() >= a.spared+a.slack()
}

// slack is how many dead bytes the group may hold.
func (a *applier) slack() int64 {
	return a.member.host.garbageShare() + a.segments.Live/liveShare
}

// snapshot writes the machine's state, and compacts what it covers once it is on the disk.
func (a *applier) snapshot(done func()) {
	if done == nil {
		done = func() {}
	}
	if a.index == a.base || a.installing || a.head != nil && a.head.Index == a.index {
		done()
		return
	}
	head := &entries.Head{Index: a.index, Term: a.term, Time: a.time, Conf: a.confBytes(), Segments: a.segments.Snapshot()}
	b := a.entries.NewBatch()
	size := int64(0)
	err := a.entries.WriteSnapshot(b, head, func(w io.Writer) error {
		c := counter{w: w}
		err := a.machine.Snapshot(&c)
		size = c.n
		return err
	})
	if err != nil {
		a.member.host.Fatal(fmt.Errorf("group %d: snapshot at %d: %w", a.member.group, a.index, err))
		return
	}
	a.head, a.since, a.state, a.writing = head, 0, size, true
	held := a.holds()
	a.member.host.Store.Commit(b, func() {
		a.member.worker.call(func() { a.member.snapshotWritten(head, held) })
		done()
	})
}

// snapshotWanted takes a snapshot for a member that lacks what the newest does not have; raft asks again.
func (a *applier) snapshotWanted() {
	if !a.writing && !a.packing {
		a.snapshot(nil)
	}
}

// hold is how far back entries are kept whole behind a snapshot, for members that lack some: from which index on.
type hold struct {
	lag    uint64 // for members that are not heard
	stream uint64 // for those that are catching up, or are being sent a snapshot
	trail  uint64 // for those that this member does not know of while another leads
}

// streamShare: so many times Options.SnapshotBytes of log are kept for a member that is catching up.
const streamShare = 64

func (a *applier) holds() hold {
	least := a.member.host.SnapshotBytes
	h := hold{lag: a.behind(least), stream: a.behind(streamShare * least), trail: a.behind(min(least, a.slack()/2))}
	for len(a.marks) > 0 && a.marks[0].index < h.stream {
		a.marks = a.marks[1:]
	}
	a.marks = append(a.marks, mark{a.index, a.total})
	return h
}

// mark is where a snapshot was taken: the index, and how many bytes had been applied since the log was opened.
type mark struct {
	index uint64
	total int64
}

// behind gives an index, of those at which snapshots were taken, behind which no more than so many bytes lie.
func (a *applier) behind(bytes int64) uint64 {
	for _, m := range a.marks {
		if a.total-m.total <= bytes {
			return m.index
		}
	}
	return a.index
}

// snapshotWritten notes a snapshot that is on the disk, and lets the applier compact what nobody lacks. owner: worker
func (m *member) snapshotWritten(head *entries.Head, held hold) {
	a := m.applier
	upTo := uint64(0)
	if head.Space == m.entries.Space() {
		m.log.head = head
		a.progress.snapshot.Store(head.Index)
		upTo = m.lacking(head.Index, held)
		if err := m.log.compact(upTo); err != nil {
			m.damaged(err)
			upTo = 0
		}
	}
	a.do(func() { // raft no longer looks at what is behind it
		if a.head != head {
			return // another member's has taken its place
		}
		a.writing = false
		if !a.installing {
			a.compact(upTo)
		}
	})
}

// lacking gives up to where a snapshot at index lets go of the log: members that are a little behind get entries, not a
// whole snapshot.
func (m *member) lacking(index uint64, held hold) uint64 {
	switch {
	case m.log.alone(m.host.Node):
		return index
	case !m.leading:
		return min(index, held.trail)
	}
	upTo := index
	m.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		switch {
		case id == m.host.Node:
		case pr.State == tracker.StateSnapshot:
			upTo = min(upTo, max(pr.PendingSnapshot, held.stream))
		case pr.State == tracker.StateProbe && pr.RecentActive: // perhaps it has what it was sent, and has not said so
			upTo = min(upTo, max(pr.Next-1, held.stream))
		case pr.RecentActive:
			upTo = min(upTo, max(pr.Match, held.stream))
		default:
			upTo = min(upTo, max(pr.Match, held.lag))
		}
	})
	return upTo
}

// counter counts what is written through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.w.Write(p)
}

// compact removes the entries up to index of which nothing lives, and begins to pack the sparse ones.
func (a *applier) compact(index uint64) {
	if dead := a.segments.Free(index); len(dead) > 0 {
		b := a.entries.NewBatch()
		for _, s := range dead {
			a.entries.TruncateTo(b, s.First, s.Last)
		}
		a.member.host.Store.CommitLazily(b)
	}
	a.sparse = a.segments.Sparse(index, a.slack()/2)
	a.packing = true
	a.pack(index, a.entries)
}

// pack does a round, and comes back for the next behind what else waits.
func (a *applier) pack(index uint64, in *entries.Store) {
	if a.entries != in {
		return
	}
	if len(a.sparse) == 0 || a.ending || a.installing {
		a.segments.Join(index)
		a.spared = a.segments.Dead()
		a.sparse, a.packing = nil, false
		a.reclaim()
		return
	}
	n, bytes := 0, int64(0)
	for n < len(a.sparse) && (n == 0 || bytes+a.sparse[n].Live() <= packRound) {
		bytes += a.sparse[n].Live()
		n++
	}
	round := a.sparse[:n]
	a.sparse = a.sparse[n:]
	if err := a.packAll(round); err != nil {
		a.member.damaged(err)
		a.sparse = nil
	}
	a.do(func() { a.pack(index, in) })
}

// reclaim lets the store give back the space of what was removed.
func (a *applier) reclaim() {
	h := a.member.host
	h.held.Add(a.segments.Bytes - a.reported)
	a.reported = a.segments.Bytes
	h.Store.Reclaim(h.held.Load())
}

// packAll packs segments, in one write.
func (a *applier) packAll(round []entries.Segment) error {
	live := make([][]oplog.Span, len(round))
	a.machine.Live(round[0].First, round[len(round)-1].Last+1, func(s oplog.Span) {
		i := sort.Search(len(round), func(i int) bool { return round[i].Last >= s.Index })
		if i < len(round) && round[i].First <= s.Index {
			live[i] = append(live[i], s)
		}
	})
	b := a.entries.NewBatch()
	left := make([]int64, len(round))
	for i := range round {
		var err error
		if left[i], err = a.entries.PackTo(b, round[i].First, round[i].Last, live[i]); err != nil {
			return err
		}
	}
	a.member.host.Store.CommitLazily(b)
	for i := range round {
		a.segments.Packed(round[i].First, left[i])
	}
	return nil
}

// SegmentsOf gives a copy of the account of an open group, for tests and figures; done is called on the group's goroutine.
func (h *Host) SegmentsOf(group uint64, done func(list []entries.Segment, bytes, live int64)) bool {
	h.mu.Lock()
	m := h.open[group]
	h.mu.Unlock()
	if m == nil {
		return false
	}
	return m.Do(func() {
		s := &m.applier.segments
		done(slices.Clone(s.Snapshot()), s.Bytes, s.Live)
	}) == nil
}
