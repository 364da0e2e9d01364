package topology

import (
	"slices"
	"testing"

	"github.com/warrenmq/warren/protocol"
)

func TestAVHostBeginsWithItsExchanges(t *testing.T) {
	w := newWorld(t)
	var names []string
	w.vhost().Exchanges(func(x *Exchange) bool {
		names = append(names, x.Name)
		if !x.Durable || x.AutoDelete || x.Internal != (x.Name == "amq.rabbitmq.trace") {
			t.Errorf("%q is %+v", x.Name, x.ExchangeRecord)
		}
		return true
	})
	if want := []string{"", "amq.direct", "amq.fanout", "amq.headers", "amq.match", "amq.rabbitmq.trace", "amq.topic"}; !slices.Equal(names, want) {
		t.Errorf("got %q", names)
	}
}

// TestExchangeDeclareChecks makes, in each row, one more check hold: what is refused is always the first that does not.
func TestExchangeDeclareChecks(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.ExchangeLimit = 8 })
	ae := func(value any) func(*ExchangeDeclaration) {
		return func(d *ExchangeDeclaration) { d.Arguments = fields("alternate-exchange", value) }
	}
	for _, c := range []struct {
		what    string
		d       ExchangeDeclaration
		change  func(*ExchangeDeclaration)
		no      []string
		refusal string
	}{
		{"a vhost that is gone", ExchangeDeclaration{VHost: "gone", Type: "nonsense"}, nil, nil, "404 NOT_FOUND - no vhost 'gone'"},
		{"an unknown type of the default exchange", ExchangeDeclaration{Type: "nonsense"}, nil, nil,
			"406 PRECONDITION_FAILED - unknown exchange type 'nonsense'"},
		{"the default exchange", ExchangeDeclaration{Type: "direct"}, nil, []string{"configure exchange "},
			"403 ACCESS_REFUSED - operation not permitted on the default exchange"},
		{"nothing but line breaks", ExchangeDeclaration{Name: "\r\n", Type: "direct"}, nil, nil,
			"403 ACCESS_REFUSED - operation not permitted on the default exchange"},
		{"a reserved name without permission", ExchangeDeclaration{Name: "amq.x", Type: "direct"}, nil, []string{"configure exchange amq.x"},
			"403 ACCESS_REFUSED - no configure exchange amq.x"},
		{"a reserved name", ExchangeDeclaration{Name: "amq.x", Type: "direct"}, ae(int32(1)), nil,
			"403 ACCESS_REFUSED - exchange name 'amq.x' contains reserved prefix 'amq.*'"},
		{"a reserved name in pieces", ExchangeDeclaration{Name: "am\rq\n.x", Type: "direct"}, nil, nil,
			"403 ACCESS_REFUSED - exchange name 'amq.x' contains reserved prefix 'amq.*'"},
		{"an alternate exchange of a wrong type", ExchangeDeclaration{Name: "x", Type: "direct"}, ae(int32(1)), []string{"read exchange x"},
			"406 PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange 'x' in vhost '/'"},
		{"no read permission", ExchangeDeclaration{Name: "x", Type: "direct"}, ae("ae"), []string{"read exchange x", "write exchange ae"},
			"403 ACCESS_REFUSED - no read exchange x"},
		{"no write permission", ExchangeDeclaration{Name: "x", Type: "direct"}, ae("ae"), []string{"write exchange ae"},
			"403 ACCESS_REFUSED - no write exchange ae"},
		{"an alternate exchange that is not there", ExchangeDeclaration{Name: "x", Type: "direct"}, ae("ae"), nil, ""},
		{"the same again, without the alternate's permissions", ExchangeDeclaration{Name: "x", Type: "direct"}, ae("ae"), []string{"read exchange x"}, ""},
		{"one too many", ExchangeDeclaration{Name: "y", Type: "direct"}, nil, nil,
			"406 PRECONDITION_FAILED - cannot declare exchange 'y' in vhost '/': exchange limit of 8 is reached"},
		{"one that is there, in spite of the limit", ExchangeDeclaration{Name: "amq.fanout", Type: "fanout", Durable: true}, nil, nil, ""},
	} {
		if c.d.VHost == "" {
			c.d.VHost = "/"
		}
		if c.change != nil {
			c.change(&c.d)
		}
		want(t, c.what, w.DeclareExchange(ctx, c.d, &actor{no: c.no}, nil), c.refusal)
	}
	if x := w.vhost().Exchange("x"); x == nil || x.Alternate != "ae" || x.User != "alice" {
		t.Errorf("%+v", x)
	}
}

func TestExchangesAreEquivalentOrNot(t *testing.T) {
	w := newWorld(t)
	w.exchange("x", "direct", func(d *ExchangeDeclaration) { d.Arguments = fields("alternate-exchange", "ae", "other", int32(1)) })
	const is = "406 PRECONDITION_FAILED - inequivalent arg '"
	all := func(d *ExchangeDeclaration) {
		d.Type, d.Durable, d.AutoDelete, d.Internal, d.Arguments = "fanout", false, true, true, nil
	}
	for _, c := range []struct {
		what    string
		change  func(*ExchangeDeclaration)
		refusal string
	}{
		{"as it is", func(*ExchangeDeclaration) {}, ""},
		{"with other arguments", func(d *ExchangeDeclaration) { d.Arguments = fields("alternate-exchange", "ae", "more", "x") }, ""},
		{"all different", all, is + "type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'"},
		{"all but the type", func(d *ExchangeDeclaration) { all(d); d.Type = "direct" }, is + "durable' for exchange 'x' in vhost '/': received 'false' but current is 'true'"},
		{"auto_delete and more", func(d *ExchangeDeclaration) { all(d); d.Type, d.Durable = "direct", true }, is + "auto_delete' for exchange 'x' in vhost '/': received 'true' but current is 'false'"},
		{"internal and more", func(d *ExchangeDeclaration) { d.Internal, d.Arguments = true, nil }, is + "internal' for exchange 'x' in vhost '/': received 'true' but current is 'false'"},
		{"no alternate exchange", func(d *ExchangeDeclaration) { d.Arguments = nil }, is + "alternate-exchange' for exchange 'x' in vhost '/': received none but current is the value 'ae' of type 'longstr'"},
		{"another alternate exchange", func(d *ExchangeDeclaration) { d.Arguments = fields("alternate-exchange", "xx") }, is + "alternate-exchange' for exchange 'x' in vhost '/': received 'xx' but current is 'ae'"},
		{"an alternate exchange of a wrong type", func(d *ExchangeDeclaration) { d.Arguments = fields("alternate-exchange", int32(1)) }, is + "alternate-exchange' for exchange 'x' in vhost '/': received '1' but current is 'ae'"},
	} {
		want(t, c.what, w.declareExchange("x", "direct", func(d *ExchangeDeclaration) {
			d.Arguments = fields("alternate-exchange", "ae", "other", int32(1))
			c.change(d)
		}), c.refusal)
	}
	w.exchange("plain", "direct")
	want(t, "an alternate exchange it does not have", w.declareExchange("plain", "direct", func(d *ExchangeDeclaration) {
		d.Arguments = fields("alternate-exchange", "ae")
	}), is+"alternate-exchange' for exchange 'plain' in vhost '/': received the value 'ae' of type 'longstr' but current is none")
}

func TestExchangeDeleteChecks(t *testing.T) {
	w := newWorld(t)
	w.exchange("x", "fanout")
	w.exchange("y", "fanout")
	w.queue("q")
	w.bind(to("x", "q", ""), toX("x", "y", ""))
	for _, c := range []struct {
		what, name string
		ifUnused   bool
		no         []string
		refusal    string
	}{
		{"the default exchange", "", false, nil, "403 ACCESS_REFUSED - operation not permitted on the default exchange"},
		{"a system exchange", "amq.topic", false, []string{"configure exchange amq.topic"}, "403 ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '/' not allowed"},
		{"a system exchange that is not there", "amq.none", false, nil, "403 ACCESS_REFUSED - deletion of system exchange 'amq.none' in vhost '/' not allowed"},
		{"without permission", "x", true, []string{"configure exchange x"}, "403 ACCESS_REFUSED - no configure exchange x"},
		{"one that is not there, without permission", "none", false, []string{"configure exchange none"}, "403 ACCESS_REFUSED - no configure exchange none"},
		{"one that is not there", "none", true, nil, ""},
		{"in use", "x", true, nil, "406 PRECONDITION_FAILED - exchange 'x' in vhost '/' in use"},
		{"a mere destination", "y", true, nil, ""},
		{"in use, no matter", "\rx\n", false, nil, ""},
	} {
		want(t, c.what, w.DeleteExchange(ctx, "/", c.name, c.ifUnused, &actor{no: c.no}, nil), c.refusal)
	}
	if w.vhost().Exchange("x") != nil || w.vhost().Exchange("y") != nil {
		t.Error("they are still there")
	}
	w.vhost().Queue("q").Incoming(func(e *Edge) bool { t.Errorf("the queue still has %+v", e); return true })
}

func TestCleanName(t *testing.T) {
	for name, want := range map[string]string{"": "", "a": "a", "\ra\nb\r\n": "ab", "\r\n": "", "a b\tc": "a b\tc", "ä\n€": "ä€"} {
		if got := CleanName(name); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
	w := newWorld(t)
	w.exchange("a\r\nb", "fanout")
	w.queue("q\n")
	w.bind(to("\nab", "q\r", "k\r\n"))
	found := false
	w.vhost().Exchange("ab").Outgoing(func(e *Edge) bool {
		found = e.Key == "k\r\n" && e.Destination == "q" // a key is no name
		return true
	})
	if !found {
		t.Error("the binding is not there")
	}
	w.must(w.DeleteQueue(ctx, "/", "q", 0, nil))
}

// TestPermissionsAreAskedInOrder, and only for what a change touches.
func TestPermissionsAreAskedInOrder(t *testing.T) {
	w := newWorld(t)
	a := &actor{}
	asked := func(what string, err error, want ...string) {
		t.Helper()
		w.must(err)
		if !slices.Equal(a.asked, want) {
			t.Errorf("%s asks %q", what, a.asked)
		}
		a.asked = nil
	}
	asked("declaring an exchange", w.DeclareExchange(ctx, ExchangeDeclaration{VHost: "/", Name: "x", Type: "topic", Arguments: fields("alternate-exchange", "ae")}, a, nil),
		"configure exchange x", "read exchange x", "write exchange ae")
	asked("declaring it again", w.DeclareExchange(ctx, ExchangeDeclaration{VHost: "/", Name: "x", Type: "topic", Arguments: fields("alternate-exchange", "ae")}, a, nil),
		"configure exchange x")
	_, err := w.DeclareQueue(ctx, QueueDeclaration{VHost: "/", Name: "q", Arguments: fields("x-dead-letter-exchange", "")}, a, nil)
	asked("declaring a queue", err, "configure queue q", "read queue q", "write exchange ")
	asked("binding", w.Bind(ctx, to("x", "q", "k"), a, nil), "write queue q", "read exchange x", "read topic k")
	asked("binding exchanges", w.Bind(ctx, toX("amq.direct", "x", "k"), a, nil), "write exchange x", "read exchange amq.direct")
	asked("unbinding", w.Unbind(ctx, to("x", "q", "k"), a, nil), "write queue q", "read exchange x", "read topic k")
	asked("deleting an exchange", w.DeleteExchange(ctx, "/", "x", false, a, nil), "configure exchange x")
	var none *protocol.Error
	if refused(struct{ *protocol.Error }{none}).orNil() != nil {
		t.Error("no refusal is an error")
	}
}
