package broker

import (
	"context"
	"fmt"
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

// arranged takes another layout.
func (g *groups) arranged(l *layout) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.layout.Store(l)
	if g.moved != nil {
		close(g.moved)
	}
	g.moved = make(chan struct{})
}

// prepare has groups made for queues that are to lie on so many nodes, and waits until there is one.
func (g *groups) prepare(ctx context.Context, copies int64) error {
	size := g.cluster.Size(copies)
	if err := g.cluster.Want(ctx, size); err != nil {
		return fmt.Errorf("that groups of %d members are wanted could not be noted: %w", size, err)
	}
	for {
		g.mu.Lock()
		moved := g.moved
		g.mu.Unlock()
		if len(g.fitting(copies)) > 0 {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("there is no group of %d members yet: as many nodes have to live, or all there are, and one has to decide where groups go", size)
		}
	}
}
