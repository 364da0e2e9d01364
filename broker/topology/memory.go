package topology

import (
	"github.com/warrenmq/warren/broker/matching"
	"github.com/warrenmq/warren/broker/queue"
)

// Remembering tells what an exchange's memory is for.
func (x *Exchange) Remembering() matching.Memory { return x.kind.Memory }

// Unbound tells that no binding begins at the exchange.
func (x *Exchange) Unbound() bool { return x.outgoing.Len() == 0 }

// remember gives an exchange the hidden queue behind it. The groups follow it like any other; nobody can name it.
func (b *builder) remember(x *Exchange) {
	record := x.Behind
	q := &Queue{Name: x.Name, VHost: x.VHost, Revision: x.Revision, incoming: noEdges, hidden: true}
	q.ID, q.Group, q.Durable, q.Type = record.ID, record.Group, x.Durable, "classic"
	q.Config = b.share(x.memoryConfig())
	q.Target = &matching.Target{Name: x.Name, Queue: q.ID, Group: q.Group, Local: true}
	x.Memory = q
	b.next.byID = b.next.byID.Set(q.ID, q)
	b.change.Queues = append(b.change.Queues, QueueChange{After: q})
}

// memoryConfig is how the queue behind an exchange works.
func (x *Exchange) memoryConfig() queue.Config {
	c := queue.DefaultConfig()
	c.Durable = x.Durable
	if x.kind.Memory == matching.Remembers {
		c.MaxLength, _ = matching.HistoryLength(x.Arguments) // checked when it was declared
		return c
	}
	c.Type, c.RelayExchange, c.DeadLetter = queue.Relay, x.Name, true // what it lets go leaves like a dead letter
	if x.kind.Memory == matching.Deduplicates {
		cache, _ := matching.ReadCache(x.Arguments)
		c.Dedup, c.DedupSize = true, cache.Size
		if cache.TTLMs > 0 {
			c.DedupTTLMs = cache.TTLMs
		}
	}
	return c
}

// forgetMemory drops the queue behind an exchange that goes. x may be nil.
func (b *builder) forgetMemory(x *Exchange) {
	if x == nil || x.Memory == nil {
		return
	}
	b.next.byID = b.next.byID.Delete(x.Memory.ID)
	b.change.Queues = append(b.change.Queues, QueueChange{Before: x.Memory})
}

// Hidden tells that nobody can name the queue: it is what is behind an exchange.
func (q *Queue) Hidden() bool { return q.hidden }
