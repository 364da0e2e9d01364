package raftlog

import (
	"testing"

	"github.com/warrenmq/warren/store/oplog"
)

func TestEveryMemberAppliesTheSame(t *testing.T) {
	c := newCluster(t, Options{SnapshotBytes: 1 << 40})
	leader := c.leader(0)
	c.propose(leader, 500)
	for id := range c.nodes {
		c.applied(id)
		if id != leader {
			if err := c.nodes[id].log.Propose(oplog.Batch{Data: []byte("x")}); err != oplog.ErrNotLeading {
				t.Errorf("node %d takes a batch: %v", id, err)
			}
		}
	}
}

// TestALeaderThatDies is followed by one that has everything, and finds it when it comes back.
func TestALeaderThatDies(t *testing.T) {
	c := newCluster(t, Options{SnapshotBytes: 1 << 40})
	for range 3 {
		old := c.leader(0)
		c.propose(old, 50)
		c.stop(old)
		for id, n := range c.nodes {
			if id != old {
				n.host.Lost(old)
			}
		}
		c.propose(c.leader(old), 50)
		c.start(old)
		c.applied(old)
	}
}

// TestAMinorityCommitsNothing, and what it was given is gone when it hears of the others.
func TestAMinorityCommitsNothing(t *testing.T) {
	c := newCluster(t, Options{SnapshotBytes: 1 << 40})
	old := c.leader(0)
	c.propose(old, 10)
	c.wire.isolate(old, true, false)
	c.must(c.nodes[old].log.Propose(oplog.Batch{Data: []byte("of a minority")}))
	next := c.leader(old)
	c.propose(next, 10)
	c.wire.isolate(old, false, false)
	c.applied(old)
}

// TestClocksThatDiffer: whoever leads, log time goes on from where it was at the pace of a clock.
func TestClocksThatDiffer(t *testing.T) {
	const hour = 3_600_000
	c := newCluster(t, Options{SnapshotBytes: 1 << 40})
	c.nodes[1].clock.Store(1_000_000 + hour)
	c.nodes[2].clock.Store(1_000_000)
	c.nodes[3].clock.Store(1_000_000 - hour/2)
	first := c.leader(0)
	c.propose(first, 5)
	for id := range c.nodes {
		c.applied(id)
	}
	c.wire.isolate(first, true, true)
	next := c.leader(first)
	c.nodes[next].clock.Add(70)
	c.propose(next, 5)
	m := c.nodes[next].machine
	m.mu.Lock()
	defer m.mu.Unlock()
	if passed := m.times[len(m.times)-1] - m.times[0]; passed != 70 {
		t.Errorf("log time has moved by %d ms, the clocks by 70", passed)
	}
}
