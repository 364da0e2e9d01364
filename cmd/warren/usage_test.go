package main

import (
	"testing"
	"time"

	"github.com/warrenmq/warren/cluster/raftlog"
)

// TestHowFarMembersAreBehind: the slowest counts, and the one that was heard longest ago; who has said nothing yet does not, for
// a while.
func TestHowFarMembersAreBehind(t *testing.T) {
	const probe, replicate, snapshot = "StateProbe", "StateReplicate", "StateSnapshot"
	for _, c := range []struct {
		what   string
		leader uint64
		peers  []raftlog.Peer
		leads  bool
		behind uint64
		silent time.Duration
	}{
		{"another leads", 2, nil, false, 0, 0},
		{"it has no others", 1, nil, true, 0, 0},
		{"one is slow, and one silent", 1, []raftlog.Peer{{Node: 2, Match: 60, State: replicate}, {Node: 3, Match: 100, State: probe, Silent: time.Hour}}, true, 40, time.Hour},
		{"one is beyond what was looked at", 1, []raftlog.Peer{{Node: 2, Match: 101, State: replicate}}, true, 0, 0},
		{"one has not answered yet", 1, []raftlog.Peer{{Node: 2, State: probe, Silent: time.Second}, {Node: 3, Match: 99, State: replicate}}, true, 1, time.Second},
		{"one does not answer", 1, []raftlog.Peer{{Node: 2, State: probe, Silent: time.Minute}}, true, 100, time.Minute},
		{"one is sent everything", 1, []raftlog.Peer{{Node: 2, State: snapshot}}, true, 100, 0},
	} {
		s := raftlog.Status{Group: 7, Leader: c.leader, Voters: []uint64{1, 2, 3}, Last: 100, Peers: c.peers}
		g := progressOf(&raftlog.Progress{Group: 7}, &s, 1)
		if g.Leads != c.leads || g.Behind != c.behind || g.Silent != c.silent || g.Members != 3 {
			t.Errorf("%s: %+v", c.what, g)
		}
	}
}
