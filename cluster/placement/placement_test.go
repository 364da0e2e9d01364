package placement

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/warrenmq/warren/cluster/membership"
)

// nodes are nodes that live, by their zones.
func nodes(zones ...string) *membership.View {
	v := &membership.View{Nodes: map[uint64]membership.Node{}, Alive: map[uint64]bool{}, Groups: map[uint64]membership.Group{}}
	for i, zone := range zones {
		id := uint64(i + 1)
		v.Nodes[id], v.Alive[id] = membership.Node{ID: id, Zone: zone, Backend: true}, true
	}
	return v
}

// settle assigns until nothing changes.
func settle(t *testing.T, v *membership.View) {
	t.Helper()
	for range 60 {
		changed := Assign(v, Wishes{Even: true})
		if len(changed) == 0 {
			return
		}
		maps.Copy(v.Groups, changed)
	}
	t.Fatal("it does not come to rest")
}

func load(v *membership.View) map[uint64]int {
	count := map[uint64]int{}
	for _, g := range v.Groups {
		for _, id := range g.Members {
			count[id]++
		}
	}
	return count
}

// TestGroupsGrowWithTheCluster: from one node to three to five, and are spread evenly.
func TestGroupsGrowWithTheCluster(t *testing.T) {
	v := nodes("")
	settle(t, v)
	if len(v.Groups) != 2 || len(v.Groups[1].Members) != 1 {
		t.Fatalf("%v", v.Groups)
	}
	for _, count := range []int{2, 3, 5} {
		before := maps.Clone(v.Groups)
		grown := nodes(make([]string, count)...)
		grown.Groups = v.Groups
		v = grown
		settle(t, v)
		want := min(count, 3)
		if want == 2 {
			want = 1
		}
		for id, g := range v.Groups {
			if len(g.Members) != want {
				t.Errorf("%d nodes: group %d on %v", count, id, g.Members)
			}
			if first := before[id].First; first != nil && !slices.Equal(first, g.First) {
				t.Errorf("group %d began with %v, not %v", id, first, g.First)
			}
		}
		least, most := 1<<30, 0
		for id := range v.Nodes {
			least, most = min(least, load(v)[id]), max(most, load(v)[id])
		}
		if len(v.Groups) != 2*count || most-least > 1 {
			t.Errorf("%d nodes: %d groups, %v", count, len(v.Groups), load(v))
		}
	}
}

// TestZonesAreSpreadOver before nodes.
func TestZonesAreSpreadOver(t *testing.T) {
	v := nodes("a", "a", "a", "b", "b", "c")
	settle(t, v)
	for id, g := range v.Groups {
		zones := map[string]bool{}
		for _, node := range g.Members {
			zones[v.Nodes[node].Zone] = true
		}
		if len(zones) != 3 {
			t.Errorf("group %d is on %v", id, g.Members)
		}
	}
}

// TestWhoIsDeadStaysUntilItIsForgotten, and is then replaced by one that lives.
func TestWhoIsDeadStaysUntilItIsForgotten(t *testing.T) {
	v := nodes("", "", "", "")
	settle(t, v)
	before := fmt.Sprint(v.Groups)
	delete(v.Alive, 2)
	settle(t, v)
	if fmt.Sprint(v.Groups) != before {
		t.Error("groups were moved because a node is away")
	}
	delete(v.Nodes, 2)
	settle(t, v)
	for id, g := range v.Groups {
		if slices.Contains(g.Members, 2) || len(g.Members) != 3 {
			t.Errorf("group %d is on %v", id, g.Members)
		}
	}
}

// TestLeadersAreSpread: every node leads some.
// TestLeadersAreSpread, however the members of the groups are ordered.
func TestLeadersAreSpread(t *testing.T) {
	v := nodes("", "", "")
	settle(t, v)
	for round := range 50 {
		random := rand.New(rand.NewPCG(uint64(round), 1))
		leads := map[uint64]int{}
		for _, g := range v.Groups {
			random.Shuffle(len(g.Members), func(i, j int) { g.Members[i], g.Members[j] = g.Members[j], g.Members[i] })
		}
		for id, node := range Leaders(v) {
			if !slices.Contains(v.Groups[id].Members, node) {
				t.Errorf("group %d is to be led by %d, which does not hold it", id, node)
			}
			leads[node]++
		}
		for id := range v.Nodes {
			if leads[id] != 2 {
				t.Errorf("%v", leads)
			}
		}
	}
}

// TestADrainedNode gets nothing new, keeps what it has, and leads nothing.
func TestADrainedNode(t *testing.T) {
	v := nodes("", "", "", "")
	v.Drained = map[uint64]bool{4: true}
	settle(t, v)
	if load(v)[4] != 0 {
		t.Errorf("groups are on a drained node: %v", v.Groups)
	}
	delete(v.Drained, 4)
	settle(t, v)
	before := fmt.Sprint(v.Groups)
	v.Drained[4] = true
	settle(t, v)
	if fmt.Sprint(v.Groups) != before || load(v)[4] == 0 {
		t.Errorf("before a node was drained %s, and then %v", before, v.Groups)
	}
	leads := func(node uint64) (n int) {
		for _, leader := range Leaders(v) {
			if leader == node {
				n++
			}
		}
		return n
	}
	if leads(4) != 0 || leads(1) == 0 {
		t.Errorf("the drained node should lead %d groups", leads(4))
	}
	delete(v.Drained, 4)
	if leads(4) == 0 {
		t.Errorf("after it was revived it leads nothing")
	}
	for id, g := range v.Groups {
		if slices.Contains(g.Members, 1) {
			g.Prefer = 1
			v.Groups[id] = g
		}
	}
	if leads(1) != load(v)[1] {
		t.Errorf("the node that is preferred should lead %d groups, and holds %d", leads(1), load(v)[1])
	}
}

// TestTwoOfThreeStay: when one of three nodes is forgotten, both that are left keep what they have.
func TestTwoOfThreeStay(t *testing.T) {
	v := nodes("", "", "")
	settle(t, v)
	delete(v.Nodes, 2)
	delete(v.Alive, 2)
	settle(t, v)
	for id, g := range v.Groups {
		if members := slices.Sorted(slices.Values(g.Members)); !slices.Equal(members, []uint64{1, 3}) {
			t.Errorf("group %d is on %v", id, members)
		}
	}
}
