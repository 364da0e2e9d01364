package management

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/warrenmq/warren/broker/topology"
)

// GroupMember is how a group stands, as its member on one node sees it.
type GroupMember struct {
	Group     uint64   `json:"group"`
	Era       uint64   `json:"era"`    // how often it has begun anew
	Leader    uint64   `json:"leader"` // 0: not known
	Term      uint64   `json:"term"`
	Voters    []uint64 `json:"voters"`
	Learners  []uint64 `json:"learners"`
	Last      uint64   `json:"last"`      // index of the newest entry
	LastTerm  uint64   `json:"last_term"` // and its term
	Committed uint64   `json:"committed"` // and of the newest that is
	Applied   uint64   `json:"applied"`
	Written   uint64   `json:"written"` // index of the newest entry on the disk
	Snapshot  uint64   `json:"snapshot"`
	// Peers is what the leader knows of the others.
	Peers []GroupPeer `json:"peers,omitempty"`
}

// GroupPeer is another member, as the leader sees it.
type GroupPeer struct {
	Node     uint64 `json:"node"`
	Match    uint64 `json:"match"` // it has the log up to here
	State    string `json:"state"`
	SilentMs int64  `json:"silent_ms"` // since when nothing was heard of it
}

// lagMax is how many entries a member may be behind and still count as up to date, silentMax for how long nothing may be heard
// of it. Milliseconds.
const (
	lagMax    = 1000
	silentMax = 2000
)

var askGroups = question[struct{}, []GroupMember]{name: "groups", answer: (*Server).groupsHere}

var askRefused = question[struct{}, []uint64]{name: "refused", answer: (*Server).refusedHere}

func init() {
	register(askGroups)
	register(askRefused)
}

func (s *Server) refusedHere(context.Context, struct{}) ([]uint64, error) {
	if s.Nodes.single() || s.Nodes.Refused == nil {
		return nil, nil
	}
	return s.Nodes.Refused(), nil
}

func (s *Server) groupsHere(context.Context, struct{}) ([]GroupMember, error) {
	if s.Nodes.single() {
		return nil, nil
	}
	return s.Nodes.Groups(), nil
}

// groupView is a group as all of its members see it.
type groupView struct {
	id      uint64
	leader  uint64 // 0: nobody leads
	term    uint64
	wanted  GroupWish
	members map[uint64]*memberView // that are to hold it, or do
	refused []uint64               // the nodes that refuse what is new for it
	mute    []uint64               // members that live and do not answer at all
}

// memberView is a member of a group.
type memberView struct {
	GroupMember        // as it says itself
	answers     bool   // it says something
	voter       bool   // as the leader, or else whoever is known, has it
	state       string // follower, leader, learner, silent, down, absent
	lag         uint64 // entries that it does not have yet
	silentMs    int64
}

// groupViews looks at the groups of the cluster: every node is asked once.
func (s *Server) groupViews(ctx context.Context) []*groupView {
	if s.Nodes.single() {
		return nil
	}
	said := map[uint64][]GroupMember{s.Nodes.Self: s.Nodes.Groups()}
	questions := map[uint64]struct{}{}
	for _, node := range s.others() {
		questions[node] = struct{}{}
	}
	var refused map[uint64][]uint64
	var asking errands
	asking.Go(func() { refused = askRefused.each(ctx, s, maps.Clone(questions)) })
	maps.Copy(said, askGroups.each(ctx, s, questions))
	asking.Wait()
	refused[s.Nodes.Self], _ = s.refusedHere(ctx, struct{}{}) // it has no errors
	alive := map[uint64]bool{}
	for _, n := range s.Nodes.Nodes() {
		alive[n.ID] = n.Alive
	}
	var list []*groupView
	wanted := s.Nodes.Wanted()
	for _, id := range slices.Sorted(maps.Keys(wanted)) {
		g := viewGroup(id, wanted[id], said, alive)
		for _, node := range slices.Sorted(maps.Keys(refused)) {
			if slices.Contains(refused[node], id) {
				g.refused = append(g.refused, node)
			}
		}
		g.miss(said, alive)
		list = append(list, g)
	}
	return list
}

// miss notes the members that live and do not answer at all.
func (g *groupView) miss(said map[uint64][]GroupMember, alive map[uint64]bool) {
	for node := range g.members {
		if _, answers := said[node]; alive[node] && !answers {
			g.mute = append(g.mute, node)
		}
	}
}

// viewGroup makes one picture of what nodes say of a group. Who leads in the newest term knows best.
func viewGroup(id uint64, wanted GroupWish, said map[uint64][]GroupMember, alive map[uint64]bool) *groupView {
	g := &groupView{id: id, wanted: wanted, members: map[uint64]*memberView{}}
	for _, node := range wanted.Members {
		g.members[node] = &memberView{state: "absent"}
	}
	best := GroupMember{}
	for node, groups := range said {
		for _, m := range groups {
			if m.Group != id || m.Era != wanted.Era { // what is of an era before says nothing
				continue
			}
			g.members[node] = &memberView{GroupMember: m, answers: true, state: "follower"}
			if m.Term > best.Term || m.Term == best.Term && m.Leader == node {
				best = m
			}
			if m.Leader == node && m.Term >= g.term {
				g.leader, g.term = node, m.Term
			}
		}
	}
	g.term = max(g.term, best.Term)
	g.judge(&best, alive)
	return g
}

// judge says how each member is.
func (g *groupView) judge(best *GroupMember, alive map[uint64]bool) {
	for _, node := range slices.Concat(best.Voters, best.Learners) {
		if g.members[node] == nil {
			g.members[node] = &memberView{state: "absent"}
		}
	}
	for node, m := range g.members {
		m.voter = slices.Contains(best.Voters, node)
		if m.answers && m.Last < best.Last {
			m.lag = best.Last - m.Last
		}
		for _, p := range best.Peers {
			if p.Node != node {
				continue
			}
			m.silentMs = p.SilentMs
			if m.answers && m.Leader == g.leader && m.Term == g.term { // who leads since just now does not know yet
				m.silentMs = 0
				continue
			}
			m.lag = best.Last - min(p.Match, best.Last)
		}
		switch {
		case !alive[node]:
			m.state = "down"
		case node == g.leader:
			m.state = "leader"
		case slices.Contains(best.Learners, node), !m.voter && m.answers && len(best.Voters) > 0 && slices.Contains(g.wanted.Members, node):
			m.state = "learner" // or is about to be one
		case m.silentMs > silentMax:
			m.state = "silent"
		}
	}
}

// serves tells whether a member takes part: it votes, and has about everything.
func (m *memberView) serves() bool {
	return m.voter && (m.state == "leader" || m.state == "follower") && m.lag <= lagMax
}

// status is what is to be said of a group: ok, no leader, below strength, lagging.
func (g *groupView) status() string {
	lagging := false
	for _, m := range g.members {
		if m.voter && m.state != "leader" && m.state != "follower" || m.state == "learner" || m.state == "absent" {
			return map[bool]string{true: "no leader", false: "below strength"}[g.leader == 0]
		}
		lagging = lagging || m.lag > lagMax
	}
	switch {
	case g.leader == 0:
		return "no leader"
	case g.wanted.short(len(g.wanted.Members)):
		return "below strength"
	case lagging:
		return "lagging"
	}
	return "ok"
}

// critical tells whether the group could not go on without a node.
func (g *groupView) critical(node uint64) bool {
	if m := g.members[node]; m == nil || !m.serves() {
		return false
	}
	voters, serving := 0, 0
	for _, m := range g.members {
		if m.voter {
			voters++
		}
		if m.serves() {
			serving++
		}
	}
	return 2*(serving-1) <= voters
}

// sorted gives the numbers of a group's members by their names.
func (g *groupView) sorted(names func(uint64) string) []uint64 {
	return slices.SortedFunc(maps.Keys(g.members), func(a, b uint64) int { return strings.Compare(names(a), names(b)) })
}

// listGroups shows the groups: who leads, and how far the members are.
func (q *request) listGroups() (answer, error) {
	s := q.server
	names, queues := s.names(), s.queuesOfGroups()
	list := []object{}
	for _, g := range s.groupViews(q.context()) {
		members := []object{}
		for _, node := range g.sorted(names) {
			m := g.members[node]
			members = append(members, object{"node": names(node), "state": m.state, "voter": m.voter, "lag": m.lag, "silent_ms": m.silentMs})
		}
		list = append(list, object{
			"group": g.id, "leader": names(g.leader), "size": g.wanted.Size, "term": g.term, "queues": queues[g.id], "status": g.status(), "members": members,
			"refused_on": g.named(names, g.refused),
		})
	}
	return ok(list)
}

// queuesOfGroups counts the queues of each group.
func (s *Server) queuesOfGroups() map[uint64]int {
	queues := map[uint64]int{}
	for _, q := range s.allQueues() {
		queues[q.Group]++
	}
	return queues
}

// getQuorumStatus shows the members of the group that a queue is in, in RabbitMQ's words.
func (q *request) getQuorumStatus() (answer, error) {
	one, err := q.quorumQueue()
	if err != nil {
		return answer{}, err
	}
	names, list := q.server.names(), []object{}
	for _, g := range q.server.groupViews(q.context()) {
		if g.id != one.Group {
			continue
		}
		for _, node := range g.sorted(names) {
			m := g.members[node]
			membership := map[bool]string{true: "voter", false: "non-voter"}[m.voter]
			state := m.state
			if !m.answers {
				state = "noproc"
			}
			list = append(list, object{
				"Node Name": names(node), "Raft State": state, "Membership": membership, "Last Log Index": m.Last, "Last Written": m.Written,
				"Last Applied": m.Applied, "Commit Index": m.Committed, "Snapshot Index": m.Snapshot, "Term": m.Term, "Machine Version": 1,
				"Group Size": g.wanted.Size,
			})
		}
	}
	if q.server.Nodes.single() {
		list = append(list, object{
			"Node Name": q.server.Node, "Raft State": "leader", "Membership": "voter", "Last Log Index": 0, "Last Written": 0,
			"Last Applied": 0, "Commit Index": 0, "Snapshot Index": 0, "Term": 1, "Machine Version": 1, "Group Size": 1,
		})
	}
	return ok(list)
}

// queuesNamed is how many queues a health check names.
const queuesNamed = 100

// affected gives quorum queues of groups, as health checks name them.
func (s *Server) affected(groups map[uint64]bool, wanted func(*topology.Queue) bool) []object {
	list := []object{}
	for _, q := range s.allQueues() {
		if q.Type != "classic" && groups[q.Group] && wanted(q) && len(list) < queuesNamed {
			list = append(list, object{
				"name": q.Name, "virtual_host": q.VHost, "type": q.Type, "readable_name": "queue '" + q.Name + "' in vhost '" + q.VHost + "'",
			})
		}
	}
	return list
}

// checkCritical fails if queues could not go on without this node.
func (q *request) checkCritical() (answer, error) {
	s, groups := q.server, map[uint64]bool{}
	if s.Nodes.single() || len(s.Nodes.Nodes()) == 1 {
		return ok(object{"status": "ok", "reason": "single node cluster"})
	}
	for _, g := range s.groupViews(q.context()) {
		groups[g.id] = g.critical(s.Nodes.Self)
	}
	if list := s.affected(groups, func(*topology.Queue) bool { return true }); len(list) > 0 {
		return answer{}, failed("There are quorum queues that would lose their quorum if the target node is shut down", object{"queues": list})
	}
	return q.fine()
}

// checkLeaders fails if quorum queues that the path is about have no leader.
func (q *request) checkLeaders() (answer, error) {
	vhost, inVHost := q.values["in"]
	pattern, err := topology.CompilePattern(q.values["pattern"])
	if err != nil {
		return answer{}, err
	}
	groups := map[uint64]bool{}
	for _, g := range q.server.groupViews(q.context()) {
		groups[g.id] = g.leader == 0
	}
	list := q.server.affected(groups, func(one *topology.Queue) bool {
		return one.Type == "quorum" && (!inVHost || one.VHost == vhost) && pattern.Match(one.Name)
	})
	if len(list) > 0 {
		return answer{}, failed("There are quorum queues without an elected leader", object{"queues": list})
	}
	return q.fine()
}
