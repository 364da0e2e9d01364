package placement

import (
	"testing"

	"github.com/warrenmq/warren/cluster/membership"
)

// on makes groups of a size, each on its nodes.
func on(v *membership.View, size int, members ...[]uint64) {
	for _, list := range members {
		v.Groups[uint64(len(v.Groups)+1)] = membership.Group{Members: list, First: list, Size: size}
	}
}

// TestEachSizeIsSpread, also where the nodes have unequally much to do already.
func TestEachSizeIsSpread(t *testing.T) {
	v := nodes("", "", "", "")
	all := []uint64{1, 2, 3}
	on(v, 3, all, all, all, all, all, all, all, all) // the fourth node has just joined
	v.Sizes = map[int]bool{1: true}
	for _, g := range Assign(v, Wishes{}) {
		if g.Size == 1 {
			on(v, 1, g.Members)
		}
	}
	if groups, load := ofSize(v, 1); len(groups) != 4 || load[1] != 1 || load[2] != 1 || load[3] != 1 || load[4] != 1 {
		t.Errorf("groups of one are on %v", load)
	}
}

// TestAllIsSpread: what is left over of several sizes does not come together on one node.
func TestAllIsSpread(t *testing.T) {
	v := nodes("", "", "", "")
	on(v, 1, []uint64{1}, []uint64{1}, []uint64{2}, []uint64{3}, []uint64{4})
	on(v, 3, []uint64{1, 2, 3}, []uint64{1, 2, 3}, []uint64{1, 2, 3}, []uint64{1, 2, 4}, []uint64{1, 2, 4}, []uint64{1, 3, 4}, []uint64{1, 3, 4}, []uint64{2, 3, 4}, []uint64{2, 3, 4})
	settle(t, v)
	_, ones := ofSize(v, 1)
	_, threes := ofSize(v, 3)
	for id, all := range load(v) {
		if all != 8 || ones[id] > 2 || threes[id] > 7 {
			t.Errorf("node %d has %d: %d of one and %d of three members", id, all, ones[id], threes[id])
		}
	}
}

// TestASizeThatIsSpreadStaysSo: what makes all more alike comes from a size of which there is more, or it would go back and forth.
func TestASizeThatIsSpreadStaysSo(t *testing.T) {
	v := nodes("", "", "", "")
	on(v, 1, []uint64{1}, []uint64{2}, []uint64{3}, []uint64{4})
	on(v, 3, []uint64{1, 2, 3}, []uint64{1, 2, 3}, []uint64{1, 2, 3}, []uint64{1, 2, 4}, []uint64{1, 2, 4}, []uint64{1, 3, 4}, []uint64{1, 3, 4}, []uint64{2, 3, 4}, []uint64{2, 3, 4})
	on(v, 5, []uint64{1, 2, 3}, []uint64{1, 2, 3}, []uint64{1, 2, 4}, []uint64{1, 3, 4}, []uint64{2, 3, 4})
	settle(t, v)
	if _, ones := ofSize(v, 1); len(ones) != 4 {
		t.Errorf("groups of one are on %v", ones)
	}
	for id, all := range load(v) {
		if all < 11 || all > 12 {
			t.Errorf("node %d has %d", id, all)
		}
	}
}

// TestWhatIsOnItsWayIsNotMovedOn to make the nodes more alike.
func TestWhatIsOnItsWayIsNotMovedOn(t *testing.T) {
	v := nodes("", "", "")
	v.Sizes = map[int]bool{1: true}
	settle(t, v)
	for id, g := range v.Groups {
		if g.Size == 1 {
			g.Members, g.From = []uint64{1}, 2
			v.Groups[id] = g
		}
	}
	if changed := Assign(v, Wishes{Even: true}); len(changed) != 0 {
		t.Errorf("%v are to change", changed)
	}
}

// TestLeadersMakeUpForGroupsOfOne, which only one node can lead.
func TestLeadersMakeUpForGroupsOfOne(t *testing.T) {
	v := nodes("", "", "")
	all := []uint64{1, 2, 3}
	on(v, 3, all, all, all, all)
	on(v, 1, []uint64{1}, []uint64{1})
	leads := map[uint64]int{}
	for _, node := range Leaders(v) {
		leads[node]++
	}
	if leads[1] != 2 || leads[2] != 2 || leads[3] != 2 {
		t.Errorf("leaders are %v", leads)
	}
}
