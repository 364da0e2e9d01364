package topology

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/warrenmq/warren/broker/matching"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
)

// actor may do everything but what is named in no: "write exchange x", or "read topic key".
type actor struct {
	no    []string
	asked []string
}

func (a *actor) Name() string { return "alice" }

func (a *actor) Authorize(_ *Catalog, vhost string, o Operation, kind, name string) *protocol.Error {
	return a.judge(fmt.Sprintf("%s %s %s", o, kind, name))
}

func (a *actor) AuthorizeTopic(_ *Catalog, vhost string, o Operation, exchange, key string) *protocol.Error {
	return a.judge(fmt.Sprintf("%s topic %s", o, key))
}

func (a *actor) judge(what string) *protocol.Error {
	a.asked = append(a.asked, what)
	for _, no := range a.no {
		if no == what {
			return protocol.AccessRefused("no %s", what)
		}
	}
	return nil
}

// world is an editor over metadata in memory.
type world struct {
	t testing.TB
	*Editor
	memory *meta.Memory
	disk   map[string]meta.KV // what lasts
}

var ctx = context.Background()

func newWorld(t testing.TB, change ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, memory: meta.NewMemory(nil, 0), disk: map[string]meta.KV{}}
	w.memory.Persist = w.persist
	w.Editor = open(t, w.memory, change...)
	_, err := w.PutVHost(ctx, "/", nil, nil)
	w.must(err)
	return w
}

// open opens an editor that spreads queues over three groups.
func open(t testing.TB, store meta.Store, change ...func(*Options)) *Editor {
	t.Helper()
	o := Options{Node: 1, Place: func(_ *Catalog, q *Queue) uint64 { return 1 + q.ID%3 }, Forbidden: Forbidden(nil)}
	for _, f := range change {
		f(&o)
	}
	e, err := Open(ctx, store, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (w *world) persist(revision int64, ops []meta.Op, durable func(error)) {
	for _, op := range ops {
		if op.Delete {
			delete(w.disk, op.Key)
		} else {
			w.disk[op.Key] = meta.KV{Key: op.Key, Value: op.Value, Revision: revision}
		}
	}
	if durable != nil {
		durable(nil)
	}
}

// restarted is what a node finds on its disk when it starts again.
func (w *world) restarted() *Catalog {
	w.t.Helper()
	var pairs []meta.KV
	for _, kv := range w.disk {
		pairs = append(pairs, kv)
	}
	return open(w.t, meta.NewMemory(pairs, w.Catalog().Revision)).Catalog()
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// write puts a pair into the store that no method of Editor writes.
func (w *world) write(key, value string) {
	w.t.Helper()
	_, err := w.memory.Commit(ctx, meta.Txn{Ops: []meta.Op{{Key: key, Value: []byte(value)}}}, nil)
	w.must(err)
}

func (w *world) vhost() *VHost { return w.Catalog().VHost("/") }

// want demands a refusal, as it goes to the client: "403 ACCESS_REFUSED - text"; "" for none.
func want(t testing.TB, what string, err error, refusal string) {
	t.Helper()
	got := ""
	var e *protocol.Error
	switch {
	case errors.As(err, &e):
		got = fmt.Sprintf("%d %s", e.Code, e.ReplyText())
	case err != nil:
		got = "no refusal: " + err.Error()
	}
	if got != refusal {
		t.Errorf("%s:\ngot  %s\nwant %s", what, got, refusal)
	}
}

// fields makes a table of pairs.
func fields(pairs ...any) protocol.RawTable {
	t := protocol.Table{}
	for i := 0; i < len(pairs); i += 2 {
		t = append(t, protocol.Field{Key: pairs[i].(string), Value: pairs[i+1]})
	}
	return t.Raw()
}

func (w *world) declareExchange(name, kind string, change ...func(*ExchangeDeclaration)) error {
	d := ExchangeDeclaration{VHost: "/", Name: name, Type: kind, Durable: true}
	for _, f := range change {
		f(&d)
	}
	return w.DeclareExchange(ctx, d, &actor{}, nil)
}

func (w *world) exchange(name, kind string, change ...func(*ExchangeDeclaration)) {
	w.t.Helper()
	w.must(w.declareExchange(name, kind, change...))
}

func (w *world) declareQueue(name string, change ...func(*QueueDeclaration)) (*Queue, error) {
	d := QueueDeclaration{VHost: "/", Name: name, Durable: true, Owner: Owner{Node: 1, Session: 5}}
	for _, f := range change {
		f(&d)
	}
	return w.DeclareQueue(ctx, d, &actor{}, nil)
}

func (w *world) queue(name string, change ...func(*QueueDeclaration)) *Queue {
	w.t.Helper()
	q, err := w.declareQueue(name, change...)
	w.must(err)
	return q
}

// with sets the arguments of a queue to be.
func with(pairs ...any) func(*QueueDeclaration) {
	return func(d *QueueDeclaration) { d.Arguments = fields(pairs...) }
}

// to is a binding to a queue, toExchange one to an exchange.
func to(source, destination, key string, arguments ...any) BindingWish {
	return BindingWish{
		VHost: "/", Source: source, Destination: destination, Key: key, Arguments: fields(arguments...),
		Owner: Owner{Node: 1, Session: 5},
	}
}

func toX(source, destination, key string, arguments ...any) BindingWish {
	b := to(source, destination, key, arguments...)
	b.ToExchange = true
	return b
}

func (w *world) bind(wishes ...BindingWish) {
	w.t.Helper()
	for _, b := range wishes {
		w.must(w.Bind(ctx, b, &actor{}, nil))
	}
}

func (w *world) unbind(wishes ...BindingWish) {
	w.t.Helper()
	for _, b := range wishes {
		w.must(w.Unbind(ctx, b, &actor{}, nil))
	}
}

// dump writes everything a catalog shows, and what its exchanges select, without revisions.
func dump(c *Catalog) string {
	var b strings.Builder
	c.Users(func(u *User) bool { fmt.Fprintf(&b, "user %q %+v\n", u.Name, u.UserRecord); return true })
	c.Globals(func(p *Parameter) bool { fmt.Fprintf(&b, "global %q %s\n", p.Name, p.Value); return true })
	c.VHosts(func(v *VHost) bool {
		fmt.Fprintf(&b, "vhost %q %+v\n", v.Name, v.VHostRecord)
		v.Permissions(func(p *Permission) bool {
			fmt.Fprintf(&b, " permission %q %s %s %s\n", p.User, p.Configure, p.Write, p.Read)
			return true
		})
		v.TopicPermissions(func(p *TopicPermission) bool {
			fmt.Fprintf(&b, " topic %q %q %s %s\n", p.User, p.Exchange, p.Write, p.Read)
			return true
		})
		v.Parameters(func(p *Parameter) bool {
			fmt.Fprintf(&b, " parameter %q %q %s\n", p.Component, p.Name, p.Value)
			return true
		})
		for _, p := range append(v.Policies(), v.OperatorPolicies()...) {
			fmt.Fprintf(&b, " policy %q %v %+v\n", p.Name, p.Operator, p.PolicyRecord)
		}
		v.Exchanges(func(x *Exchange) bool { dumpExchange(&b, x); return true })
		v.Queues(func(q *Queue) bool {
			fmt.Fprintf(&b, " queue %q %+v policy %v %v config %+v target %+v\n", q.Name, q.QueueRecord, policyName(q.Policy), policyName(q.Operator), q.Config, *q.Target)
			q.Incoming(func(e *Edge) bool { fmt.Fprintf(&b, "  from %q\n", e.key); return true })
			if c.QueueByID(q.ID) != q {
				fmt.Fprintf(&b, "  is not found by its id\n")
			}
			return true
		})
		return true
	})
	return b.String()
}

func policyName(p *Policy) string {
	if p == nil {
		return "none"
	}
	return p.Name
}

func dumpExchange(b *strings.Builder, x *Exchange) {
	fmt.Fprintf(b, " exchange %q %+v alternate %q policy %v\n", x.Name, x.ExchangeRecord, x.Alternate, policyName(x.Policy))
	x.Outgoing(func(e *Edge) bool { fmt.Fprintf(b, "  to %q\n", e.key); return true })
	x.Incoming(func(e *Edge) bool { fmt.Fprintf(b, "  from %q\n", e.key); return true })
	for _, key := range []string{"", "a", "b", "a.b", "k"} {
		found := map[string]int{}
		x.Index.Match(&matching.Message{Key: key, Keys: []string{key}}, func(t *matching.Target) { found[fmt.Sprintf("%q %v", t.Name, t.Exchange)]++ })
		fmt.Fprintf(b, "  %q selects %v\n", key, found)
	}
}
