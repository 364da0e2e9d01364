package raftlog

import "sync/atomic"

// progress is how far a group's log has come, for those who watch. The applier writes it, others read.
type progress struct {
	committed, applied atomic.Uint64 // indexes
	entries, bytes     atomic.Uint64 // applied since the log was opened
	coldReads          atomic.Uint64 // of entries that were not in memory
}

// Progress is how far the log of a group has come.
type Progress struct {
	Group              uint64
	Committed, Applied uint64 // indexes of the newest entries that are
	Entries, Bytes     uint64 // that were applied since the log was opened
	ColdReads          uint64 // of entries that were not in memory
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
			Group: group, Committed: p.committed.Load(), Applied: applied, Entries: p.entries.Load(), Bytes: p.bytes.Load(),
			ColdReads: p.coldReads.Load(),
		})
	}
	return list
}

// HeldBytes is how many bytes the entries of all groups take, about.
func (h *Host) HeldBytes() int64 { return h.held.Load() }
