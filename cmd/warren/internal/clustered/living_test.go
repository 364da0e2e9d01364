package clustered

import (
	"maps"
	"testing"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/cluster/membership"
)

// TestANodeThatAnswersLives: a lease that is lost is no death as long as the node answers; one that neither answers nor is
// shown is dead, and so is one that was forgotten, and this node itself without its lease.
func TestANodeThatAnswersLives(t *testing.T) {
	view := func(lives map[uint64]uint64, known ...uint64) *membership.View {
		v := &membership.View{Nodes: map[uint64]membership.Node{}, Lives: lives}
		for _, id := range known {
			v.Nodes[id] = membership.Node{ID: id}
		}
		return v
	}
	all := map[uint64]uint64{1: 10, 2: 20, 3: 30}
	only1 := map[uint64]uint64{1: 10}
	steps := []struct {
		name string
		do   func(*living)
		want map[uint64]uint64
	}{
		{"all are shown", func(l *living) { l.seen(view(all, 1, 2, 3)) }, all},
		{"two answer", func(l *living) { l.reached(2, true); l.reached(3, true) }, all},
		{"one has another address", func(l *living) { l.reached(2, true); l.reached(2, false) }, all},
		{"leases are lost", func(l *living) { l.seen(view(only1, 1, 2, 3)) }, all},
		{"one is not heard any more", func(l *living) { l.reached(3, false) }, map[uint64]uint64{1: 10, 2: 20}},
		{"to answer again is not enough", func(l *living) { l.reached(3, true) }, map[uint64]uint64{1: 10, 2: 20}},
		{"to be shown is", func(l *living) { l.seen(view(all, 1, 2, 3)) }, all},
		{"another life", func(l *living) { l.seen(view(map[uint64]uint64{1: 10, 2: 21, 3: 30}, 1, 2, 3)) }, map[uint64]uint64{1: 10, 2: 21, 3: 30}},
		{"forgotten", func(l *living) { l.seen(view(only1, 1, 3)) }, map[uint64]uint64{1: 10, 3: 30}},
		{"this node's own lease", func(l *living) { l.reached(1, true); l.seen(view(nil, 1, 3)) }, map[uint64]uint64{3: 30}},
	}
	var got map[uint64]uint64
	l := newLiving(1)
	l.announce = func(_ *broker.Broker, lives map[uint64]uint64) { got = lives }
	l.serve(&broker.Broker{})
	for _, s := range steps {
		s.do(l)
		if !maps.Equal(got, s.want) {
			t.Errorf("%s: %v live, want %v", s.name, got, s.want)
		}
	}
}
