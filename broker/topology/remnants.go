package topology

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/warrenmq/warren/store/meta"
)

// A deletion that is too large for one transaction of etcd is made in several, and the first decides: decidingFirst. Who fails
// behind it leaves the rest; and somebody may bind a queue, on one node, at the moment at which somebody deletes it on another.
// What is left so is a remnant: a pair whose vhost, user, exchange or queue is gone. It has no place in a Catalog, which only
// knows its key. Were something of that name made again, the remnant would be its own; so whoever changes anything removes all
// remnants first (Editor.sweep). None can be of something that was made later: what is written is guarded by the revision of what
// it belongs to.

// leave notes a remnant.
func (b *builder) leave(key string, revision int64) {
	b.next.remnants = b.next.remnants.Set(key, revision)
}

// cleared notes that a pair is no remnant, or no longer.
func (b *builder) cleared(key string) {
	if b.next.remnants.Len() > 0 {
		b.next.remnants = b.next.remnants.Delete(key)
	}
}

// leaveEdges takes away the bindings of an exchange or queue that goes.
func (b *builder) leaveEdges(v *VHost, of ...edges) {
	for _, list := range of {
		each(list, func(e *Edge) bool {
			b.detach(v, e)
			b.leave(e.key, e.Revision)
			return true
		})
	}
}

// leaveEmptied notes auto-delete exchanges that lost their last binding and are still there: with a queue of a node that has died,
// which has removed nothing itself. They are shown until they go, and may be bound again until then.
func (b *builder) leaveEmptied() {
	for _, x := range b.emptied {
		v := b.vhost(x.VHost)
		if v == nil {
			continue
		}
		if now := v.Exchange(x.Name); now != nil && now.AutoDelete && now.outgoing.Len() == 0 {
			b.leave(now.key(), now.Revision)
		}
	}
}

// leaves tells whether an exchange is about to go.
func (c *Catalog) leaves(x *Exchange) bool {
	_, is := c.remnants.Get(x.key())
	return is
}

// key is that of the exchange in the metadata store.
func (x *Exchange) key() string { return key(sectionExchange, x.VHost, x.Name) }

// leaveVHost notes all that is left in a vhost that goes.
func (b *builder) leaveVHost(v *VHost) {
	v.pairs(func(key string, revision int64) { b.leave(key, revision) })
}

// leaveUser takes away the permissions of a user that goes.
func (b *builder) leaveUser(name string) {
	b.next.VHosts(func(v *VHost) bool {
		if v.Permission(name) == nil && v.topics.Len() == 0 {
			return true
		}
		if v = b.vhost(v.Name); v == nil {
			return true
		}
		if p := v.Permission(name); p != nil {
			v.permissions = v.permissions.Delete(name)
			b.leave(key(sectionPermission, v.Name, name), p.Revision)
		}
		v.TopicPermissions(func(p *TopicPermission) bool {
			if p.User == name {
				v.topics = v.topics.Delete(pair(name, p.Exchange))
				b.leave(key(sectionTopic, v.Name, name, p.Exchange), p.Revision)
			}
			return true
		})
		return true
	})
}

// pairs visits the keys of everything in a vhost, and their revisions.
func (v *VHost) pairs(visit func(key string, revision int64)) {
	in := func(revision int64, section string, names ...string) bool {
		visit(key(section, append([]string{v.Name}, names...)...), revision)
		return true
	}
	v.Permissions(func(p *Permission) bool { return in(p.Revision, sectionPermission, p.User) })
	v.TopicPermissions(func(p *TopicPermission) bool { return in(p.Revision, sectionTopic, p.User, p.Exchange) })
	v.Parameters(func(p *Parameter) bool { return in(p.Revision, sectionParameter, p.Component, p.Name) })
	for _, p := range v.policies {
		in(p.Revision, sectionPolicy, p.Name)
	}
	for _, p := range v.operators {
		in(p.Revision, sectionOperator, p.Name)
	}
	v.Queues(func(q *Queue) bool { return in(q.Revision, sectionQueue, q.Name) })
	v.Exchanges(func(x *Exchange) bool {
		x.Outgoing(func(e *Edge) bool {
			visit(e.key, e.Revision)
			return true
		})
		return in(x.Revision, sectionExchange, x.Name)
	})
}

// sweep removes all remnants. Others may do the same meanwhile: then it is a conflict.
func (e *Editor) sweep(ctx context.Context, c *Catalog) error {
	var txn meta.Txn
	for it := c.remnants.Iterator(); !it.Done(); {
		k, revision, _ := it.Next()
		txn.Guards = append(txn.Guards, meta.Guard{Key: k, Revision: revision})
		txn.Ops = append(txn.Ops, drop(k))
	}
	_, err := e.store.Commit(ctx, txn, nil)
	return err
}

// decidingFirst gives a transaction with what makes the rest remnants in front.
func decidingFirst(txn meta.Txn) meta.Txn {
	if len(txn.Ops) > 1 {
		txn.Ops = slices.Clone(txn.Ops)
		slices.SortStableFunc(txn.Ops, func(a, b meta.Op) int { return cmp.Compare(weight(a.Key), weight(b.Key)) })
	}
	return txn
}

// weight is lower for what others belong to.
func weight(key string) int {
	switch section, _ := splitKey(key); section {
	case sectionVHost, sectionUser:
		return 0
	case sectionExchange, sectionQueue:
		return 1
	}
	return 2
}

// commit makes a change, as far as nothing is in its way: what is left of others goes first. again tells that the newest Catalog
// has to be looked at once more.
func (e *Editor) commit(ctx context.Context, c *Catalog, txn meta.Txn, durable func(error)) (again bool, err error) {
	var failed error
	if c.remnants.Len() > 0 {
		if failed = e.sweep(ctx, c); failed == nil {
			return true, nil
		}
	} else {
		_, failed = e.store.Commit(ctx, decidingFirst(txn), durable)
	}
	if errors.Is(failed, meta.ErrConflict) {
		return true, e.waitBeyond(ctx, c.Revision)
	}
	return false, failed
}
