package topology

import (
	"context"
	"strings"

	"github.com/warrenmq/warren/broker/matching"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
)

// BindingWish is a binding that is to be made or removed.
type BindingWish struct {
	VHost       string
	Source      string
	ToExchange  bool
	Destination string
	Key         string
	Arguments   protocol.RawTable // borrowed
	Owner       Owner             // the connection that asks
}

// Bind makes a binding. One that is there already is fine.
func (e *Editor) Bind(ctx context.Context, w BindingWish, by Actor, durable func(error)) error {
	w.Source, w.Destination = CleanName(w.Source), CleanName(w.Destination)
	return e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		v, refusal := e.allowBinding(c, w, by)
		if refusal != nil {
			return meta.Txn{}, refusal
		}
		source := v.Exchange(w.Source)
		if source == nil {
			return meta.Txn{}, protocol.NotFound("no %s", exchangeName(w.VHost, w.Source))
		}
		guard, lasting, refusal := e.destination(v, w)
		if refusal != nil {
			return meta.Txn{}, refusal
		}
		edge := w.edge()
		if _, exists := source.outgoing.Get(edge.key); exists {
			return meta.Txn{}, nil
		}
		binding := &matching.Binding{Key: w.Key, Arguments: w.Arguments, Target: v.target(edge)}
		if refusal := source.routing.Prepare(binding); refusal != nil {
			return meta.Txn{}, refusal
		}
		if refusal := source.suits(v, w); refusal != nil {
			return meta.Txn{}, refusal
		}
		with := guard.Key // whoever binds: what does not last is on the node of an end
		if lasting {
			with = key(sectionExchange, v.Name, w.Source)
		}
		return meta.Txn{
			Guards: []meta.Guard{guard, {Key: key(sectionExchange, v.Name, w.Source), Revision: source.Revision}},
			Ops:    []meta.Op{{Key: edge.key, Value: []byte("{}"), Ephemeral: !e.endures(&source.ExchangeRecord) || !lasting, With: with}},
		}, nil
	})
}

func (w *BindingWish) edge() *Edge {
	e := &Edge{
		VHost: w.VHost, Source: w.Source, ToExchange: w.ToExchange, Destination: w.Destination, Key: w.Key,
		Arguments: w.Arguments.Canonical(),
	}
	e.key = e.metaKey()
	return e
}

// allowBinding checks what does not depend on both ends being there.
func (e *Editor) allowBinding(c *Catalog, w BindingWish, by Actor) (*VHost, *protocol.Error) {
	v := c.VHost(w.VHost)
	if v == nil {
		return nil, protocol.NotFound("no vhost '%s'", w.VHost)
	}
	kind := "queue"
	if w.ToExchange {
		kind = "exchange"
	} else if strings.HasPrefix(w.Destination, DirectReplyTo+".") {
		return nil, protocol.AccessRefused("cannot bind or unbind to a volatile (direct reply-to) queue")
	}
	if refusal := by.Authorize(c, v.Name, Write, kind, w.Destination); refusal != nil {
		return nil, refusal
	}
	if w.Source == "" || w.ToExchange && w.Destination == "" {
		return nil, DefaultExchange("")
	}
	if refusal := by.Authorize(c, v.Name, Read, "exchange", w.Source); refusal != nil {
		return nil, refusal
	}
	if source := v.Exchange(w.Source); source != nil && source.Type == "topic" {
		return v, by.AuthorizeTopic(c, v.Name, Read, w.Source, w.Key)
	}
	return v, nil
}

// destination gives the guard for the end of a binding, and whether that end survives a restart.
func (e *Editor) destination(v *VHost, w BindingWish) (guard meta.Guard, lasting bool, refusal *protocol.Error) {
	if w.ToExchange {
		x := v.Exchange(w.Destination)
		if x == nil {
			return guard, false, protocol.NotFound("no %s", exchangeName(v.Name, w.Destination))
		}
		return meta.Guard{Key: key(sectionExchange, v.Name, x.Name), Revision: x.Revision}, e.endures(&x.ExchangeRecord), nil
	}
	q := v.Queue(w.Destination)
	if q == nil {
		return guard, false, protocol.NotFound("no %s", queueName(v.Name, w.Destination))
	}
	if refusal := q.Locked(w.Owner); refusal != nil {
		return guard, false, refusal
	}
	return meta.Guard{Key: key(sectionQueue, v.Name, q.Name), Revision: q.Revision}, q.Lasting(), nil
}

// suits refuses a binding that the exchange's type does not take to such a queue.
func (x *Exchange) suits(v *VHost, w BindingWish) *protocol.Error {
	q := v.Queue(w.Destination)
	if x.Type != "x-local-random" || w.ToExchange || q == nil || q.Type == "classic" {
		return nil
	}
	return protocol.PreconditionFailed("Queue type %s not valid for this exchange type", queueTypes[q.Type])
}

// Unbind removes a binding. If it, or an end of it, is not there, that is fine.
func (e *Editor) Unbind(ctx context.Context, w BindingWish, by Actor, durable func(error)) error {
	w.Source, w.Destination = CleanName(w.Source), CleanName(w.Destination)
	return e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		v, refusal := e.allowBinding(c, w, by)
		if refusal != nil {
			return meta.Txn{}, refusal
		}
		source := v.Exchange(w.Source)
		if source == nil {
			return meta.Txn{}, nil
		}
		edge, exists := source.outgoing.Get(w.edge().key)
		if !exists {
			return meta.Txn{}, nil
		}
		if _, _, refusal := e.destination(v, w); refusal != nil {
			return meta.Txn{}, refusal
		}
		r := removal{of: e, c: c, v: v, seen: map[string]bool{}}
		r.guard(edge.key, edge.Revision)
		r.edge(edge)
		return r.txn, nil
	})
}
