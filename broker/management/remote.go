package management

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"slices"

	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// Connections and channels of all nodes: the names of all are gathered, and then the objects of those that are shown.

// spot is where a connection or channel is.
type spot struct {
	Name    string `json:"name"`
	Session uint64 `json:"session"`
	Channel uint16 `json:"channel,omitempty"` // 0: it is a connection
	node    uint64
}

// sessionsAsked is a question for the connections of a node, or their channels. What is empty is no condition.
type sessionsAsked struct {
	VHost    *string `json:"vhost,omitempty"`
	User     *string `json:"user,omitempty"`
	Name     string  `json:"name,omitempty"` // of a connection
	Channels bool    `json:"channels,omitempty"`
}

// objectsAsked is a question for the objects of some places.
type objectsAsked struct {
	Places []spot `json:"places"`
	Query  string `json:"query"`
}

// closeAsked is a question that ends connections.
type closeAsked struct {
	Of     sessionsAsked `json:"of"`
	Reason string        `json:"reason"`
}

var (
	askPlaces  = question[sessionsAsked, []spot]{name: "places", answer: (*Server).placesHere}
	askObjects = question[objectsAsked, []object]{name: "objects", answer: (*Server).objectsHere}
	askClose   = question[closeAsked, int]{name: "close", answer: (*Server).closeHere}
	askOwners  = question[[]uint64, map[uint64]owner]{name: "owners", answer: (*Server).ownersHere}
)

func init() {
	register(askPlaces)
	register(askObjects)
	register(askClose)
	register(askOwners)
}

// matching gives the connections of this node that are asked for.
func (s *Server) matching(asked *sessionsAsked) (list []*session.Session) {
	s.Registry.Each(func(c *session.Session) {
		i := c.Info()
		if asked.VHost != nil && i.VHost != *asked.VHost || asked.User != nil && i.User != *asked.User || asked.Name != "" && i.Name != asked.Name {
			return
		}
		list = append(list, c)
	})
	return list
}

// placesHere gives the connections of this node, or their channels.
func (s *Server) placesHere(_ context.Context, asked sessionsAsked) ([]spot, error) {
	list := []spot{}
	for _, c := range s.matching(&asked) {
		i := c.Info()
		if !asked.Channels {
			list = append(list, spot{Name: i.Name, Session: i.ID})
			continue
		}
		for _, ch := range c.Channels() {
			list = append(list, spot{Name: channelName(i.Name, ch.Number), Session: i.ID, Channel: ch.Number})
		}
	}
	return list, nil
}

// objectsHere shows connections and channels of this node, in the order asked for. One that is gone has its name only.
func (s *Server) objectsHere(_ context.Context, asked objectsAsked) ([]object, error) {
	query, err := url.ParseQuery(asked.Query)
	if err != nil {
		return nil, err
	}
	open := map[uint64]*session.Session{}
	s.Registry.Each(func(c *session.Session) { open[c.Info().ID] = c })
	out := make([]object, len(asked.Places))
	for i, p := range asked.Places {
		out[i] = s.objectOf(&p, open[p.Session], agesOf(query))
	}
	return out, nil
}

func (s *Server) objectOf(p *spot, c *session.Session, a ages) object {
	switch {
	case c == nil:
	case p.Channel == 0:
		return s.connectionObject(c, a)
	default:
		for _, ch := range channelsOf([]*session.Session{c}) {
			if ch.info.Number == p.Channel {
				return s.channelObject(&ch, a)
			}
		}
	}
	return object{"name": p.Name, "node": s.Node}
}

// closeHere ends connections of this node, and tells how many.
func (s *Server) closeHere(_ context.Context, asked closeAsked) (int, error) {
	list := s.matching(&asked.Of)
	for _, c := range list {
		c.Close(&protocol.Error{Code: protocol.CodeConnectionForced, Text: cmp.Or(asked.Reason, closedBy)})
	}
	return len(list), nil
}

// conditions are what the path asks for, and the user may see. Who does not monitor sees its own.
func (q *request) conditions() sessionsAsked {
	var asked sessionsAsked
	if vhost, inVHost := q.values["vhost"]; inVHost {
		asked.VHost = &vhost
	}
	if user, ofUser := q.values["user"]; ofUser {
		asked.User = &user
	}
	if own := q.principal.Name(); !q.monitors() {
		if asked.User != nil && *asked.User != own {
			nobody := ""
			asked.User = &nobody
			return asked
		}
		asked.User = &own
	}
	return asked
}

// gather gives what is asked for on all nodes, by name.
func (q *request) gather(asked sessionsAsked) []spot {
	s := q.server
	all, _ := s.placesHere(q.context(), asked) // it has no errors
	for i := range all {
		all[i].node = s.Nodes.Self
	}
	questions := map[uint64]sessionsAsked{}
	for _, node := range s.others() {
		questions[node] = asked
	}
	for node, list := range askPlaces.each(q.context(), s, questions) {
		for _, p := range list {
			p.node = node
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b spot) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.node, b.node))
	})
	return all
}

// placeList shows places, some at a time: each node is asked once for those of a chunk.
func (q *request) placeList(all []spot) *list {
	l := &list{names: make([]string, len(all)), paged: true}
	for i := range all {
		l.names[i] = all[i].Name
	}
	l.show = func(indexes []int) []object {
		part := make([]spot, len(indexes))
		for i, at := range indexes {
			part[i] = all[at]
		}
		return q.placeObjects(part)
	}
	return l
}

func (q *request) placeObjects(part []spot) []object {
	s, out := q.server, make([]object, len(part))
	at := map[uint64][]int{} // which stand on a node
	questions := map[uint64]objectsAsked{}
	for i, p := range part {
		at[p.node] = append(at[p.node], i)
		asked := questions[p.node]
		asked.Places, asked.Query = append(asked.Places, p), q.http.URL.RawQuery
		questions[p.node] = asked
	}
	own, here := questions[s.Nodes.Self]
	delete(questions, s.Nodes.Self)
	said := askObjects.each(q.context(), s, questions)
	if here {
		said[s.Nodes.Self], _ = s.objectsHere(q.context(), own) // the query was read before
	}
	for node, where := range at {
		for i, to := range where {
			if list := said[node]; i < len(list) {
				out[to] = list[i]
			} else {
				out[to] = object{"name": part[to].Name}
			}
		}
	}
	return out
}

// owner is whose a connection is.
type owner struct {
	Name string `json:"name"`
	Host string `json:"host"`
	Port int    `json:"port"`
	User string `json:"user"`
}

// ownersHere tells whose connections of this node are, by their numbers.
func (s *Server) ownersHere(_ context.Context, ids []uint64) (map[uint64]owner, error) {
	wanted, all := map[uint64]bool{}, map[uint64]owner{}
	for _, id := range ids {
		wanted[id] = true
	}
	s.Registry.Each(func(c *session.Session) {
		if i := c.Info(); wanted[i.ID] {
			host, port := hostPort(i.Peer)
			all[i.ID] = owner{i.Name, host, port, i.User}
		}
	})
	return all, nil
}

// consumer is a consumer as the leader of its queue knows it.
type consumer struct {
	Queue   uint64 `json:"queue"`
	Node    uint64 `json:"node"` // of its session
	Session uint64 `json:"session"`
	Channel uint16 `json:"channel"`
	Object  object `json:"object"`
}

// consumersAsked is a question for the consumers of queues: of those named, or of vhosts.
type consumersAsked struct {
	IDs    []uint64 `json:"ids,omitempty"`
	VHosts []string `json:"vhosts,omitempty"`
}

var askConsumers = question[consumersAsked, []consumer]{name: "consumers", answer: (*Server).consumersHere}

func init() { register(askConsumers) }

// consumersHere describes the consumers of queues that are led here.
func (s *Server) consumersHere(ctx context.Context, asked consumersAsked) ([]consumer, error) {
	c := s.Editor.Catalog()
	var queues []*topology.Queue
	for _, id := range asked.IDs {
		if q := c.QueueByID(id); q != nil {
			queues = append(queues, q)
		}
	}
	var vhosts []*topology.VHost
	for _, name := range asked.VHosts {
		if v := c.VHost(name); v != nil {
			vhosts = append(vhosts, v)
		}
	}
	return s.consumersLed(ctx, append(queues, queuesIn(vhosts)...)), nil
}

func (s *Server) consumersLed(ctx context.Context, queues []*topology.Queue) []consumer {
	found, all := s.consumers(ctx, queues), []consumer{}
	for _, q := range queues {
		for i := range found[q.ID] {
			c := &found[q.ID][i]
			all = append(all, consumer{q.ID, c.Key.Session.Node, c.Key.Session.Session, c.Channel, s.consumerObject(q, c)})
		}
	}
	return all
}

// consumersOf describes the consumers of queues, all over the cluster, in the order of the queues.
func (s *Server) consumersOf(ctx context.Context, queues []*topology.Queue, asked consumersAsked) []object {
	all := s.consumersLed(ctx, queues)
	for _, some := range askConsumers.everywhere(ctx, s, asked) {
		all = append(all, some...)
	}
	order := make(map[uint64]int, len(queues))
	for i, q := range queues {
		order[q.ID] = i
	}
	slices.SortStableFunc(all, func(a, b consumer) int { return cmp.Compare(order[a.Queue], order[b.Queue]) })
	s.addChannels(ctx, all)
	list := []object{}
	for i := range all {
		list = append(list, all[i].Object)
	}
	return list
}

// addChannels names the channels of consumers: the nodes of their connections know.
func (s *Server) addChannels(ctx context.Context, all []consumer) {
	byNode := map[uint64][]uint64{}
	for i := range all {
		byNode[all[i].Node] = append(byNode[all[i].Node], all[i].Session)
	}
	own := byNode[s.Nodes.Self]
	delete(byNode, s.Nodes.Self)
	lives := s.others()
	maps.DeleteFunc(byNode, func(node uint64, _ []uint64) bool { return !slices.Contains(lives, node) })
	owners := askOwners.each(ctx, s, byNode)
	owners[s.Nodes.Self], _ = s.ownersHere(ctx, own) // it has no errors
	names := s.names()
	for i := range all {
		c := &all[i]
		if o, open := owners[c.Node][c.Session]; open {
			c.Object["channel_details"] = object{
				"name": channelName(o.Name, c.Channel), "number": c.Channel, "connection_name": o.Name, "peer_host": o.Host,
				"peer_port": o.Port, "node": names(c.Node), "user": o.User,
			}
		}
	}
}
