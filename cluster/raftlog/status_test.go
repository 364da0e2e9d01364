package raftlog

import (
	"testing"
	"time"
)

// TestHowLongAMemberIsSilent: a follower counts from when it heard of the leader, a leader from when it began to lead, if it has
// heard nothing since.
func TestHowLongAMemberIsSilent(t *testing.T) {
	m := &member{worker: &worker{ticks: 100}, heard: map[uint64]uint64{2: 10, 3: 95}, since: 90}
	for _, c := range []struct {
		leading bool
		node    uint64
		ticks   time.Duration
	}{{false, 2, 90}, {false, 3, 5}, {false, 4, 100}, {true, 2, 10}, {true, 3, 5}, {true, 4, 10}} {
		m.leading = c.leading
		if silent := m.silent(c.node); silent != c.ticks*tickEvery {
			t.Errorf("leading: %v, node %d: silent for %v", c.leading, c.node, silent)
		}
	}
}
