package raftlog

import "github.com/warrenmq/warren/store/oplog"

// Propose implements oplog.Log.
func (m *member) Propose(b oplog.Batch) error {
	m.mu.Lock()
	if m.refuses != nil || m.following {
		err := m.refuses
		m.mu.Unlock()
		if err == nil {
			err = oplog.ErrNotLeading
		}
		return err
	}
	m.waiting = append(m.waiting, b)
	first := len(m.waiting) == 1
	m.mu.Unlock()
	if first {
		m.worker.proposal(m)
	}
	return nil
}

// propose merges what waits into entries, as long as not too much is under way.
func (m *member) propose() {
	if !m.leading {
		return
	}
	batches := m.takeWaiting()
	for len(batches) > 0 {
		n, size := 1, oplog.BatchSize(&batches[0])
		for n < len(batches) && size+oplog.BatchSize(&batches[n]) <= entryMax {
			size += oplog.BatchSize(&batches[n])
			n++
		}
		data := oplog.AppendEntry(make([]byte, 0, oplog.EntrySize(batches[:n])), m.time.stamp(), batches[:n])
		if err := m.raft.Propose(data); err != nil {
			m.putBack(batches)
			return
		}
		batches = batches[n:]
	}
}

func (m *member) takeWaiting() []oplog.Batch {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flight >= m.host.FlightBytes {
		return nil
	}
	bytes, n := int64(0), 0
	for n < len(m.waiting) && bytes < roundMax {
		bytes += int64(len(m.waiting[n].Data))
		n++
	}
	taken := m.waiting[:n:n]
	m.waiting = m.waiting[n:]
	if len(m.waiting) == 0 {
		m.waiting = nil
	}
	m.flight += bytes
	return taken
}

func (m *member) putBack(batches []oplog.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range batches {
		m.flight -= int64(len(batches[i].Data))
	}
	m.waiting = append(batches, m.waiting...)
}

// landed notes bytes that were committed; batches that waited for that may go on.
func (m *member) landed(bytes int64) {
	m.mu.Lock()
	m.flight = max(m.flight-bytes, 0)
	more := len(m.waiting) > 0
	m.mu.Unlock()
	if more {
		m.worker.proposal(m)
	}
}
