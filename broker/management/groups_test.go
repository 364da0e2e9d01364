package management

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestHowAGroupIs: of what nodes say of a group, one picture is made; who leads in the newest term knows best.
func TestHowAGroupIs(t *testing.T) {
	voters := []uint64{1, 2, 3}
	member := func(leader, term, last uint64) GroupMember {
		return GroupMember{Group: 7, Leader: leader, Term: term, Voters: voters, Last: last}
	}
	leader := func(peers ...GroupPeer) GroupMember {
		m := member(1, 5, 5000)
		m.Peers = peers
		return m
	}
	good := []GroupPeer{{Node: 2, Match: 5000}, {Node: 3, Match: 4990}}
	filled := leader(good...)
	filled.Voters, filled.Learners = []uint64{1, 2}, []uint64{3}
	about := leader(good[0])
	about.Voters = []uint64{1, 2}
	for _, c := range []struct {
		what     string
		said     map[uint64]GroupMember
		down     uint64
		leader   uint64
		status   string
		critical string // the nodes it could not go on without
		says     string // what the doctor says
	}{
		{"all is well", map[uint64]GroupMember{1: leader(good...), 2: member(1, 5, 5000), 3: member(1, 5, 4990)}, 0, 1, "ok", "", ""},
		{"one believes that it leads an older term", map[uint64]GroupMember{1: leader(good...), 2: member(2, 4, 10), 3: member(1, 5, 4990)}, 0, 1, "ok", "", ""},
		{"one is down", map[uint64]GroupMember{1: leader(good...), 2: member(1, 5, 5000)}, 3, 1, "below strength", "12", "c is down"},
		{"one says nothing", map[uint64]GroupMember{1: leader(good...), 2: member(1, 5, 5000)}, 0, 1, "below strength", "12", "c is absent"},
		{"one is not heard by the leader", map[uint64]GroupMember{1: leader(good[0], GroupPeer{Node: 3, Match: 5000, SilentMs: 9000}), 2: member(1, 5, 5000), 3: member(0, 5, 5000)},
			0, 1, "below strength", "12", "c is silent"},
		{"one has just begun to lead and has heard of nobody", map[uint64]GroupMember{
			1: leader(GroupPeer{Node: 2, SilentMs: 9000}, GroupPeer{Node: 3, SilentMs: 9000}), 2: member(1, 5, 5000), 3: member(1, 5, 5000),
		}, 0, 1, "ok", "", ""},
		{"one is behind", map[uint64]GroupMember{1: leader(good[0], GroupPeer{Node: 3, Match: 100}), 2: member(1, 5, 5000), 3: member(1, 5, 100)},
			0, 1, "lagging", "12", "c lacks 4900 entries"},
		{"one is being filled", map[uint64]GroupMember{1: filled, 2: member(1, 5, 5000), 3: member(1, 5, 10)}, 0, 1, "below strength", "12", "c is being filled"},
		{"one is about to be filled", map[uint64]GroupMember{1: about, 2: member(1, 5, 5000), 3: {Group: 7}}, 0, 1, "below strength", "12", "c is being filled"},
		{"nobody leads", map[uint64]GroupMember{2: member(0, 6, 5000)}, 1, 0, "no leader", "2", "has no leader"},
	} {
		said, alive := map[uint64][]GroupMember{}, map[uint64]bool{1: true, 2: true, 3: true}
		for node, m := range c.said {
			said[node] = []GroupMember{{Group: 6, Leader: 9, Term: 99}, m}
		}
		delete(alive, c.down)
		g := viewGroup(7, GroupWish{Members: voters, Size: 3, Reachable: 3}, said, alive)
		critical := ""
		for node := range uint64(4) {
			if g.critical(node) {
				critical += fmt.Sprint(node)
			}
		}
		if g.leader != c.leader || g.status() != c.status || critical != c.critical {
			t.Errorf("%s: leader %d, %s, critical %q", c.what, g.leader, g.status(), critical)
		}
		says := ""
		for _, one := range g.complaints(func(node uint64) string { return string("?abc"[node]) }, 1) {
			says += one.What + "; "
		}
		if !strings.Contains(says, c.says) || c.says == "" && says != "" {
			t.Errorf("%s: the doctor says %q", c.what, says)
		}
	}
}

// TestAGroupThatIsShort has fewer members than its size and the nodes allow; and one that a drained node alone has is named.
func TestAGroupThatIsShort(t *testing.T) {
	view := func(w GroupWish) *groupView {
		m := GroupMember{Group: 7, Leader: w.Members[0], Term: 5, Voters: w.Members, Last: 9}
		said, alive := map[uint64][]GroupMember{}, map[uint64]bool{1: true, 2: true, 3: true}
		for _, node := range w.Members {
			said[node] = []GroupMember{m}
			m.Peers = append(m.Peers, GroupPeer{Node: node, Match: 9})
		}
		return viewGroup(7, w, said, alive)
	}
	for _, c := range []struct {
		what   string
		wish   GroupWish
		status string
		says   string
	}{
		{"as many as there are nodes", GroupWish{Members: []uint64{1}, Size: 3, Reachable: 1, Alone: 1}, "ok", ""},
		{"as many as its size", GroupWish{Members: []uint64{2}, Size: 1, Reachable: 1, Alone: 2}, "ok", ""},
		{"fewer", GroupWish{Members: []uint64{1, 2}, Size: 5, Reachable: 3}, "below strength", "is to have 3 members, and only 2 nodes can have it"},
	} {
		g, says := view(c.wish), ""
		for _, one := range g.complaints(func(node uint64) string { return string("?abc"[node]) }, 1) {
			says += one.What
		}
		if g.status() != c.status || !strings.Contains(says, c.says) || c.says == "" && says != "" {
			t.Errorf("%s: %s, and the doctor says %q", c.what, g.status(), says)
		}
	}
	for alone, want := range map[uint64]string{0: "forget them", 3: "nobody else has all of it"} {
		g := viewGroup(7, GroupWish{Members: []uint64{3}, Size: 1, Reachable: 1, Alone: alone}, nil, map[uint64]bool{1: true})
		if list := g.complaints(func(uint64) string { return "c" }, 1); len(list) != 2 || !strings.Contains(list[1].Do, want) {
			t.Errorf("%+v, want %q", list, want)
		}
	}
	groups := []*groupView{view(GroupWish{Members: []uint64{3}, Alone: 1}), view(GroupWish{Members: []uint64{1, 2, 3}})}
	for _, c := range []struct {
		node Node
		want int
	}{{Node{ID: 1, Name: "a", Drained: true}, 1}, {Node{ID: 1, Name: "a"}, 0}, {Node{ID: 3, Name: "c", Drained: true}, 0}} {
		if list := stranded(c.node, groups); len(list) != c.want || c.want == 1 && !strings.Contains(list[0].What, "nobody else has all of group 7") {
			t.Errorf("%+v: %+v", c.node, list)
		}
	}
}

// TestTargetSize: the nodes there are to be, whether they live or not, as in RabbitMQ; and no group has fewer members than these
// allow.
func TestTargetSize(t *testing.T) {
	nodes := []Node{{ID: 1, Alive: true}, {ID: 2, Alive: true}, {ID: 3}}
	three := GroupWish{Members: []uint64{1, 2, 3}, Size: 3, Reachable: 3}
	for _, c := range []struct {
		what   string
		target int
		nodes  []Node
		wanted map[uint64]GroupWish
		voters []uint64
		want   string
	}{
		{"nobody has said", 0, nodes[:1], nil, nil, ""},
		{"alone, and not to be", 3, nodes[:1], nil, nil, "target cluster size not reached: 1 of 3 nodes are online"},
		{"as many as there are to be", 3, nodes, map[uint64]GroupWish{7: three}, []uint64{1, 2, 3}, ""},
		{"fewer", 4, nodes, map[uint64]GroupWish{7: three}, []uint64{1, 2, 3}, "target cluster size not reached: 2 of 4 nodes are online"},
		{"a member is being filled", 3, nodes, map[uint64]GroupWish{7: three}, []uint64{1, 2}, "target size not reached: 1 groups have fewer members than there are nodes for"},
		{"a group elsewhere has too few", 1, nodes, map[uint64]GroupWish{7: three, 8: {Members: []uint64{2}, Size: 5, Reachable: 3}}, []uint64{1, 2, 3},
			"target size not reached: 1 groups have fewer members than there are nodes for"},
		{"a group of one", 1, nodes, map[uint64]GroupWish{7: {Members: []uint64{1}, Size: 1, Reachable: 1}}, []uint64{1}, ""},
	} {
		s := &Server{Options: Options{Nodes: &Cluster{Self: 1, Nodes: func() []Node { return c.nodes }}}}
		s.TargetNodes = c.target
		if c.wanted != nil {
			s.Nodes.Wanted = func() map[uint64]GroupWish { return c.wanted }
			s.Nodes.Groups = func() []GroupMember { return []GroupMember{{Group: 7, Voters: c.voters}} }
		}
		_, err := (&request{server: s}).checkTarget()
		said, f := "", (*failure)(nil)
		if errors.As(err, &f) {
			said = fmt.Sprint(f.body["reason"])
		}
		if said != c.want {
			t.Errorf("%s: %q, want %q", c.what, said, c.want)
		}
	}
}

// TestWhatTheDoctorSaysOfAGroupThatIsRefused: on which nodes, and what to do.
func TestWhatTheDoctorSaysOfAGroupThatIsRefused(t *testing.T) {
	names := func(node uint64) string { return string("?abc"[node]) }
	for _, c := range []struct {
		leader   uint64
		what, do string
	}{
		{0, "group 7 (3 queues) has no leader: what is new for its queues is refused on b, c", "start the nodes that hold it: a, b"},
		{1, "group 7 (3 queues) is led by a, which does not answer b, c: what is new for its queues is refused there", "look at the network between these nodes"},
	} {
		g := &groupView{id: 7, leader: c.leader, wanted: GroupWish{Members: []uint64{1, 2}}, refused: []uint64{2, 3}}
		said := g.complaints(names, 3)
		if len(said) != 1 || said[0] != (complaint{isError, "", c.what, c.do}) {
			t.Errorf("%+v", said)
		}
	}
}

// TestWhatTheDoctorSaysOfANode is nothing if nothing is wrong, and else what and what to do.
func TestWhatTheDoctorSaysOfANode(t *testing.T) {
	well := func() *condition { return &condition{answers: true, Expiry: map[string]int64{}} }
	change := func(f func(*condition)) *condition {
		c := well()
		f(c)
		return c
	}
	in := func(d time.Duration) int64 { return time.Now().Add(d).UnixMilli() }
	for _, c := range []struct {
		node      Node
		condition *condition
		severity  string
		says      string
	}{
		{Node{Name: "a", Alive: true}, well(), "", ""},
		{Node{Name: "a"}, nil, isError, "node a is down"},
		{Node{Name: "a", Alive: true}, &condition{}, isError, "does not answer"},
		{Node{Name: "a", Alive: true, Drained: true}, well(), isWarning, "is drained"},
		{Node{Name: "a", Alive: true}, change(func(c *condition) { c.Metadata = "timed out" }), isError, "does not reach etcd: timed out"},
		{Node{Name: "a", Alive: true}, change(func(c *condition) { c.Alarms, c.Low = []string{"disk"}, []string{"disk"} }), isError, "has an alarm: disk"},
		{Node{Name: "a", Alive: true}, change(func(c *condition) { c.Low = []string{"memory"} }), isWarning, "near an alarm: memory"},
		{Node{Name: "a", Alive: true}, change(func(c *condition) { c.apartMs = 1500 }), isWarning, "1500 ms apart"},
		{Node{Name: "a", Alive: true}, change(func(c *condition) { c.Expiry["amqp/ssl"] = in(-time.Hour) }), isError, "for amqp/ssl has ended"},
		{Node{Name: "a", Alive: true}, change(func(c *condition) { c.Expiry["other nodes"] = in(48 * time.Hour) }), isWarning, "for other nodes ends at"},
		{Node{Name: "a", Alive: true}, change(func(c *condition) { c.Expiry["amqp/ssl"] = in(1000 * time.Hour) }), "", ""},
		{Node{Name: "a", Alive: true}, change(func(c *condition) { c.Damage = []string{"0001.log at 7"} }), isError, "0001.log at 7"},
	} {
		list := complaintsOf(c.node, c.condition)
		switch {
		case c.says == "" && len(list) == 0:
		case len(list) != 1 || list[0].Severity != c.severity || !strings.Contains(list[0].What, c.says) || list[0].Do == "" || c.says == "":
			t.Errorf("%+v: %+v, want %q", c.condition, list, c.says)
		}
	}
}
