package management

import (
	"context"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

func consumerRoutes() []route {
	return []route{
		{"GET", "/consumers", anyUser, (*request).listConsumers, "The consumers"},
		{"GET", "/consumers/{vhost}", vhostMonitor, (*request).listConsumers, "The consumers of a vhost"},
	}
}

func (q *request) listConsumers() (answer, error) {
	vhosts, err := q.vhosts()
	if err != nil {
		return answer{}, err
	}
	return ok(listOf(q.server.consumersOf(q.context(), queuesIn(vhosts), q.server.sessions())))
}

// consumersOf describes the consumers of queues.
func (s *Server) consumersOf(ctx context.Context, queues []*topology.Queue, sessions map[uint64]session.Info) []object {
	found := s.consumers(ctx, queues)
	all := []object{}
	for _, q := range queues {
		for i := range found[q.ID] {
			all = append(all, s.consumerObject(q, &found[q.ID][i], sessions))
		}
	}
	return all
}

// consumers asks the groups for the consumers of queues.
func (s *Server) consumers(ctx context.Context, queues []*topology.Queue) map[uint64][]queue.ConsumerInfo {
	ids := map[uint64][]queue.ID{}
	for _, q := range queues {
		ids[q.Group] = append(ids[q.Group], queue.ID(q.ID))
	}
	all := map[uint64][]queue.ConsumerInfo{}
	for _, g := range s.Groups() {
		of := ids[g.ID]
		if len(of) == 0 {
			continue
		}
		part, err := ask(ctx, g, func(set *queue.Set) (list []queue.ConsumerInfo) {
			for _, id := range of {
				set.Consumers(id, func(c queue.ConsumerInfo) { list = append(list, c) })
			}
			return list
		})
		if err != nil {
			continue
		}
		for _, c := range part {
			all[uint64(c.Queue)] = append(all[uint64(c.Queue)], c)
		}
	}
	return all
}

func (s *Server) consumerObject(q *topology.Queue, c *queue.ConsumerInfo, sessions map[uint64]session.Info) object {
	status := "up"
	switch {
	case c.Waiting:
		status = "waiting"
	case q.Config.SingleActive:
		status = "single_active"
	}
	o := object{
		"consumer_tag": c.Tag, "queue": object{"name": q.Name, "vhost": q.VHost}, "ack_required": !c.NoAck,
		"exclusive": c.Exclusive, "prefetch_count": c.Prefetch, "active": c.Active, "activity_status": status,
		"arguments": tableObject(protocol.RawTable(c.Arguments).Decode()), "consumer_timeout": topology.ConsumerTimeoutDefault,
		"channel_details": object{},
	}
	if c.TimeoutMs > 0 {
		o["consumer_timeout"] = c.TimeoutMs
	}
	if i, open := sessions[c.Key.Session.Session]; open {
		o["channel_details"] = s.channelDetails(&i, c.Channel)
	}
	return o
}

// channelDetails names a channel.
func (s *Server) channelDetails(i *session.Info, number uint16) object {
	host, port := hostPort(i.Peer)
	return object{
		"name": channelName(i.Name, number), "number": number, "connection_name": i.Name, "peer_host": host,
		"peer_port": port, "node": s.Node, "user": i.User,
	}
}

func channelName(connection string, number uint16) string {
	return connection + " (" + itoa(int(number)) + ")"
}
