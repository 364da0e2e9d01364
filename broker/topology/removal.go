package topology

import (
	"github.com/warrenmq/warren/store/meta"
)

// removal gathers the transaction that removes something and all that goes with it: its bindings, and the auto-delete
// exchanges that thereby lose the last binding they were the source of.
type removal struct {
	of   *Editor
	c    *Catalog
	v    *VHost
	txn  meta.Txn
	seen map[string]bool // keys that go
}

func (r *removal) drop(key string, ephemeral bool) {
	if !r.seen[key] {
		r.seen[key] = true
		r.txn.Ops = append(r.txn.Ops, meta.Op{Key: key, Delete: true, Ephemeral: ephemeral})
	}
}

func (r *removal) guard(key string, revision int64) {
	r.txn.Guards = append(r.txn.Guards, meta.Guard{Key: key, Revision: revision})
}

func (r *removal) queue(q *Queue) {
	k := key(sectionQueue, q.VHost, q.Name)
	if r.seen[k] {
		return
	}
	r.guard(k, q.Revision)
	r.drop(k, !q.Lasting())
	q.Incoming(func(e *Edge) bool {
		r.edge(e)
		return true
	})
}

func (r *removal) exchange(x *Exchange) {
	k := key(sectionExchange, x.VHost, x.Name)
	if r.seen[k] {
		return
	}
	r.guard(k, x.Revision)
	r.drop(k, !r.of.endures(&x.ExchangeRecord))
	x.Outgoing(func(e *Edge) bool {
		r.edge(e)
		return true
	})
	x.Incoming(func(e *Edge) bool {
		r.edge(e)
		return true
	})
}

// edge removes a binding, and its source if that has nothing left to be there for.
func (r *removal) edge(e *Edge) {
	if r.seen[e.key] {
		return
	}
	r.drop(e.key, !r.lasting(e))
	source := r.v.Exchange(e.Source)
	if source == nil || !source.AutoDelete {
		return
	}
	left := false
	source.Outgoing(func(o *Edge) bool {
		left = !r.seen[o.key]
		return !left
	})
	if !left {
		r.exchange(source)
	}
}

// lasting tells whether a binding survives a restart: both its ends do.
func (r *removal) lasting(e *Edge) bool {
	source := r.v.Exchange(e.Source)
	if source == nil || !r.of.endures(&source.ExchangeRecord) {
		return false
	}
	if e.ToExchange {
		x := r.v.Exchange(e.Destination)
		return x != nil && r.of.endures(&x.ExchangeRecord)
	}
	q := r.v.Queue(e.Destination)
	return q != nil && q.Lasting()
}
