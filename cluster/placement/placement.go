// Package placement owns the decision which nodes hold which groups. It is pure: the same cluster gives the same answer.
package placement

import (
	"cmp"
	"maps"
	"slices"

	"github.com/warrenmq/warren/cluster/membership"
)

// Wishes bound the decision.
type Wishes struct {
	Size    int  // members of a group. Default 3
	PerNode int  // groups for each node that holds some. Default 2
	Even    bool // where nothing else is to change, one member moves to a node that has less to do
}

// Assign gives the groups that are to change, and how. A member that belongs to the cluster stays, whether it lives or not:
// one that was forgotten is replaced. Zones are spread over before nodes, and nodes evenly.
func Assign(v *membership.View, w Wishes) map[uint64]membership.Group {
	w.Size, w.PerNode = cmp.Or(w.Size, 3), cmp.Or(w.PerNode, 2)
	a := assignment{view: v, load: map[uint64]int{}, changed: map[uint64]membership.Group{}}
	for _, id := range slices.Sorted(maps.Keys(v.Nodes)) {
		if v.Nodes[id].Backend {
			a.nodes = append(a.nodes, id)
		}
	}
	if len(a.nodes) == 0 {
		return nil
	}
	size := min(w.Size, len(a.nodes))
	if size%2 == 0 {
		size-- // an even member votes, and saves nobody
	}
	for _, g := range v.Groups {
		for _, id := range g.Members {
			a.load[id]++
		}
	}
	ids := slices.Sorted(maps.Keys(v.Groups))
	for _, id := range ids {
		a.mend(id, v.Groups[id], size)
	}
	next := uint64(1)
	if len(ids) > 0 {
		next = ids[len(ids)-1] + 1
	}
	for n := len(ids); n < w.PerNode*len(a.nodes); n++ {
		members := a.fill(nil, size)
		if len(members) < size {
			break // not enough of them live: a group that begins must not begin crippled
		}
		a.changed[next] = membership.Group{Members: members, First: slices.Clone(members)}
		next++
	}
	if len(a.changed) == 0 && w.Even {
		a.even(ids)
	}
	return a.changed
}

// even moves one member from the node with the most to do to the one with the least, if that makes them more alike and
// leaves the group in as many zones.
func (a *assignment) even(ids []uint64) {
	most := slices.MaxFunc(a.nodes, func(x, y uint64) int { return cmp.Or(cmp.Compare(a.load[x], a.load[y]), cmp.Compare(y, x)) })
	least := slices.MinFunc(a.nodes, func(x, y uint64) int { return cmp.Or(cmp.Compare(a.load[x], a.load[y]), cmp.Compare(x, y)) })
	if a.load[most]-a.load[least] < 2 || !a.view.Alive[most] || !a.view.Alive[least] || a.view.Drained[least] {
		return
	}
	for _, id := range ids {
		g := a.view.Groups[id]
		at := slices.Index(g.Members, most)
		if at < 0 || slices.Contains(g.Members, least) {
			continue
		}
		members := slices.Clone(g.Members)
		members[at] = least
		if a.zones(members) >= a.zones(g.Members) {
			a.changed[id] = membership.Group{Members: members, First: g.First, Prefer: g.Prefer}
			return
		}
	}
}

func (a *assignment) zones(members []uint64) int {
	zones := map[string]bool{}
	for _, m := range members {
		zones[a.view.Nodes[m].Zone] = true
	}
	return len(zones)
}

type assignment struct {
	view    *membership.View
	nodes   []uint64
	load    map[uint64]int
	changed map[uint64]membership.Group
}

// mend replaces members that are forgotten, and fills up. A group grows by as many members at once as it takes to be odd.
func (a *assignment) mend(id uint64, g membership.Group, size int) {
	members := slices.DeleteFunc(slices.Clone(g.Members), func(node uint64) bool { return !slices.Contains(a.nodes, node) })
	for len(members) > max(size, 2) { // two are no majority more than one, but they have the messages twice
		members = a.without(members)
	}
	members = a.fill(members, size)
	if slices.Equal(members, g.Members) || len(members) == 0 || len(members) < len(g.Members) && len(members) < size {
		return
	}
	a.changed[id] = membership.Group{Members: members, First: g.First, Prefer: g.Prefer}
}

// without takes the member off that has the most to do.
func (a *assignment) without(members []uint64) []uint64 {
	most := slices.MaxFunc(members, func(x, y uint64) int { return cmp.Or(cmp.Compare(a.load[x], a.load[y]), cmp.Compare(x, y)) })
	a.load[most]--
	return slices.DeleteFunc(members, func(node uint64) bool { return node == most })
}

// fill adds members that live and are not drained, those in zones without one and with the least to do first.
func (a *assignment) fill(members []uint64, size int) []uint64 {
	for len(members) < size {
		best := uint64(0)
		for _, id := range a.nodes {
			if slices.Contains(members, id) || !a.view.Alive[id] || a.view.Drained[id] {
				continue
			}
			if best == 0 || a.before(members, id, best) {
				best = id
			}
		}
		if best == 0 {
			return members
		}
		a.load[best]++
		members = append(members, best)
	}
	return members
}

// before tells whether x is the better addition.
func (a *assignment) before(members []uint64, x, y uint64) bool {
	return cmp.Or(cmp.Compare(a.inZone(members, x), a.inZone(members, y)), cmp.Compare(a.load[x], a.load[y])) < 0
}

func (a *assignment) inZone(members []uint64, node uint64) (count int) {
	for _, m := range members {
		if a.view.Nodes[m].Zone == a.view.Nodes[node].Zone {
			count++
		}
	}
	return count
}

// Leaders are who should lead the groups: each is given to the member that leads least so far, so that every node leads as many
// as the others, but for groups of which an operator has said who leads. Nodes that are to be spared lead nothing that others
// can. Whether a member lives makes no difference: it comes back.
func Leaders(v *membership.View) map[uint64]uint64 {
	list, leads := map[uint64]uint64{}, map[uint64]int{}
	ids := slices.Sorted(maps.Keys(v.Groups))
	for _, id := range ids {
		if g := v.Groups[id]; slices.Contains(g.Members, g.Prefer) && !v.Spared(g.Prefer) {
			list[id] = g.Prefer
			leads[g.Prefer]++
		}
	}
	for _, id := range ids {
		members := v.Groups[id].Members
		if len(members) == 0 || list[id] != 0 {
			continue
		}
		turn := func(i int) int { return (i + len(members) - int(id%uint64(len(members)))) % len(members) }
		best := 0
		for i := range members {
			if cmp.Or(cmp.Compare(spared(v, members[i]), spared(v, members[best])), cmp.Compare(leads[members[i]], leads[members[best]]), cmp.Compare(turn(i), turn(best))) < 0 {
				best = i
			}
		}
		list[id] = members[best]
		leads[members[best]]++
	}
	return list
}

// spared is 1 for a node that is to lead nothing.
func spared(v *membership.View, node uint64) int {
	if v.Spared(node) {
		return 1
	}
	return 0
}
