package membership

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/store/meta"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, store meta.Store) *Registry {
	t.Helper()
	r, err := Open(context.Background(), store)
	must(t, err)
	return r
}

// TestANodeKeepsItsNumber for as long as it keeps its identity, and nobody is given a number twice.
func TestANodeKeepsItsNumber(t *testing.T) {
	store := meta.NewMemory(nil, 0)
	r := open(t, store)
	numbers := map[string]uint64{}
	for _, uuid := range []string{"a", "b", "a", "c", "b"} {
		n, err := r.Join(context.Background(), Node{UUID: uuid, Address: "x"})
		must(t, err)
		if old, known := numbers[uuid]; known && old != n.ID {
			t.Errorf("%s is %d, and was %d", uuid, n.ID, old)
		}
		numbers[uuid] = n.ID
	}
	if numbers["a"] != 1 || numbers["b"] != 2 || numbers["c"] != 3 {
		t.Error(numbers)
	}
	must(t, r.Forget(context.Background(), 3))
	if n, err := r.Join(context.Background(), Node{UUID: "d"}); err != nil || n.ID != 4 {
		t.Errorf("%d %v: the number of a node that was forgotten", n.ID, err)
	}
}

// TestNodesJoinAtTheSameTime and get numbers of their own.
func TestNodesJoinAtTheSameTime(t *testing.T) {
	r := open(t, meta.NewMemory(nil, 0))
	var mu sync.Mutex
	seen := map[uint64]bool{}
	var all sync.WaitGroup
	for _, uuid := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		all.Go(func() {
			n, err := r.Join(context.Background(), Node{UUID: uuid})
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[n.ID] {
				t.Errorf("%s: %d %v", uuid, n.ID, err)
			}
			seen[n.ID] = true
		})
	}
	all.Wait()
}

func TestViews(t *testing.T) {
	r := open(t, meta.NewMemory(nil, 0))
	var last *View
	r.Listen(func(v *View) { last = v })
	n, err := r.Join(context.Background(), Node{UUID: "a", Address: "there", Life: 7})
	must(t, err)
	if last.Alive[n.ID] || last.Nodes[n.ID].Address != "there" {
		t.Errorf("%+v", last)
	}
	must(t, r.Live(context.Background(), n))
	if !last.Alive[n.ID] || last.Lives[n.ID] != 7 {
		t.Errorf("%+v", last)
	}
	must(t, r.Control(context.Background(), n.ID))
	must(t, r.Control(context.Background(), n.ID+1))
	if last.Controller != n.ID {
		t.Errorf("node %d decides", last.Controller)
	}
	old := last
	must(t, r.Place(context.Background(), last, map[uint64]Group{1: {Members: []uint64{1}, First: []uint64{1}}}))
	if len(last.Groups[1].Members) != 1 || len(old.Groups) != 0 {
		t.Errorf("%+v", last.Groups)
	}
	if err := r.Place(context.Background(), old, map[uint64]Group{1: {}}); !errors.Is(err, meta.ErrConflict) {
		t.Errorf("decided on what has changed: %v", err)
	}
}

// TestANodeThatLostItsDirectory takes the place of the one that had its name, once that is not alive any more, and if others
// have what it held.
func TestANodeThatLostItsDirectory(t *testing.T) {
	store := meta.NewMemory(nil, 0)
	r := open(t, store)
	ctx := context.Background()
	old, err := r.Join(ctx, Node{UUID: "a", Name: "n1"})
	must(t, err)
	must(t, r.Live(ctx, old))
	must(t, r.Drain(ctx, old.ID, true))
	soon, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if n, err := r.Join(soon, Node{UUID: "b", Name: "n1"}); err == nil {
		t.Errorf("two nodes called n1 live: %+v", n)
	}
	joined := make(chan error, 1)
	go func() {
		_, err := r.Join(ctx, Node{UUID: "b", Name: "n1"})
		joined <- err
	}()
	_, err = store.Commit(ctx, meta.Txn{Ops: []meta.Op{{Key: "alive/1", Delete: true}}}, nil) // as when its lease ends
	must(t, err)
	must(t, <-joined)
	if v := r.View(); len(v.Nodes) != 1 || v.Nodes[2].UUID != "b" || len(v.Drained) != 0 {
		t.Errorf("%+v", v)
	}
	if err := r.Live(ctx, old); !errors.Is(err, ErrForgotten) {
		t.Errorf("the old one lives again: %v", err)
	}
	_, err = store.Commit(ctx, meta.Txn{Ops: []meta.Op{{Key: "alive/1", Value: []byte(`{"id":1,"uuid":"a","name":"n1"}`)}}}, nil)
	must(t, err)
	if v := r.View(); len(v.Nodes) != 1 || v.Alive[1] {
		t.Errorf("one that was forgotten and says that it lives: %+v", v)
	}
	must(t, r.Place(ctx, r.View(), map[uint64]Group{1: {Members: []uint64{2}}}))
	if _, err := r.Join(ctx, Node{UUID: "c", Name: "n1"}); err == nil || !strings.Contains(err.Error(), "group 1") {
		t.Errorf("a group that only it held: %v", err)
	}
}
