package group

import (
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/store/oplog"
)

// Follow tells the group what changed in the Catalog. Every member may be told; commands for queues that are as they
// should be do nothing. It does not wait.
func (g *Group) Follow(changes []topology.QueueChange) {
	var b queue.Batch
	for _, c := range changes {
		switch {
		case c.After == nil:
			if c.Before.Group == g.ID {
				b.Add(&queue.Delete{Queue: queue.ID(c.Before.ID)})
			}
		case c.After.Group != g.ID:
			if c.Before != nil && c.Before.Group == g.ID {
				b.Add(&queue.Delete{Queue: queue.ID(c.Before.ID)})
			}
		case c.Before == nil || c.Before.ID != c.After.ID:
			if c.Before != nil && c.Before.Group == g.ID {
				b.Add(&queue.Delete{Queue: queue.ID(c.Before.ID)})
			}
			b.Add(declare(c.After))
		case *c.Before.Config != *c.After.Config:
			b.Add(&queue.Configure{Queue: queue.ID(c.After.ID), Config: *c.After.Config})
		}
	}
	g.proposeOwn(&b)
}

func declare(q *topology.Queue) *queue.Declare {
	return &queue.Declare{Queue: queue.ID(q.ID), VHost: q.VHost, Name: q.Name, Config: *q.Config}
}

// proposeOwn proposes what nobody asked for and nobody waits for.
func (g *Group) proposeOwn(b *queue.Batch) {
	if b.Len() == 0 {
		return
	}
	if err := g.Propose(oplog.Batch{Data: b.Bytes()}); err != nil {
		g.logger.Debug().Err(err).Msg("not proposed; the leader will reconcile")
	}
}

// reconcile makes the machine's queues those of the Catalog: after a restart or a change of leader, what was declared or
// deleted meanwhile is caught up with.
func (g *Group) reconcile() {
	c := g.hooks.Catalog()
	if c == nil {
		return
	}
	var b queue.Batch
	b.Add(&queue.Down{Node: g.inboxes.Node(), Last: g.hooks.FirstSession - 1, Lost: true})
	for _, id := range g.set.IDs() {
		if q := c.QueueByID(uint64(id)); q == nil || q.Group != g.ID {
			b.Add(&queue.Delete{Queue: id})
		}
	}
	c.Machines(func(q *topology.Queue) bool {
		if q.Group != g.ID {
			return true
		}
		switch config, ok := g.set.Config(queue.ID(q.ID)); {
		case !ok:
			b.Add(declare(q))
		case config != *q.Config:
			b.Add(&queue.Configure{Queue: queue.ID(q.ID), Config: *q.Config})
		}
		return true
	})
	g.proposeOwn(&b)
}
