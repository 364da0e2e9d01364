package link

import (
	"slices"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// A group for queues that do not last lives and dies with its node. Nobody answers any more what was handed in to it, so the
// route does: its queues are gone. Should the node come back, the group begins with nothing: it hears the sessions' batches
// under numbers that begin anew. Should it have lived all the time, it has to forget the sessions first.

// Lives tells which nodes live, and which life of each it is.
func (l *Links) Lives(nodes map[uint64]uint64) {
	l.mu.Lock()
	before := l.lives
	l.lives = nodes
	l.mu.Unlock()
	for node := range nodes {
		if _, lived := before[node]; !lived && node != l.Node { // it was told nothing of late
			l.introduce(node)
		}
	}
	for _, r := range l.all() {
		r.lives(nodes)
	}
}

// lives is told which nodes live.
func (r *route) lives(nodes map[uint64]uint64) {
	if r.owner == 0 || r.owner == r.links.Node || nodes == nil {
		return
	}
	life, lives := nodes[r.owner]
	said := map[queue.SessionKey][]group.Event{}
	defer func() {
		for key, events := range said {
			r.links.Inboxes.Post(key, events)
		}
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	ended, back := !lives && !r.dead || r.life != 0 && life != r.life, lives && r.dead
	r.life, r.dead = life, !lives
	if ended {
		r.unwatch("its node is gone, and they with it")
		for key, c := range r.callers {
			if said[key] = c.die(r.group); c.left {
				delete(r.callers, key)
			}
		}
	}
	if ended || back {
		r.hint = 0
		r.detach()
		r.tell()
	}
}

// die answers everything that a session waits for, for a group that has died, and begins its numbers anew.
func (c *caller) die(id uint64) (events []group.Event) {
	add := func(e queue.Effect) {
		e.To = c.key
		events = append(events, group.Event{Effect: e, Group: id})
	}
	for i := range c.pending {
		p := &c.pending[i]
		for _, coming := range p.attaches {
			delete(c.consumers, coming)
		}
		_ = queue.Commands(p.batch.Data, func(command queue.Command) {
			if request := queue.RequestOf(command); request != 0 && slices.Contains(p.requests, request) {
				add(queue.Effect{Kind: queue.Answer, Request: request, Outcome: queue.Without(command)})
			}
		})
		if !p.applied {
			_ = queue.Publishes(p.batch.Data, func(channel uint16, number uint64, count uint32) {
				add(queue.Effect{Kind: queue.Refuse, Channel: channel, Number: number, Count: count})
			})
		}
	}
	for consumer := range c.consumers {
		add(queue.Effect{Kind: queue.Cancelled, Consumer: consumer})
	}
	for i := range c.pending {
		if p := &c.pending[i]; !p.applied {
			add(queue.Effect{Kind: queue.Applied, Number: p.batch.From.Seq + c.base})
		}
	}
	c.drop()
	c.consumers, c.resume, c.owed, c.last = nil, nil, 0, 0
	c.base, c.stale = c.newest, c.newest > 0
	return events
}

// renumber gives a batch the number that the group knows it under.
func (c *caller) renumber(b *oplog.Batch) {
	if b.From.Seq != 0 && c.key.Node != queue.Forwarders {
		c.newest = b.From.Seq
		b.From.Seq -= c.base
	}
}

// refresh tells whether the group has forgotten what it knew of a session under its old numbers. If not, it is told to.
func (r *route) refresh(c *caller, last uint64, asked bool) bool {
	if c.stale = c.stale && (last > 0 || !asked); !c.stale {
		return true
	}
	if asked {
		var b queue.Batch
		b.Add(&queue.Down{Node: c.key.Node, First: c.key.Session, Last: c.key.Session})
		r.handIn(&pending{batch: oplog.Batch{Data: b.Bytes()}})
	}
	return false
}
