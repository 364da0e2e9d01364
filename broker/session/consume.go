package session

import (
	"fmt"

	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// readable gives a queue that the user may read from, named by a method of the channel.
func (r *reader) readable(c *channel, given string, id protocol.MethodID) *topology.Queue {
	q, refusal := r.mayRead(c, given)
	if refusal != nil {
		r.fail(c, refusal, id)
		return nil
	}
	return q
}

func (r *reader) mayRead(c *channel, given string) (*topology.Queue, *protocol.Error) {
	name, refusal := c.nameOf(given)
	if refusal == nil {
		refusal = r.principal.Authorize(r.catalog(), r.vhost, topology.Read, "queue", name)
	}
	if refusal != nil {
		return nil, refusal
	}
	return r.find(name)
}

func (r *reader) basicConsume(c *channel, m *protocol.BasicConsume) {
	if m.Queue == topology.DirectReplyTo {
		r.consumeReplies(c, m)
		return
	}
	if r.repliesTo(m.Queue) {
		r.refuseConsumer(c, m, protocol.PreconditionFailed("only creator channel may consume from queue '%s' in vhost '%s'", m.Queue, r.vhost))
		return
	}
	q, refusal := r.mayRead(c, m.Queue)
	if refusal != nil {
		r.refuseConsumer(c, m, refusal)
		return
	}
	wish := consumerWish{
		BasicConsume: *m, queue: q, prefetch: c.prefetch, globalPrefetch: c.globalPrefetch,
	}
	if refusal := wish.check(q); refusal != nil {
		r.refuseConsumer(c, m, refusal)
		return
	}
	wish.Arguments = append(protocol.RawTable(nil), m.Arguments...)
	r.park(c)
	r.before(func(w *writer) { w.consume(c, &wish) })
}

// refuseConsumer refuses a consumer, for its tag first if that is in use.
func (r *reader) refuseConsumer(c *channel, m *protocol.BasicConsume, refusal *protocol.Error) {
	tag, method := m.ConsumerTag, m.ID()
	r.park(c)
	r.before(func(w *writer) {
		o := w.open(c)
		if o == nil {
			return
		}
		if o.consumers[tag] != nil {
			refusal = reusedTag(tag)
		}
		w.resume(c.number)
		w.refuseMethod(o, refusal, method)
	})
}

func reusedTag(tag string) *protocol.Error {
	return protocol.Errorf(protocol.CodeNotAllowed, "attempt to reuse consumer tag '%s'", tag)
}

// consumerWish is a consumer that is to be.
type consumerWish struct {
	protocol.BasicConsume
	queue                    *topology.Queue
	prefetch, globalPrefetch uint16
	priority                 int64
	timeoutMs                int64
	stream                   streamWish
}

// check reads the consumer's arguments.
func (w *consumerWish) check(q *topology.Queue) *protocol.Error {
	where := fmt.Sprintf("queue '%s' in vhost '%s'", q.Name, q.VHost)
	if refusal := topology.CheckConsumer(q, where, w.Arguments); refusal != nil {
		return refusal
	}
	if value, ok := w.Arguments.Lookup("x-priority"); ok {
		n, isInteger := value.Int()
		if !isInteger {
			return protocol.PreconditionFailed(`invalid arg 'x-priority' for %s: "expected integer, got %s"`, where, value.TypeName())
		}
		w.priority = n
	}
	if value, ok := w.Arguments.Lookup("x-consumer-timeout"); ok {
		n, isInteger := value.Int()
		switch {
		case !isInteger:
			return protocol.PreconditionFailed(`invalid arg 'x-consumer-timeout' for %s: "expected integer, got %s"`, where, value.TypeName())
		case n < 0:
			return protocol.PreconditionFailed("invalid arg 'x-consumer-timeout' for %s: {value_negative,%d}", where, n)
		}
		w.timeoutMs = n
	}
	if refusal := w.checkStream(q, where); refusal != nil {
		return refusal
	}
	if w.globalPrefetch > 0 && q.Type != "classic" {
		return protocol.Errorf(protocol.CodeNotImplemented, "%s does not support global qos", where)
	}
	return nil
}

func (r *reader) basicCancel(c *channel, m *protocol.BasicCancel) {
	if r.cancelReplies(c, m) {
		return
	}
	r.park(c)
	r.before(func(w *writer) { w.cancel(c, m.ConsumerTag, m.NoWait) })
}

func (r *reader) basicGet(c *channel, m *protocol.BasicGet) {
	if r.repliesTo(m.Queue) {
		r.fail(c, protocol.Errorf(protocol.CodeNotImplemented, "basic.get not supported by volatile queue '%s' in vhost '%s'", m.Queue, r.vhost), m.ID())
		return
	}
	q := r.readable(c, m.Queue, m.ID())
	if q == nil {
		return
	}
	if r.refusesStream(c, q, "basic.get", m.ID()) {
		return
	}
	r.park(c)
	r.before(func(w *writer) { w.get(c, q, m.NoAck) })
}

// refusesStream refuses what cannot be done with a stream.
func (r *reader) refusesStream(c *channel, q *topology.Queue, what string, method protocol.MethodID) bool {
	if q.Type != "stream" {
		return false
	}
	r.fail(c, protocol.Errorf(protocol.CodeNotImplemented, "%s not supported by stream queues queue '%s' in vhost '%s'", what, q.Name, q.VHost), method)
	return true
}

func (r *reader) queuePurge(c *channel, m *protocol.QueuePurge) {
	if r.repliesTo(m.Queue) { // which holds nothing
		if !m.NoWait {
			r.reply(c, &protocol.QueuePurgeOk{})
		}
		return
	}
	q := r.readable(c, m.Queue, m.ID())
	if q == nil {
		return
	}
	if r.refusesStream(c, q, "queue.purge", m.ID()) {
		return
	}
	r.park(c)
	r.before(func(w *writer) { w.purge(c, q, m.NoWait) })
}

func (r *reader) queueDelete(c *channel, m *protocol.QueueDelete) {
	name, ok := r.named(c, m.Queue, m.ID())
	if !ok {
		return
	}
	refusal := r.principal.Authorize(r.catalog(), r.vhost, topology.Configure, "queue", name)
	if refusal != nil {
		r.fail(c, refusal, m.ID())
		return
	}
	q, refusal := r.find(topology.CleanName(name))
	switch {
	case refusal != nil && refusal.Code == protocol.CodeNotFound:
		if !m.NoWait {
			r.reply(c, &protocol.QueueDeleteOk{})
		}
		return
	case refusal != nil:
		r.fail(c, refusal, m.ID())
		return
	}
	if refusal := q.CheckDelete(m.IfUnused, m.IfEmpty); refusal != nil {
		r.fail(c, refusal, m.ID())
		return
	}
	r.park(c)
	r.before(func(w *writer) { w.deleteQueue(c, q, m) })
}
