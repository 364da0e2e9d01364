package management

import (
	"context"

	"github.com/warrenmq/warren/broker/queue"
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
	asked := consumersAsked{}
	for _, v := range vhosts {
		asked.VHosts = append(asked.VHosts, v.Name)
	}
	return ok(listOf(q.server.consumersOf(q.context(), queuesIn(vhosts), asked)))
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

func (s *Server) consumerObject(q *topology.Queue, c *queue.ConsumerInfo) object {
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
	return o
}

func channelName(connection string, number uint16) string {
	return connection + " (" + itoa(int(number)) + ")"
}
