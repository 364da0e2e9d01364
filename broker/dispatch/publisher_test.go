package dispatch

import (
	"context"
	"fmt"
	"testing"

	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/routing"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
)

// house is a vhost and a user who publishes in it.
type house struct {
	t      testing.TB
	editor *topology.Editor
	store  *meta.Memory
	groups *world
	*Publisher
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, store: meta.NewMemory(nil, 0), groups: newWorld()}
	var err error
	h.editor, err = topology.Open(ctx, h.store, topology.Options{
		Node: 1, Place: func(_ *topology.Catalog, q *topology.Queue) uint64 { return 1 + uint64(len(q.Name)%2) },
	})
	h.must(err)
	hash, err := auth.Hash(auth.SHA256, "p")
	h.must(err)
	h.must(h.editor.Bootstrap(ctx, topology.Defaults{
		VHost: "/", User: "u", Record: topology.UserRecord{PasswordHash: hash, Algorithm: auth.SHA256}, Configure: ".*", Write: ".*", Read: ".*",
	}))
	authority := auth.Authority{Catalog: h.editor.Catalog}
	principal, err := authority.Password("u", "p", nil)
	h.must(err)
	h.Publisher = NewPublisher(NewDoor(me, h.groups), principal, "/", h.editor.Catalog)
	return h
}

var ctx = context.Background()

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) queue(name string) {
	h.t.Helper()
	_, err := h.editor.DeclareQueue(ctx, topology.QueueDeclaration{VHost: "/", Name: name}, auth.System, nil)
	h.must(err)
}

func (h *house) bind(exchange, name, key string, arguments protocol.RawTable) {
	h.t.Helper()
	h.must(h.editor.Bind(ctx, topology.BindingWish{VHost: "/", Source: exchange, Destination: name, Key: key, Arguments: arguments}, auth.System, nil))
}

// find gives the queues that a message goes to, or the refusal.
func (h *house) find(exchange, key string, properties protocol.PropertyList, more ...string) string {
	h.t.Helper()
	if _, refusal := h.Exchange([]byte(exchange)); refusal != nil {
		return refusal.ReplyText()
	}
	r, refusal := h.Route([]byte(key), more, properties.Append(nil))
	if refusal != nil {
		return refusal.ReplyText()
	}
	text := ""
	for _, g := range r.Groups {
		for _, id := range g.Queues {
			text += " " + h.editor.Catalog().QueueByID(uint64(id)).Name
		}
	}
	return text
}

func (h *house) want(what, got, want string) {
	h.t.Helper()
	if got != want {
		h.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// TestRoutesAreAsTheCatalogSays, each time anew.
func TestRoutesAreAsTheCatalogSays(t *testing.T) {
	h := newHouse(t)
	none := protocol.PropertyList{}
	h.queue("a")
	h.queue("bb")
	for range 3 {
		h.want("the default exchange", h.find("", "a", none), " a")
		h.want("another key", h.find("", "bb", none), " bb")
		h.want("nobody's key", h.find("", "ccc", none), "")
		h.want("further keys", h.find("", "ccc", none, "a", "bb", "a"), " a bb")
		h.want("the first key alone", h.find("", "ccc", none), "")
	}
	h.want("before the binding", h.find("amq.direct", "k", none), "")
	h.bind("amq.direct", "a", "k", nil)
	h.want("with the binding", h.find("amq.direct", "k", none), " a")
	h.must(h.editor.DeleteQueue(ctx, "/", "a", 0, nil))
	h.want("without its queue", h.find("amq.direct", "k", none), "")
	h.want("no exchange", h.find("none", "k", none), "NOT_FOUND - no exchange 'none' in vhost '/'")
	h.must(h.editor.DeclareExchange(ctx, topology.ExchangeDeclaration{VHost: "/", Name: "none", Type: "fanout", Internal: true}, auth.System, nil))
	h.want("an internal exchange", h.find("none", "k", none), "ACCESS_REFUSED - cannot publish to internal exchange 'none' in vhost '/'")
	_, err := h.editor.DeleteVHost(ctx, "/", nil)
	h.must(err)
	h.want("no vhost", h.find("", "bb", none), "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'u'")
}

// TestHeadersAreLookedAtEachTime: a route that they decide is not kept.
func TestHeadersAreLookedAtEachTime(t *testing.T) {
	h := newHouse(t)
	h.queue("one")
	h.queue("two")
	table := func(n int32) protocol.RawTable { return protocol.Table{{Key: "n", Value: n}}.Raw() }
	h.bind("amq.headers", "one", "", table(1))
	h.bind("amq.headers", "two", "", table(2))
	for range 3 {
		for n, want := range []string{"", " one", " two", ""} {
			h.want(fmt.Sprint(n), h.find("amq.headers", "k", protocol.PropertyList{Present: protocol.FlagHeaders, Headers: table(int32(n))}), want)
		}
	}
}

// TestPermissionsCountFromTheNextPublish on.
func TestPermissionsCountFromTheNextPublish(t *testing.T) {
	h := newHouse(t)
	none := protocol.PropertyList{}
	h.queue("a")
	h.bind("amq.topic", "a", "#", nil)
	h.want("permitted", h.find("amq.topic", "k", none), " a")
	_, err := h.store.Commit(ctx, meta.Txn{Ops: []meta.Op{{Key: "topic-permission/%2F/u/amq.topic", Value: []byte(`{"write":"^k$","read":""}`)}}}, nil)
	h.must(err)
	refused := func(key string) string {
		return "ACCESS_REFUSED - write access to topic '" + key + "' in exchange 'amq.topic' in vhost '/' refused for user 'u'"
	}
	for range 2 {
		h.want("a permitted key", h.find("amq.topic", "k", none), " a")
		h.want("another key", h.find("amq.topic", "l", none), refused("l"))
		h.want("a further key", h.find("amq.topic", "k", none, "k", "m"), refused("m"))
		h.want("an exchange of another type", h.find("amq.direct", "l", none), "")
	}
	_, err = h.editor.PutPermission(ctx, "/", "u", "", "^amq.default$", "", nil)
	h.must(err)
	h.want("not permitted any more", h.find("amq.topic", "k", none), "ACCESS_REFUSED - write access to exchange 'amq.topic' in vhost '/' refused for user 'u'")
	h.want("permitted still", h.find("", "a", none), " a")
}

func TestRememberedRoutesAreBounded(t *testing.T) {
	h := newHouse(t)
	for i := range 3 * routesKept {
		h.find("amq.topic", fmt.Sprint(i), protocol.PropertyList{})
		h.find("amq.direct", fmt.Sprint(i), protocol.PropertyList{})
	}
	kept := 0
	for _, k := range h.known {
		kept += len(k.routes)
	}
	if kept > routesKept {
		t.Errorf("%d routes are kept", kept)
	}
}

// TestPublishTellsHowManyAnswersCome: one for each group, and one more for each command beyond the first.
func TestPublishTellsHowManyAnswersCome(t *testing.T) {
	h := newHouse(t)
	m := &message.Message{Head: message.Head{Priority: message.NoPriority}, Body: []byte("b")}
	ids := func(n int) []queue.ID {
		list := make([]queue.ID, n)
		for i := range list {
			list[i] = queue.ID(i + 1)
		}
		return list
	}
	for _, c := range []struct {
		route   routing.Route
		answers int
	}{
		{routing.Route{}, 0},
		{routing.Route{Groups: []routing.GroupQueues{{Group: 1, Queues: ids(1)}}}, 1},
		{routing.Route{Groups: []routing.GroupQueues{{Group: 1, Queues: ids(50)}, {Group: 2, Queues: ids(1)}}}, 2},
		{routing.Route{Groups: []routing.GroupQueues{{Group: 1, Queues: ids(targetsMax)}, {Group: 2, Queues: ids(targetsMax + 1)}}}, 3},
	} {
		answers, err := h.Publish(1, 1, &c.route, m)
		if err != nil || answers != c.answers {
			t.Errorf("%d groups: %d answers, %v; want %d", len(c.route.Groups), answers, err, c.answers)
		}
	}
	h.groups.away[9] = true
	if _, err := h.Publish(1, 1, &routing.Route{Groups: []routing.GroupQueues{{Group: 9, Queues: ids(1)}}}, m); err == nil {
		t.Error("a group that is away takes it")
	}
}

func BenchmarkPublish(b *testing.B) {
	h := newHouse(b)
	h.queue("a")
	m := &message.Message{Head: message.Head{Priority: message.NoPriority}, RoutingKey: []byte("a"), Body: make([]byte, 16)}
	key, properties := []byte("a"), protocol.Properties{}
	b.ReportAllocs()
	for i := range b.N {
		_, refusal := h.Exchange(nil)
		r, more := h.Route(key, nil, properties)
		if refusal != nil || more != nil {
			b.Fatal(refusal, more)
		}
		if _, err := h.Publish(1, uint64(i), r, m); err != nil {
			b.Fatal(err)
		}
		if i%1000 == 999 {
			for _, l := range h.links {
				l.batch.Reset()
			}
		}
	}
}
