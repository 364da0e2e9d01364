package membership

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/warrenmq/warren/store/meta"
)

// TestForget takes out a node that does not live, unless a group would go with it.
func TestForget(t *testing.T) {
	store := meta.NewMemory(nil, 0)
	r := open(t, store)
	ctx := context.Background()
	for _, name := range []string{"a", "b", "c"} {
		n, err := r.Join(ctx, Node{UUID: name, Name: name})
		must(t, err)
		if name == "a" {
			must(t, r.Live(ctx, n))
		}
	}
	must(t, r.Place(ctx, r.View(), map[uint64]Group{1: {Members: []uint64{1, 2, 3}}, 2: {Members: []uint64{2}}, 3: {Members: []uint64{1}, From: 3}}))
	must(t, r.Drain(ctx, 3, true))
	for node, want := range map[uint64]string{1: "is running", 2: "alone holds group 2", 3: "alone holds group 3", 9: "no node 9"} {
		if err := r.Forget(ctx, node); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("node %d: %v, want %q", node, err, want)
		}
	}
	must(t, r.Place(ctx, r.View(), map[uint64]Group{3: {Members: []uint64{1}}}))
	must(t, r.Forget(ctx, 3))
	if v := r.View(); len(v.Nodes) != 2 || v.Drained[3] {
		t.Errorf("after c was forgotten: %+v", v)
	}
}

// TestAGroupBeginsAnew with what one node has, or with nothing; nobody is lost who lives, or has just begun to.
func TestAGroupBeginsAnew(t *testing.T) {
	r := open(t, meta.NewMemory(nil, 0))
	ctx := context.Background()
	var nodes []Node
	for _, name := range []string{"a", "b", "c"} {
		n, err := r.Join(ctx, Node{UUID: name, Name: name})
		must(t, err)
		nodes = append(nodes, n)
	}
	must(t, r.Live(ctx, nodes[0]))
	must(t, r.Place(ctx, r.View(), map[uint64]Group{1: {Members: []uint64{1, 2, 3}, First: []uint64{1, 2, 3}, Size: 3, Prefer: 2, From: 2}}))
	if err := r.Renew(ctx, r.View(), 9, 1, nil, nil); err == nil {
		t.Error("a group that is not there begins anew")
	}
	old := r.View()
	must(t, r.Live(ctx, nodes[1]))
	for _, v := range []*View{old, r.View()} {
		if err := r.Renew(ctx, v, 1, 1, nil, []uint64{2, 3}); err == nil {
			t.Error("a node that lives is taken for lost")
		}
	}
	must(t, r.Renew(ctx, r.View(), 1, 1, nil, []uint64{3}))
	if g := r.View().Groups[1]; fmt.Sprintf("%+v", g) != "{Members:[1] First:[1] Size:3 Prefer:0 From:0 Era:1 Kept:1}" {
		t.Errorf("%+v", g)
	}
	must(t, r.Renew(ctx, r.View(), 1, 0, []uint64{2, 1}, []uint64{3}))
	if g := r.View().Groups[1]; fmt.Sprintf("%+v", g) != "{Members:[2 1] First:[2 1] Size:3 Prefer:0 From:0 Era:2 Kept:0}" {
		t.Errorf("%+v", g)
	}
	if err := r.Renew(ctx, old, 1, 1, nil, []uint64{3}); err == nil {
		t.Error("the group has changed since")
	}
}

// TestWhoIsSpared: who is drained, until it is revived, and who is about to end; and a member may be preferred.
func TestWhoIsSpared(t *testing.T) {
	r := open(t, meta.NewMemory(nil, 0))
	ctx := context.Background()
	must(t, r.Drain(ctx, 1, true))
	must(t, r.Leave(ctx, 2))
	if v := r.View(); !v.Spared(1) || !v.Spared(2) || v.Spared(3) || !v.Drained[1] || v.Drained[2] {
		t.Errorf("%+v", v)
	}
	must(t, r.Drain(ctx, 1, false))
	if r.View().Spared(1) {
		t.Error("a node that was revived is spared")
	}
	must(t, r.Place(ctx, r.View(), map[uint64]Group{1: {Members: []uint64{1, 2, 3}}}))
	must(t, r.Prefer(ctx, 1, 3))
	if g := r.View().Groups[1]; g.Prefer != 3 || len(g.Members) != 3 {
		t.Errorf("%+v", g)
	}
	if err := r.Prefer(ctx, 1, 9); err == nil {
		t.Error("a node that is no member is preferred")
	}
}

// TestAViewIsWaitedFor until it is there, or nobody waits any more.
func TestAViewIsWaitedFor(t *testing.T) {
	r := open(t, meta.NewMemory(nil, 0))
	ctx, cancel := context.WithCancel(context.Background())
	seen := make(chan *View, 1)
	asked := make(chan bool, 9)
	go func() {
		v, err := r.Await(ctx, func(v *View) bool { asked <- true; return v.Sizes[5] })
		if err != nil {
			t.Error(err)
		}
		seen <- v
	}()
	<-asked
	must(t, r.Want(ctx, 1))
	<-asked
	must(t, r.Want(ctx, 5))
	if v := <-seen; v == nil || !v.Sizes[5] {
		t.Errorf("%+v", v)
	}
	cancel()
	if v, err := r.Await(ctx, func(*View) bool { return false }); v != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestSizesThatAreWanted are there for everybody, and stay.
func TestSizesThatAreWanted(t *testing.T) {
	store := meta.NewMemory(nil, 0)
	r := open(t, store)
	ctx := context.Background()
	for _, size := range []int{5, 1, 5} {
		must(t, r.Want(ctx, size))
	}
	must(t, r.Place(ctx, r.View(), map[uint64]Group{1: {Members: []uint64{1}, Size: 5, From: 2}}))
	v := open(t, store).View()
	if len(v.Sizes) != 2 || !v.Sizes[1] || !v.Sizes[5] || v.Groups[1].Size != 5 || v.Groups[1].From != 2 {
		t.Errorf("%+v", v)
	}
}
