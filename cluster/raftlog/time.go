package raftlog

import (
	"sync/atomic"

	"github.com/warrenmq/warren/store/oplog"
)

// logTime is the time that entries are stamped with: the clock's pace, from where the newest entry left it. It never goes
// back, whatever the clocks of the members say, and whoever leads. owner: the worker, but for now
type logTime struct {
	clock func() int64
	last  int64        // of the newest entry
	skew  atomic.Int64 // what the clock lacks to go on from last
}

// begin goes on from the newest entry of an earlier life.
func (t *logTime) begin(last int64) {
	t.last = last
	t.skew.Store(max(last-t.clock(), 0))
}

// stamp gives the time of a new entry.
func (t *logTime) stamp() int64 {
	now := t.now()
	if now < t.last {
		t.skew.Add(t.last - now)
		now = t.last
	}
	t.last = now
	return now
}

// follow goes along with an entry that another member has stamped: should this one lead, log time goes on from there.
func (t *logTime) follow(data []byte) {
	if stamped, ok := oplog.EntryTime(data); ok {
		t.last = stamped
		t.skew.Store(stamped - t.clock())
	}
}

// catchUp goes on from the newest entry of a snapshot, of which nobody knows when it came.
func (t *logTime) catchUp(last int64) {
	if last > t.last {
		t.begin(last)
	}
}

// now is what the next entry would be stamped with, but for a clock that was just set back. From any goroutine.
func (t *logTime) now() int64 { return t.clock() + t.skew.Load() }
