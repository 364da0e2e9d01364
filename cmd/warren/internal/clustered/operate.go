package clustered

import (
	"maps"
	"slices"
	"strings"

	"github.com/warrenmq/warren/broker/management"
)

// shown is the cluster as the broker's API is told of it.
func (n *Node) shown() management.Cluster {
	return management.Cluster{
		Nodes: n.nodes, Groups: n.members, Wanted: n.wanted,
	}
}

// nodes gives the nodes there are, by name.
func (n *Node) nodes() []management.Node {
	v := n.registry.View()
	list := make([]management.Node, 0, len(v.Nodes))
	for _, id := range slices.Sorted(maps.Keys(v.Nodes)) {
		of := v.Nodes[id]
		list = append(list, management.Node{
			ID: id, Name: of.Name, Address: of.Address, Zone: of.Zone, Holds: of.Backend, Alive: v.Alive[id] || id == n.Self.ID,
		})
	}
	slices.SortStableFunc(list, func(a, b management.Node) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// members gives how the groups stand that have a member here.
func (n *Node) members() (list []management.GroupMember) {
	for _, s := range n.host.Status() {
		g := management.GroupMember{
			Group: s.Group, Leader: s.Leader, Term: s.Term, Voters: s.Voters, Learners: s.Learners, Last: s.Last, Committed: s.Committed,
		}
		for _, p := range s.Peers {
			g.Peers = append(g.Peers, management.GroupPeer{Node: p.Node, Match: p.Match, State: p.State, SilentMs: p.Silent.Milliseconds()})
		}
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b management.GroupMember) int { return int(a.Group) - int(b.Group) })
	return list
}

// wanted gives the members that each group is to have.
func (n *Node) wanted() map[uint64][]uint64 {
	groups := map[uint64][]uint64{}
	for id, g := range n.registry.View().Groups {
		groups[id] = g.Members
	}
	return groups
}
