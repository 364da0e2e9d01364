package broker

import (
	"context"
	"maps"
	"slices"
)

// fitting gives the groups in which queues may be that are to lie on so many nodes. A node that is alone has only one size.
func (g *groups) fitting(copies int64) []uint64 {
	l := g.layout.Load()
	if g.cluster == nil {
		return l.ids
	}
	return l.ofSize(g.cluster.Size(copies), g.cluster.Size(0))
}

// ofSize gives the groups of a size. Those that do not say theirs have the usual one.
func (l *layout) ofSize(size, usual int) []uint64 {
	return slices.DeleteFunc(slices.Clone(l.ids), func(id uint64) bool {
		is := l.groups[id].Size
		return is != size && (is != 0 || size != usual)
	})
}

// most tells whether most of a group's members live, as far as is known.
func (g *groups) most(id uint64) bool {
	alive, members, lives := g.alive.Load(), g.layout.Load().groups[id].Members, 0
	if alive == nil {
		return true
	}
	for _, node := range members {
		if _, ok := (*alive)[node]; ok || node == g.node {
			lives++
		}
	}
	return 2*lives > len(members)
}

// prepare has groups made for queues that are to lie on so many nodes, and waits until there is one.
func (g *groups) prepare(ctx context.Context, copies int64) error {
	groups, err := g.cluster.Want(ctx, g.cluster.Size(copies))
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	all := maps.Clone(g.layout.Load().groups) // what Arrange has told is newer; groups never go
	for id, p := range groups {
		if _, known := all[id]; !known {
			all[id] = p
		}
	}
	g.layout.Store(newLayout(all))
	return nil
}

// arranged takes another layout.
func (g *groups) arranged(l *layout) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.layout.Store(l)
}
