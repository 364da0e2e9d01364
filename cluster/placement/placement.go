// Package placement owns the decision which nodes hold which groups. It is pure: the same cluster gives the same answer.
package placement

import (
	"cmp"
	"maps"
	"slices"

	"github.com/warrenmq/warren/cluster/membership"
)

// Sizes of groups.
const (
	DefaultSize = 3
	// MaxSize is the most: every further copy slows a group down, and each size has groups of its own.
	MaxSize = 7
)

// Round gives the size of the groups for queues that are to lie on so many nodes: an even number counts as the next odd one,
// because an even member votes, and saves nobody.
func Round(size int) int { return min(max(size, 1)|1, MaxSize) }

// Reachable is how many members a group of a size is to have where so many nodes hold groups.
func Reachable(size, nodes int) int {
	size = min(size, nodes)
	if size%2 == 0 {
		size--
	}
	return size
}

// Wishes bound the decision.
type Wishes struct {
	Size    int  // members of a group of which nobody has said how many. Default DefaultSize
	PerNode int  // groups of that size for each node that holds some. Default 2. Of other sizes there is one for each node
	Even    bool // where nothing else is to change, one member moves to a node that has less to do
}

// Assign gives the groups that are to change, and how. A member that belongs to the cluster stays, whether it lives or not:
// one that was forgotten is replaced, and one that is drained if nobody else has what it has. Zones are spread over before
// nodes, and nodes evenly, by the groups of each size and by all.
func Assign(v *membership.View, w Wishes) map[uint64]membership.Group {
	w.Size, w.PerNode = Round(cmp.Or(w.Size, DefaultSize)), cmp.Or(w.PerNode, 2)
	a := newAssignment(v, w.Size)
	if len(a.nodes) == 0 {
		return nil
	}
	for _, id := range a.ids {
		a.mend(id)
	}
	a.add(w.Size, w.PerNode*len(a.nodes))
	for _, size := range slices.Sorted(maps.Keys(v.Sizes)) {
		a.add(Round(size), len(a.nodes))
	}
	if len(a.changed) == 0 && w.Even {
		a.even()
	}
	return a.changed
}

// Anew gives the nodes on which a group can begin anew of which nothing is left: as many of those that live as it is to have
// members, an odd number.
func Anew(v *membership.View, w Wishes, group uint64) []uint64 {
	a := newAssignment(v, Round(cmp.Or(w.Size, DefaultSize)))
	g := v.Groups[group]
	size := a.sizeOf(&g)
	for _, node := range g.Members {
		a.take(node, size, -1)
	}
	members := a.fill(nil, size, size)
	return members[:max(Reachable(size, len(members)), 0)]
}

// assignment is a decision in the making.
type assignment struct {
	view    *membership.View
	nodes   []uint64 // that hold groups
	ids     []uint64 // of the groups there are
	size    int      // of groups of which nobody has said
	load    map[uint64]int
	sized   map[int]map[uint64]int // load, by the size of groups
	count   map[int]int            // groups of a size
	changed map[uint64]membership.Group
}

func newAssignment(v *membership.View, size int) *assignment {
	a := &assignment{
		view: v, size: size, ids: slices.Sorted(maps.Keys(v.Groups)), load: map[uint64]int{}, sized: map[int]map[uint64]int{},
		count: map[int]int{}, changed: map[uint64]membership.Group{},
	}
	for _, id := range slices.Sorted(maps.Keys(v.Nodes)) {
		if v.Nodes[id].Backend {
			a.nodes = append(a.nodes, id)
		}
	}
	for _, g := range v.Groups {
		a.count[a.sizeOf(&g)]++
		for _, node := range g.Members {
			a.take(node, a.sizeOf(&g), 1)
		}
	}
	return a
}

func (a *assignment) sizeOf(g *membership.Group) int { return cmp.Or(g.Size, a.size) }

// take counts a member more on a node, or less.
func (a *assignment) take(node uint64, size, more int) {
	if a.sized[size] == nil {
		a.sized[size] = map[uint64]int{}
	}
	a.load[node] += more
	a.sized[size][node] += more
}

func (a *assignment) reachable(size int) int { return Reachable(size, len(a.nodes)) }

// add makes groups of a size, until there are so many.
func (a *assignment) add(size, count int) {
	next := uint64(1)
	if len(a.ids) > 0 {
		next = a.ids[len(a.ids)-1] + 1
	}
	for a.changed[next].Size != 0 {
		next++
	}
	for ; a.count[size] < count; a.count[size]++ {
		members := a.fill(nil, size, a.reachable(size))
		if len(members) < a.reachable(size) {
			return // not enough of them live: a group that begins must not begin crippled
		}
		a.changed[next] = membership.Group{Members: members, First: slices.Clone(members), Size: size}
		next++
	}
}

// mend replaces members that are forgotten, and fills up. A group grows by as many members at once as it takes to be odd.
func (a *assignment) mend(id uint64) {
	g := a.view.Groups[id]
	size := a.sizeOf(&g)
	want := a.reachable(size)
	most := want
	if want == 1 && size > 1 {
		most = 2 // two are no majority more than one, but they have the messages twice
	}
	members := slices.DeleteFunc(slices.Clone(g.Members), func(node uint64) bool { return !slices.Contains(a.nodes, node) })
	for len(members) > most {
		members = a.without(members, size)
	}
	if want == 1 && a.abandons(&g, members) {
		if others := a.fill(nil, size, 1); len(others) > 0 {
			a.take(members[0], size, -1)
			members = others
		}
	}
	members = a.fill(members, size, want)
	if len(members) == 0 || len(members) < len(g.Members) && len(members) < want {
		members = g.Members
	}
	a.put(id, size, members)
}

// abandons tells whether a node that is drained is the only one that has a group, and can still give it away.
func (a *assignment) abandons(g *membership.Group, members []uint64) bool {
	return len(members) == 1 && g.From == 0 && a.view.Drained[members[0]] && a.view.Alive[members[0]]
}

// put notes what members a group is to have, if that is a change.
func (a *assignment) put(id uint64, size int, members []uint64) {
	g := a.view.Groups[id]
	if g.Size == size && slices.Equal(members, g.Members) {
		return
	}
	if len(g.Members) == 1 && g.From == 0 && !slices.Equal(members, g.Members) {
		g.From = g.Members[0]
	}
	g.Size, g.Members = size, members
	a.changed[id] = g
}

// without takes the member off that has the most to do.
func (a *assignment) without(members []uint64, size int) []uint64 {
	most := slices.MaxFunc(members, func(x, y uint64) int { return cmp.Or(cmp.Compare(a.load[x], a.load[y]), cmp.Compare(x, y)) })
	a.take(most, size, -1)
	return slices.DeleteFunc(members, func(node uint64) bool { return node == most })
}

// fill adds members that live and are not drained, those in zones without one and with the least to do first.
func (a *assignment) fill(members []uint64, size, count int) []uint64 {
	for len(members) < count {
		best := uint64(0)
		for _, id := range a.nodes {
			if slices.Contains(members, id) || !a.view.Alive[id] || a.view.Drained[id] {
				continue
			}
			if best == 0 || a.before(members, size, id, best) {
				best = id
			}
		}
		if best == 0 {
			return members
		}
		a.take(best, size, 1)
		members = append(members, best)
	}
	return members
}

// before tells whether x is the better addition.
func (a *assignment) before(members []uint64, size int, x, y uint64) bool {
	return cmp.Or(cmp.Compare(a.inZone(members, x), a.inZone(members, y)),
		cmp.Compare(a.sized[size][x], a.sized[size][y]), cmp.Compare(a.load[x], a.load[y])) < 0
}

func (a *assignment) inZone(members []uint64, node uint64) (count int) {
	for _, m := range members {
		if a.view.Nodes[m].Zone == a.view.Nodes[node].Zone {
			count++
		}
	}
	return count
}
