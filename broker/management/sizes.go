package management

import "fmt"

// GroupWish is what a group is to be.
type GroupWish struct {
	Members   []uint64 // that are to hold it
	Size      int      // how many are to, as soon as there are as many nodes
	Reachable int      // how many are to, with the nodes there are
	Alone     uint64   // the node that is the only one to hold it, or the only one that certainly has all of it; 0: there are others
	Era, Kept uint64   // how often it has begun anew, and with what which node had the last time; 0: with nothing
}

// short tells whether so many members are fewer than there are to be.
func (w *GroupWish) short(members int) bool { return members < w.Reachable }

// stranded says which groups nobody has but a node that is drained, and so about to be stopped.
func stranded(n Node, groups []*groupView) (list []complaint) {
	for _, g := range groups {
		if n.Drained && g.wanted.Alone == n.ID {
			list = append(list, complaint{isWarning, n.Name, fmt.Sprintf("node %s is drained, and nobody else has all of group %d", n.Name, g.id),
				"do not stop it before another node has that group; if there is none, start or revive one"})
		}
	}
	return list
}

// checkTarget fails if the cluster has fewer nodes than it is to have, or a group has fewer members than these nodes allow: of
// groups that have one here, those that vote.
func (q *request) checkTarget() (answer, error) {
	s := q.server
	nodes, online := s.Nodes.Nodes(), 0
	for _, n := range nodes {
		if n.Alive {
			online++
		}
	}
	target := max(s.TargetNodes, 1)
	more := object{"online": online, "target": target}
	if len(nodes) < target {
		return answer{}, failed(fmt.Sprintf("target cluster size not reached: %d of %d nodes are online", online, target), more)
	}
	if s.Nodes.single() {
		return q.fine()
	}
	voters := map[uint64]int{}
	for _, g := range s.Nodes.Groups() {
		voters[g.Group] = len(g.Voters)
	}
	small := []object{}
	wanted := s.Nodes.Wanted()
	for _, id := range sortedKeys(wanted) {
		w := wanted[id]
		members, here := voters[id]
		if !here {
			members = len(w.Members)
		}
		if w.short(members) {
			small = append(small, object{"group": id, "size": w.Size, "members": members})
		}
	}
	if len(small) > 0 {
		more["groups"] = small
		return answer{}, failed(fmt.Sprintf("target size not reached: %d groups have fewer members than there are nodes for", len(small)), more)
	}
	return q.fine()
}
