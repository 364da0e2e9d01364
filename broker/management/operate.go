package management

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// operateTime is how long a node has to do what an operator wants.
const operateTime = 30 * time.Second

// What an operator may want of a node.
const (
	doDrain     = "drain"
	doRevive    = "revive"
	doRebalance = "rebalance"
)

// outcome is what became of it: an error in words, or a number.
type outcome struct {
	Failed string `json:"failed,omitempty"`
	Count  int    `json:"count"`
}

var askOperate = question[string, outcome]{name: "operate", answer: (*Server).operateHere, time: operateTime}

func init() { register(askOperate) }

func clusterRoutes() []route {
	return []route{
		{"GET", "/warren/groups", monitor, (*request).listGroups, "The groups of queues: who leads, and how far the members are"},
		{"GET", "/warren/doctor", monitor, (*request).examine, "What is wrong with the cluster, and what to do"},
		{"POST", "/warren/groups/{group}/leader/{node}", administrator, (*request).moveLeader, "Make a member the leader of a group"},
		{"POST", "/warren/groups/{group}/recover", administrator, (*request).recoverGroup, "Let a group that has lost most of its members for good go on with what is left, with force=true"},
		{"POST", "/warren/groups/{group}/give-up", administrator, (*request).giveUpGroup, "Let a group of which nothing is left begin anew with nothing, with force=true"},
		{"POST", "/warren/nodes/{node}/drain", administrator, (*request).drainNode, "Let a node lead nothing, and have no clients"},
		{"POST", "/warren/nodes/{node}/revive", administrator, (*request).reviveNode, "Let a node that was drained be as others"},
		{"DELETE", "/warren/nodes/{node}", administrator, (*request).forgetNode, "Take a node that does not run out of the cluster"},
	}
}

// operateHere does what an operator wants of this node.
func (s *Server) operateHere(ctx context.Context, what string) (outcome, error) {
	switch what {
	case doDrain, doRevive:
		if err := s.Nodes.Drain(ctx, what == doDrain); err != nil {
			return outcome{Failed: err.Error()}, nil
		}
		return outcome{}, nil
	case doRebalance:
		return outcome{Count: s.Nodes.Rebalance()}, nil
	}
	return outcome{}, fmt.Errorf("nobody knows how to %q", what)
}

var errAlone = badRequest("this node belongs to no cluster")

// fellow is the node of the path, which has to be a running one of a cluster.
func (q *request) fellow() (Node, error) {
	if q.server.Nodes.single() {
		return Node{}, errAlone
	}
	return q.runs()
}

// operate does it on a node of the cluster.
func (q *request) operate(what string) (answer, error) {
	s := q.server
	n, err := q.fellow()
	if err != nil {
		return answer{}, err
	}
	var o outcome
	if n.ID == s.Nodes.Self {
		o, err = s.operateHere(q.context(), what)
	} else {
		o, err = askOperate.of(q.context(), s, n.ID, what)
	}
	switch {
	case err != nil:
		return answer{}, errSilent
	case o.Failed != "":
		return answer{}, badRequest(o.Failed)
	}
	return done()
}

func (q *request) drainNode() (answer, error) { return q.operate(doDrain) }

func (q *request) reviveNode() (answer, error) { return q.operate(doRevive) }

func (q *request) forgetNode() (answer, error) {
	s := q.server
	if s.Nodes.single() {
		return answer{}, errAlone
	}
	n, err := q.node()
	if err != nil {
		return answer{}, missing(fmt.Sprintf("there is no node %s in the cluster", q.values["node"]))
	}
	if err := s.Nodes.Forget(q.context(), n.ID); err != nil {
		return answer{}, badRequest(err.Error())
	}
	return done()
}

// moveLeader makes a member lead a group, for good: also after this node has seen it, nobody hands it back.
func (q *request) moveLeader() (answer, error) {
	s := q.server
	n, err := q.fellow()
	if err != nil {
		return answer{}, err
	}
	var group uint64
	if _, err := fmt.Sscanf(q.values["group"], "%d", &group); err != nil || s.Nodes.Wanted()[group].Members == nil {
		return answer{}, missing(fmt.Sprintf("there is no group %s", q.values["group"]))
	}
	if err := s.Nodes.Transfer(q.context(), group, n.ID); err != nil {
		return answer{}, badRequest(err.Error())
	}
	return done()
}

// rebalance gives groups to those that should lead them, which nodes also do by themselves, one after another.
func (q *request) rebalance() (answer, error) {
	s := q.server
	if s.Nodes.single() {
		return done()
	}
	moved := s.Nodes.Rebalance()
	for _, o := range askOperate.everywhere(q.context(), s, doRebalance) {
		moved += o.Count
	}
	s.Logger.Info().Int("groups", moved).Msg("leaderships are handed over")
	return done()
}

// drained tells whether this node is.
func (s *Server) drained() bool {
	for _, n := range s.Nodes.Nodes() {
		if n.ID == s.Nodes.Self {
			return n.Drained
		}
	}
	return false
}

// checkInService fails while the node is drained.
func (q *request) checkInService() (answer, error) {
	if q.server.drained() {
		return answer{}, failed("node is in maintenance mode", nil)
	}
	return q.fine()
}

// checkReady fails if the node would refuse one more connection.
func (q *request) checkReady() (answer, error) {
	if a, err := q.checkInService(); err != nil {
		return a, err
	}
	return q.checkConnections()
}

// replicas says how members of quorum queues come and go here.
const replicas = "queues share groups, whose members the cluster places by itself: see drain, forget_cluster_node, and docs/cluster.md"

// replica reads the node that a replica shall be on, and tells whether it holds the queue.
func (q *request) replica() (n Node, holds bool, err error) {
	body, err := q.body("node")
	if err != nil {
		return n, false, err
	}
	one, err := q.quorumQueue()
	if err != nil {
		return n, false, err
	}
	name, err := text(body, "node", "")
	if err != nil {
		return n, false, err
	}
	n, known := q.server.named(name)
	if !known || !n.Alive {
		return n, false, badRequest("node_not_running")
	}
	for _, member := range q.server.Nodes.Members(one.Group) {
		holds = holds || member == n.ID
	}
	return n, holds, nil
}

func (q *request) addReplica() (answer, error) {
	_, holds, err := q.replica()
	return answer{}, cmp.Or[error](err, badRequest(map[bool]string{true: "already_a_member", false: replicas}[holds]))
}

func (q *request) deleteReplica() (answer, error) {
	_, holds, err := q.replica()
	switch {
	case err != nil:
		return answer{}, err
	case !holds:
		return answer{}, badRequest("not_a_member")
	case q.server.Nodes.single():
		return answer{}, badRequest("last_node")
	}
	return answer{}, badRequest(replicas)
}
