package clustered

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/warrenmq/warren/broker/management"
	"github.com/warrenmq/warren/cluster/membership"
	"github.com/warrenmq/warren/cluster/placement"
	"github.com/warrenmq/warren/cluster/raftlog"
)

// shown is the cluster as the broker's API is told of it.
func (n *Node) shown() management.Cluster {
	return management.Cluster{
		Nodes: n.nodes, Groups: n.members, Wanted: n.wanted, Reach: n.reach, Expiry: n.expiry,
		Forget: n.forget, Drain: n.drain, Transfer: n.transfer, Rebalance: n.rebalance, Renew: n.renew,
	}
}

// reach tells whether the cluster's metadata can be reached.
func (n *Node) reach(ctx context.Context) error {
	_, err := n.client.Get(ctx, n.Prefix+"reach")
	return err
}

// expiry is when the certificate for other nodes ends.
func (n *Node) expiry() time.Time {
	if n.TLS == nil || n.TLS.GetCertificate == nil {
		return time.Time{}
	}
	c, err := n.TLS.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil || c.Leaf == nil {
		return time.Time{}
	}
	return c.Leaf.NotAfter
}

// forget takes a node that does not live out of the cluster, and its member out of etcd if that runs in the nodes.
func (n *Node) forget(ctx context.Context, id uint64) error {
	name := n.registry.View().Nodes[id].Name
	if err := n.registry.Forget(ctx, id); err != nil {
		return err
	}
	n.Logger.Warn().Uint64("forgotten", id).Str("name", name).Msg("a node was forgotten")
	if n.Embed == nil {
		return nil
	}
	list, err := n.client.MemberList(ctx)
	if err != nil {
		return fmt.Errorf("node %s is forgotten, but may still be a member of etcd: %w", name, err)
	}
	for _, m := range list.Members {
		if m.Name == name {
			if _, err := n.client.MemberRemove(ctx, m.ID); err != nil {
				return fmt.Errorf("node %s is forgotten, but still a member of etcd: %w", name, err)
			}
		}
	}
	return nil
}

// maintenance is what clients hear, in RabbitMQ's words.
const maintenance = "Node was put into maintenance mode"

// giveWay has this node drained, but for its clients.
func (n *Node) giveWay() {
	if n.registry.View().Drained[n.Self.ID] || !n.givingWay.CompareAndSwap(false, true) {
		return
	}
	n.runs.Go(func() {
		defer n.givingWay.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
		defer cancel()
		if err := n.registry.Drain(ctx, n.Self.ID, true); err != nil {
			n.Logger.Warn().Err(err).Msg("that this node is to be spared could not be noted")
		}
	})
}

// errNotServing is returned for what needs a broker that runs.
var errNotServing = errors.New("the node is about to start or to end")

// drain lets this node lead nothing, have no clients, and be the only one for no group, or ends that.
func (n *Node) drain(ctx context.Context, on bool) error {
	if err := n.registry.Drain(ctx, n.Self.ID, on); err != nil {
		return err
	}
	if on {
		err := errors.Join(n.spare(ctx), n.giveAway(ctx))
		n.handOver(ctx) // what was given away just now, too, and what another node gave that did not know yet
		return err
	}
	b := n.broker.Load()
	if b == nil {
		return errNotServing
	}
	return b.ResumeListeners(ctx)
}

// giveAwayTime bounds giveAway, which looks as often as handOver.
const giveAwayTime = 20 * time.Second

// giveAway waits until others have what this node alone had: the controller sees to it that they get it. An error says what is
// still here. If there is nobody who could have it, nobody is waited for.
func (n *Node) giveAway(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, giveAwayTime)
	defer cancel()
	ticker := time.NewTicker(handOverEvery)
	defer ticker.Stop()
	for {
		v := n.registry.View()
		alone := v.Alone(n.Self.ID)
		if len(alone) == 0 {
			return nil
		}
		if !n.helped(v) {
			n.Logger.Warn().Uints64("groups", alone).Msg("nobody can take what this node alone has: it must not be lost")
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("the node is drained, but still the only one that has all of these groups: %v; see list_groups before you stop it", alone)
		}
	}
}

// helped tells whether another node can take what is here.
func (n *Node) helped(v *membership.View) bool {
	for id, other := range v.Nodes {
		if id != n.Self.ID && other.Backend && v.Alive[id] && !v.Spared(id) {
			return true
		}
	}
	return false
}

// spare ends what clients do on this node, and hands over what it leads.
func (n *Node) spare(ctx context.Context) error {
	b := n.broker.Load()
	if b == nil {
		return errNotServing
	}
	err := b.SuspendListeners()
	n.handOver(ctx)
	closed := b.CloseConnections(maintenance)
	n.Logger.Warn().Int("connections", closed).Msg("this node is drained: it leads nothing, and takes no clients until it is revived")
	return err
}

// transfer makes another member the leader of a group, for good.
func (n *Node) transfer(ctx context.Context, group, to uint64) error {
	if err := n.registry.Prefer(ctx, group, to); err != nil {
		return err
	}
	if _, _, leader := n.host.Members(group); leader == n.Self.ID && to != n.Self.ID {
		return n.host.Transfer(group, to)
	}
	return nil // who leads it sees it, and hands over
}

// rebalance hands over the groups that others should lead, and tells how many.
func (n *Node) rebalance() (moved int) {
	v := n.registry.View()
	leaders := placement.Leaders(v)
	for _, s := range n.host.Status() {
		to := leaders[s.Group]
		if s.Leader == n.Self.ID && to != n.Self.ID && v.Alive[to] && follows(&s, to) && n.host.Transfer(s.Group, to) == nil {
			moved++
		}
	}
	return moved
}

// handOverTime bounds handOver, handOverEvery is how often it looks.
const (
	handOverTime  = 5 * time.Second
	handOverEvery = 20 * time.Millisecond
	handOverLook  = 1500 * time.Millisecond // for how long members are waited for of which nothing is known: who just leads looks once a second
	handOverAgain = time.Second             // when a group that is still led is handed over once more
)

// handOver gives all groups that this node leads to other members, and waits until these lead. What nobody can take stays.
func (n *Node) handOver(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handOverTime)
	defer cancel()
	ticker := time.NewTicker(handOverEvery)
	defer ticker.Stop()
	asked := map[uint64]time.Time{}
	for began := time.Now(); n.handOverOnce(asked, time.Since(began) < handOverLook) > 0; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			n.Logger.Warn().Msg("not all groups were handed over in time")
			return
		}
	}
	if len(asked) > 0 {
		n.Logger.Info().Int("groups", len(asked)).Msg("the leaderships are handed over")
	}
}

// handOverOnce begins what is to be begun, and tells how many groups are led here that others can take; where it waits, also
// those that others may be able to take in a moment.
func (n *Node) handOverOnce(asked map[uint64]time.Time, waits bool) (left int) {
	v := n.registry.View()
	for _, s := range n.host.Status() {
		if s.Leader != n.Self.ID {
			continue
		}
		to, best := uint64(0), uint64(0)
		for _, p := range s.Peers {
			if v.Alive[p.Node] && !v.Spared(p.Node) && follows(&s, p.Node) && p.Match >= best {
				to, best = p.Node, p.Match
			}
		}
		if to == 0 {
			if waits && slices.ContainsFunc(s.Voters, func(id uint64) bool { return id != n.Self.ID && v.Alive[id] && !v.Spared(id) }) {
				left++
			}
			continue
		}
		left++
		if time.Since(asked[s.Group]) >= handOverAgain && n.host.Transfer(s.Group, to) == nil {
			asked[s.Group] = time.Now()
		}
	}
	return left
}

// leaveTime is how long telling the others may take: etcd may be away.
const leaveTime = time.Second

// leave hands over what is led here before the node ends.
func (n *Node) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	if err := n.registry.Leave(ctx, n.Self.ID); err != nil {
		n.Logger.Debug().Err(err).Msg("the others are not told that this node ends")
	}
	n.handOver(context.Background())
}

// follows tells whether a member votes, and gets what the leader writes.
func follows(s *raftlog.Status, node uint64) bool {
	return slices.Contains(s.Voters, node) && slices.ContainsFunc(s.Peers, func(p raftlog.Peer) bool {
		return p.Node == node && p.State == "StateReplicate"
	})
}

// nodes gives the nodes there are, by name.
func (n *Node) nodes() []management.Node {
	v := n.registry.View()
	list := make([]management.Node, 0, len(v.Nodes))
	for _, id := range slices.Sorted(maps.Keys(v.Nodes)) {
		of := v.Nodes[id]
		list = append(list, management.Node{
			ID: id, Name: of.Name, Address: of.Address, Zone: of.Zone, Holds: of.Backend, Alive: v.Alive[id] || id == n.Self.ID,
			Drained: v.Drained[id], Protocol: of.Protocol,
		})
	}
	slices.SortStableFunc(list, func(a, b management.Node) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// members gives how the groups stand that have a member here.
func (n *Node) members() (list []management.GroupMember) {
	progress := map[uint64]raftlog.Progress{}
	for _, p := range n.host.Progress() {
		progress[p.Group] = p
	}
	for _, s := range n.host.Status() {
		g := management.GroupMember{
			Group: s.Group, Era: s.Era, LastTerm: s.LastTerm, Leader: s.Leader, Term: s.Term, Voters: s.Voters, Learners: s.Learners, Last: s.Last, Committed: s.Committed,
			Applied: progress[s.Group].Applied, Written: progress[s.Group].Written, Snapshot: progress[s.Group].Snapshot,
		}
		for _, p := range s.Peers {
			g.Peers = append(g.Peers, management.GroupPeer{Node: p.Node, Match: p.Match, State: p.State, SilentMs: p.Silent.Milliseconds()})
		}
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b management.GroupMember) int { return int(a.Group) - int(b.Group) })
	return list
}

// wanted gives what each group is to be.
func (n *Node) wanted() map[uint64]management.GroupWish {
	v, holders := n.registry.View(), 0
	for _, of := range v.Nodes {
		if of.Backend {
			holders++
		}
	}
	groups := map[uint64]management.GroupWish{}
	for id, g := range v.Groups {
		size := cmp.Or(g.Size, n.size(0))
		wish := management.GroupWish{Members: g.Members, Size: size, Reachable: placement.Reachable(size, holders), Alone: g.From, Era: g.Era, Kept: g.Kept}
		if len(g.Members) == 1 && wish.Alone == 0 {
			wish.Alone = g.Members[0]
		}
		groups[id] = wish
	}
	return groups
}
