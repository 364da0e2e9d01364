package session

import (
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// open finds a channel that still answers; if there is none, nobody waits for it any more.
func (w *writer) open(c *channel) *outlet {
	o := w.outlets[c.number]
	if o == nil || o.channel != c || o.closed {
		w.resume(c.number)
		return nil
	}
	return o
}

// missing is the refusal for a queue that is gone meanwhile.
func (w *writer) missing(name string) *protocol.Error {
	return protocol.NotFound("no queue '%s' in vhost '%s'", name, w.vhost)
}

// unavailable is the refusal for a queue whose group has no leader.
func (w *writer) unavailable(name string) *protocol.Error {
	return protocol.NotFound("failed to perform operation on queue '%s' in vhost '%s' due to timeout", name, w.vhost)
}

// consume attaches a consumer and answers when its queue has it.
func (w *writer) consume(ch *channel, wish *consumerWish) {
	o := w.open(ch)
	if o == nil {
		return
	}
	tag := wish.ConsumerTag
	if tag == "" {
		tag = topology.RandomName("amq.ctag-")
	}
	if o.consumers[tag] != nil {
		w.refuseMethod(o, reusedTag(tag), protocol.BasicConsumeID)
		return
	}
	c := w.newConsumer(o, wish.queue)
	c.tag, c.noAck, c.prefetch, c.timeoutMs = tag, wish.NoAck, int(wish.prefetch), wish.timeoutMs
	c.prefix = protocol.NewDeliverPrefix(o.number, tag)
	o.consumers[tag] = c
	w.mark(o)
	request := w.request(func(e group.Event) {
		w.resume(o.number)
		w.attached(o, c, wish, e.Outcome)
	})
	w.propose(c.group, &queue.Attach{
		Queue: queue.ID(c.queue), Consumer: c.id, Request: request, Channel: o.number, Prefetch: prefetch(wish.prefetch, wish.globalPrefetch),
		Window: c.window, NoAck: c.noAck, Exclusive: wish.Exclusive, Priority: wish.priority,
		TimeoutMs: wish.timeoutMs, Tag: tag, Arguments: wish.Arguments,
		From: wish.stream.from, Filters: wish.stream.filters, Unfiltered: wish.stream.unfiltered,
	})
}

// prefetch is a consumer's limit in the queue's machine: its own, or the one it shares with the others of its channel.
func prefetch(own, all uint16) uint32 {
	switch {
	case own == 0:
		return uint32(all)
	case all == 0:
		return uint32(own)
	}
	return uint32(min(own, all))
}

func (w *writer) newConsumer(o *outlet, q *topology.Queue) *consumer {
	w.numbers++
	c := &consumer{id: w.numbers, outlet: o, queue: q.ID, queueType: stats.QueueTypeOf(q.Type), name: q.Name, group: q.Group}
	w.consumers[c.id] = c
	c.window = uint32(max(windowLeast, min(windowMost, windowsSum/len(w.consumers))))
	return c
}

func (w *writer) attached(o *outlet, c *consumer, wish *consumerWish, outcome queue.Outcome) {
	if outcome == queue.Done {
		w.tellConsumer(c, wish)
		if !wish.NoWait {
			w.reply(o.number, &protocol.BasicConsumeOk{ConsumerTag: c.tag})
			w.holdBack(o, c)
		}
		return
	}
	w.dropConsumer(c)
	refusal := w.missing(c.name)
	switch outcome {
	case queue.ExclusiveUse:
		refusal = protocol.AccessRefused("queue '%s' in vhost '%s' in exclusive use", c.name, w.vhost)
	case queue.Unavailable:
		refusal = w.unavailable(c.name)
	}
	if !o.closed {
		w.refuseMethod(o, refusal, protocol.BasicConsumeID)
	}
}

// cancel detaches a consumer. A tag that is not known is fine.
func (w *writer) cancel(ch *channel, tag string, noWait bool) {
	o := w.open(ch)
	if o == nil {
		return
	}
	c := o.consumers[tag]
	answer := func(outcome queue.Outcome) {
		w.resume(o.number)
		switch {
		case outcome == queue.Unavailable:
			w.refuseMethod(o, w.unavailable(c.name), protocol.BasicCancelID)
		case !noWait:
			w.reply(o.number, &protocol.BasicCancelOk{ConsumerTag: tag})
		}
	}
	if c == nil || !w.detach(c, answer) {
		answer(queue.Done)
		return
	}
	delete(o.consumers, tag)
	w.tellConsumerGone(c)
	w.mark(o)
}

// detach takes a consumer off its queue; then is called once the queue knows, or cannot be told, unless detach gives false.
func (w *writer) detach(c *consumer, then func(queue.Outcome)) bool {
	w.closeSettling()
	request := w.request(func(e group.Event) {
		if w.consumers[c.id] == c && e.Outcome != queue.Unavailable { // else it goes with its channel
			c.gone = true
			if c.unacked == 0 {
				delete(w.consumers, c.id)
			}
		}
		then(e.Outcome)
	})
	return w.propose(c.group, &queue.Detach{Consumer: c.id, Request: request})
}

// get takes one message.
func (w *writer) get(ch *channel, q *topology.Queue, noAck bool) {
	o := w.open(ch)
	if o == nil {
		return
	}
	c := w.newConsumer(o, q)
	c.getter, c.noAck = true, noAck
	request := w.request(func(e group.Event) {
		w.resume(o.number)
		if o.closed {
			return
		}
		if e.Kind == queue.Got {
			w.got(o, c, &e)
		}
		if c.unacked == 0 {
			delete(w.consumers, c.id)
		}
		w.gotNothing(o, c, &e)
	})
	w.propose(c.group, &queue.Get{Queue: queue.ID(q.ID), Consumer: c.id, Request: request, Channel: o.number, NoAck: noAck})
}

func (w *writer) gotNothing(o *outlet, c *consumer, e *group.Event) {
	switch {
	case e.Kind == queue.Got:
	case e.Outcome == queue.Empty:
		w.countOf(c, stats.GetEmpty, 1)
		w.reply(o.number, &protocol.BasicGetEmpty{})
	case e.Outcome == queue.SingleActive:
		w.refuseMethod(o, protocol.ResourceLocked("cannot obtain access to locked queue '%s' in vhost '%s'. basic.get operations are not supported by <<\"quorum\">> queues with single active consumer", c.name, w.vhost), protocol.BasicGetID)
	case e.Outcome == queue.Unavailable:
		w.refuseMethod(o, w.unavailable(c.name), protocol.BasicGetID)
	default:
		w.refuseMethod(o, w.missing(c.name), protocol.BasicGetID)
	}
}

// purge drops the ready messages of a queue.
func (w *writer) purge(ch *channel, q *topology.Queue, noWait bool) {
	o := w.open(ch)
	if o == nil {
		return
	}
	request := w.request(func(e group.Event) {
		w.resume(o.number)
		switch {
		case e.Outcome == queue.NoQueue:
			w.refuseMethod(o, w.missing(q.Name), protocol.QueuePurgeID)
		case e.Outcome == queue.Unavailable:
			w.refuseMethod(o, w.unavailable(q.Name), protocol.QueuePurgeID)
		default:
			w.audit("queue.purge", q.Name, uint64(e.Ready))
			if !noWait {
				w.reply(o.number, &protocol.QueuePurgeOk{MessageCount: uint32(e.Ready)})
			}
		}
	})
	w.propose(q.Group, &queue.Purge{Queue: queue.ID(q.ID), Request: request})
}

// deleteQueue removes a queue: its machine first, which knows whether the conditions hold, then its metadata. If its group has
// no leader, and there are no conditions, the metadata goes alone: whoever leads the group next removes what it has of the queue.
func (w *writer) deleteQueue(ch *channel, q *topology.Queue, m *protocol.QueueDelete) {
	o := w.open(ch)
	if o == nil {
		return
	}
	conditions := q.Type != "stream" // which knows none
	request := w.request(func(e group.Event) {
		switch e.Outcome {
		case queue.NotEmpty:
			w.resume(o.number)
			w.refuseMethod(o, protocol.PreconditionFailed("queue '%s' in vhost '%s' not empty", q.Name, q.VHost), m.ID())
		case queue.InUse:
			w.resume(o.number)
			w.refuseMethod(o, protocol.PreconditionFailed("queue '%s' in vhost '%s' in use", q.Name, q.VHost), m.ID())
		case queue.Unavailable:
			if conditions && (m.IfUnused || m.IfEmpty) {
				w.resume(o.number)
				w.refuseMethod(o, w.unavailable(q.Name), m.ID())
				return
			}
			w.logger.Warn().Str("queue", q.Name).Str("vhost", q.VHost).Uint64("group", q.Group).Msg("a queue is deleted whose group has no leader: what is in it is not counted")
			w.forgetQueue(o, q, m, 0, false)
		default:
			w.forgetQueue(o, q, m, uint32(e.Ready), true)
		}
	})
	w.propose(q.Group, &queue.Delete{
		Queue: queue.ID(q.ID), Request: request, IfUnused: conditions && m.IfUnused, IfEmpty: conditions && m.IfEmpty,
	})
}

// forgetQueue removes the metadata of a queue, and answers. gone says that its machine is; if not, it could not be asked.
func (w *writer) forgetQueue(o *outlet, q *topology.Queue, m *protocol.QueueDelete, ready uint32, gone bool) {
	if gone {
		delete(w.exclusive, q.ID)
		w.audit("queue.delete", q.Name, uint64(ready))
	}
	s := newSlot(o.number)
	if !m.NoWait {
		w.promise(s)
	}
	go func() {
		answer := &protocol.QueueDeleteOk{MessageCount: ready}
		err := w.env.Editor.DeleteQueue(w.acting(), q.VHost, q.Name, q.ID, func(error) {
			w.box.order(func(w *writer) { w.keep(s, answer) })
		})
		w.box.order(func(w *writer) {
			switch {
			case err != nil && !gone:
				w.keep(s, nil)
				w.refuseMethod(o, w.unavailable(q.Name), m.ID())
			case err != nil:
				w.keep(s, nil)
				w.refuseMethod(o, asRefusal(err), m.ID())
			case !gone:
				w.audit("queue.delete", q.Name, 0)
			}
			w.resume(o.number)
		})
	}()
}

// teardown takes the session apart: what it holds in the groups goes back, its exclusive queues go. then is called at
// last, before the writer ends.
func (w *writer) teardown(then func()) {
	if w.torn {
		return
	}
	w.torn = true
	w.unblock()
	for _, o := range w.outlets {
		for _, c := range o.consumers {
			w.tellConsumerGone(c)
		}
	}
	w.closeSettling()
	open := 1
	done := func() {
		if open--; open > 0 {
			return
		}
		w.dropExclusive(then)
	}
	for _, id := range w.visited() {
		request := w.request(func(group.Event) { done() })
		if w.propose(id, &queue.Down{Node: w.env.Node, First: w.id, Last: w.id + 1, Request: request}) {
			open++
		}
	}
	done()
	w.flush()
}

// visited gives the groups that may know the session.
func (w *writer) visited() []uint64 {
	seen := map[uint64]bool{}
	var list []uint64
	for _, id := range append(w.door.Visited(), w.reader.door.Visited()...) {
		if !seen[id] {
			seen[id] = true
			list = append(list, id)
		}
	}
	return list
}

// dropExclusive removes the queues that belong to the connection.
func (w *writer) dropExclusive(then func()) {
	ids := make([]uint64, 0, len(w.exclusive))
	for id := range w.exclusive {
		ids = append(ids, id)
	}
	finish := func(w *writer) {
		if then != nil {
			then()
		}
		w.finish()
		w.over = true
	}
	if len(ids) == 0 {
		finish(w)
		return
	}
	go func() {
		if err := w.env.Editor.DeleteQueues(w.acting(), w.vhost, ids, nil); err != nil {
			w.logger.Error().Err(err).Int("queues", len(ids)).Msg("exclusive queues could not be deleted; that is tried again")
			w.env.Editor.Owe(w.vhost, ids)
		}
		w.box.order(finish)
	}()
}
