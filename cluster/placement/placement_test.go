package placement

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/warrenmq/warren/cluster/membership"
	"github.com/warrenmq/warren/cluster/raftlog"
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
		for id, g := range v.Groups { // all of them arrive
			g.From = 0
			v.Groups[id] = g
		}
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

// ofSize gives the groups of a size, and how many members each node has of them.
func ofSize(v *membership.View, size int) (groups []membership.Group, load map[uint64]int) {
	load = map[uint64]int{}
	for _, g := range v.Groups {
		if g.Size == size {
			groups = append(groups, g)
			for _, id := range g.Members {
				load[id]++
			}
		}
	}
	return groups, load
}

// TestGroupsOfSizesThatAreWanted come into being, one for each node, are spread, and grow with the cluster as far as they may.
func TestGroupsOfSizesThatAreWanted(t *testing.T) {
	v := nodes("", "", "")
	settle(t, v)
	v.Sizes = map[int]bool{1: true, 3: true, 4: true, 5: true, 1000: true}
	settle(t, v)
	for count, want := range map[int]map[int]int{3: {1: 1, 3: 3, 5: 3, 7: 3}, 5: {1: 1, 3: 3, 5: 5, 7: 5}} {
		grown := nodes(make([]string, count)...)
		grown.Groups, grown.Sizes = maps.Clone(v.Groups), v.Sizes
		settle(t, grown)
		for size, members := range want {
			groups, load := ofSize(grown, size)
			many := map[bool]int{true: 2 * count, false: count}[size == DefaultSize]
			if len(groups) != many {
				t.Errorf("%d nodes: %d groups of size %d, not %d", count, len(groups), size, many)
			}
			for _, g := range groups {
				if len(g.Members) != members {
					t.Errorf("%d nodes: a group of size %d is on %v", count, size, g.Members)
				}
			}
			for id := range grown.Nodes {
				if load[id] != many*members/count {
					t.Errorf("%d nodes: groups of size %d: %v", count, size, load)
				}
			}
		}
		leads := map[uint64]int{}
		for _, node := range Leaders(grown) {
			leads[node]++
		}
		for id := range grown.Nodes {
			if leads[id] != len(grown.Groups)/count {
				t.Errorf("%d nodes: leaders of %d groups are %v", count, len(grown.Groups), leads)
			}
		}
	}
}

// TestSizesAreOdd, and bounded.
func TestSizesAreOdd(t *testing.T) {
	for wish, want := range map[int]int{-1: 1, 0: 1, 1: 1, 2: 3, 3: 3, 4: 5, 5: 5, 6: 7, 7: 7, 8: 7, 9: 7, 1 << 62: 7} {
		if size := Round(wish); size != want {
			t.Errorf("who wants %d gets %d, not %d", wish, size, want)
		}
	}
}

// TestAGroupKeepsItsSize, whatever the size of those of which nobody has said; and one without gets that.
func TestAGroupKeepsItsSize(t *testing.T) {
	v := nodes("", "", "", "", "")
	v.Groups = map[uint64]membership.Group{1: {Members: []uint64{1}, Size: 1}, 2: {Members: []uint64{1, 2, 3, 4, 5}, Size: 5}, 3: {Members: []uint64{3}}}
	maps.Copy(v.Groups, Assign(v, Wishes{Size: 3}))
	for id, want := range map[uint64]int{1: 1, 2: 5, 3: 3} {
		if g := v.Groups[id]; g.Size != want || len(g.Members) != want {
			t.Errorf("group %d: %+v, not of size %d", id, g, want)
		}
	}
	if groups, _ := ofSize(v, 3); len(groups) != 10 {
		t.Errorf("%d groups of the size that holds if nobody says", len(groups))
	}
	v.Groups[1] = membership.Group{Members: []uint64{1, 2}, Size: 1}
	maps.Copy(v.Groups, Assign(v, Wishes{}))
	if g := v.Groups[1]; len(g.Members) != 1 {
		t.Errorf("a group of size 1 is on %v", g.Members)
	}
}

// TestADrainedNodeGivesAwayWhatItAloneHas, and nothing else; the node counts as its only holder until it is gone.
func TestADrainedNodeGivesAwayWhatItAloneHas(t *testing.T) {
	v := nodes("", "", "")
	v.Sizes = map[int]bool{1: true}
	settle(t, v)
	v.Drained = map[uint64]bool{2: true}
	changed := Assign(v, Wishes{})
	if len(changed) != 1 {
		t.Fatalf("because a node is drained, %v are to change", changed)
	}
	for id, g := range changed {
		if before := v.Groups[id]; !slices.Equal(before.Members, []uint64{2}) || len(g.Members) != 1 || g.Members[0] == 2 || g.From != 2 || g.Size != 1 {
			t.Errorf("%+v becomes %+v", before, g)
		}
		v.Groups[id] = g
		v.Drained[g.Members[0]] = true // before it has got there
	}
	if changed := Assign(v, Wishes{Even: true}); len(changed) != 1 { // what that node alone has
		t.Errorf("a group is moved on before it has arrived: %v", changed)
	}
	v = nodes("", "")
	settle(t, v)
	v.Drained = map[uint64]bool{1: true, 2: true}
	if changed := Assign(v, Wishes{}); len(changed) != 0 {
		t.Errorf("nobody is left to take them, and %v are to change", changed)
	}
	delete(v.Drained, 2)
	delete(v.Alive, 1)
	if changed := Assign(v, Wishes{}); len(changed) != 0 {
		t.Errorf("the node that has them is down, and %v are to change", changed)
	}
}

// TestWhoGrowsFromOneNodeRemembersIt, until its leader says that all have everything.
func TestWhoGrowsFromOneNodeRemembersIt(t *testing.T) {
	v := nodes("")
	settle(t, v)
	groups := v.Groups
	v = nodes("", "", "")
	v.Groups = groups
	maps.Copy(v.Groups, Assign(v, Wishes{}))
	if g := v.Groups[1]; g.From != 1 || len(g.Members) != 3 {
		t.Fatalf("%+v", g)
	}
	status := func(leader uint64, learners, voters []uint64) []raftlog.Status {
		return []raftlog.Status{{Group: 1, Leader: leader, Voters: voters, Learners: learners}}
	}
	for _, s := range [][]raftlog.Status{
		status(1, nil, []uint64{1, 2}), status(2, nil, []uint64{1, 2, 3}), status(1, []uint64{2, 3}, []uint64{1}), status(1, []uint64{4}, []uint64{1, 2, 3}),
	} {
		if done := arrivals(v, 1, s); len(done) != 0 {
			t.Errorf("%+v counts as complete", s)
		}
	}
	done := arrivals(v, 1, status(1, nil, []uint64{3, 2, 1}))
	if g := done[1]; g.From != 0 || len(g.Members) != 3 || g.Size != 3 {
		t.Errorf("%+v", done)
	}
}

// TestAMoveToWhoDoesNotLiveIsTakenBack, as long as that node has no vote.
func TestAMoveToWhoDoesNotLiveIsTakenBack(t *testing.T) {
	v := nodes("", "")
	v.Groups[1] = membership.Group{Members: []uint64{2}, From: 1, Size: 1}
	alone := []raftlog.Status{{Group: 1, Leader: 1, Voters: []uint64{1}, Learners: []uint64{2}}}
	if done := arrivals(v, 1, alone); len(done) != 0 {
		t.Errorf("%v", done)
	}
	delete(v.Alive, 2)
	if done := arrivals(v, 1, []raftlog.Status{{Group: 1, Leader: 1, Voters: []uint64{1, 2}}}); len(done) != 0 {
		t.Errorf("taken back from who votes: %v", done)
	}
	if g := arrivals(v, 1, alone)[1]; !slices.Equal(g.Members, []uint64{1}) || g.From != 0 {
		t.Errorf("%+v", g)
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

// TestWhereAGroupBeginsAnew: on nodes that live and are not drained, as many as its size, or fewer.
func TestWhereAGroupBeginsAnew(t *testing.T) {
	v := nodes("a", "a", "b", "c", "d")
	v.Groups[1] = membership.Group{Members: []uint64{1, 2, 3}, Size: 3}
	v.Groups[2] = membership.Group{Members: []uint64{4}, Size: 1}
	v.Drained = map[uint64]bool{5: true}
	v.Alive[3] = false
	for group, want := range map[uint64]string{1: "[1 4 2]", 2: "[4]"} {
		if got := fmt.Sprint(Anew(v, Wishes{}, group)); got != want {
			t.Errorf("group %d on %s, want %s", group, got, want)
		}
	}
	v.Alive[4] = false
	if got := Anew(v, Wishes{}, 1); len(got) != 1 {
		t.Errorf("with two nodes: on %v", got)
	}
	v.Alive = nil
	if got := Anew(v, Wishes{}, 1); len(got) != 0 {
		t.Errorf("without nodes: on %v", got)
	}
}
