package broker

import (
	"context"
	"time"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
)

// queueGone removes the metadata of a queue that ended by itself. What waits for that goes on if the store takes no changes; the
// removal is tried again.
func (b *Broker) queueGone(id queue.ID, done func()) {
	q := b.editor.Catalog().QueueByID(uint64(id))
	if q == nil {
		done()
		return
	}
	go func() {
		err := b.editor.DeleteQueue(context.Background(), q.VHost, q.Name, q.ID, nil)
		done()
		if err != nil {
			b.config.Logger.Error().Err(err).Str("vhost", q.VHost).Str("queue", q.Name).Msg("a queue that ended is still in the metadata; its removal is tried again")
			b.removeLate(q)
		}
	}()
}

// lateEvery is how often the removal of a queue is tried.
const lateEvery = time.Second

// removeLate removes a queue that could not be removed when it ended, as soon as the store takes changes. Until then its name is
// there, and a message for it brings it back, empty and with nobody to end it anew. If somebody consumes from it again it stays,
// and ends with that consumer.
func (b *Broker) removeLate(q *topology.Queue) {
	next := time.NewTicker(lateEvery)
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-b.running.Done():
			return
		}
		consumers, known := b.consumers(q)
		if consumers > 0 || known && b.editor.DeleteQueue(b.running, q.VHost, q.Name, q.ID, nil) == nil {
			return
		}
	}
}

// consumers asks how many consumers a queue has. known is false if nobody can say.
func (b *Broker) consumers(q *topology.Queue) (n uint32, known bool) {
	said := make(chan *queue.Counts, 1)
	b.groups.Counts(q.Group, queue.ID(q.ID), func(c queue.Counts, ok bool) {
		if !ok {
			said <- nil
			return
		}
		said <- &c
	})
	select {
	case c := <-said:
		if c == nil {
			return 0, false
		}
		return c.Consumers, true
	case <-b.running.Done():
		return 0, false
	}
}
