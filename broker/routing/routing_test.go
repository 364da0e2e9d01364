package routing

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/warrenmq/warren/broker/matching"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
)

// groupsInTest is over how many groups the queues are spread.
const groupsInTest = 3

// world is a vhost that a test fills.
type world struct {
	t      testing.TB
	editor *topology.Editor
	store  *meta.Memory
	owner  topology.Owner
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, store: meta.NewMemory(nil, 0), owner: topology.Owner{Node: 1, Session: 7}}
	var err error
	w.editor, err = topology.Open(context.Background(), w.store, topology.Options{
		Node: 1, Place: func(_ *topology.Catalog, q *topology.Queue) uint64 { return q.ID % groupsInTest },
	})
	w.must(err)
	_, err = w.editor.PutVHost(context.Background(), "/", nil, nil)
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) queue(names ...string) {
	w.t.Helper()
	for _, name := range names {
		_, err := w.editor.DeclareQueue(context.Background(), topology.QueueDeclaration{VHost: "/", Name: name}, topology.Unlimited("anybody"), nil)
		w.must(err)
	}
}

// exchange declares an exchange, with an alternate exchange unless that is "".
func (w *world) exchange(name, kind, alternate string) {
	w.t.Helper()
	d := topology.ExchangeDeclaration{VHost: "/", Name: name, Type: kind}
	if alternate != "" {
		d.Arguments = protocol.Table{{Key: "alternate-exchange", Value: alternate}}.Raw()
	}
	w.must(w.editor.DeclareExchange(context.Background(), d, topology.Unlimited("anybody"), nil))
}

// bind binds a queue, or an exchange if toExchange is set.
func (w *world) bind(source, destination, key string, toExchange bool, arguments ...protocol.Field) {
	w.t.Helper()
	w.must(w.editor.Bind(context.Background(), topology.BindingWish{
		VHost: "/", Source: source, Destination: destination, Key: key, ToExchange: toExchange,
		Arguments: protocol.Table(arguments).Raw(),
	}, topology.Unlimited("anybody"), nil))
}

func (w *world) vhost() *topology.VHost { return w.editor.Catalog().VHost("/") }

// route finds the route of a message with these routing keys, the first its own.
func (w *world) route(exchange string, headers protocol.Table, keys ...string) *Route {
	w.t.Helper()
	x := w.vhost().Exchange(exchange)
	if x == nil {
		w.t.Fatalf("there is no exchange %q", exchange)
	}
	return Find(w.vhost(), x, &Message{Message: matching.Message{Key: keys[0], Headers: headers.Raw()}, More: keys[1:]})
}

// queues gives the names on a route, sorted, those that come twice twice.
func (w *world) queues(r *Route) []string {
	w.t.Helper()
	var list []string
	seen := map[uint64]bool{}
	for _, g := range r.Groups {
		if seen[g.Group] || len(g.Queues) == 0 {
			w.t.Errorf("group %d comes twice, or has no queue", g.Group)
		}
		seen[g.Group] = true
		for _, id := range g.Queues {
			q := w.editor.Catalog().QueueByID(uint64(id))
			if q == nil || q.Group != g.Group {
				w.t.Fatalf("queue %d is not in group %d", id, g.Group)
			}
			list = append(list, q.Name)
		}
	}
	slices.Sort(list)
	return list
}

func (w *world) want(r *Route, names ...string) {
	w.t.Helper()
	if got := w.queues(r); !slices.Equal(got, names) {
		w.t.Errorf("got %q, want %q", got, names)
	}
	if r.Empty() != (len(names) == 0) {
		w.t.Errorf("Empty is %v", r.Empty())
	}
}

func TestDefaultExchangeRoutesToTheQueueOfThatName(t *testing.T) {
	w := newWorld(t)
	w.queue("a", "b")
	w.want(w.route("", nil, "a"), "a")
	w.want(w.route("", nil, "c"))
	w.want(w.route("", nil, ""))
	w.want(w.route("", nil, "a", "b", "c", "a"), "a", "b")
	w.want(w.route("", nil, "c", "b"), "b")
}

func TestAQueueGetsOneCopy(t *testing.T) {
	w := newWorld(t)
	w.queue("q", "other")
	w.exchange("x", "topic", "")
	w.exchange("y", "fanout", "")
	w.exchange("z", "direct", "")
	for _, key := range []string{"#", "a.*", "a.b", "*.b"} {
		w.bind("x", "q", key, false)
	}
	w.bind("x", "y", "a.#", true)
	w.bind("x", "z", "#", true)
	w.bind("y", "q", "", false)
	w.bind("z", "q", "a.b", false)
	w.bind("z", "other", "k", false)
	w.want(w.route("x", nil, "a.b"), "q")
	w.want(w.route("x", nil, "a.b", "a.b", "k", "a.c"), "other", "q")
}

func TestFurtherKeysCountLikeTheFirst(t *testing.T) {
	w := newWorld(t)
	w.queue("a", "b", "c")
	w.exchange("x", "direct", "")
	for _, name := range []string{"a", "b", "c"} {
		w.bind("x", name, "key-"+name, false)
	}
	w.want(w.route("x", nil, "key-a"), "a")
	w.want(w.route("x", nil, "none", "key-c"), "c")
	w.want(w.route("x", nil, "key-a", "key-b", "key-c"), "a", "b", "c")
	w.want(w.route("x", nil, "none", "neither"))
}

func TestExchangesInACircleAreVisitedOnce(t *testing.T) {
	w := newWorld(t)
	w.queue("qa", "qb", "qc")
	for _, name := range []string{"a", "b", "c"} {
		w.exchange(name, "fanout", "")
		w.bind(name, "q"+name, "", false)
	}
	w.bind("a", "b", "", true)
	w.bind("b", "c", "", true)
	w.bind("c", "a", "", true)
	w.bind("c", "c", "", true)
	for _, name := range []string{"a", "b", "c"} {
		w.want(w.route(name, nil, "k"), "qa", "qb", "qc")
	}
}

func TestAlternateExchangeTakesWhatNoBindingTakes(t *testing.T) {
	w := newWorld(t)
	w.queue("q", "rest")
	w.exchange("x", "direct", "ae")
	w.exchange("ae", "fanout", "")
	w.bind("x", "q", "k", false)
	w.want(w.route("x", nil, "none"))
	w.bind("ae", "rest", "", false)
	w.want(w.route("x", nil, "k"), "q")
	w.want(w.route("x", nil, "none"), "rest")
	w.want(w.route("x", nil, "none", "k"), "q")
	w.want(w.route("x", nil, "k", "none"), "q")
}

func TestAlternateExchangesMakeChainsAndCircles(t *testing.T) {
	w := newWorld(t)
	w.queue("last")
	for i := range 4 {
		w.exchange(fmt.Sprintf("x%d", i), "direct", fmt.Sprintf("x%d", i+1))
	}
	w.want(w.route("x0", nil, "k")) // x4 is missing
	w.exchange("x4", "direct", "x0")
	w.want(w.route("x0", nil, "k"))
	w.bind("x4", "last", "k", false)
	w.want(w.route("x0", nil, "k"), "last")
	w.want(w.route("x2", nil, "k"), "last")
	w.exchange("self", "direct", "self")
	w.want(w.route("self", nil, "k"))
}

// TestAlternateExchangeIsAskedHopByHop: an exchange that leads to another has found something, even if that one has not.
func TestAlternateExchangeIsAskedHopByHop(t *testing.T) {
	w := newWorld(t)
	w.queue("outer", "inner")
	w.exchange("x", "fanout", "ax")
	w.exchange("y", "direct", "ay")
	w.exchange("ax", "fanout", "")
	w.exchange("ay", "fanout", "")
	w.bind("x", "y", "", true)
	w.bind("ax", "outer", "", false)
	w.want(w.route("x", nil, "k"))
	w.bind("ay", "inner", "", false)
	w.want(w.route("x", nil, "k"), "inner")
}

func TestAlternateExchangeMayComeFromAPolicy(t *testing.T) {
	w := newWorld(t)
	w.queue("byPolicy", "byArgument")
	w.exchange("p1", "fanout", "")
	w.exchange("p2", "fanout", "")
	w.bind("p1", "byPolicy", "", false)
	w.bind("p2", "byArgument", "", false)
	w.exchange("x", "direct", "")
	w.exchange("xa", "direct", "p2")
	w.want(w.route("x", nil, "k"))
	_, err := w.store.Commit(context.Background(), meta.Txn{Ops: []meta.Op{{
		Key: "policy/%2F/p", Value: []byte(`{"pattern":"^x","apply-to":"exchanges","definition":{"alternate-exchange":"p1"}}`),
	}}}, nil)
	w.must(err)
	w.want(w.route("x", nil, "k"), "byPolicy")
	w.want(w.route("xa", nil, "k"), "byArgument")
	_, err = w.store.Commit(context.Background(), meta.Txn{Ops: []meta.Op{{Key: "policy/%2F/p", Delete: true}}}, nil)
	w.must(err)
	w.want(w.route("x", nil, "k"))
}

// TestWhatHasNoKeyDoesNotOvertake: through an exchange that lets a key pass once everything takes the same way, in order. What
// the alternate exchange may get is not returned.
func TestWhatHasNoKeyDoesNotOvertake(t *testing.T) {
	w := newWorld(t)
	w.queue("q")
	w.must(w.editor.DeclareExchange(context.Background(), topology.ExchangeDeclaration{
		VHost: "/", Name: "once", Type: "x-message-deduplication",
		Arguments: protocol.Table{{Key: "x-cache-size", Value: int32(1)}, {Key: "alternate-exchange", Value: "else"}}.Raw(),
	}, topology.Unlimited("anybody"), nil))
	memory := w.vhost().Exchange("once").Memory.ID
	for _, headers := range []protocol.Table{nil, {{Key: "x-deduplication-header", Value: "a"}}} {
		r := w.route("once", headers, "k")
		if len(r.Groups) != 1 || len(r.Groups[0].Queues) != 1 || uint64(r.Groups[0].Queues[0]) != memory || r.Kept || r.Unroutable {
			t.Errorf("with the headers %v: %+v", headers, r)
		}
	}
	w.bind("once", "q", "", false)
	x := w.vhost().Exchange("once")
	w.want(Find(w.vhost(), x, &Message{Released: "once"}), "q")
}

func TestOnlyWhatTheKeyDecidesIsKept(t *testing.T) {
	w := newWorld(t)
	w.queue("q", "h")
	w.exchange("x", "topic", "")
	w.exchange("hx", "headers", "")
	w.exchange("d", "direct", "hx")
	w.bind("x", "q", "a.*", false)
	w.bind("x", "hx", "b.#", true)
	w.bind("hx", "h", "", false, protocol.Field{Key: "n", Value: int32(1)})
	one := protocol.Table{{Key: "n", Value: int64(1)}}
	for _, c := range []struct {
		exchange string
		keys     []string
		kept     bool
		want     []string
	}{
		{"", []string{"q"}, true, []string{"q"}},
		{"x", []string{"a.b"}, true, []string{"q"}},
		{"x", []string{"nothing"}, true, nil},
		{"x", []string{"a.b", "a.c"}, false, []string{"q"}},
		{"x", []string{"b"}, false, []string{"h"}},
		{"hx", []string{"k"}, false, []string{"h"}},
		{"d", []string{"k"}, false, []string{"h"}},
	} {
		r := w.route(c.exchange, one, c.keys...)
		w.want(r, c.want...)
		if r.Kept != c.kept {
			t.Errorf("%q with %q: Kept is %v", c.exchange, c.keys, r.Kept)
		}
	}
	w.want(w.route("x", protocol.Table{{Key: "n", Value: int64(2)}}, "b"))
}

func TestManyQueuesEachOnce(t *testing.T) {
	w := newWorld(t)
	w.exchange("in", "fanout", "")
	for _, name := range []string{"a", "b"} {
		w.exchange(name, "fanout", "")
		w.bind("in", name, "", true)
	}
	var names []string
	for i := range 500 {
		name := fmt.Sprintf("q%03d", i)
		names = append(names, name)
		w.queue(name)
		w.bind("a", name, "", false)
		w.bind("b", name, "", false)
		if len(names) == searchMax-1 || len(names) == groupsInTest*searchMax+1 || len(names) == 500 {
			w.want(w.route("in", nil, "k"), names...)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("queues=%d", n), func(b *testing.B) {
			w := newWorld(b)
			w.exchange("x", "fanout", "")
			for i := range n {
				name := fmt.Sprint(i)
				w.queue(name)
				w.bind("x", name, "", false)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				w.route("x", nil, "k")
			}
		})
		b.Run(fmt.Sprintf("exchanges=%d", n), func(b *testing.B) {
			w := newWorld(b)
			w.exchange("x", "fanout", "")
			for i := range n {
				name := fmt.Sprint("to", i)
				w.exchange(name, "fanout", "")
				w.bind("x", name, "", true)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				w.route("x", nil, "k")
			}
		})
	}
}
