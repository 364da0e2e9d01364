package raftlog

import (
	"sync/atomic"
	"time"
)

// progress is how far a group's log has come, for those who watch. The worker and the applier write it, others read.
type progress struct {
	term, written      atomic.Uint64 // newest term; index of the newest entry that is on the disk
	snapshot           atomic.Uint64 // index of the newest snapshot
	latency            atomic.Int64  // nanoseconds from writing an entry to its commit, as it was a moment ago
	committed, applied atomic.Uint64 // indexes
	entries, bytes     atomic.Uint64 // applied since the log was opened
	coldReads          atomic.Uint64 // of entries that were not in memory
}

// Progress is how far the log of a group has come.
type Progress struct {
	Group              uint64
	Term               uint64
	Written            uint64        // index of the newest entry that is on the disk
	Snapshot           uint64        // index of the newest snapshot
	Latency            time.Duration // from writing an entry to its commit, as it was a moment ago, where this member leads
	Committed, Applied uint64        // indexes of the newest entries that are
	Entries, Bytes     uint64        // that were applied since the log was opened
	ColdReads          uint64        // of entries that were not in memory
}

// Progress tells of the open groups, in no order. It waits for nobody.
func (h *Host) Progress() []Progress {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Progress, 0, len(h.open))
	for group, m := range h.open {
		p := &m.applier.progress
		applied := p.applied.Load() // first: it must not get ahead
		list = append(list, Progress{
			Group: group, Term: p.term.Load(), Committed: p.committed.Load(), Applied: applied, Written: p.written.Load(),
			Snapshot: p.snapshot.Load(), Latency: time.Duration(p.latency.Load()), Entries: p.entries.Load(), Bytes: p.bytes.Load(),
			ColdReads: p.coldReads.Load(),
		})
	}
	return list
}

// HeldBytes is how many bytes the entries of all groups take, about.
func (h *Host) HeldBytes() int64 { return h.held.Load() }

// probe measures how long an entry takes from being written to its commit: one at a time. owner: worker
type probe struct {
	index uint64 // 0: none is under way
	began time.Time
}

// begin notes that an entry is written, unless another is under way.
func (p *probe) begin(index uint64) {
	if p.index == 0 {
		p.index, p.began = index, time.Now()
	}
}

// end notes what is committed.
func (p *probe) end(committed uint64, to *progress) {
	if p.index != 0 && committed >= p.index {
		to.latency.Store(int64(time.Since(p.began)))
		p.index = 0
	}
}
