package raftlog

import (
	"errors"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/store/oplog"
)

// advance closes the group on a node, makes what it has part of an era, and opens it again.
func (c *cluster) advance(id, era uint64, keep bool, first ...uint64) {
	c.t.Helper()
	n := c.nodes[id]
	if _, err := n.host.Advance(1, era, keep, first); err == nil {
		c.t.Error("a group that is open was changed")
	}
	c.must(n.log.Close())
	for _, want := range []bool{true, false} { // the second time nothing is left to do
		if advanced, err := n.host.Advance(1, era, keep, first); advanced != want || err != nil {
			c.t.Errorf("node %d: %v, %v", id, advanced, err)
		}
	}
	c.open(id)
	if is := n.host.Era(1); is != era {
		c.t.Errorf("node %d is in era %d", id, is)
	}
}

// TestOneThatIsLeftGoesOnAlone with everything in its log, also what was not committed. Those that were given up come back, and are
// a majority of what they know: they lead nobody of the new era, until they hear of it, drop what they have, and join.
func TestOneThatIsLeftGoesOnAlone(t *testing.T) {
	c := newCluster(t, small).long()
	kept := c.leader(0)
	c.propose(kept, 50)
	others := slices.DeleteFunc([]uint64{1, 2, 3}, func(id uint64) bool { return id == kept })
	for _, id := range others {
		c.applied(id)
		c.stop(id)
	}
	_, last := c.reaches(kept)
	c.proposed++
	c.must(c.nodes[kept].log.Propose(oplog.Batch{Data: []byte(c.batch(c.proposed))}))
	c.wait("the batch to be in the log", func() bool { _, now := c.reaches(kept); return now > last })
	c.advance(kept, 1, true)
	c.wait("the one that is left to lead alone", func() bool {
		voters, learners, leader := c.nodes[kept].host.Members(1)
		return leader == kept && slices.Equal(voters, []uint64{kept}) && len(learners) == 0
	})
	c.applied(kept)
	c.propose(kept, 50)
	for _, id := range others {
		c.start(id)
	}
	if id := c.leader(kept); !slices.Contains(others, id) {
		t.Errorf("node %d leads what was given up", id)
	}
	c.propose(kept, 50)
	if voters, _, leader := c.nodes[kept].host.Members(1); leader != kept || len(voters) != 1 {
		t.Errorf("led by %d, with %v", leader, voters)
	}
	for _, id := range others {
		c.nodes[id].begins = nil
		c.advance(id, 1, false)
	}
	c.reach(1, 2, 3)
	c.propose(c.leader(0), 50)
	for id := range c.nodes {
		c.readable(id)
		c.stop(id)
		c.start(id)
	}
	c.propose(c.leader(0), 50)
	for id := range c.nodes {
		c.readable(id)
		if era := c.nodes[id].host.Era(1); era != 1 {
			t.Errorf("after a restart node %d is in era %d", id, era)
		}
	}
}

// TestAGroupBeginsWithNothing when nobody has anything of it any more; who was a member before has to forget what it had.
func TestAGroupBeginsWithNothing(t *testing.T) {
	c := newCluster(t, small).long()
	c.propose(c.leader(0), 50)
	for id := range c.nodes {
		c.stop(id)
	}
	c.proposed = 0
	for id := range c.nodes {
		c.start(id)
	}
	for id := range c.nodes {
		c.advance(id, 2, false, 1, 2, 3)
	}
	c.propose(c.leader(0), 50)
	for id := range c.nodes {
		c.readable(id)
	}
}

// TestNothingIsNotKept: a node that has nothing of a group cannot go on with it.
func TestNothingIsNotKept(t *testing.T) {
	c := newCluster(t, small)
	c.add(4, nil)
	n := c.nodes[4]
	c.must(n.log.Close())
	if _, err := n.host.Advance(1, 1, true, nil); !errors.Is(err, oplog.ErrDamaged) {
		t.Errorf("%v", err)
	}
	c.open(4)
	if era := n.host.Era(1); era != 0 {
		t.Errorf("it is in era %d", era)
	}
	c.advance(4, 2, false)
	c.must(n.log.Close())
	if advanced, err := n.host.Advance(1, 1, true, nil); advanced || err != nil { // an old copy of the metadata takes nothing back
		t.Error(err)
	}
	c.open(4)
	if era := n.host.Era(1); era != 2 {
		t.Errorf("it is in era %d", era)
	}
}

// TestLearnersAreLeftAloneToo: who was about to vote does, and nobody else.
func TestLearnersAreLeftAloneToo(t *testing.T) {
	conf := &raftpb.ConfState{Voters: []uint64{1, 2, 3}, Learners: []uint64{4, 5}}
	for i, cc := range toBeAlone(conf, 4) {
		var err error
		if conf, err = changed(conf, cc, uint64(i+10)); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(conf.Voters, []uint64{4}) || len(conf.Learners) > 0 {
		t.Errorf("%v", conf)
	}
}
