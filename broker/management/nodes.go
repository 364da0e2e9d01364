package management

import (
	"context"
	"net/url"
)

// nodeAsked is a question for what a node tells of itself.
type nodeAsked struct {
	Memory bool   `json:"memory,omitempty"` // what its memory is used for, or else all the rest
	Query  string `json:"query"`
}

var askNode = question[nodeAsked, object]{name: "node", answer: (*Server).nodeHere}

func init() { register(askNode) }

func (s *Server) nodeHere(_ context.Context, asked nodeAsked) (object, error) {
	if asked.Memory {
		parts, total := memoryParts()
		return object{"parts": parts, "total": total}, nil
	}
	query, err := url.ParseQuery(asked.Query)
	if err != nil {
		return nil, err
	}
	return s.nodeObject(agesOf(query)), nil
}

// nodeObjects describes nodes. One that does not live, or does not answer, has a few fields only, as RabbitMQ has it.
func (q *request) nodeObjects(nodes []Node) []object {
	s, asked := q.server, nodeAsked{Query: q.http.URL.RawQuery}
	questions := map[uint64]nodeAsked{}
	for _, n := range nodes {
		if n.ID != s.Nodes.Self && n.Alive {
			questions[n.ID] = asked
		}
	}
	said := askNode.each(q.context(), s, questions)
	list := make([]object, len(nodes))
	for i, n := range nodes {
		o := said[n.ID]
		if n.ID == s.Nodes.Self {
			o = s.nodeObject(q.ages())
		}
		if o == nil {
			o = object{"name": n.Name, "type": "disc", "running": false, "partitions": []any{}}
		}
		o["being_drained"] = n.Drained
		if !s.Nodes.single() {
			o["zone"], o["cluster_address"], o["alive"] = n.Zone, n.Address, n.Alive
		}
		list[i] = o
	}
	return list
}

func (q *request) listNodes() (answer, error) {
	return ok(listOf(q.nodeObjects(q.server.Nodes.Nodes())))
}

// node finds the node of the path.
func (q *request) node() (Node, error) {
	n, ok := q.server.named(q.values["node"])
	if !ok {
		return Node{}, errNotFound
	}
	return n, nil
}

// knownNode refuses what is no node.
func (q *request) knownNode() error {
	_, err := q.node()
	return err
}

func (q *request) getNode() (answer, error) {
	n, err := q.node()
	if err != nil {
		return answer{}, err
	}
	return ok(q.nodeObjects([]Node{n})[0])
}

// memoryOf is what the memory of the path's node is used for. Bytes.
func (q *request) memoryOf() (parts map[string]uint64, total uint64, err error) {
	n, err := q.node()
	if err != nil {
		return nil, 0, err
	}
	if n.ID == q.server.Nodes.Self {
		parts, total = memoryParts()
		return parts, total, nil
	}
	said, err := askNode.of(q.context(), q.server, n.ID, nodeAsked{Memory: true})
	if err != nil {
		return nil, 0, errSilent
	}
	all, _ := said["parts"].(object)
	parts = map[string]uint64{}
	for name, value := range all {
		bytes, _ := number(value)
		parts[name] = uint64(bytes)
	}
	bytes, _ := number(said["total"])
	return parts, uint64(bytes), nil
}

// runs refuses a node that is not there or does not live.
func (q *request) runs() (Node, error) {
	n, err := q.node()
	if err == nil && !n.Alive {
		return n, failed("the node does not run", object{"node": n.Name})
	}
	return n, err
}
