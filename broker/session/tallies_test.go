package session

import "testing"

// TestTalliesOfOtherNodes count as long as these live, in whatever pieces they are told.
func TestTalliesOfOtherNodes(t *testing.T) {
	here, there := NewRegistry(0), NewRegistry(0)
	here.Share(1, nil)
	stirred := there.Share(1, nil)
	here.Alive(map[uint64]uint64{1: 1, 2: 1})
	tell := func(all bool) {
		t.Helper()
		if err := here.Told(2, there.Tallies(all)); err != nil {
			t.Error(err)
		}
	}
	count := func(g *Registry, kind int, name string, n int) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.count(kind, name, n)
	}
	want := func(what string, kind int, name string, n int64) {
		t.Helper()
		here.mu.Lock()
		defer here.mu.Unlock()
		if have := here.everywhere(kind, name); have != n {
			t.Errorf("%s: %d, not %d", what, have, n)
		}
	}
	count(here, ofUser, "u", 1)
	count(there, ofUser, "u", 2)
	count(there, ofVHost, "u", 5)
	<-stirred
	want("nothing was told", ofUser, "u", 1)
	tell(false)
	want("the first news", ofUser, "u", 3)
	want("a vhost of the same name", ofVHost, "u", 5)
	if news := there.Tallies(false); news != nil {
		t.Errorf("when nothing has changed, %s is told", news)
	}
	count(there, ofUser, "u", -2)
	<-stirred
	tell(false)
	want("all gone there", ofUser, "u", 1)
	count(there, channelsOf, "u", 7)
	count(there, ofVHost, "u", -5)
	tell(true)
	want("all there is", channelsOf, "u", 7)
	want("what is not among all there is", ofVHost, "u", 0)
	here.Alive(map[uint64]uint64{1: 1})
	want("the node is gone", channelsOf, "u", 0)
	here.Alive(map[uint64]uint64{1: 1, 2: 1})
	want("the node is back", channelsOf, "u", 7)
	if err := here.Told(2, []byte("nonsense")); err == nil {
		t.Error("nonsense is taken")
	}
}

// TestTalliesOfALifeBefore do not count, and are forgotten with the node: what a node tells is of its own life.
func TestTalliesOfALifeBefore(t *testing.T) {
	here := NewRegistry(0)
	here.Share(1, nil)
	lives := func(life uint64) *Registry {
		there := NewRegistry(0)
		there.Share(life, func() {})
		return there
	}
	count := func(g *Registry, n int) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.count(ofUser, "u", n)
	}
	want := func(what string, n int64) {
		t.Helper()
		here.mu.Lock()
		defer here.mu.Unlock()
		if have := here.everywhere(ofUser, "u"); have != n {
			t.Errorf("%s: %d, not %d", what, have, n)
		}
	}
	tell := func(from *Registry, all bool) {
		t.Helper()
		if err := here.Told(2, from.Tallies(all)); err != nil {
			t.Error(err)
		}
	}
	first, second := lives(100), lives(200)
	count(first, 5)
	here.Alive(map[uint64]uint64{1: 1, 2: 100})
	tell(first, true)
	want("its first life", 5)
	here.Alive(map[uint64]uint64{1: 1, 2: 200})
	want("another life that has told nothing", 0)
	count(second, 1)
	tell(second, false)
	want("its second life", 1)
	count(second, 1)
	here.Alive(map[uint64]uint64{1: 1, 2: 200})
	tell(second, false)
	want("what has changed in its second life", 2)
	third := lives(300)
	count(third, 3)
	tell(third, true) // before anybody says that it lives
	want("its third life", 3)
	here.Alive(map[uint64]uint64{1: 1, 2: 300})
	want("which is known by now", 3)
	here.Alive(map[uint64]uint64{1: 1})
	for _, belongs := range []bool{true, false} {
		here.Forget(func(uint64) bool { return belongs })
		if kept := len(here.others) == 1; kept != belongs {
			t.Errorf("it belongs to the cluster: %v; it is kept: %v", belongs, kept)
		}
	}
}
