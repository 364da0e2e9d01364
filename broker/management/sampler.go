package management

import (
	"context"
	"errors"
	"time"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/logs"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
)

// sampler notes numbers every few seconds. Between two rounds it costs nothing, and a queue in which nothing ever happened
// is not noted at all.
type sampler struct {
	server *Server

	total       *stats.Table[string] // of the node: counts, lengths, churn
	vhostCounts *stats.Table[string]
	exchanges   *stats.Table[[2]string]
	queues      *stats.Table[uint64] // lengths, then counts
	connections *stats.Table[uint64]
	channels    *stats.Table[channelKey]
	node        *stats.Table[string]

	vhostLengths *stats.Table[string]
}

// channelKey names a channel.
type channelKey struct {
	session uint64
	number  uint16
}

// Where numbers stand in a sample.
const (
	lengthReady = iota
	lengthUnacked
	lengthAll
	lengths // how many there are
)

const (
	octetsIn = iota
	octetsOut
	octets
)

const churns = 7

const (
	nodeMemory = iota
	nodeDisk
	nodeFiles
	nodeSockets
	nodeNumbers
)

// The node itself, as a key.
const thisNode = ""

func newSampler(s *Server) *sampler {
	kinds := int(stats.Kinds)
	return &sampler{
		server: s, total: stats.NewTable[string](kinds+lengths+churns, true), vhostCounts: stats.NewTable[string](kinds, true),
		vhostLengths: stats.NewTable[string](lengths, true), exchanges: stats.NewTable[[2]string](2, false),
		queues: stats.NewTable[uint64](lengths+kinds, false), connections: stats.NewTable[uint64](octets, false),
		channels: stats.NewTable[channelKey](kinds, false), node: stats.NewTable[string](nodeNumbers, true),
	}
}

func (s *sampler) run(ctx context.Context) {
	t := time.NewTicker(stats.Interval)
	defer t.Stop()
	for {
		s.sample(ctx)
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// sample notes everything as it is now.
func (s *sampler) sample(ctx context.Context) {
	now := s.server.Clock()
	s.prune()
	s.server.queueLists.forget()
	s.server.recount(ctx)
	totals := [lengths]int64{}
	if all, whole := s.server.queueNumbers(ctx); whole {
		byVHost := s.sampleQueues(now, all)
		s.vhostLengths.Sample(now, func(record func(string, []int64)) {
			for name, l := range byVHost {
				record(name, l[:])
				for i, n := range l {
					totals[i] += n
				}
			}
		})
	}
	board := s.server.Registry.Board
	open := s.connected()
	octets := octetsByVHost(infos(open))
	s.vhostCounts.Sample(now, func(record func(string, []int64)) {
		board.VHosts(func(name string, c stats.Counts) {
			c.Add(octets[name])
			record(name, counted(nil, &c))
		})
	})
	s.exchanges.Sample(now, func(record func([2]string, []int64)) {
		board.Exchanges(func(vhost, name string, c stats.Counts) {
			record([2]string{vhost, name}, []int64{int64(c[stats.PublishIn]), int64(c[stats.PublishOut])})
		})
	})
	s.total.Sample(now, func(record func(string, []int64)) {
		c := board.Total()
		record(thisNode, append(append(counted(nil, &c), totals[:]...), churn(&board.Churn)...))
	})
	s.sampleConnections(now, open)
	s.sampleNode(now)
}

// octetsByVHost adds up the octets of the open connections.
func octetsByVHost(open []session.Info) map[string]stats.Counts {
	sums := map[string]stats.Counts{}
	for i := range open {
		c := sums[open[i].VHost]
		c[stats.OctetsIn] += open[i].OctetsIn
		c[stats.OctetsOut] += open[i].OctetsOut
		sums[open[i].VHost] = c
	}
	return sums
}

// prune forgets the counts of what is no more.
func (s *sampler) prune() {
	c := s.server.Editor.Catalog()
	s.server.Registry.Board.Prune(func(vhost, exchange string, isVHost bool) bool {
		v := c.VHost(vhost)
		return v != nil && (isVHost || v.Exchange(exchange) != nil)
	})
}

func counted(dst []int64, c *stats.Counts) []int64 {
	for _, n := range c {
		dst = append(dst, int64(n))
	}
	return dst
}

func churn(c *stats.Churn) []int64 {
	return []int64{
		int64(c.ConnectionsCreated.Load()), int64(c.ConnectionsClosed.Load()), int64(c.ChannelsCreated.Load()),
		int64(c.ChannelsClosed.Load()), int64(c.QueuesDeclared.Load()), int64(c.QueuesCreated.Load()), int64(c.QueuesDeleted.Load()),
	}
}

// churnNames are the names of these numbers.
var churnNames = [churns]string{
	"connection_created", "connection_closed", "channel_created", "channel_closed", "queue_declared", "queue_created", "queue_deleted",
}

// queueNumber is the numbers of one queue.
type queueNumber struct {
	of     *topology.Queue
	values [lengths + int(stats.Kinds)]int64
}

// queueNumbers asks the groups for the numbers of all queues. Those in which nothing ever happened are left out.
func (s *Server) queueNumbers(ctx context.Context) (all []queueNumber, whole bool) {
	whole = askParts(ctx, s, s.allQueues(), numbersIn, func(part []queueNumber) { all = append(all, part...) })
	return all, whole
}

// numbersIn gives the numbers of queues of a machine.
func numbersIn(set *queue.Set, queues []*topology.Queue) (list []queueNumber) {
	for _, q := range queues {
		c, st, ok := set.Stats(queue.ID(q.ID))
		if !ok || c == (queue.Counts{Consumers: c.Consumers}) && st == (queue.Stats{}) {
			continue
		}
		n := queueNumber{of: q}
		n.values[lengthReady], n.values[lengthUnacked] = int64(c.Ready), int64(c.Unacked)
		n.values[lengthAll] = int64(c.Ready + c.Unacked)
		counts := queueCounts(&st)
		counted(n.values[:lengths], &counts)
		list = append(list, n)
	}
	return list
}

// queueCounts are a queue's statistics by the kinds of everybody's.
func queueCounts(st *queue.Stats) stats.Counts {
	return stats.Counts{
		stats.Publish: st.Published, stats.Get: st.Got, stats.GetNoAck: st.GotNoAck, stats.GetEmpty: st.GotEmpty,
		stats.Deliver: st.Delivered, stats.DeliverNoAck: st.DeliveredNoAck, stats.Redeliver: st.Redelivered, stats.Ack: st.Acked,
	}
}

// askTime is how long a group has for an answer: one that has lost its leader must not hold a request for ever.
const askTime = 5 * time.Second

var errNoAnswer = errors.New("a group does not answer")

// ask lets f look at the machine of a group, on its goroutine.
func ask[T any](ctx context.Context, g *group.Group, f func(*queue.Set) T) (value T, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	answered := make(chan *logs.Bug, 1)
	var said T
	if err := g.Ask(func(s *queue.Set) { answered <- logs.Catch(func() { said = f(s) }) }); err != nil {
		return value, err
	}
	select {
	case bug := <-answered:
		if bug != nil { // it only looked: what it looked at is whole
			bug.Again()
		}
		return said, nil
	case <-ctx.Done():
		return value, errNoAnswer
	}
}

// sampleQueues notes the queues in which something happened, and adds up the lengths by vhost.
func (s *sampler) sampleQueues(now int64, all []queueNumber) map[string]*[lengths]int64 {
	byVHost := map[string]*[lengths]int64{}
	s.queues.Sample(now, func(record func(uint64, []int64)) {
		for i := range all {
			n := &all[i]
			record(n.of.ID, n.values[:])
			sum := byVHost[n.of.VHost]
			if sum == nil {
				sum = &[lengths]int64{}
				byVHost[n.of.VHost] = sum
			}
			for j := range sum {
				sum[j] += n.values[j]
			}
		}
	})
	return byVHost
}

// connected is an open connection, and what it was like a moment ago.
type connected struct {
	*session.Session
	info session.Info
}

func (s *sampler) connected() (list []connected) {
	s.server.Registry.Each(func(c *session.Session) { list = append(list, connected{c, c.Info()}) })
	return list
}

func infos(open []connected) []session.Info {
	list := make([]session.Info, len(open))
	for i := range open {
		list[i] = open[i].info
	}
	return list
}

func (s *sampler) sampleConnections(now int64, open []connected) {
	s.connections.Sample(now, func(record func(uint64, []int64)) {
		for i := range open {
			c := &open[i].info
			record(c.ID, []int64{int64(c.OctetsIn), int64(c.OctetsOut)})
		}
	})
	s.channels.Sample(now, func(record func(channelKey, []int64)) {
		for i := range open {
			for _, ch := range open[i].Channels() {
				if ch.Counts != (stats.Counts{}) {
					record(channelKey{open[i].info.ID, ch.Number}, counted(nil, &ch.Counts))
				}
			}
		}
	})
}

func (s *sampler) sampleNode(now int64) {
	memory, _ := limits.ResidentMemory() // what cannot be measured is 0
	free, _, _ := limits.DiskSpace(s.server.DataDir)
	files, sockets := limits.OpenFiles()
	s.node.Sample(now, func(record func(string, []int64)) {
		record(thisNode, []int64{int64(memory), int64(free), int64(files), int64(sockets)})
	})
}
