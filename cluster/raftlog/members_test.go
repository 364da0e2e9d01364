package raftlog

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/oplog"
)

// small makes groups take snapshots and forget their log soon.
var small = Options{SnapshotBytes: 4 << 10, GarbageBytes: 4 << 10, PartBytes: 512}

// long makes batches that are much longer than small leaves in the log.
func (c *cluster) long() *cluster {
	c.batch = func(i int) string { return fmt.Sprintf("batch %d %s", i, strings.Repeat("x", 1000)) }
	return c
}

// newestSnapshot tells what a stopped or running node has on the disk.
func (c *cluster) newestSnapshot(id uint64) entries.Head {
	c.t.Helper()
	head, _, err := entries.New(c.nodes[id].store, 1).SnapshotHead()
	c.must(err)
	return head
}

// reaches gives the index behind which the log of a running node begins, and that of its last entry.
func (c *cluster) reaches(id uint64) (from, to uint64) {
	c.t.Helper()
	m, err := c.nodes[id].host.member(1)
	c.must(err)
	done := make(chan struct{})
	m.worker.call(func() {
		from, to = m.log.compacted.index, m.log.last
		close(done)
	})
	<-done
	return from, to
}

// TestALaggardIsSentTheState: one that was away for longer than the log reaches back gets a state and what lives, reads it,
// goes on, and finds it after a restart.
func TestALaggardIsSentTheState(t *testing.T) {
	c := newCluster(t, small).long()
	leader := c.leader(0)
	c.propose(leader, 20)
	away := leader%nodes + 1
	c.applied(away)
	for range 2 { // the second time it replaces one that was sent
		_, had := c.reaches(away)
		c.stop(away)
		for from := uint64(0); from <= had; from, _ = c.reaches(leader) { // how many entries that makes, chance decides
			c.propose(leader, 500)
		}
		c.start(away)
		c.readable(away)
		c.propose(leader, 20)
		c.readable(away)
		c.stop(away)
		c.start(away)
		c.readable(away)
	}
	if space := c.newestSnapshot(away).Space; space != 2 {
		t.Errorf("it lies in space %d", space)
	}
	c.stop(leader)
	for id, n := range c.nodes {
		if id != leader {
			n.host.Lost(leader)
		}
	}
	c.propose(c.leader(leader), 20)
	c.readable(away)
}

// TestAGroupGrowsAndShrinks: to five members and back to three, of which two are others; the nodes that are gone can be
// emptied, and be members again. They do not begin the group anew, though they are told who it began with.
func TestAGroupGrowsAndShrinks(t *testing.T) {
	c := newCluster(t, small).long()
	c.propose(c.leader(0), 50)
	c.add(4, nil)
	c.add(5, nil)
	c.reach(1, 2, 3, 4, 5)
	c.propose(c.leader(0), 50)
	c.readable(4)
	c.readable(5)
	c.reach(3, 4, 5)
	c.propose(c.leader(0), 50)
	for _, id := range []uint64{1, 2} {
		n := c.nodes[id]
		if err := n.host.Drop(1); err == nil {
			t.Error("a group that is open was removed")
		}
		c.must(n.log.Close())
		c.must(n.host.Drop(1))
		for what, list := range map[string]func() (bool, error){
			"a snapshot": func() (bool, error) { _, ok, err := entries.New(n.store, 1).SnapshotHead(); return ok, err },
			"entries":    func() (bool, error) { _, _, ok, err := entries.New(n.store, 1).Current().Last(); return ok, err },
		} {
			if ok, err := list(); ok || err != nil {
				t.Errorf("node %d has %s: %v", id, what, err)
			}
		}
		c.stop(id)
		c.start(id)
	}
	c.reach(1, 3, 4)
	c.propose(c.leader(5), 50)
	for _, id := range []uint64{1, 3, 4} {
		c.readable(id)
	}
	for id := range c.nodes {
		c.stop(id)
	}
	for id := range c.nodes {
		c.start(id)
	}
	c.propose(c.leader(0), 50)
	for _, id := range []uint64{1, 3, 4} {
		c.readable(id)
		voters, learners, _ := c.nodes[id].host.Members(1)
		if slices.Sort(voters); !slices.Equal(voters, []uint64{1, 3, 4}) || len(learners) > 0 {
			t.Errorf("after a restart node %d knows of %v and %v", id, voters, learners)
		}
	}
}

// TestTheFirstMemberComesBack: it was the only one, the group has moved, and it is told again that the group begins with it.
func TestTheFirstMemberComesBack(t *testing.T) {
	c := newCluster(t, Options{SnapshotBytes: 1 << 40})
	for id := range c.nodes {
		c.stop(id)
	}
	c.add(1, []uint64{1})
	c.add(2, nil)
	c.leader(0)
	c.propose(1, 20)
	c.reach(2)
	c.propose(2, 20)
	n := c.nodes[1]
	c.must(n.log.Close())
	c.must(n.host.Drop(1))
	c.stop(1)
	c.start(1)
	if voters, _, leader := n.host.Members(1); len(voters) > 0 || leader == 1 {
		t.Fatalf("it has begun the group anew, with %v", voters)
	}
	c.reach(1, 2)
	c.propose(2, 20)
	c.readable(1)
}

// TestOneBecomesThree: a group that began with one member, long ago.
func TestOneBecomesThree(t *testing.T) {
	c := newCluster(t, Options{SnapshotBytes: 1 << 40})
	for id := range c.nodes {
		c.stop(id)
	}
	c.add(1, []uint64{1})
	c.add(2, nil)
	c.add(3, nil)
	c.leader(0)
	c.propose(1, 20)
	c.reach(1, 2, 3)
	c.propose(1, 20)
	for id := range c.nodes {
		c.readable(id)
	}
}

// TestLeadershipIsHandedOver, and nothing that was proposed before is lost.
func TestLeadershipIsHandedOver(t *testing.T) {
	c := newCluster(t, Options{SnapshotBytes: 1 << 40})
	leader := c.leader(0)
	for range 5 {
		c.propose(leader, 20)
		to := leader%nodes + 1
		if err := c.nodes[to].host.Transfer(1, leader); err != oplog.ErrNotLeading {
			t.Error(err)
		}
		began := time.Now()
		c.must(c.nodes[leader].host.Transfer(1, to))
		c.wait("another leader", func() bool {
			c.nodes[to].machine.mu.Lock()
			defer c.nodes[to].machine.mu.Unlock()
			return c.nodes[to].machine.leading
		})
		t.Logf("handed over in %v", time.Since(began).Round(time.Microsecond))
		c.propose(to, 20)
		leader = to
	}
}

// TestTheStatusTellsOfTheMembers as the leader sees them.
func TestTheStatusTellsOfTheMembers(t *testing.T) {
	c := newCluster(t, Options{SnapshotBytes: 1 << 40})
	leader := c.leader(0)
	c.propose(leader, 20)
	c.wait("all to have everything, by the leader's account", func() bool {
		list := c.nodes[leader].host.Status()
		if len(list) != 1 || list[0].Group != 1 || list[0].Leader != leader || list[0].Term == 0 || len(list[0].Peers) != nodes-1 {
			return false
		}
		for _, p := range list[0].Peers {
			if p.Match != list[0].Last || p.State != "StateReplicate" || p.Learner {
				return false
			}
		}
		return list[0].Committed == list[0].Last
	})
}

// TestAStartRemovesWhatWasTorn: pieces of a state that nobody put in place.
func TestAStartRemovesWhatWasTorn(t *testing.T) {
	fs := vfs.NewMem()
	n := start(t, fs, Options{})
	n.notes(1).wait(0)
	torn := entries.New(n.store, 1).In(1)
	b := torn.NewBatch()
	torn.AppendTo(b, &entries.Entry{Index: 7, Term: 1, Data: []byte("torn")})
	torn.WriteLazily(b)
	n.stop()
	n = start(t, fs, Options{})
	n.notes(1).wait(0)
	if _, _, ok, err := entries.New(n.store, 1).In(1).Last(); ok || err != nil {
		t.Error("it is still there", err)
	}
	n.stop()
}
