package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// sized are groups of a node in a cluster where three is the usual size.
func sized(list map[uint64]Placement, want func(int) (map[uint64]Placement, error)) *groups {
	g := &groups{}
	g.cluster = &Cluster{
		Size: func(copies int64) int { return map[int64]int{0: 3, 1: 1, 3: 3, 5: 5}[copies] },
		Want: func(_ context.Context, size int) (map[uint64]Placement, error) { return want(size) },
	}
	g.damaged = map[uint64]error{}
	g.arranged(newLayout(list))
	return g
}

// TestAQueueIsPutInAGroupOfItsSize, and what does not say, in one of the usual size.
func TestAQueueIsPutInAGroupOfItsSize(t *testing.T) {
	g := sized(map[uint64]Placement{1: {}, 2: {Size: 3}, 3: {Size: 1}, 4: {Size: 1}, 5: {Size: 7}}, nil)
	for copies, want := range map[int64]string{0: "[1 2]", 1: "[3 4]", 3: "[1 2]", 5: "[]"} {
		q := &topology.Queue{}
		q.Durable, q.Type = true, "quorum"
		if copies != 0 {
			q.Table = protocol.Table{{Key: "x-quorum-initial-group-size", Value: copies}}
		}
		in := []uint64{}
		for id := range uint64(100) {
			q.ID = id
			if group := g.place(topology.NewCatalog(), q); group != 0 && !slices.Contains(in, group) {
				in = append(in, group)
			}
		}
		slices.Sort(in)
		if fmt.Sprint(in) != want {
			t.Errorf("queues on %d nodes are in groups %v, not %s", copies, in, want)
		}
	}
	g.cluster = nil
	q := &topology.Queue{}
	q.Durable, q.Type, q.Table = true, "quorum", protocol.Table{{Key: "x-quorum-initial-group-size", Value: int64(5)}}
	if g.place(topology.NewCatalog(), q) == 0 {
		t.Error("a node that is alone has no group for a queue")
	}
}

// TestAQueueIsNotPutWhereItWaits: of the groups that fit, those count of which most members live, if there are any.
func TestAQueueIsNotPutWhereItWaits(t *testing.T) {
	g := sized(map[uint64]Placement{
		1: {Size: 1, Members: []uint64{1}}, 2: {Size: 1, Members: []uint64{2}}, 3: {Size: 1, Members: []uint64{3}},
		4: {Size: 5, Members: []uint64{1, 2, 3}}, 5: {Size: 5, Members: []uint64{1, 3, 4}}, 6: {Size: 5, Members: []uint64{3, 4}},
	}, nil)
	g.node = 1
	in := func(copies int64) string {
		groups := map[uint64]bool{}
		for id := range uint64(100) {
			q := &topology.Queue{}
			q.Durable, q.Type, q.ID, q.Table = true, "quorum", id, protocol.Table{{Key: "x-quorum-initial-group-size", Value: copies}}
			groups[g.place(topology.NewCatalog(), q)] = true
		}
		return fmt.Sprint(slices.Sorted(maps.Keys(groups)))
	}
	if one, five := in(1), in(5); one != "[1 2 3]" || five != "[4 5 6]" {
		t.Errorf("before anything is known: %s, %s", one, five)
	}
	g.alive.Store(&map[uint64]uint64{2: 1})
	if one, five := in(1), in(5); one != "[1 2]" || five != "[4]" {
		t.Errorf("with nodes 1 and 2: %s, %s", one, five)
	}
	g.node = 9
	g.alive.Store(&map[uint64]uint64{})
	if one := in(1); one != "[1 2 3]" {
		t.Errorf("with nobody: %s", one)
	}
}

// TestAGroupThatIsWanted is known as soon as it is there, also before the cluster arranges it; what was arranged is newer.
func TestAGroupThatIsWanted(t *testing.T) {
	away := errors.New("etcd is away")
	g := sized(map[uint64]Placement{1: {Size: 3, Members: []uint64{7}}}, func(size int) (map[uint64]Placement, error) {
		if size != 5 {
			return nil, away
		}
		return map[uint64]Placement{1: {Size: 3, Members: []uint64{1}}, 2: {Size: 5, Members: []uint64{2}}}, nil
	})
	if err := g.prepare(context.Background(), 1); err != away {
		t.Error(err)
	}
	if err := g.prepare(context.Background(), 5); err != nil {
		t.Error(err)
	}
	if in := fmt.Sprint(g.fitting(5), g.membersOf(1), g.membersOf(2)); in != "[2] [7] [2]" {
		t.Error(in)
	}
}
