package broker

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/link"
	"github.com/warrenmq/warren/broker/management"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/store/oplog"
)

// Cluster is what a broker needs of the cluster it belongs to. Its functions must not block.
type Cluster struct {
	// Peers carries what brokers say to each other; what comes from another node goes to Broker.Receive.
	Peers link.Peers
	// Groups are the groups for durable queues, and where they are. Broker.Arrange changes them.
	Groups map[uint64]Placement
	// Left tells whether a group's own log says that this node is no longer a member.
	Left func(group uint64) bool
	// Era gives which era of a group is open here, and Advance makes what is stored of a group that is closed part of one: see
	// raftlog.Host.Advance.
	Era     func(group uint64) uint64
	Advance func(group, era uint64, keep bool, first []uint64) (advanced bool, err error)
	// Drop removes what is stored of a group that was left and closed.
	Drop func(group uint64) error
	// Release asks a group that is led here to do without a member whose copy is damaged; see raftlog.Host.Release.
	Release func(group, node, term uint64, closed bool, done func(free bool))
	// Search reads all that is stored of groups, then calls done; what is damaged then refuses. It does not wait.
	Search func(groups []uint64, done func())
	// Stuck tells why damage cannot be removed from the disk, nil if it can. Anew is told when this node has given up all its
	// groups because of that: it is to begin anew, with nothing.
	Stuck func() error
	Anew  func(why error)
	// Look has Broker.Arrange called soon.
	Look func()
	// Spare has this node drained: it leads nothing, and what it alone has goes to other nodes. It does not wait.
	Spare func()
	// Term gives the newest term that this node knows of a group. It may read the disk.
	Term func(group uint64) (uint64, error)
	// FirstSession is lower than the number of any session of this life of the node, and higher than all before.
	FirstSession uint64
	// Leader gives the node that is said to lead a group, 0 if nobody knows.
	Leader func(group uint64) uint64
	// Aside carries questions and answers beside Peers, so that nothing waits behind them; they go to Broker.Receive too.
	Aside link.Peers
	// Size gives the size of the groups for queues that are to lie on so many nodes; 0: it was not said on how many.
	Size func(copies int64) int
	// Want has groups of a size made, waits until there is one, and gives all groups.
	Want func(ctx context.Context, size int) (map[uint64]Placement, error)
	// Patience is how long a group may have no leader until what is new for its queues is refused. Default 10 s, at least 3:
	// an ordinary change of leader takes less than 2.
	Patience time.Duration
	// Backlog is how many bytes may wait on this node for one group. Default 64 MiB, at least 1.
	Backlog int
	// Nodes is what the API is told of the cluster. The broker itself adds how it asks, and who leads.
	Nodes management.Cluster
}

// Placement is where a group is.
type Placement struct {
	Members []uint64 // the nodes that are to hold it
	First   []uint64 // those it began with
	Size    int      // how many members it is to have, as soon as there are as many nodes; 0: as many as is usual
	Era     uint64   // how often it has begun anew because most of its members were lost
	Kept    uint64   // the node with whose copy it did so; 0: it began with nothing, or never did
}

// nodes is the cluster as the API sees it.
func (b *Broker) nodes() *management.Cluster {
	links := b.groups.links
	if links == nil {
		return management.Alone(b.config.NodeName, b.config.Node)
	}
	nodes := b.config.Cluster.Nodes
	nodes.Self, nodes.Ask, nodes.Members, nodes.Leader = b.config.Node, links.AskNode, b.groups.membersOf, links.LeaderOf
	nodes.Refused = func() (list []uint64) {
		for _, way := range links.Standings() {
			if way.Refuses {
				list = append(list, way.Group)
			}
		}
		return list
	}
	return &nodes
}

// questionTime is how long a question of another node is looked at.
const questionTime = time.Minute

// quick answers whether somebody waits for direct replies, a byte and the name. Were it refused because others ask much, a reply
// that somebody waits for would not be sent.
func (b *Broker) quick(asked []byte) (said []byte, ok bool) {
	if len(asked) == 0 || asked[0] != askWaits {
		return nil, false
	}
	if b.env.Load().Replies.Waits(asked[1:]) {
		return []byte{1}, true
	}
	return []byte{0}, true
}

// question answers what else another node asks: what an operator asks there of this node, a byte and the request; or what its
// API asks, which is JSON and this node's API answers.
func (b *Broker) question(asked []byte) (said []byte, ok bool) {
	ctx, cancel := context.WithTimeout(b.running, questionTime)
	defer cancel()
	if len(asked) > 0 && asked[0] == askRelay {
		return b.relayed(ctx, asked[1:])
	}
	return b.management.Answer(ctx, asked)
}

// askWaits begins the question whether somebody waits for direct replies.
const askWaits = 1

// waitsTime is how long a node has to say whether somebody waits there.
const waitsTime = 3 * time.Second

// waits asks a node whether somebody waits there for direct replies. Of one that is silent for too long it is taken for
// granted: a reply too many does no harm. Of one that cannot be reached it is not: no reply gets there.
func (b *Broker) waits(node uint64, name []byte) bool {
	if !slices.Contains(b.groups.others(), node) {
		return false
	}
	ctx, cancel := context.WithTimeout(b.running, waitsTime)
	defer cancel()
	said, err := b.groups.links.AskNode(ctx, node, append([]byte{askWaits}, name...))
	if err != nil {
		return ctx.Err() != nil
	}
	return len(said) == 1 && said[0] == 1
}

// layout is where all groups are. It is not changed.
type layout struct {
	groups map[uint64]Placement
	ids    []uint64 // in order
}

func newLayout(groups map[uint64]Placement) *layout {
	return &layout{groups: maps.Clone(groups), ids: slices.Sorted(maps.Keys(groups))}
}

func (l *layout) holds(id, node uint64) bool { return slices.Contains(l.groups[id].Members, node) }

// begins is whom a group is opened with on a node: those it began with, or nobody if the node joins it.
func (l *layout) begins(id, node uint64) []uint64 {
	if first := l.groups[id].First; slices.Contains(first, node) {
		return first
	}
	return nil
}

// layout is the groups that the broker begins with.
func (c *Config) layout() *layout {
	if c.Cluster != nil {
		return newLayout(c.Cluster.Groups)
	}
	groups := map[uint64]Placement{}
	for i := range uint64(c.Groups) {
		groups[i+1] = Placement{Members: []uint64{c.Node}, First: []uint64{c.Node}}
	}
	return newLayout(groups)
}

// Bounds of what a Cluster may say.
const (
	patienceLeast = 3 * time.Second
	backlogLeast  = 1 << 20
)

// validate fills in defaults and refuses what cannot be.
func (c *Cluster) validate() error {
	setIfZero(&c.Patience, link.DefaultPatience)
	setIfZero(&c.Backlog, link.DefaultBacklog)
	if c.Patience < patienceLeast {
		return fmt.Errorf("cluster_patience is %v, the least is %v", c.Patience, patienceLeast)
	}
	if c.Backlog < backlogLeast {
		return fmt.Errorf("cluster_backlog is %d bytes, the least is %d", c.Backlog, backlogLeast)
	}
	return nil
}

// membersOf gives the nodes that hold a group. One for queues that do not last is on the node in its number.
func (g *groups) membersOf(id uint64) []uint64 {
	if owner := ownerOf(id); owner != 0 {
		return []uint64{owner}
	}
	return g.layout.Load().groups[id].Members
}

// ownerOf gives the node that a group lives and dies with, 0 if there is none.
func ownerOf(id uint64) uint64 {
	if id >= transientBase {
		return (id &^ transientBase) >> 16
	}
	return 0
}

// leads tells whether a group can be asked here.
func (g *groups) leads(id uint64) bool { return g.links == nil || g.links.Leading(id) }

// connect makes the way to the groups of other nodes.
func (b *Broker) connect(inboxes *group.Inboxes, first uint64) *link.Links {
	c := b.config.Cluster
	leader := func(id uint64) uint64 {
		if owner := ownerOf(id); owner != 0 {
			return owner
		}
		return c.Leader(id)
	}
	links := link.New(link.Env{
		Node: b.config.Node, First: first, Peers: c.Peers, Inboxes: inboxes, Local: b.groups.at, Members: b.groups.membersOf,
		Leader: leader, Replied: b.replied, Answer: b.answer, Ended: b.sessionEnded,
		Revision: func() int64 { return b.editor.Catalog().Revision }, Newest: func() int64 { return b.editor.Catalog().Newest },
		Aside: c.Aside, Question: b.question, Quick: b.quick, Alarms: b.alarms.Bits, Alarmed: b.alarms.Other,
		Tallies: b.registry.Tallies, Told: b.registry.Told, Patience: c.Patience, Backlog: c.Backlog, Describe: b.describe,
		Era:   func(id uint64) (known, here uint64) { return b.groups.layout.Load().groups[id].Era, c.Era(id) },
		Owner: ownerOf, Leads: b.groups.led, Nodes: b.groups.others, Logger: b.config.area("queue"),
	})
	return links
}

// tallyPause is how long a node rests after it has told the others how many connections and channels it has.
const tallyPause = 50 * time.Millisecond

// tellTallies tells the other nodes how many connections and channels there are here, whenever that changes.
func (b *Broker) tellTallies(stirred <-chan struct{}) {
	rest := time.NewTicker(tallyPause)
	defer rest.Stop()
	for {
		select {
		case <-stirred:
			b.groups.links.TellTallies()
			b.registry.Forget(b.belongs)
		case <-b.running.Done():
			return
		}
		rest.Reset(tallyPause)
		select {
		case <-rest.C:
		case <-b.running.Done():
			return
		}
	}
}

// describe names a queue for the log.
func (b *Broker) describe(id queue.ID) string {
	if q := b.editor.Catalog().QueueByID(uint64(id)); q != nil {
		return fmt.Sprintf("queue '%s' in vhost '%s'", q.Name, q.VHost)
	}
	return fmt.Sprintf("queue %d", id)
}

// Receive takes what another node's broker has given to its Cluster.Peers.
func (b *Broker) Receive(from uint64, data []byte) { b.groups.links.Receive(from, data) }

// Found tells that a node can be reached, perhaps again.
func (b *Broker) Found(node uint64) { b.groups.links.Found(node) }

// Lost tells that what was sent to a node may not have arrived.
func (b *Broker) Lost(node uint64) { b.groups.links.Lost(node) }

// Alive tells which nodes live, and the lowest number of a session of each one's life. What older sessions hold in the
// groups that are led here goes back.
func (b *Broker) Alive(nodes map[uint64]uint64) {
	b.groups.alive.Store(&nodes)
	b.groups.links.Lives(nodes)
	b.registry.Alive(nodes)
	b.alarms.Keep(func(node uint64) bool { _, lives := nodes[node]; return lives })
	for _, g := range b.groups.list() {
		b.groups.bury(g)
	}
}

// belongs tells whether a node is one of the cluster, alive or not.
func (b *Broker) belongs(node uint64) bool {
	return slices.ContainsFunc(b.nodes().Nodes(), func(n management.Node) bool { return n.ID == node })
}

// bury ends the sessions of nodes that do not live, and of lives before, as soon as the group can be asked.
func (g *groups) bury(of *group.Group) {
	_ = of.Ask(func(s *queue.Set) { // a closed log has no sessions
		alive := g.alive.Load()
		if alive == nil {
			return
		}
		_, here := (*alive)[g.node]
		ends := ownerOf(of.ID) != 0 && !here // the others have taken this node for gone, and its own groups with it
		var b queue.Batch
		oldest := s.Oldest()
		for _, node := range slices.Sorted(maps.Keys(oldest)) {
			first, lives := (*alive)[node]
			switch {
			case node == g.node:
			case !lives || ends:
				b.Add(&queue.Down{Node: node, Last: queue.Everything, Lost: true})
			case oldest[node] < first:
				b.Add(&queue.Down{Node: node, Last: first - 1, Lost: true})
			}
		}
		if b.Len() == 0 {
			return
		}
		if err := of.Propose(oplog.Batch{Data: b.Bytes()}); err != nil {
			g.start.logger.Debug().Err(err).Uint64("group", of.ID).Msg("the sessions of a node that is gone are left to the next leader")
		}
	})
}

// Arrange tells which nodes hold which groups now. Groups that are to have a member here and have none are opened, those
// that this node has left are closed and removed. Calls come one after another.
func (b *Broker) Arrange(groups map[uint64]Placement) error {
	g := &b.groups
	layout := newLayout(groups)
	g.arranged(layout)
	for _, id := range layout.ids {
		b.advance(id, layout)
		if !layout.holds(id, g.node) {
			continue
		}
		if err := b.renew(id, layout); err != nil {
			return err
		}
		if g.at(id) == nil && g.refuses(id) == nil && !g.given[id] {
			if err := g.openOne(id, g.start.durable, layout.begins(id, g.node)); err != nil {
				return err
			}
		}
	}
	g.search(b.config.Cluster)
	g.giveUp(b.config.Cluster, layout)
	for id := range *g.open.Load() {
		if id < transientBase && !layout.holds(id, g.node) && b.config.Cluster.Left(id) {
			g.start.logger.Info().Uint64("group", id).Msg("this node has left the group")
			if err := g.leave(id); err != nil {
				return err
			}
			if err := b.config.Cluster.Drop(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// leave closes a group.
func (g *groups) leave(id uint64) error {
	g.mu.Lock()
	all := maps.Clone(*g.open.Load())
	opened := all[id]
	delete(all, id)
	g.open.Store(&all)
	g.mu.Unlock()
	err := opened.Close()
	if g.links != nil && g.links.Leading(id) { // it does not say so any more
		g.links.Leads(opened, false)
	}
	return err
}

// replied takes a direct reply from another node.
func (b *Broker) replied(name, props, body []byte) { b.env.Load().Replies.Take(name, props, body) }

// sessionEnded ends a connection that the groups no longer know: this node was taken for gone.
func (b *Broker) sessionEnded(key queue.SessionKey) {
	b.registry.Each(func(s *session.Session) {
		if s.Owns(key) {
			s.Abort()
		}
	})
}

// others gives the other nodes that live.
func (g *groups) others() (list []uint64) {
	if alive := g.alive.Load(); alive != nil {
		for node := range *alive {
			if node != g.node {
				list = append(list, node)
			}
		}
	}
	return list
}

// led begins or ends what a group does only where it is led.
func (g *groups) led(of *group.Group, leading bool) {
	if leading {
		g.bury(of)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.forwarders[of.ID]; f != nil {
		f.Close()
		delete(g.forwarders, of.ID)
	}
}

// askCounts asks the leader of a group for the counts of a queue.
func (g *groups) askCounts(id uint64, q queue.ID, done func(queue.Counts, bool)) {
	question := binary.LittleEndian.AppendUint64(nil, uint64(q))
	g.links.Ask(id, question, func(said []byte, err error) {
		if err != nil || len(said) != 20 { // nobody could be asked, or there is no such queue yet
			done(queue.Counts{}, err == nil)
			return
		}
		le := binary.LittleEndian
		done(queue.Counts{Ready: le.Uint64(said), Unacked: le.Uint64(said[8:]), Consumers: le.Uint32(said[16:])}, true)
	})
}

// answerCounts answers askCounts: 8 bytes ready messages, 8 unacked, 4 consumers; nothing if there is no such queue.
func answerCounts(g *group.Group, question []byte, done func([]byte, bool)) {
	if len(question) != 8 {
		done(nil, true)
		return
	}
	id := queue.ID(binary.LittleEndian.Uint64(question))
	if g.Ask(func(s *queue.Set) {
		c, ok := s.Counts(id)
		if !ok {
			done(nil, true)
			return
		}
		le := binary.LittleEndian
		done(le.AppendUint32(le.AppendUint64(le.AppendUint64(nil, c.Ready), c.Unacked), c.Consumers), true)
	}) != nil {
		done(nil, false)
	}
}
