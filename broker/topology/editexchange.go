package topology

import (
	"context"
	"strings"

	"github.com/warrenmq/warren/broker/matching"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
)

// ExchangeDeclaration is an exchange as somebody wishes it to be.
type ExchangeDeclaration struct {
	VHost      string
	Name       string
	Type       string
	Durable    bool
	AutoDelete bool
	Internal   bool
	Arguments  protocol.RawTable // borrowed
}

// DefaultExchange refuses what cannot be done with the nameless exchange.
func DefaultExchange(name string) *protocol.Error {
	if name != "" {
		return nil
	}
	return protocol.AccessRefused("operation not permitted on the default exchange")
}

// DeclareExchange makes an exchange, or finds that the one there is just so.
func (e *Editor) DeclareExchange(ctx context.Context, d ExchangeDeclaration, by Actor, durable func(error)) error {
	d.Name = CleanName(d.Name)
	plan := func(c *Catalog) (meta.Txn, error) {
		v := c.VHost(d.VHost)
		if v == nil {
			return meta.Txn{}, protocol.NotFound("no vhost '%s'", d.VHost)
		}
		kind, known := matching.Lookup(d.Type)
		if !known {
			return meta.Txn{}, protocol.PreconditionFailed("unknown exchange type '%s'", d.Type)
		}
		if refusal := DefaultExchange(d.Name); refusal != nil {
			return meta.Txn{}, refusal
		}
		if refusal := by.Authorize(c, v.Name, Configure, "exchange", d.Name); refusal != nil {
			return meta.Txn{}, refusal
		}
		if have := v.Exchange(d.Name); have != nil && !c.leaves(have) {
			return meta.Txn{}, equivalentExchange(have, d).orNil()
		}
		if refusal := e.allowExchange(c, v, kind, d, by); refusal != nil {
			return meta.Txn{}, refusal
		}
		return e.createExchange(c, v, kind, d, by.Name())
	}
	return e.placed(ctx, func() error { return e.edit(ctx, durable, plan) })
}

func (e *Editor) createExchange(c *Catalog, v *VHost, kind matching.Kind, d ExchangeDeclaration, user string) (meta.Txn, error) {
	k := key(sectionExchange, v.Name, d.Name)
	record := ExchangeRecord{
		Type: d.Type, Durable: d.Durable, AutoDelete: d.AutoDelete, Internal: d.Internal, Arguments: d.Arguments, User: user,
	}
	if kind.Memory != matching.NoMemory {
		q := &Queue{VHost: v.Name, Name: d.Name}
		q.Durable, q.ID = d.Durable, randomID()
		group, err := e.place(c, q, exchangeName(v.Name, d.Name))
		if err != nil {
			return meta.Txn{}, err
		}
		record.Behind = &MemoryRecord{ID: q.ID, Group: group}
	}
	return meta.Txn{
		Guards: []meta.Guard{{Key: key(sectionVHost, v.Name), Revision: v.Revision}, {Key: k}},
		Ops:    []meta.Op{put(k, &record, !e.endures(&record))},
	}, nil
}

// endures tells whether an exchange outlives the node that it is declared on. One with a queue behind it goes with that.
func (e *Editor) endures(x *ExchangeRecord) bool { return x.Durable || e.Shared && x.Behind == nil }

func (e *Editor) allowExchange(c *Catalog, v *VHost, kind matching.Kind, d ExchangeDeclaration, by Actor) *protocol.Error {
	if strings.HasPrefix(d.Name, reserved) {
		return protocol.AccessRefused("exchange name '%s' contains reserved prefix 'amq.*'", d.Name)
	}
	if value, ok := d.Arguments.Lookup(argAlternate); ok {
		name, isText := value.Decode().(string)
		if !isText {
			return protocol.PreconditionFailed("invalid type '%s' for arg 'alternate-exchange' in %s", value.TypeName(), exchangeName(v.Name, d.Name))
		}
		if refusal := by.Authorize(c, v.Name, Read, "exchange", d.Name); refusal != nil {
			return refusal
		}
		if refusal := by.Authorize(c, v.Name, Write, "exchange", name); refusal != nil {
			return refusal
		}
	}
	if _, refusal := kind.New(d.Arguments); refusal != nil {
		return refusal
	}
	if e.ExchangeLimit > 0 {
		count := int64(0)
		c.VHosts(func(v *VHost) bool { count += int64(v.ExchangeCount()); return true })
		if count >= e.ExchangeLimit {
			return protocol.PreconditionFailed("cannot declare %s: exchange limit of %d is reached", exchangeName(v.Name, d.Name), e.ExchangeLimit)
		}
	}
	return nil
}

// atom shows a name as Erlang shows an atom: within quotes unless it is a plain word.
func atom(name string) string {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z'
		if !letter && (i == 0 || r != '_' && r != '@' && (r < '0' || r > '9') && (r < 'A' || r > 'Z')) {
			return "'" + name + "'"
		}
	}
	return name
}

func equivalentExchange(have *Exchange, d ExchangeDeclaration) refused {
	where := exchangeName(have.VHost, have.Name)
	if have.Type != d.Type {
		return refused{inequivalent("type", where, "'"+atom(d.Type)+"'", "'"+atom(have.Type)+"'")}
	}
	for _, f := range []struct {
		name       string
		have, want bool
	}{
		{"durable", have.Durable, d.Durable},
		{"auto_delete", have.AutoDelete, d.AutoDelete},
		{"internal", have.Internal, d.Internal},
	} {
		if refusal := equivalentFlag(f.name, where, f.have, f.want); refusal != nil {
			return refused{refusal}
		}
	}
	return refused{equivalentArgument(argAlternate, where, have.Table, d.Arguments.Decode())}
}

// DeleteExchange removes an exchange and its bindings. One that is not there is fine.
func (e *Editor) DeleteExchange(ctx context.Context, vhost, name string, ifUnused bool, by Actor, durable func(error)) error {
	name = CleanName(name)
	return e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		if refusal := DefaultExchange(name); refusal != nil {
			return meta.Txn{}, refusal
		}
		if strings.HasPrefix(name, reserved) {
			return meta.Txn{}, protocol.AccessRefused("deletion of system %s not allowed", exchangeName(vhost, name))
		}
		if refusal := by.Authorize(c, vhost, Configure, "exchange", name); refusal != nil {
			return meta.Txn{}, refusal
		}
		v := c.VHost(vhost)
		if v == nil || v.Exchange(name) == nil {
			return meta.Txn{}, nil
		}
		x := v.Exchange(name)
		if ifUnused && x.outgoing.Len() > 0 {
			return meta.Txn{}, protocol.PreconditionFailed("%s in use", exchangeName(vhost, name))
		}
		r := removal{of: e, c: c, v: v, seen: map[string]bool{}}
		r.exchange(x)
		return r.txn, nil
	})
}
