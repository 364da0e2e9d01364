package session

import "testing"

// TestTalliesOfOtherNodes count as long as these live, in whatever pieces they are told.
func TestTalliesOfOtherNodes(t *testing.T) {
	here, there := NewRegistry(0), NewRegistry(0)
	here.Share(nil)
	stirred := there.Share(nil)
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
