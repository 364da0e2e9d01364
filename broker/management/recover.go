package management

import (
	"cmp"
	"fmt"
	"strings"
)

// loss is what a group has lost that has no leader and can have none, and what is left of it.
type loss struct {
	best  uint64   // the node whose log is the newest of those that are left; 0: nobody has anything
	last  uint64   // index of its newest entry
	gone  []uint64 // the members that do not live
	words string   // and their names
}

// loss tells what a group has lost. It is an error if the group has a leader, or may have one again.
func (g *groupView) loss(names func(uint64) string) (l loss, err error) {
	if g.leader != 0 {
		return l, fmt.Errorf("group %d is led by %s: it has not lost most of its members", g.id, names(g.leader))
	}
	if len(g.mute) > 0 {
		return l, fmt.Errorf("of group %d, %s lives and does not answer: what it has is not known; wait for it, or stop it",
			g.id, strings.Join(g.named(names, g.mute), ", "))
	}
	if len(g.members) == 0 {
		return l, fmt.Errorf("nobody is known to hold group %d", g.id)
	}
	voters, living := 0, 0
	for _, node := range g.sorted(names) {
		m := g.members[node]
		if m.voter {
			voters++
		}
		if m.state == "down" {
			l.gone = append(l.gone, node)
			continue
		}
		if m.voter {
			living++
		}
		if b := g.members[l.best]; m.holds() && (b == nil || cmp.Or(cmp.Compare(m.LastTerm, b.LastTerm), cmp.Compare(m.Last, b.Last)) > 0) {
			l.best, l.last = node, m.Last
		}
	}
	l.words = strings.Join(g.named(names, l.gone), ", ")
	if 2*living > voters && voters > 0 {
		return l, fmt.Errorf("most members of group %d live: it has a leader as soon as they find each other", g.id)
	}
	return l, nil
}

// holds tells whether a member has something of the group.
func (m *memberView) holds() bool { return m.answers && len(m.Voters) > 0 }

// hopeless says of a group that has no leader what helps if those that are down never come back. lost is false if it may have one.
func (g *groupView) hopeless(of, refused string, names func(uint64) string) (c complaint, lost bool) {
	l, err := g.loss(names)
	if err != nil {
		return c, false
	}
	what, do := of+" has lost most of its members", fmt.Sprintf("warren ctl recover_group %d lets it go on with what %s has", g.id, names(l.best))
	if l.best == 0 {
		what, do = of+" has lost everything that was stored of it", fmt.Sprintf("warren ctl give_up_group %d lets it begin anew with nothing", g.id)
	}
	if l.words != "" {
		what, do = what+" ("+l.words+")", "start "+l.words+"; if that is lost for good: "+do
	}
	if refused != "" {
		what += ": what is new for its queues is refused on " + refused
	}
	return complaint{isError, "", what, do}, true
}

// lostGroup is the group of the path, and what it has lost. done is what is to be answered at once, if anything.
func (q *request) lostGroup() (g *groupView, l loss, done object, err error) {
	s := q.server
	if s.Nodes.single() {
		return nil, l, nil, errAlone
	}
	for _, one := range s.groupViews(q.context()) {
		if fmt.Sprint(one.id) == q.values["group"] {
			g = one
		}
	}
	if g == nil {
		return nil, l, nil, missing(fmt.Sprintf("there is no group %s", q.values["group"]))
	}
	names := s.names()
	kept := g.wanted.Kept
	if m := g.members[kept]; m != nil && m.state != "down" && (g.leader == kept || g.leader == 0 && len(m.Voters) < 2) {
		return g, l, object{"group": g.id, "kept": names(kept), "already": true}, nil // it has been done, or is about to be
	}
	if l, err = g.loss(names); err != nil {
		return g, l, nil, badRequest(err.Error())
	}
	return g, l, nil, nil
}

// recoverGroup lets a group that has lost most of its members for good go on with what is left of it.
func (q *request) recoverGroup() (answer, error) {
	g, l, done, err := q.lostGroup()
	switch {
	case err != nil:
		return answer{}, err
	case done != nil:
		return ok(done)
	}
	names := q.server.names()
	kept := names(l.best)
	switch {
	case l.best == 0:
		return answer{}, badRequest(fmt.Sprintf("no node that lives has anything of group %d, and %s is down: start it, or see give_up_group", g.id, l.words))
	case !q.asked("force"):
		return answer{}, badRequest(fmt.Sprintf("group %d would go on with what %s has, up to entry %d, and without %s: confirmed messages "+
			"that only the others had are lost, also if these come back. If they are lost for good, say so: --force, or force=true", g.id, kept, l.last, l.words))
	}
	if err := q.server.Nodes.Renew(q.context(), g.id, l.best, l.gone); err != nil {
		return answer{}, badRequest(err.Error())
	}
	return ok(object{"group": g.id, "kept": kept, "last": l.last, "lost": g.named(names, l.gone), "already": false})
}

// giveUpGroup lets a group of which nothing is left begin anew with nothing.
func (q *request) giveUpGroup() (answer, error) {
	g, l, done, err := q.lostGroup()
	names := q.server.names()
	switch {
	case err != nil:
		return answer{}, err
	case done != nil:
		return answer{}, badRequest(fmt.Sprintf("group %d goes on with what %s has", g.id, done["kept"]))
	case l.best != 0:
		return answer{}, badRequest(fmt.Sprintf("%s has something of group %d: see recover_group", names(l.best), g.id))
	case !q.asked("force"):
		return answer{}, badRequest(fmt.Sprintf("group %d would begin anew with nothing, and without %s: all messages in its queues are lost, also if "+
			"these nodes come back. If they are lost for good, say so: --force, or force=true", g.id, cmp.Or(l.words, "what it had")))
	}
	if err := q.server.Nodes.Renew(q.context(), g.id, 0, l.gone); err != nil {
		return answer{}, badRequest(err.Error())
	}
	return ok(object{"group": g.id, "lost": g.named(names, l.gone)})
}
