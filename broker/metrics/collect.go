package metrics

import (
	"context"
	"time"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/logs"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
)

// picture is what is known of the node at a moment, but for its queues.
type picture struct {
	catalog     *topology.Catalog
	board       *stats.Board
	total       stats.Counts // of all messages
	types       [stats.QueueTypes]stats.Counts
	connections []connectionRow
	channels    []channelRow
	consumers   int64
	publishers  int
}

// connectionRow is an open connection.
type connectionRow struct{ session.Info }

// channelRow is an open channel.
type channelRow struct {
	session.ChannelInfo
	name string // the connection's, and the number
}

// queueRow is a queue, its numbers, and what its type is.
type queueRow struct {
	*topology.Queue
	info queue.Info
}

// exchangeRow is an exchange.
type exchangeRow struct {
	vhost, name string
	counts      stats.Counts
}

// look takes the picture.
func (s *Server) look() *picture {
	all := &picture{catalog: s.Catalog(), board: s.Registry.Board}
	all.total = all.board.Total()
	for t := range all.types {
		all.types[t] = all.board.Flow.ByType[t].Load()
	}
	s.Registry.Each(func(c *session.Session) {
		info := c.Info()
		all.connections = append(all.connections, connectionRow{info})
		all.total[stats.OctetsIn] += info.OctetsIn
		all.total[stats.OctetsOut] += info.OctetsOut
		for _, ch := range c.Channels() {
			all.channels = append(all.channels, channelRow{ch, channelName(info.Name, ch.Number)})
			all.consumers += ch.Consumers
			if ch.Counts[stats.Publish] > 0 {
				all.publishers++
			}
		}
	})
	return all
}

// askTime is how long a group has for an answer: one without a leader must not hold a request for ever.
const askTime = 5 * time.Second

// ask lets f look at the machine of a group, on its goroutine. It gives false if the group does not answer.
func ask[T any](ctx context.Context, g *group.Group, f func(*queue.Set) T) (value T, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	answered := make(chan *logs.Bug, 1)
	var said T
	if g.Ask(func(s *queue.Set) { answered <- logs.Catch(func() { said = f(s) }) }) != nil {
		return value, false
	}
	select {
	case bug := <-answered:
		if bug != nil { // it only looked: what it looked at is whole
			bug.Again()
		}
		return said, true
	case <-ctx.Done():
		return value, false
	}
}

// eachQueue visits the queues of a group that anybody may see, on its goroutine.
func eachQueue(c *topology.Catalog, set *queue.Set, visit func(*queueRow)) {
	set.EachStats(func(id queue.ID, _ string, _ queue.Counts, _ *queue.Stats) {
		q := c.QueueByID(uint64(id))
		if q == nil || q.Hidden() {
			return
		}
		if info, ok := set.Info(id); ok {
			visit(&queueRow{q, info})
		}
	})
}

// sums adds up the numbers of all queues, by family, without keeping any.
func (s *Server) sums(ctx context.Context, c *topology.Catalog, families []family[queueRow]) [][]float64 {
	all := zeros(families)
	for _, g := range s.Groups() {
		part, ok := ask(ctx, g, func(set *queue.Set) [][]float64 {
			part := zeros(families)
			eachQueue(c, set, func(row *queueRow) {
				for i := range families {
					families[i].add(part[i], row)
				}
			})
			return part
		})
		if !ok {
			continue
		}
		for i := range all {
			for j := range all[i] {
				all[i][j] += part[i][j]
			}
		}
	}
	return all
}

func zeros[T any](families []family[T]) [][]float64 {
	list := make([][]float64, len(families))
	for i := range families {
		list[i] = make([]float64, len(families[i].metrics))
	}
	return list
}

// queues gives the queues that are wanted.
func (s *Server) queues(ctx context.Context, c *topology.Catalog, f *filter) (rows []queueRow) {
	for _, g := range s.Groups() {
		part, _ := ask(ctx, g, func(set *queue.Set) (part []queueRow) {
			eachQueue(c, set, func(row *queueRow) {
				if f.wantsQueue(row.VHost, row.Name) {
					part = append(part, *row)
				}
			})
			return part
		})
		rows = append(rows, part...)
	}
	return rows
}

// exchanges gives the exchanges that messages were published to, and are wanted.
func (all *picture) exchanges(f *filter) (rows []exchangeRow) {
	all.board.Exchanges(func(vhost, name string, c stats.Counts) {
		if f.wants(vhost) && all.catalog.VHost(vhost) != nil {
			rows = append(rows, exchangeRow{vhost, name, c})
		}
	})
	return rows
}
