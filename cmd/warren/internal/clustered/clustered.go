// Package clustered owns what makes a broker a node of a cluster: it puts together what the packages under cluster do.
//
//  1. Open finds out who this node is, joins the cluster in etcd, listens for other nodes, and opens the logs of groups.
//  2. Configure tells a broker's Config of all that; Serve connects the running broker, and keeps the node in its place.
//  3. Rest ends what changes the node's place; then the broker is closed, then Close leaves, then the store is closed.
package clustered

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/cluster/etcdmeta"
	"github.com/warrenmq/warren/cluster/membership"
	"github.com/warrenmq/warren/cluster/placement"
	"github.com/warrenmq/warren/cluster/raftlog"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/store/meta"
)

// Options say how the node takes part.
type Options struct {
	Dir       string   // data directory
	Name      string   // of the node
	Zone      string   // what may fail together
	Frontend  bool     // it holds no groups
	Listen    string   // for other nodes
	Advertise string   // where other nodes reach it. Default: where it listens
	Endpoints []string // of etcd
	Prefix    string   // of all keys in etcd
	// Embed is a member of etcd in this process; nil: there is none.
	Embed *etcdmeta.EmbedOptions
	// Grow are URLs of an etcd that the member becomes one of, if it has no data yet.
	Grow []string
	TLS  *tls.Config // nil: in the clear
	// EtcdTLS is how an etcd outside is spoken to, EtcdUser and EtcdPassword as whom.
	EtcdTLS                *tls.Config
	EtcdUser, EtcdPassword string
	// Doors take connections to Listen that are not for messages.
	Doors func(*Node) map[string]transport.Door
	// Size is how many members groups have for queues that do not say. Default placement.DefaultSize.
	Size int
	// Lease is how long the node counts as alive when nothing is heard of it. Default 10 s.
	Lease time.Duration
	Logs  raftlog.Options // but for what Node itself knows
	Life  uint64          // number of the first session of this life of the node: it rises from life to life
	// Stuck tells why damage cannot be removed from the disk. Anew is told when the node has given up its groups because of that.
	Stuck func() error
	Anew  func(why error)
	// Local is the metadata of a broker that was alone, empty if there was none.
	Local  meta.Store
	Logger zerolog.Logger
}

// Node is this process in its cluster.
type Node struct {
	Options
	Self     membership.Node
	etcd     *etcdmeta.Embedded
	client   *clientv3.Client
	metadata *spread
	registry *membership.Registry
	network  *transport.Transport
	host     *raftlog.Host
	broker   atomic.Pointer[broker.Broker]
	living   *living
	again    chan struct{} // one place: the controller is to look at once

	stop      context.CancelFunc
	rested    bool
	givingWay atomic.Bool // it is being noted that the node is drained
	runs      sync.WaitGroup
	undo      []func() error
}

// Open joins the cluster. ctx bounds the opening.
func Open(ctx context.Context, o Options) (*Node, error) {
	n := &Node{Options: o, again: make(chan struct{}, 1)}
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) open(ctx context.Context) error {
	uuid, err := identity(n.Dir)
	if err != nil {
		return err
	}
	if err := n.openEtcd(ctx); err != nil {
		return err
	}
	if err := n.adopt(ctx, uuid); err != nil {
		return err
	}
	l, err := net.Listen("tcp", n.Listen)
	if err != nil {
		return fmt.Errorf("listening for other nodes: %w", err)
	}
	if n.Advertise == "" {
		n.Advertise = l.Addr().String()
	}
	n.Self, err = n.join(ctx, membership.Node{
		UUID: uuid, Name: n.Name, Address: n.Advertise, Zone: n.Zone, Backend: !n.Frontend, Life: n.Life, Protocol: transport.Protocol(),
	})
	if err != nil {
		return errors.Join(fmt.Errorf("joining the cluster: %w", err), l.Close())
	}
	n.living = newLiving(n.Self.ID)
	network := transport.Options{Node: n.Self.ID, Cluster: n.Prefix, Handler: handler{n}, TLS: n.TLS, Logger: n.Logger}
	if n.Doors != nil {
		network.Doors = n.Doors(n)
	}
	n.network = transport.New(network)
	logs := n.Logs
	logs.Node, logs.Network = n.Self.ID, raft{n.network}
	n.host = raftlog.NewHost(logs)
	n.undo = append(n.undo, n.host.Close, func() error { n.network.Close(); return nil })
	n.network.Listen(l)
	n.registry.Listen(n.meet)
	return n.control(ctx)
}

// joinLeases is how many leases a node waits for another with its name to be gone: a dead one is after one.
const joinLeases = 3

// join makes the node one of the cluster.
func (n *Node) join(ctx context.Context, self membership.Node) (membership.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, joinLeases*cmp.Or(n.Lease, etcdmeta.DefaultTTL))
	defer cancel()
	return n.registry.Join(ctx, self)
}

func (n *Node) openPart(ctx context.Context, part string) (*etcdmeta.Store, error) {
	o := etcdmeta.Options{Client: n.client, Prefix: n.Prefix + part, TTL: n.Lease, Logger: n.Logger}
	if n.Embed != nil {
		o.MaxOps = etcdmeta.EmbeddedMaxOps
	}
	return etcdmeta.Open(ctx, o)
}

// control starts what keeps the node in its place, and waits until there are groups.
func (n *Node) control(ctx context.Context) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stop = stop
	c := &placement.Controller{Registry: n.registry, Self: n.Self, Host: n.host, Wishes: placement.Wishes{Size: n.Size}, Logger: n.Logger, Arrange: n.arrange, Forgotten: n.Logs.Fatal, Again: n.again}
	some := make(chan struct{})
	var once sync.Once
	n.registry.Listen(func(v *membership.View) {
		if len(v.Groups) > 0 && v.Lives[n.Self.ID] == n.Self.Life {
			once.Do(func() { close(some) })
		}
	})
	n.runs.Go(func() { c.Run(running) })
	select {
	case <-some:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the cluster's groups: %w", ctx.Err())
	}
}

// meet connects to the nodes there are, and tells who lives.
func (n *Node) meet(v *membership.View) {
	for id, node := range v.Nodes {
		if id != n.Self.ID {
			n.network.Peer(id, node.Address)
		}
	}
	n.network.Keep(func(node uint64) bool {
		_, belongs := v.Nodes[node]
		return belongs
	})
	n.living.seen(v)
}

// arrange tells the broker where groups are.
func (n *Node) arrange(v *membership.View) {
	b := n.broker.Load()
	if b == nil {
		return
	}
	if err := b.Arrange(layout(v)); err != nil {
		n.Logger.Error().Err(err).Msg("a group cannot be opened or closed")
	}
}

func layout(v *membership.View) map[uint64]broker.Placement {
	groups := map[uint64]broker.Placement{}
	for id, g := range v.Groups {
		groups[id] = broker.Placement{Members: g.Members, First: g.First, Size: g.Size, Era: g.Era, Kept: g.Kept}
	}
	return groups
}

// Configure tells a Config of the cluster.
func (n *Node) Configure(c *broker.Config) {
	c.Node, c.Meta, c.Log = n.Self.ID, n.metadata, n.host
	c.Cluster = &broker.Cluster{
		Peers: lane{n.network, transport.Calls}, Aside: lane{n.network, transport.Asks}, Nodes: n.shown(), Groups: layout(n.registry.View()), FirstSession: n.Self.Life,
		Size: n.size, Want: n.want,
		Era: n.host.Era, Advance: n.host.Advance,
		Left: n.left, Drop: n.host.Drop, Release: n.host.Release, Search: n.host.Search, Stuck: n.Stuck, Anew: n.Anew, Look: n.look, Spare: n.giveWay, Term: n.host.Term,
		Leader: func(group uint64) uint64 { _, _, leader := n.host.Members(group); return leader },
	}
}

// size gives the size of the groups for queues that are to lie on so many nodes; 0: as many as the settings say.
func (n *Node) size(copies int64) int {
	return placement.Round(int(min(cmp.Or(copies, int64(n.Size), placement.DefaultSize), placement.MaxSize)))
}

// want has groups of a size made, and waits for the first.
func (n *Node) want(ctx context.Context, size int) (map[uint64]broker.Placement, error) {
	if err := n.registry.Want(ctx, size); err != nil {
		return nil, fmt.Errorf("that groups of %d members are wanted could not be noted: %w", size, err)
	}
	v, err := n.registry.Await(ctx, func(v *membership.View) bool {
		for _, g := range v.Groups {
			if g.Size == size {
				return true
			}
		}
		return false
	})
	if err != nil {
		return nil, fmt.Errorf("there is no group of %d members yet: as many nodes have to live, or all there are, and one has to decide where groups go", size)
	}
	return layout(v), nil
}

// look has the controller look at once.
func (n *Node) look() {
	select {
	case n.again <- struct{}{}:
	default: // it is about to
	}
}

// left tells whether a group's log says that this node is no member of it any more.
func (n *Node) left(group uint64) bool {
	voters, learners, _ := n.host.Members(group)
	return len(voters) > 0 && !slices.Contains(voters, n.Self.ID) && !slices.Contains(learners, n.Self.ID)
}

// Host is the logs of the node's groups.
func (n *Node) Host() *raftlog.Host { return n.host }

// Serve connects the broker, which must be running.
func (n *Node) Serve(b *broker.Broker) {
	n.broker.Store(b)
	n.living.serve(b)
	for id := range n.registry.View().Nodes {
		if id != n.Self.ID {
			b.Found(id)
		}
	}
	if n.registry.View().Drained[n.Self.ID] {
		if err := n.spare(context.Background()); err != nil {
			n.Logger.Error().Err(err).Msg("this node was drained before, and takes clients nevertheless")
		}
	}
}

// Rest ends what opens and closes groups, and hands over what is led here: the broker is about to be closed.
func (n *Node) Rest() error {
	if n.stop != nil {
		n.stop()
	}
	n.runs.Wait()
	if n.broker.Load() != nil && !n.rested {
		n.rested = true
		n.leave()
	}
	return nil
}

// Close leaves the cluster until the next start.
func (n *Node) Close() (err error) {
	n.broker.Store(nil)
	if n.living != nil {
		n.living.serve(nil)
	}
	err = n.Rest()
	for i := len(n.undo) - 1; i >= 0; i-- {
		err = errors.Join(err, n.undo[i]())
	}
	n.undo = nil
	return err
}

// handler gives what other nodes send to whom it is for.
type handler struct{ *Node }

// Receive implements transport.Handler.
func (h handler) Receive(from uint64, lane transport.Lane, data []byte) {
	switch lane {
	case transport.Raft:
		h.host.Receive(from, data)
		return
	case transport.Notes:
		h.metadata.receive(from, data)
		return
	}
	if b := h.broker.Load(); b != nil {
		b.Receive(from, data)
	}
}

// Found implements transport.Handler.
func (h handler) Found(peer uint64, lane transport.Lane) {
	if lane == transport.Calls {
		h.living.reached(peer, true)
	}
	if b := h.broker.Load(); b != nil && lane == transport.Calls {
		b.Found(peer)
	}
}

// Lost implements transport.Handler.
func (h handler) Lost(peer uint64, lane transport.Lane) {
	if lane == transport.Raft {
		h.host.Lost(peer)
	}
	if lane != transport.Calls {
		return
	}
	if b := h.broker.Load(); b != nil {
		b.Lost(peer)
	}
	h.living.reached(peer, false)
}

// Stream implements transport.Handler.
func (h handler) Stream(from uint64, r io.Reader) error { return h.host.ReceiveStream(from, r) }

// raft is the transport as raftlog sees it.
type raft struct{ *transport.Transport }

// Send implements raftlog.Network. What is lost is sent again.
func (r raft) Send(to uint64, data []byte) { _ = r.Transport.Send(to, transport.Raft, data) }

// lane is the transport as the broker sees it: one for what must come in order, one for questions.
type lane struct {
	*transport.Transport
	number transport.Lane
}

// Send implements link.Peers.
func (l lane) Send(node uint64, parts ...[]byte) error {
	return l.Transport.Send(node, l.number, parts...)
}
