package session

import (
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// change runs a change of the metadata for a channel. edit gets what to call once its effect survives a crash; the
// answer goes out then, at its place among the channel's answers, while the channel itself goes on at once.
func (r *reader) change(c *channel, id protocol.MethodID, answer protocol.Method, edit func(durable func(error)) error) bool {
	var slot *slot
	if answer != nil {
		slot = newSlot(c.number)
		r.order(func(w *writer) { w.promise(slot) })
		r.endBurst() // the promise is there before it can be kept
	}
	err := edit(func(err error) {
		if slot == nil {
			return
		}
		if err != nil {
			answer = nil // the process is about to end: what is not durable is not answered
		}
		r.writer.box.order(func(w *writer) { w.keep(slot, answer) })
	})
	if err == nil {
		return true
	}
	if slot != nil {
		r.order(func(w *writer) { w.keep(slot, nil) })
	}
	r.fail(c, asRefusal(err), id)
	return false
}

// unless gives m, or nil if the client wants no answer.
func unless(noWait bool, m protocol.Method) protocol.Method {
	if noWait {
		return nil
	}
	return m
}

func (r *reader) catalog() *topology.Catalog { return r.env.Editor.Catalog() }

func (r *reader) exchangeDeclare(c *channel, m *protocol.ExchangeDeclare) {
	if m.Passive {
		r.exchangePassive(c, m)
		return
	}
	d := topology.ExchangeDeclaration{
		VHost: r.vhost, Name: m.Exchange, Type: m.Type, Durable: m.Durable, AutoDelete: m.AutoDelete, Internal: m.Internal,
		Arguments: m.Arguments,
	}
	r.change(c, m.ID(), unless(m.NoWait, &protocol.ExchangeDeclareOk{}), func(durable func(error)) error {
		return r.env.Editor.DeclareExchange(r.acting(), d, r.principal, durable)
	})
}

func (r *reader) exchangePassive(c *channel, m *protocol.ExchangeDeclare) {
	name := topology.CleanName(m.Exchange)
	refusal := topology.DefaultExchange(name)
	if refusal == nil {
		refusal = r.principal.AuthorizeAny(r.catalog(), r.vhost, "exchange", name)
	}
	if refusal == nil {
		if v := r.catalog().VHost(r.vhost); v == nil || v.Exchange(name) == nil {
			refusal = protocol.NotFound("no exchange '%s' in vhost '%s'", name, r.vhost)
		}
	}
	if refusal != nil {
		r.fail(c, refusal, m.ID())
		return
	}
	if !m.NoWait {
		r.reply(c, &protocol.ExchangeDeclareOk{})
	}
}

func (r *reader) exchangeDelete(c *channel, m *protocol.ExchangeDelete) {
	r.change(c, m.ID(), unless(m.NoWait, &protocol.ExchangeDeleteOk{}), func(durable func(error)) error {
		err := r.env.Editor.DeleteExchange(r.acting(), r.vhost, m.Exchange, m.IfUnused, r.principal, durable)
		if err == nil {
			r.audit("exchange.delete", m.Exchange, 0)
		}
		return err
	})
}

func (r *reader) exchangeBind(c *channel, m *protocol.ExchangeBind) {
	w := r.wish(m.Source, m.Destination, m.RoutingKey, m.Arguments)
	w.ToExchange = true
	r.change(c, m.ID(), unless(m.NoWait, &protocol.ExchangeBindOk{}), func(durable func(error)) error {
		return r.env.Editor.Bind(r.acting(), w, r.principal, durable)
	})
}

func (r *reader) exchangeUnbind(c *channel, m *protocol.ExchangeUnbind) {
	w := r.wish(m.Source, m.Destination, m.RoutingKey, m.Arguments)
	w.ToExchange = true
	r.change(c, m.ID(), unless(m.NoWait, &protocol.ExchangeUnbindOk{}), func(durable func(error)) error {
		return r.env.Editor.Unbind(r.acting(), w, r.principal, durable)
	})
}

func (r *reader) wish(source, destination, key string, arguments protocol.RawTable) topology.BindingWish {
	return topology.BindingWish{
		VHost: r.vhost, Source: source, Destination: destination, Key: key, Arguments: arguments, Owner: r.owner(),
	}
}

// named gives the queue that a method means: "" is the last one declared on the channel.
func (r *reader) named(c *channel, name string, id protocol.MethodID) (string, bool) {
	name, refusal := c.nameOf(name)
	if refusal != nil {
		r.fail(c, refusal, id)
		return "", false
	}
	return name, true
}

func (c *channel) nameOf(given string) (string, *protocol.Error) {
	switch {
	case given != "":
		return given, nil
	case !c.named:
		return "", protocol.NotFound("no previously declared queue")
	}
	return c.queue, nil
}

func (r *reader) queueBind(c *channel, m *protocol.QueueBind) {
	name, ok := r.named(c, m.Queue, m.ID())
	if !ok {
		return
	}
	w := r.wish(m.Exchange, name, bindingKey(m.Queue, m.RoutingKey, name), m.Arguments)
	r.change(c, m.ID(), unless(m.NoWait, &protocol.QueueBindOk{}), func(durable func(error)) error {
		return r.env.Editor.Bind(r.acting(), w, r.principal, durable)
	})
}

// bindingKey: a key left empty along with the queue name is the queue's name too.
func bindingKey(given, key, name string) string {
	if given == "" && key == "" {
		return name
	}
	return key
}

func (r *reader) queueUnbind(c *channel, m *protocol.QueueUnbind) {
	name, ok := r.named(c, m.Queue, m.ID())
	if !ok {
		return
	}
	w := r.wish(m.Exchange, name, bindingKey(m.Queue, m.RoutingKey, name), m.Arguments)
	r.change(c, m.ID(), &protocol.QueueUnbindOk{}, func(durable func(error)) error {
		return r.env.Editor.Unbind(r.acting(), w, r.principal, durable)
	})
}

func (r *reader) queueDeclare(c *channel, m *protocol.QueueDeclare) {
	if isReplyName(m.Queue) {
		r.declareReplies(c, m)
		return
	}
	if m.Passive {
		r.queuePassive(c, m)
		return
	}
	d := topology.QueueDeclaration{
		VHost: r.vhost, Name: m.Queue, Durable: m.Durable, Exclusive: m.Exclusive, AutoDelete: m.AutoDelete,
		Arguments: m.Arguments, Owner: r.owner(),
	}
	before := r.catalog().Revision
	answer := &protocol.QueueDeclareOk{}
	slot := newSlot(c.number)
	if !m.NoWait {
		r.order(func(w *writer) { w.promise(slot) })
	}
	r.endBurst()
	var counted, lasting pair
	q, err := r.env.Editor.DeclareQueue(r.acting(), d, r.principal, lasting.done)
	if err != nil {
		if !m.NoWait {
			r.order(func(w *writer) { w.keep(slot, nil) })
		}
		r.fail(c, asRefusal(err), m.ID())
		return
	}
	r.env.Registry.Board.Churn.QueuesDeclared.Add(1)
	c.queue, c.named = q.Name, true
	answer.Queue = q.Name
	r.own(q)
	if m.NoWait {
		return
	}
	lasting.then(func() { counted.then(func() { r.writer.box.order(func(w *writer) { w.keep(slot, answer) }) }) })
	if q.Revision > before {
		counted.done(nil) // new: nothing in it
		return
	}
	r.counts(q, func(n queue.Counts, _ bool) { // it is declared, whether it can be asked or not
		answer.MessageCount, answer.ConsumerCount = uint32(n.Ready), n.Consumers
		counted.done(nil)
	})
}

// counts asks a queue for its counts, behind everything that the connection has done so far.
func (r *reader) counts(q *topology.Queue, done func(n queue.Counts, ok bool)) {
	ask := func() { r.env.Groups.Counts(q.Group, queue.ID(q.ID), done) }
	r.before(func(w *writer) {
		w.flush()
		w.door.Behind(q.Group, func() { r.door.Behind(q.Group, ask) })
	})
}

// own tells the writer of an exclusive queue, which ends with the connection.
func (r *reader) own(q *topology.Queue) {
	if q.Exclusive && q.Owner == r.owner() {
		r.order(func(w *writer) { w.exclusive[q.ID] = struct{}{} })
	}
}

// find gives a queue that the connection may use, or the refusal: it is not there, or it is another's.
func (r *reader) find(name string) (*topology.Queue, *protocol.Error) {
	if v := r.catalog().VHost(r.vhost); v != nil {
		if q := v.Queue(name); q != nil {
			return q, q.Locked(r.owner())
		}
	}
	return nil, protocol.NotFound("no queue '%s' in vhost '%s'", name, r.vhost)
}

func (r *reader) queuePassive(c *channel, m *protocol.QueueDeclare) {
	name := topology.CleanName(m.Queue)
	refusal := r.principal.AuthorizeAny(r.catalog(), r.vhost, "queue", name)
	var q *topology.Queue
	if refusal == nil {
		q, refusal = r.find(name)
	}
	if refusal != nil {
		r.fail(c, refusal, m.ID())
		return
	}
	c.queue, c.named = name, true
	if m.NoWait {
		return
	}
	slot := newSlot(c.number)
	r.order(func(w *writer) { w.promise(slot) })
	r.counts(q, func(n queue.Counts, ok bool) {
		r.writer.box.order(func(w *writer) {
			if ok {
				w.keep(slot, &protocol.QueueDeclareOk{Queue: name, MessageCount: uint32(n.Ready), ConsumerCount: n.Consumers})
				return
			}
			w.keep(slot, nil)
			if o := w.outlets[c.number]; o != nil && o.channel == c {
				w.refuseMethod(o, w.unavailable(name), m.ID())
			}
		})
	})
}
