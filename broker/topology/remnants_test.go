package topology

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/warrenmq/warren/store/meta"
)

// halves is a store that takes so many ops at a time, and whose node dies behind the first of them: what is done is done.
type halves struct {
	meta.Store
	most int
}

func (h *halves) Commit(ctx context.Context, t meta.Txn, durable func(error)) (int64, error) {
	if h.most == 0 || len(t.Ops) <= h.most {
		return h.Store.Commit(ctx, t, durable)
	}
	t.Ops = t.Ops[:h.most]
	if _, err := h.Store.Commit(ctx, t, nil); err != nil {
		return 0, err
	}
	return 0, meta.ErrUnavailable
}

// half opens a world's metadata a second time, as another node that makes so many ops of each change.
func (w *world) half(most int) *Editor {
	w.t.Helper()
	return open(w.t, &halves{w.memory, most})
}

// anew is what a node finds that starts now.
func (w *world) anew() *Catalog { return open(w.t, w.memory).Catalog() }

// deletions are what takes many ops: what it removes, how, and how it is made again.
var deletions = []struct {
	name   string
	make   func(*world)
	remove func(*Editor) error
	again  func(*world)
}{
	{"a queue with bindings", func(w *world) {
		w.exchange("x", "topic")
		w.queue("gone")
		for i := range 10 {
			w.bind(to("x", "gone", fmt.Sprint(i)))
		}
	}, func(e *Editor) error { return e.DeleteQueue(ctx, "/", "gone", 0, nil) }, func(w *world) {
		w.queue("gone")
		w.bind(to("x", "gone", "3"))
	}},
	{"an exchange with bindings", func(w *world) {
		w.exchange("gone", "topic")
		w.exchange("before", "topic")
		w.queue("q")
		for i := range 10 {
			w.bind(to("gone", "q", fmt.Sprint(i)), toX("before", "gone", fmt.Sprint(i)))
		}
	}, func(e *Editor) error { return e.DeleteExchange(ctx, "/", "gone", false, &actor{}, nil) }, func(w *world) {
		w.exchange("gone", "topic")
		w.bind(to("gone", "q", "3"), toX("before", "gone", "3"))
	}},
	{"an auto-delete exchange that loses its binding", func(w *world) {
		w.exchange("gone", "topic", func(d *ExchangeDeclaration) { d.AutoDelete = true })
		w.exchange("before", "topic")
		w.queue("q")
		w.bind(to("gone", "q", "k"))
		for i := range 10 {
			w.bind(toX("before", "gone", fmt.Sprint(i)))
		}
	}, func(e *Editor) error { return e.Unbind(ctx, to("gone", "q", "k"), &actor{}, nil) }, func(w *world) {
		w.exchange("gone", "topic", func(d *ExchangeDeclaration) { d.AutoDelete = true })
		w.bind(toX("before", "gone", "3"))
	}},
	{"a user with permissions", func(w *world) {
		w.user("gone")
		for i := range 10 {
			_, err := w.PutVHost(ctx, fmt.Sprint(i), nil, nil)
			w.must(err)
			_, err = w.PutPermission(ctx, fmt.Sprint(i), "gone", ".*", ".*", ".*", nil)
			w.must(err)
			_, err = w.PutTopicPermission(ctx, fmt.Sprint(i), "gone", "amq.topic", ".*", ".*", nil)
			w.must(err)
		}
	}, func(e *Editor) error { _, err := e.DeleteUser(ctx, "gone", nil); return err }, func(w *world) {
		w.user("gone")
		_, err := w.PutPermission(ctx, "3", "gone", "", "", "", nil)
		w.must(err)
	}},
	{"a vhost with everything", func(w *world) {
		w.user("u")
		w.full("gone")
	}, func(e *Editor) error { _, err := e.DeleteVHost(ctx, "gone", nil); return err }, func(w *world) {
		_, err := w.PutVHost(ctx, "gone", nil, nil)
		w.must(err)
	}},
}

func (w *world) user(name string) {
	w.t.Helper()
	_, err := w.PutUser(ctx, name, func(r *UserRecord) error { r.PasswordHash = "h"; return nil }, nil)
	w.must(err)
}

// full makes a vhost with one of each.
func (w *world) full(vhost string) {
	w.t.Helper()
	_, err := w.PutVHost(ctx, vhost, nil, nil)
	w.must(err)
	_, err = w.PutPermission(ctx, vhost, "u", ".*", ".*", ".*", nil)
	w.must(err)
	_, err = w.PutTopicPermission(ctx, vhost, "u", "amq.topic", ".*", ".*", nil)
	w.must(err)
	_, err = w.PutParameter(ctx, vhost, "federation-upstream-set", "n", []any{}, nil)
	w.must(err)
	for _, operator := range []bool{false, true} {
		_, err = w.PutPolicy(ctx, vhost, "p", operator, PolicyWish{Pattern: ".*", Definition: map[string]any{"max-length": json.Number("1")}}, nil)
		w.must(err)
	}
	for _, name := range []string{"q", "r"} {
		_, err = w.DeclareQueue(ctx, QueueDeclaration{VHost: vhost, Name: name, Durable: true}, &actor{}, nil)
		w.must(err)
		w.must(w.Bind(ctx, BindingWish{VHost: vhost, Source: "amq.topic", Destination: name, Key: "k"}, &actor{}, nil))
	}
}

// TestADeletionThatBreaksOff is one all the same, wherever it did: nobody sees what is left, a node that starts then as little as
// those that were there. What is made again under its name has nothing of it, nor has it after the next start.
func TestADeletionThatBreaksOff(t *testing.T) {
	for _, d := range deletions {
		t.Run(d.name, func(t *testing.T) {
			whole := newWorld(t)
			d.make(whole)
			whole.must(d.remove(whole.Editor))
			gone := names(whole.Catalog())
			d.again(whole)
			again := names(whole.Catalog())
			for most := 1; ; most++ {
				w := newWorld(t)
				d.make(w)
				err := d.remove(w.half(most))
				if err == nil {
					if most < 5 {
						t.Errorf("%d ops are all of it", most)
					}
					return
				}
				for who, c := range map[string]*Catalog{"who was there": w.Catalog(), "who starts": w.anew()} {
					if got := names(c); got != gone {
						t.Errorf("%s sees behind the first %d ops:\n%s\nnot:\n%s", who, most, got, gone)
					}
				}
				w.must(d.remove(w.Editor))
				d.again(w)
				for who, c := range map[string]*Catalog{"who was there": w.Catalog(), "who starts": w.anew()} {
					if got := names(c); got != again {
						t.Errorf("%s sees, when it is made again, behind the first %d ops:\n%s\nnot:\n%s", who, most, got, again)
					}
				}
			}
		})
	}
}

// meanwhile is a store in which something else comes first, once.
type meanwhile struct {
	meta.Store
	do func()
}

func (m *meanwhile) Commit(ctx context.Context, t meta.Txn, durable func(error)) (int64, error) {
	if do := m.do; do != nil {
		m.do = nil
		do()
	}
	return m.Store.Commit(ctx, t, durable)
}

// TestADeletionThatDoesNotKnowEverything: what is added, on another node, to what is about to be removed goes too, and does not
// come back with what is made again.
func TestADeletionThatDoesNotKnowEverything(t *testing.T) {
	additions := []func(*world){
		func(w *world) { w.bind(to("x", "gone", "late")) },
		func(w *world) { w.bind(to("gone", "q", "late"), toX("before", "gone", "late")) },
		func(w *world) { w.bind(toX("before", "gone", "late")) },
		func(w *world) {
			_, err := w.PutPermission(ctx, "/", "gone", ".*", ".*", ".*", nil)
			w.must(err)
		},
		func(w *world) {
			_, err := w.DeclareQueue(ctx, QueueDeclaration{VHost: "gone", Name: "late", Durable: true}, &actor{}, nil)
			w.must(err)
			w.must(w.Bind(ctx, BindingWish{VHost: "gone", Source: "amq.fanout", Destination: "late"}, &actor{}, nil))
		},
	}
	for i, d := range deletions {
		t.Run(d.name, func(t *testing.T) {
			whole, w := newWorld(t), newWorld(t)
			d.make(whole)
			d.make(w)
			whole.must(d.remove(whole.Editor))
			w.must(d.remove(open(t, &meanwhile{w.memory, func() { additions[i](w) }})))
			for round, want := range []string{names(whole.Catalog()), func() string { d.again(whole); return names(whole.Catalog()) }()} {
				for who, c := range map[string]*Catalog{"who was there": w.Catalog(), "who starts": w.anew()} {
					if got := names(c); got != want {
						t.Errorf("%s sees in round %d:\n%s\nnot:\n%s", who, round, got, want)
					}
				}
				d.again(w)
			}
		})
	}
}

// TestTwoSweepAtOnce: both get what they want.
func TestTwoSweepAtOnce(t *testing.T) {
	w := newWorld(t)
	deletions[0].make(w)
	if err := w.half(1).DeleteQueue(ctx, "/", "gone", 0, nil); err == nil {
		t.Fatal("it is whole")
	}
	other := open(t, &meanwhile{w.memory, func() { w.queue("here") }})
	_, err := other.DeclareQueue(ctx, QueueDeclaration{VHost: "/", Name: "gone", Durable: true}, &actor{}, nil)
	w.must(err)
	if c := w.anew(); c.remnants.Len() != 0 || c.VHost("/").Queue("gone") == nil || c.VHost("/").Queue("here") == nil {
		t.Errorf("%d pairs are left; %s", c.remnants.Len(), names(c))
	}
}

// TestWhatChangesNothingSweepsNothing: it is answered while the store takes no changes.
func TestWhatChangesNothingSweepsNothing(t *testing.T) {
	w := newWorld(t)
	deletions[0].make(w)
	w.queue("here")
	if err := w.half(1).DeleteQueue(ctx, "/", "gone", 0, nil); err == nil {
		t.Fatal("it is whole")
	}
	e := open(t, &meanwhile{w.memory, func() { t.Error("something was committed") }})
	_, err := e.DeclareQueue(ctx, QueueDeclaration{VHost: "/", Name: "here", Durable: true}, &actor{}, nil)
	w.must(err)
}

// TestAnExchangeWhoseLastBindingGoesWithANode: if it is to go with that binding it does, as soon as anybody changes anything; until
// then it can be bound again, and stays, or be declared anew.
func TestAnExchangeWhoseLastBindingGoesWithANode(t *testing.T) {
	lose := func(w *world) { // as etcd does when a lease ends
		w.exchange("before", "fanout")
		w.exchange("goes", "fanout", func(d *ExchangeDeclaration) { d.AutoDelete = true })
		w.bind(toX("before", "goes", "k"))
		w.queue("there")
		w.queue("lost")
		w.bind(to("goes", "lost", "k"))
		txn := meta.Txn{}
		for _, key := range []string{"queue/%2F/lost", "binding/%2F/goes/q/lost/k/"} {
			txn.Ops = append(txn.Ops, drop(key))
		}
		_, err := w.memory.Commit(ctx, txn, nil)
		w.must(err)
	}
	w := newWorld(t)
	lose(w)
	w.queue("something else")
	before := w.vhost().Exchange("before")
	if w.vhost().Exchange("goes") != nil || before == nil || before.outgoing.Len() != 0 || w.anew().remnants.Len() != 0 {
		t.Errorf("it has not gone: %s", names(w.Catalog()))
	}
	w = newWorld(t)
	lose(w)
	w.must(w.declareExchange("goes", "direct"))
	if x := w.vhost().Exchange("goes"); x == nil || x.Type != "direct" || x.incoming.Len() != 0 {
		t.Errorf("it was not declared anew: %s", names(w.Catalog()))
	}
	w = newWorld(t)
	lose(w)
	w.write("binding/%2F/goes/q/there/k/", "{}") // by somebody who had not heard of it
	w.queue("something else")
	if x := w.vhost().Exchange("goes"); x == nil || x.outgoing.Len() != 1 {
		t.Errorf("it was bound again, and has gone: %s", names(w.Catalog()))
	}
}

// TestAnExchangeOfACluster is of no node, durable or not, unless there is a queue behind it; its bindings go with their queues.
func TestAnExchangeOfACluster(t *testing.T) {
	for _, shared := range []bool{false, true} {
		w := newWorld(t, func(o *Options) { o.Shared = shared })
		passing := func(d *ExchangeDeclaration) { d.Durable = false }
		w.exchange("lasting", "fanout")
		w.exchange("passing", "fanout", passing)
		w.exchange("remembers", "x-recent-history", passing)
		w.queue("q")
		w.queue("mine", func(d *QueueDeclaration) { d.Durable, d.Exclusive = false, true })
		w.bind(to("passing", "q", "k"), to("passing", "mine", "k"), toX("lasting", "passing", "k"), to("remembers", "q", "k"))
		for key, lasts := range map[string]bool{
			"exchange/%2F/lasting": true, "exchange/%2F/passing": shared, "exchange/%2F/remembers": false,
			"binding/%2F/passing/q/q/k/": shared, "binding/%2F/passing/q/mine/k/": false, "binding/%2F/lasting/x/passing/k/": shared,
			"binding/%2F/remembers/q/q/k/": false,
		} {
			if _, is := w.disk[key]; is != lasts {
				t.Errorf("shared %v: %s is there after a restart: %v", shared, key, is)
			}
		}
		w.must(w.DeleteExchange(ctx, "/", "passing", false, &actor{}, nil))
		w.must(w.DeleteQueue(ctx, "/", "mine", 0, nil))
		if c := w.restarted(); c.VHost("/").Exchange("passing") != nil || c.remnants.Len() != 0 {
			t.Errorf("shared %v: what was deleted is there after a restart: %s", shared, names(c))
		}
	}
}

// names are what a catalog shows, but for what differs each time that it is made.
func names(c *Catalog) string {
	var b strings.Builder
	c.Users(func(u *User) bool { fmt.Fprintf(&b, "user %q\n", u.Name); return true })
	c.VHosts(func(v *VHost) bool {
		fmt.Fprintf(&b, "vhost %q\n", v.Name)
		v.Permissions(func(p *Permission) bool { fmt.Fprintf(&b, " permission %q %s\n", p.User, p.Write); return true })
		v.TopicPermissions(func(p *TopicPermission) bool { fmt.Fprintf(&b, " topic %q %q\n", p.User, p.Exchange); return true })
		v.Parameters(func(p *Parameter) bool { fmt.Fprintf(&b, " parameter %q %q\n", p.Component, p.Name); return true })
		for _, p := range append(v.Policies(), v.OperatorPolicies()...) {
			fmt.Fprintf(&b, " policy %q %v\n", p.Name, p.Operator)
		}
		v.Exchanges(func(x *Exchange) bool { dumpExchange(&b, x); return true })
		v.Queues(func(q *Queue) bool {
			fmt.Fprintf(&b, " queue %q\n", q.Name)
			q.Incoming(func(e *Edge) bool { fmt.Fprintf(&b, "  from %q\n", e.key); return true })
			return true
		})
		return true
	})
	return b.String()
}
