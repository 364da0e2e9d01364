package topology

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol"
)

func TestBindChecks(t *testing.T) {
	w := newWorld(t)
	w.exchange("x", "topic")
	w.exchange("h", "headers")
	w.exchange("y", "fanout")
	w.queue("q")
	w.queue("own", func(d *QueueDeclaration) { d.Exclusive = true })
	const denied = "403 ACCESS_REFUSED - operation not permitted on the default exchange"
	const missing = "404 NOT_FOUND - no "
	other := to("x", "own", "k")
	other.Owner.Session = 6
	gone := to("x", "q", "k")
	gone.VHost = "gone"
	volatile := "403 ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue"
	for _, c := range []struct {
		what         string
		b            BindingWish
		no           []string
		bind, unbind string
	}{
		{"a vhost that is gone", gone, nil, missing + "vhost 'gone'", missing + "vhost 'gone'"},
		{"from the default exchange", to("", "missing", "k"), []string{"read exchange "}, denied, denied},
		{"to the default exchange", toX("missing", "", "k"), []string{"read exchange missing"}, denied, denied},
		{"no permission to write, and from the default exchange", to("", "q", "k"), []string{"write queue q"}, "403 ACCESS_REFUSED - no write queue q", "403 ACCESS_REFUSED - no write queue q"},
		{"no permission to write to the default exchange", toX("x", "", "k"), []string{"write exchange "}, "403 ACCESS_REFUSED - no write exchange ", "403 ACCESS_REFUSED - no write exchange "},
		{"to a direct reply", to("x", "amq.rabbitmq.reply-to.abc", "k"), []string{"write queue amq.rabbitmq.reply-to.abc"}, volatile, volatile},
		{"to the bare name of direct replies", to("x", "amq.rabbitmq.reply-to", "k"), nil, missing + "queue 'amq.rabbitmq.reply-to' in vhost '/'", ""},
		{"no permission to write", to("x", "q", "k"), []string{"write queue q", "read exchange x"}, "403 ACCESS_REFUSED - no write queue q", "403 ACCESS_REFUSED - no write queue q"},
		{"no permission to read", to("x", "q", "k"), []string{"read exchange x", "read topic k"}, "403 ACCESS_REFUSED - no read exchange x", "403 ACCESS_REFUSED - no read exchange x"},
		{"no permission for the key", to("x", "q", "#.#.#"), []string{"read topic #.#.#"}, "403 ACCESS_REFUSED - no read topic #.#.#", "403 ACCESS_REFUSED - no read topic #.#.#"},
		{"no permission for a key that nobody asks about", to("y", "q", "k"), []string{"read topic k"}, "", ""},
		{"no permission to write to an exchange", toX("x", "y", "k"), []string{"write exchange y"}, "403 ACCESS_REFUSED - no write exchange y", "403 ACCESS_REFUSED - no write exchange y"},
		{"neither end", to("none", "missing", "k"), nil, missing + "exchange 'none' in vhost '/'", ""},
		{"no source", to("none", "q", "k"), nil, missing + "exchange 'none' in vhost '/'", ""},
		{"no queue", to("x", "missing", "#.#.#"), nil, missing + "queue 'missing' in vhost '/'", ""},
		{"no exchange to bind to", toX("x", "missing", "k"), nil, missing + "exchange 'missing' in vhost '/'", ""},
		{"too many wildcards", to("x", "q", "#.#.#"), nil, "406 PRECONDITION_FAILED - Topic binding key '#.#.#' uses 3 '#' wildcards, at most 2 are allowed", ""},
		{"a wrong mode", to("h", "q", "k", "x-match", "some"), nil, "406 PRECONDITION_FAILED - Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x", ""},
		{"a mode of a wrong type", to("h", "q", "k", "x-match", int32(1)), nil, "406 PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); expected longstr", ""},
		{"another's queue", other, nil, "405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'own' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.", ""},
		{"the owner's queue", to("x", "own", "k"), nil, "", ""},
		{"an exchange to itself", toX("x", "x", "k"), nil, "", ""},
	} {
		want(t, c.what+", bind", w.Bind(ctx, c.b, &actor{no: c.no}, nil), c.bind)
		want(t, c.what+", unbind", w.Unbind(ctx, c.b, &actor{no: c.no}, nil), c.unbind)
	}
}

// outgoing lists the bindings of an exchange.
func (w *world) outgoing(name string) []string {
	w.t.Helper()
	x := w.vhost().Exchange(name)
	if x == nil {
		w.t.Fatalf("exchange %q is gone", name)
	}
	var list []string
	x.Outgoing(func(e *Edge) bool {
		list = append(list, fmt.Sprintf("%v %s %q %q", e.ToExchange, e.Destination, e.Key, e.Arguments))
		return true
	})
	slices.Sort(list)
	return list
}

// TestABindingIsItsEndsKeyAndArguments, in whatever order they come.
func TestABindingIsItsEndsKeyAndArguments(t *testing.T) {
	w := newWorld(t)
	w.exchange("x", "headers")
	w.exchange("q", "fanout")
	w.queue("q")
	w.bind(to("x", "q", "k"), to("x", "q", "k"))
	if list := w.outgoing("x"); len(list) != 1 {
		t.Errorf("%q", list)
	}
	w.bind(to("x", "q", ""), to("x", "q", "k", "a", int32(1)), to("x", "q", "k", "a", int64(1)), toX("x", "q", "k"),
		to("x", "q", "k", "a", int32(1), "b", "2"), to("x", "q", "k", "b", "2", "a", int32(1)))
	if list := w.outgoing("x"); len(list) != 6 {
		t.Errorf("%q", list)
	}
	w.unbind(to("x", "q", "k", "a", int16(1)), to("x", "q", "other"), toX("x", "q", "k", "a", int32(1)))
	if list := w.outgoing("x"); len(list) != 6 {
		t.Errorf("%q", list)
	}
	w.unbind(to("x", "q", "k", "a", int64(1)), to("x", "q", "k", "b", "2", "a", int32(1)), toX("x", "q", "k"))
	if list := w.outgoing("x"); len(list) != 3 {
		t.Errorf("%q", list)
	}
	incoming := 0
	w.vhost().Queue("q").Incoming(func(*Edge) bool { incoming++; return true })
	if incoming != 3 {
		t.Errorf("%d bindings lead to the queue", incoming)
	}
}

// TestAutoDeleteExchangesGoWithTheirLastBinding as a source, and not before they had one.
func TestAutoDeleteExchangesGoWithTheirLastBinding(t *testing.T) {
	auto := func(d *ExchangeDeclaration) { d.AutoDelete = true }
	there := func(w *world, names ...string) string {
		var list []string
		for _, name := range names {
			if w.vhost().Exchange(name) != nil {
				list = append(list, name)
			}
		}
		return strings.Join(list, " ")
	}
	for _, c := range []struct {
		what string
		do   func(w *world)
		left string
	}{
		{"nothing", func(*world) {}, "a b c d keep"},
		{"an unbind of what is not bound", func(w *world) { w.unbind(to("a", "q", "none")) }, "a b c d keep"},
		{"one of two bindings", func(w *world) { w.unbind(to("a", "q", "1")) }, "a b c d keep"},
		{"both bindings", func(w *world) { w.unbind(to("a", "q", "1"), to("a", "q2", "2")) }, "keep"},
		{"one of two queues", func(w *world) { w.must(w.DeleteQueue(ctx, "/", "q2", 0, nil)) }, "a b c d keep"},
		{"both queues", func(w *world) {
			w.must(w.DeleteQueue(ctx, "/", "q", 0, nil))
			w.must(w.DeleteQueue(ctx, "/", "q2", 0, nil))
		}, "keep"},
		{"both queues at once", func(w *world) {
			w.must(w.DeleteQueues(ctx, "/", []uint64{w.vhost().Queue("q").ID, w.vhost().Queue("q2").ID, 999}, nil))
		}, "keep"},
		{"the first exchange of the chain", func(w *world) { w.must(w.DeleteExchange(ctx, "/", "a", false, &actor{}, nil)) }, "keep"},
		{"the middle of the chain", func(w *world) { w.must(w.DeleteExchange(ctx, "/", "b", false, &actor{}, nil)) }, "a keep"},
		{"the end of the chain", func(w *world) { w.must(w.DeleteExchange(ctx, "/", "c", false, &actor{}, nil)) }, "a b keep"},
	} {
		w := newWorld(t)
		for _, name := range []string{"a", "b", "c", "d"} { // d -> c -> b -> a -> q, and keep -> b
			w.exchange(name, "direct", auto)
		}
		w.exchange("keep", "direct")
		w.queue("q")
		w.queue("q2")
		w.bind(to("a", "q", "1"), to("a", "q2", "2"), toX("b", "a", ""), toX("c", "b", ""), toX("d", "c", ""), toX("keep", "b", ""))
		c.do(w)
		if got := there(w, "a", "b", "c", "d", "keep"); got != c.left {
			t.Errorf("%s: %s are left, want %s", c.what, got, c.left)
		}
		if got, after := dump(w.Catalog()), dump(w.restarted()); got != after {
			t.Errorf("%s: after a restart it is different:\n%s\nbefore:\n%s", c.what, after, got)
		}
	}
}

// TestAutoDeleteInACircle: exchanges that hold each other are gone together when the last thing outside is.
func TestAutoDeleteInACircle(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b"} {
		w.exchange(name, "fanout", func(d *ExchangeDeclaration) { d.AutoDelete = true })
	}
	w.bind(toX("a", "b", ""), toX("b", "a", ""))
	w.unbind(toX("a", "b", ""))
	if w.vhost().Exchange("a") != nil || w.vhost().Exchange("b") != nil {
		t.Error("they hold each other")
	}
	w.exchange("self", "fanout", func(d *ExchangeDeclaration) { d.AutoDelete = true })
	w.bind(toX("self", "self", ""))
	w.must(w.DeleteExchange(ctx, "/", "self", false, &actor{}, nil))
	if w.vhost().Exchange("self") != nil {
		t.Error("it holds itself")
	}
}

// TestABindingLastsIfBothEndsDo.
func TestABindingLastsIfBothEndsDo(t *testing.T) {
	w := newWorld(t)
	transient := func(d *ExchangeDeclaration) { d.Durable = false }
	w.exchange("lasting", "fanout")
	w.exchange("lasting2", "fanout")
	w.exchange("transient", "fanout", transient)
	w.queue("lasting")
	w.queue("transient", func(d *QueueDeclaration) { d.Durable = false })
	w.queue("exclusive", func(d *QueueDeclaration) { d.Exclusive = true })
	for _, source := range []string{"lasting", "transient"} {
		w.bind(to(source, "lasting", "k"), to(source, "transient", "k"), to(source, "exclusive", "k"),
			toX(source, "lasting2", "k"), toX(source, "transient", "k"))
	}
	after := w.restarted().VHost("/")
	if after.Exchange("transient") != nil || after.Queue("transient") != nil || after.Queue("exclusive") != nil {
		t.Error("what is not durable is there after a restart")
	}
	var kept []string
	after.Exchange("lasting").Outgoing(func(e *Edge) bool { kept = append(kept, e.Destination); return true })
	if !slices.Equal(kept, []string{"lasting", "lasting2"}) {
		t.Errorf("%q are bound after a restart", kept)
	}
	for key := range w.disk {
		if strings.Contains(key, "transient") || strings.Contains(key, "exclusive") {
			t.Errorf("%s is on the disk", key)
		}
	}
}

// TestOrphanedBindings: a binding in the store without one of its ends is left out, and is not in the way.
func TestOrphanedBindings(t *testing.T) {
	w := newWorld(t)
	w.exchange("x", "topic")
	w.queue("q")
	w.bind(to("x", "q", "k"))
	edge := to("x", "lost", "k")
	w.write(edge.edge().key, "{}")
	source := to("lost", "q", "k")
	w.write(source.edge().key, "{}")
	x := toX("x", "lost", "k")
	w.write(x.edge().key, "{}")
	w.write("binding/%2F/x/q/q", "{}") // too short
	w.write("binding/%2F", "{}")
	w.write("binding", "{}")
	w.write("nonsense/a/b", "{}")
	w.write("queue/gone/q", `{"id":7}`)
	w.write("queue/%2", "{}") // not escaped as it should be
	if got := len(w.outgoing("x")); got != 1 {
		t.Errorf("%d bindings", got)
	}
	if got, after := dump(w.Catalog()), dump(w.restarted()); got != after {
		t.Errorf("after a restart it is different:\n%s\nbefore:\n%s", after, got)
	}
	w.must(w.DeleteQueue(ctx, "/", "q", 0, nil))
	w.must(w.DeleteExchange(ctx, "/", "x", false, &actor{}, nil))
}

func TestDeletingAVHostTakesEverythingInIt(t *testing.T) {
	w := newWorld(t)
	before := len(w.disk)
	_, err := w.PutVHost(ctx, "v/%\x00", func(r *VHostRecord) { r.Description = "hostile" }, nil)
	w.must(err)
	_, err = w.PutUser(ctx, "u", func(r *UserRecord) error { return nil }, nil)
	w.must(err)
	_, err = w.PutPermission(ctx, "v/%\x00", "u", "", "", "", nil)
	w.must(err)
	w.write(key(sectionTopic, "v/%\x00", "u", "x"), `{"write":".*","read":".*"}`)
	w.write(key(sectionParameter, "v/%\x00", "shovel", "s"), `{}`)
	w.write(key(sectionPolicy, "v/%\x00", "p"), `{"pattern":".*","apply-to":"all","definition":{"max-length":1}}`)
	w.write(key(sectionOperator, "v/%\x00", "p"), `{"pattern":".*","apply-to":"all","definition":{"max-length":1}}`)
	q, err := w.DeclareQueue(ctx, QueueDeclaration{VHost: "v/%\x00", Name: "q", Durable: true}, &actor{}, nil)
	w.must(err)
	b := to("amq.topic", "q", "k")
	b.VHost = "v/%\x00"
	w.bind(b)
	b = toX("amq.topic", "amq.fanout", "k")
	b.VHost = "v/%\x00"
	w.bind(b)
	var changes []Change
	w.Listen(func(c Change) { changes = append(changes, c) })
	existed, err := w.DeleteVHost(ctx, "v/%\x00", nil)
	w.must(err)
	if !existed || w.Catalog().VHost("v/%\x00") != nil || w.Catalog().QueueByID(q.ID) != nil {
		t.Error("the vhost is still there")
	}
	if len(changes) != 1 || !slices.Equal(changes[0].VHosts, []string{"v/%\x00"}) || len(changes[0].Queues) != 1 || changes[0].Queues[0].Before.ID != q.ID || changes[0].Queues[0].After != nil {
		t.Errorf("listeners were told %+v", changes)
	}
	if len(w.disk) != before+1 { // the user
		t.Errorf("%d keys are left, there were %d", len(w.disk), before)
	}
	if existed, err = w.DeleteVHost(ctx, "v/%\x00", nil); existed || err != nil {
		t.Error(existed, err)
	}
	_, err = w.PutVHost(ctx, "kept", func(r *VHostRecord) { r.Protected = true }, nil)
	w.must(err)
	_, err = w.DeleteVHost(ctx, "kept", nil)
	want(t, "a protected vhost", err, "406 PRECONDITION_FAILED - cannot delete protected virtual host 'kept'")
}

func TestDeletingAUserTakesItsPermissions(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"u", "v"} {
		created, err := w.PutUser(ctx, name, func(r *UserRecord) error { r.Tags = []string{"a"}; return nil }, nil)
		w.must(err)
		if !created {
			t.Errorf("%s was there", name)
		}
		_, err = w.PutPermission(ctx, "/", name, "a", "b", "c", nil)
		w.must(err)
		w.write(key(sectionTopic, "/", name, "x"), `{"write":".*","read":".*"}`)
	}
	created, err := w.PutUser(ctx, "u", func(r *UserRecord) error {
		if !slices.Equal(r.Tags, []string{"a"}) {
			t.Errorf("%+v", r)
		}
		r.Tags = nil
		return nil
	}, nil)
	if created || err != nil {
		t.Error(created, err)
	}
	if _, err := w.PutUser(ctx, "u", func(*UserRecord) error { return protocol.NotFound("nothing") }, nil); err == nil {
		t.Error("an error of the change is lost")
	}
	existed, err := w.DeleteUser(ctx, "u", nil)
	if !existed || err != nil {
		t.Error(existed, err)
	}
	v := w.vhost()
	if v.Permission("u") != nil || v.TopicPermission("u", "x") != nil || v.Permission("v") == nil || v.TopicPermission("v", "x") == nil {
		t.Error("permissions are not those of the users")
	}
	if existed, err := w.DeleteUser(ctx, "u", nil); existed || err != nil {
		t.Error(existed, err)
	}
	for _, c := range [][2]string{{"/", "u"}, {"gone", "v"}} {
		_, err := w.PutPermission(ctx, c[0], c[1], "", "", "", nil)
		want(t, fmt.Sprint(c), err, "404 NOT_FOUND - vhost_or_user_not_found")
	}
	if _, err := w.PutPermission(ctx, "/", "v", "(", "", "", nil); err == nil || !strings.HasPrefix(err.Error(), "invalid regular expression (: ") {
		t.Error(err)
	}
	if created, err := w.PutPermission(ctx, "/", "v", "x", "y", "z", nil); created || err != nil {
		t.Error(created, err)
	}
	if existed, err := w.DeletePermission(ctx, "/", "v", nil); !existed || err != nil {
		t.Error(existed, err)
	}
	if existed, err := w.DeletePermission(ctx, "/", "v", nil); existed || err != nil {
		t.Error(existed, err)
	}
}
