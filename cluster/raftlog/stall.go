package raftlog

import "sync/atomic"

// diskWatch knows whether the disk answers. owner: worker, but for ended
//
// A leader whose disk hangs still hears the others, and could lead for ever without ever having anything itself: so it sends
// no heartbeats for as long as a write is not on the disk for an election's time, and hands over to whoever has the log. Nor
// does a member whose disk hangs seek to lead.
type diskWatch struct {
	ended   atomic.Uint64 // writes
	seen    uint64        // of these
	began   []uint64      // at which tick those began that have not ended as far as was seen
	now     uint64        // tick
	stalled bool
}

// begin notes a write.
func (d *diskWatch) begin() { d.began = append(d.began, d.now) }

// tick lets time pass.
func (d *diskWatch) tick(now uint64) {
	d.now = now
	ended := d.ended.Load()
	d.began = d.began[ended-d.seen:]
	d.seen = ended
	if len(d.began) == 0 {
		d.began = nil
	}
	d.stalled = len(d.began) > 0 && now-d.began[0] >= electionTicks
}

// outstanding is how many writes have not ended.
func (d *diskWatch) outstanding() int { return len(d.began) - int(d.ended.Load()-d.seen) }
