package placement

import (
	"cmp"
	"maps"
	"slices"
)

// even moves one member to a node that has less to do, if that leaves the group in as many zones: so that the groups of each
// size are spread, and where they are, all of them.
func (a *assignment) even() {
	sizes := slices.Sorted(maps.Keys(a.count))
	for _, size := range sizes {
		if most, least := a.extremes(a.sized[size]); a.sized[size][most]-a.sized[size][least] >= 2 && a.move(size, most, least) {
			return
		}
	}
	most, least := a.extremes(a.load)
	if a.load[most]-a.load[least] < 2 {
		return
	}
	for _, size := range sizes { // those of which it has more: else they would move back next time
		if a.sized[size][most] > a.sized[size][least] && a.move(size, most, least) {
			return
		}
	}
}

// extremes gives the nodes with the most and the least to do.
func (a *assignment) extremes(load map[uint64]int) (most, least uint64) {
	most = slices.MaxFunc(a.nodes, func(x, y uint64) int { return cmp.Or(cmp.Compare(load[x], load[y]), cmp.Compare(y, x)) })
	least = slices.MinFunc(a.nodes, func(x, y uint64) int { return cmp.Or(cmp.Compare(load[x], load[y]), cmp.Compare(x, y)) })
	return most, least
}

// move moves a member of the first group of a size that can do with it, and tells whether there is one.
func (a *assignment) move(size int, from, to uint64) bool {
	if !a.view.Alive[from] || !a.view.Alive[to] || a.view.Drained[to] {
		return false
	}
	for _, id := range a.ids {
		g := a.view.Groups[id]
		at := slices.Index(g.Members, from)
		if at < 0 || a.sizeOf(&g) != size || g.From != 0 || slices.Contains(g.Members, to) {
			continue
		}
		members := slices.Clone(g.Members)
		members[at] = to
		if a.zones(members) >= a.zones(g.Members) {
			a.put(id, size, members)
			return true
		}
	}
	return false
}

func (a *assignment) zones(members []uint64) int {
	zones := map[string]bool{}
	for _, m := range members {
		zones[a.view.Nodes[m].Zone] = true
	}
	return len(zones)
}
