package membership

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/warrenmq/warren/store/meta"
)

// Forget takes a node out of the cluster for good. One that lives, or that alone holds a group, is not forgotten.
func (r *Registry) Forget(ctx context.Context, id uint64) error {
	v := r.View()
	n, ok := v.Nodes[id]
	if !ok {
		return fmt.Errorf("there is no node %d", id)
	}
	if v.Alive[id] {
		return fmt.Errorf("node %s is running: stop it first", n.Name)
	}
	if groups := v.Alone(id); len(groups) > 0 {
		return fmt.Errorf("node %s alone holds group %d: the messages in it would be lost", n.Name, groups[0])
	}
	number := strconv.FormatUint(id, 10)
	_, err := r.store.Commit(ctx, meta.Txn{
		Guards: []meta.Guard{{Key: knownPrefix + n.UUID, Revision: v.revisions[knownPrefix+n.UUID]}, {Key: alivePrefix + number}},
		Ops:    []meta.Op{{Key: knownPrefix + n.UUID, Delete: true}, {Key: drainedPrefix + number, Delete: true}},
	}, nil)
	if errors.Is(err, meta.ErrConflict) {
		return fmt.Errorf("node %s has just started", n.Name)
	}
	return err
}

// Drain notes that a node is to lead nothing and to have no clients, or that it is as others again.
func (r *Registry) Drain(ctx context.Context, id uint64, on bool) error {
	op := meta.Op{Key: drainedPrefix + strconv.FormatUint(id, 10), Value: []byte("1")}
	if !on {
		op.Value, op.Delete = nil, true
	}
	_, err := r.store.Commit(ctx, meta.Txn{Ops: []meta.Op{op}}, nil)
	return err
}

// Leave notes that a node is about to end: nothing is handed over to it. It goes with the node's lease.
func (r *Registry) Leave(ctx context.Context, id uint64) error {
	_, err := r.store.Commit(ctx, meta.Txn{Ops: []meta.Op{{
		Key: leavingPrefix + strconv.FormatUint(id, 10), Value: []byte("1"), Ephemeral: true,
	}}}, nil)
	return err
}

// Prefer makes a member the one that should lead a group.
func (r *Registry) Prefer(ctx context.Context, group, node uint64) error {
	v := r.View()
	g := v.Groups[group]
	if !slices.Contains(g.Members, node) {
		return fmt.Errorf("node %s is no member of group %d", v.Nodes[node].Name, group)
	}
	g.Prefer = node
	return r.Place(ctx, v, map[uint64]Group{group: g})
}

// Renew begins another era of a group: with what a node has of it, or, if survivor is 0, with nothing, on the nodes in first.
// None of those that count as lost may live.
func (r *Registry) Renew(ctx context.Context, v *View, group, survivor uint64, first, lost []uint64) error {
	g, ok := v.Groups[group]
	if !ok {
		return fmt.Errorf("there is no group %d", group)
	}
	if survivor != 0 {
		first = []uint64{survivor}
	}
	g.Members, g.First, g.Prefer, g.From, g.Kept = slices.Clone(first), slices.Clone(first), 0, 0, survivor
	g.Era++
	t := meta.Txn{}
	for _, id := range lost {
		key := alivePrefix + strconv.FormatUint(id, 10)
		if v.Alive[id] {
			return fmt.Errorf("node %s lives", v.Nodes[id].Name)
		}
		t.Guards = append(t.Guards, meta.Guard{Key: key})
	}
	if err := place(&t, v, map[uint64]Group{group: g}); err != nil {
		return err
	}
	_, err := r.store.Commit(ctx, t, nil)
	if errors.Is(err, meta.ErrConflict) {
		return fmt.Errorf("group %d, or one of its members, has just changed: look again", group)
	}
	return err
}

// Want notes that groups of a size are wanted. Whoever decides makes some; they stay.
func (r *Registry) Want(ctx context.Context, size int) error {
	if r.View().Sizes[size] {
		return nil
	}
	key := sizePrefix + strconv.Itoa(size)
	_, err := r.store.Commit(ctx, meta.Txn{Guards: []meta.Guard{{Key: key}}, Ops: []meta.Op{{Key: key, Value: []byte("1")}}}, nil)
	if errors.Is(err, meta.ErrConflict) {
		return nil // somebody else has noted it
	}
	return err
}

// Await waits for a View that is as asked for. The error is that of ctx.
func (r *Registry) Await(ctx context.Context, is func(*View) bool) (*View, error) {
	for {
		v, changed := r.next()
		if is(v) {
			return v, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Spared tells whether a node is to lead nothing.
func (v *View) Spared(node uint64) bool { return v.Drained[node] || v.Leaving[node] }
