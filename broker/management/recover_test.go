package management

import (
	"slices"
	"strings"
	"testing"
)

// TestWhatAGroupHasLost: the one with the newest log is what is left; nothing is given up that may come back by itself.
func TestWhatAGroupHasLost(t *testing.T) {
	voters := []uint64{1, 2, 3, 4, 5}
	names := func(node uint64) string { return string("?abcde"[node]) }
	has := func(era, term, lastTerm, last uint64) GroupMember {
		return GroupMember{Group: 7, Era: era, Term: term, Voters: voters, LastTerm: lastTerm, Last: last}
	}
	leads := has(0, 5, 5, 10)
	leads.Leader = 1
	learns := has(0, 5, 6, 10)
	learns.Voters, learns.Learners = []uint64{2, 3, 4, 5}, []uint64{1}
	other := GroupMember{Group: 6}
	for _, c := range []struct {
		what  string
		wish  GroupWish
		said  map[uint64]GroupMember
		alive []uint64
		best  uint64
		gone  []uint64
		err   string
		says  string // what the doctor says
	}{
		{"it has a leader", GroupWish{}, map[uint64]GroupMember{1: leads}, voters, 0, nil, "is led by a", ""},
		{
			"most live", GroupWish{}, map[uint64]GroupMember{1: has(0, 5, 5, 9), 2: has(0, 5, 5, 9), 3: has(0, 5, 5, 9)}, []uint64{1, 2, 3},
			0, nil, "most members of group 7 live", "has no leader: its queues wait",
		},
		{"one does not answer", GroupWish{}, map[uint64]GroupMember{1: has(0, 5, 5, 9)}, []uint64{1, 2}, 0, nil, "b lives and does not answer", "has no leader"},
		{
			"a longer log", GroupWish{}, map[uint64]GroupMember{1: has(0, 5, 5, 9), 2: has(0, 5, 5, 10)}, []uint64{1, 2}, 2, []uint64{3, 4, 5}, "",
			"has lost most of its members (c, d, e); start c, d, e; if that is lost for good: warren ctl recover_group 7 lets it go on with what b has",
		},
		{"a newer log", GroupWish{}, map[uint64]GroupMember{1: has(0, 5, 5, 9), 2: has(0, 9, 4, 10)}, []uint64{1, 2}, 1, []uint64{3, 4, 5}, "", "what a has"},
		{"one that learns", GroupWish{}, map[uint64]GroupMember{1: learns, 2: has(0, 5, 5, 10)}, []uint64{1, 2}, 1, []uint64{3, 4, 5}, "", "what a has"},
		{"one of an era before", GroupWish{Era: 1}, map[uint64]GroupMember{1: has(0, 9, 9, 99), 2: has(1, 5, 5, 10)}, []uint64{1, 2}, 2, []uint64{3, 4, 5}, "", "what b has"},
		{"nobody has anything", GroupWish{}, map[uint64]GroupMember{1: other, 2: {Group: 7}}, []uint64{1, 2}, 0, []uint64{3, 4, 5}, "", "give_up_group 7"},
		{"others took the place of all", GroupWish{Members: []uint64{1}}, map[uint64]GroupMember{1: {Group: 7}}, []uint64{1}, 0, nil, "", "has lost everything that was stored of it; warren ctl give_up_group 7"},
	} {
		said, alive := map[uint64][]GroupMember{}, map[uint64]bool{}
		for node, m := range c.said {
			said[node] = []GroupMember{m}
		}
		for _, node := range c.alive {
			alive[node] = true
		}
		if c.wish.Members == nil {
			c.wish.Members = voters
		}
		g := viewGroup(7, c.wish, said, alive)
		g.miss(said, alive)
		l, err := g.loss(names)
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.what, err)
			}
		case err != nil || l.best != c.best || !slices.Equal(l.gone, c.gone):
			t.Errorf("%s: %+v, %v", c.what, l, err)
		}
		says := ""
		for _, one := range g.complaints(names, 1) {
			says += one.What + "; " + one.Do + "; "
		}
		if !strings.Contains(says, c.says) {
			t.Errorf("%s: the doctor says %q", c.what, says)
		}
	}
}

// TestWhatTheDoctorSaysOfAStranger: only of one that lives, and speaks something else than the node that is asked.
func TestWhatTheDoctorSaysOfAStranger(t *testing.T) {
	nodes := []Node{{ID: 1, Name: "a", Alive: true, Protocol: 3}, {ID: 2, Name: "b", Alive: true, Protocol: 4}, {ID: 3, Name: "c", Protocol: 4}, {ID: 4, Name: "d", Alive: true, Protocol: 3}}
	says := ""
	for _, n := range nodes {
		for _, one := range strange(n, nodes, 1) {
			says += one.Node + ": " + one.What + "; "
		}
	}
	if says != "b: node b speaks protocol 4 between nodes, and node a protocol 3: they do not hear each other; " {
		t.Error(says)
	}
}
