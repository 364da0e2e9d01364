package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// sized are groups of a node in a cluster where three is the usual size.
func sized(list map[uint64]Placement, want func(int) error) *groups {
	g := &groups{}
	g.cluster = &Cluster{
		Size: func(copies int64) int { return map[int64]int{0: 3, 1: 1, 3: 3, 5: 5}[copies] },
		Want: func(_ context.Context, size int) error { return want(size) },
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

// TestAGroupThatIsWantedIsWaitedFor, until it is there or time is over.
func TestAGroupThatIsWantedIsWaitedFor(t *testing.T) {
	var g *groups
	wanted := make(chan int, 1)
	g = sized(map[uint64]Placement{1: {Size: 3}}, func(size int) error { wanted <- size; return nil })
	done := make(chan error)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- g.prepare(ctx, 5) }()
	if size := <-wanted; size != 5 {
		t.Errorf("wanted are groups of %d", size)
	}
	g.arranged(newLayout(map[uint64]Placement{1: {Size: 3}, 2: {Size: 1}}))
	select {
	case err := <-done:
		t.Errorf("there is no group, and somebody goes on: %v", err)
	default:
	}
	g.arranged(newLayout(map[uint64]Placement{1: {Size: 3}, 7: {Size: 5}}))
	if err := <-done; err != nil {
		t.Error(err)
	}
	g.arranged(newLayout(nil))
	go func() { done <- g.prepare(ctx, 5) }()
	<-wanted
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "no group of 5 members yet") {
		t.Error(err)
	}
	g.cluster.Want = func(context.Context, int) error { return errors.New("etcd is away") }
	if err := g.prepare(context.Background(), 1); err == nil || !strings.Contains(err.Error(), "groups of 1 members are wanted could not be noted: etcd is away") {
		t.Error(err)
	}
}
