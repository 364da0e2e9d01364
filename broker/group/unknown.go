package group

import (
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
)

// unknown sees to a queue that messages wait for: it is being declared, or it was deleted. It is said to be deleted only by
// metadata that are as new as those of whoever published; until they are, the messages wait.
func (g *Group) unknown(id queue.ID) {
	g.doubtful.Store(true) // first: metadata that come now are not missed
	c := g.hooks.Catalog()
	var b queue.Batch
	switch q := g.own(c, id); {
	case q != nil:
		b.Add(declare(q))
	case uint64(c.Revision) < g.set.Revision():
		g.logger.Info().Uint64("queue", uint64(id)).Msg("messages wait for a queue that this node's metadata do not have yet")
		return
	default:
		b.Add(&queue.Delete{Queue: id})
	}
	g.proposeOwn(&b)
	if c != g.hooks.Catalog() && g.own(g.hooks.Catalog(), id) == nil { // deleted meanwhile, and Follow may have said so too early
		var b queue.Batch
		b.Add(&queue.Delete{Queue: id})
		g.proposeOwn(&b)
	}
}

// own gives a queue of this group, nil if there is none of that number.
func (g *Group) own(c *topology.Catalog, id queue.ID) *topology.Queue {
	if q := c.QueueByID(uint64(id)); q != nil && q.Group == g.ID {
		return q
	}
	return nil
}

// Advanced tells that there are newer metadata.
func (g *Group) Advanced() {
	if g.doubtful.Load() {
		_ = g.log.Do(g.reconsider) // a closed log has no queues
	}
}

// reconsider looks again at the queues that messages wait for.
func (g *Group) reconsider() {
	g.doubtful.Store(false)
	if g.leading {
		g.set.Awaited(g.unknown)
	}
}
