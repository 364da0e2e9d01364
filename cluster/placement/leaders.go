package placement

import (
	"cmp"
	"maps"
	"slices"

	"github.com/warrenmq/warren/cluster/membership"
)

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
	slices.SortStableFunc(ids, func(x, y uint64) int { return cmp.Compare(choice(v, x), choice(v, y)) })
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

// choice is 0 for a group that only one node can lead: those come first, and the others make up for them.
func choice(v *membership.View, group uint64) int {
	if len(v.Groups[group].Members) == 1 {
		return 0
	}
	return 1
}

// spared is 1 for a node that is to lead nothing.
func spared(v *membership.View, node uint64) int {
	if v.Spared(node) {
		return 1
	}
	return 0
}
