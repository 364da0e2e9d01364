package management

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/topology"
)

// seat is where a group is.
type seat struct {
	leader  string   // "" if nobody is known to lead
	node    uint64   // the leader's number
	members []string // by name
	online  []string // of those, the ones that live
}

// places gives where groups are, each looked at once.
func (s *Server) places() func(group uint64) *seat {
	kept := map[uint64]*seat{}
	nodes := map[uint64]Node{}
	for _, n := range s.Nodes.Nodes() {
		nodes[n.ID] = n
	}
	return func(group uint64) *seat {
		p := kept[group]
		if p == nil {
			p = s.place(group, nodes)
			kept[group] = p
		}
		return p
	}
}

func (s *Server) place(group uint64, nodes map[uint64]Node) *seat {
	p := &seat{node: s.Nodes.Leader(group), online: []string{}}
	if n := nodes[p.node]; n.Alive {
		p.leader = n.Name
	}
	for _, id := range s.Nodes.Members(group) {
		p.members = append(p.members, nodes[id].Name)
		if nodes[id].Alive {
			p.online = append(p.online, nodes[id].Name)
		}
	}
	slices.Sort(p.members)
	slices.Sort(p.online)
	return p
}

// at is the node that a queue is said to be on: its leader's, or the first that holds it.
func (p *seat) at() string {
	if p.leader == "" && len(p.members) > 0 {
		return p.members[0]
	}
	return p.leader
}

// stateOf is how a queue is: damaged, without a leader, or without the majority that it takes to go on.
func stateOf(q *topology.Queue, damage map[uint64]error, p *seat) string {
	switch {
	case damage[q.Group] != nil:
		return "crashed"
	case p.leader == "":
		return "down"
	case 2*len(p.online) <= len(p.members):
		return "minority"
	}
	return "running"
}

// How much of queues is wanted.
const (
	onlyCounts = iota
	inList
	inFull
)

// queuesAsked is a question for the numbers of queues, to those who lead them.
type queuesAsked struct {
	IDs    []uint64 `json:"ids"`
	Detail int      `json:"detail"`
	Query  string   `json:"query"` // what history is wanted
}

var askQueues = question[queuesAsked, map[uint64]object]{name: "queues", answer: (*Server).queuesHere}

func init() { register(askQueues) }

// queuesHere describes queues that are led here.
func (s *Server) queuesHere(ctx context.Context, asked queuesAsked) (map[uint64]object, error) {
	c := s.Editor.Catalog()
	var queues []*topology.Queue
	for _, id := range asked.IDs {
		if q := c.QueueByID(id); q != nil {
			queues = append(queues, q)
		}
	}
	query, err := url.ParseQuery(asked.Query)
	if err != nil {
		return nil, err
	}
	objects := map[uint64]object{}
	infos := s.queueInfos(ctx, queues)
	sessions := s.sessions()
	for _, q := range queues {
		if info, known := infos[q.ID]; known {
			o := object{"node": s.Node}
			s.describe(o, q, &info, asked.Detail, agesOf(query))
			addOwner(o, q, sessions)
			if q.Type != classicType {
				o["leader"] = s.Node
			}
			objects[q.ID] = o
		}
	}
	return objects, nil
}

const classicType = "classic"

// describe adds to a queue what its machine knows.
func (s *Server) describe(o object, q *topology.Queue, info *queue.Info, detail int, a ages) {
	if detail == onlyCounts {
		addCounts(o, q, info)
		return
	}
	s.addQueueStats(o, q, info, a)
	if detail == inFull {
		o["single_active_consumer_tag"] = tagOrNull(info.SingleTag)
		if q.Type == classicType {
			o["exclusive_consumer_tag"] = tagOrNull(info.ExclusiveTag)
		}
	}
}

// describeAll adds to queues what their leaders know, wherever these are: each node is asked once. Those of nodes that do not
// answer stay as they are.
func (q *request) describeAll(objects []object, queues []*topology.Queue, detail int, sessions map[uint64]session.Info) {
	s, a := q.server, q.ages()
	infos := s.queueInfos(q.context(), queues)
	elsewhere := map[uint64]int{} // where a queue stands that is not led here
	for i, one := range queues {
		info, known := infos[one.ID]
		if !known {
			elsewhere[one.ID] = i
			continue
		}
		s.describe(objects[i], one, &info, detail, a)
		if detail != onlyCounts {
			addOwner(objects[i], one, sessions)
		}
	}
	if len(elsewhere) == 0 || len(s.others()) == 0 {
		return
	}
	byNode, lives := map[uint64][]uint64{}, s.others()
	for id, i := range elsewhere {
		if leader := s.Nodes.Leader(queues[i].Group); slices.Contains(lives, leader) {
			byNode[leader] = append(byNode[leader], id)
		}
	}
	take := func(asked map[uint64][]uint64) {
		questions := map[uint64]queuesAsked{}
		for node, ids := range asked {
			questions[node] = queuesAsked{ids, detail, q.http.URL.RawQuery}
		}
		for _, said := range askQueues.each(q.context(), s, questions) {
			for id, o := range said {
				if i, wanted := elsewhere[id]; wanted {
					maps.Copy(objects[i], o)
					delete(elsewhere, id)
				}
			}
		}
	}
	take(byNode)
	if len(elsewhere) == 0 {
		return
	}
	again := map[uint64][]uint64{} // leaders move: the other members are asked once more
	for id, i := range elsewhere {
		for _, member := range s.Nodes.Members(queues[i].Group) {
			if member != s.Nodes.Leader(queues[i].Group) && slices.Contains(lives, member) {
				again[member] = append(again[member], id)
			}
		}
	}
	take(again)
}

// countAsked is a question for a counter of queues: of those named, or of all.
type countAsked struct {
	Name string   `json:"name"`
	IDs  []uint64 `json:"ids,omitempty"`
	All  bool     `json:"all"`
}

var askCount = question[countAsked, map[uint64]float64]{name: "count", answer: (*Server).countHere}

// ratesAsked is a question for rates of all queues, by where the numbers stand in a sample.
var askRates = question[[]int, map[uint64]float64]{name: "rates", answer: (*Server).ratesHere}

func init() {
	register(askCount)
	register(askRates)
}

// ratesHere adds up rates of the queues that are led here; what is 0 is left out.
func (s *Server) ratesHere(_ context.Context, rates []int) (map[uint64]float64, error) {
	numbers := map[uint64]float64{}
	queues := s.ledHere(s.allQueues())
	column := s.rateColumn(queues, rates)
	for i, q := range queues {
		if column.numbers[i] != 0 {
			numbers[q.ID] = column.numbers[i]
		}
	}
	return numbers, nil
}

// ledHere gives those of the queues that are led here.
func (s *Server) ledHere(queues []*topology.Queue) []*topology.Queue {
	here := map[uint64]bool{}
	for _, g := range s.Groups() {
		here[g.ID] = true
	}
	var list []*topology.Queue
	for _, q := range queues {
		if here[q.Group] {
			list = append(list, q)
		}
	}
	return list
}

// countHere gives a counter of the queues that are led here; what is 0 is left out.
func (s *Server) countHere(ctx context.Context, asked countAsked) (map[uint64]float64, error) {
	queues := s.allQueues()
	if !asked.All {
		queues = nil
		for _, id := range asked.IDs {
			if q := s.Editor.Catalog().QueueByID(id); q != nil {
				queues = append(queues, q)
			}
		}
	}
	count := counterOf(strings.Split(asked.Name, "."))
	if count == nil {
		return nil, errNotFound
	}
	numbers, whole := s.countLocal(ctx, queues, count)
	if !whole {
		return nil, errNoAnswer
	}
	return numbers, nil
}

// count lets whoever leads the queues count. What is 0 is left out; whole is false if somebody did not answer.
func (s *Server) count(ctx context.Context, queues []*topology.Queue, name string, count counter, all bool) (numbers map[uint64]float64, whole bool) {
	numbers, whole = s.countLocal(ctx, queues, count)
	others := s.others()
	if len(others) == 0 {
		return numbers, whole
	}
	asked := countAsked{Name: name, All: all}
	if !all {
		for _, q := range queues {
			asked.IDs = append(asked.IDs, q.ID)
		}
	}
	said := askCount.everywhere(ctx, s, asked)
	for _, some := range said {
		maps.Copy(numbers, some)
	}
	return numbers, whole && len(said) == len(others)
}
