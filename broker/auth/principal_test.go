package auth

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/broker/topology"
)

func TestPermissionsSearchNames(t *testing.T) {
	for _, c := range []struct {
		pattern    string
		may, mayNo []string
	}{
		{".*", []string{"", "a", "amq.gen-x", "ä", "a\nb"}, nil},
		{"", []string{""}, []string{"a", "amq.default"}},
		{"^$", []string{""}, []string{"a"}},
		{"a", []string{"a", "bab", "xa"}, []string{"", "b", "A"}},
		{"^a", []string{"a", "ab"}, []string{"ba"}},
		{"^a$", []string{"a"}, []string{"ab", "ba"}},
		{"^(a|b)-.+", []string{"a-1", "b-x"}, []string{"a-", "c-1", "xa-1"}},
		{`^(?!amq\.)`, []string{"a", "xamq.", ""}, []string{"amq.", "amq.direct"}},
		{`^(?!amq\.).*$`, []string{"a"}, []string{"amq.direct"}},
		{`(?<=\.)dev$`, []string{"a.dev"}, []string{"dev", "a.devx"}},
		{`^(?i)abc$`, []string{"abc", "ABC"}, []string{"abcd"}},
		{`^(a)\1$`, []string{"aa"}, []string{"a", "ab"}},
		{`^\w+\.\d{2}$`, []string{"ab.12"}, []string{"ab.1", ".12"}},
		{`^ä[öü]$`, []string{"äö", "äü"}, []string{"ä", "äo"}},
	} {
		w := newWorld(t)
		w.user("u", "p", SHA256)
		for _, o := range []topology.Operation{topology.Configure, topology.Write, topology.Read} {
			patterns := [3]string{"^none$", "^none$", "^none$"}
			patterns[o] = c.pattern
			w.permit("u", patterns[0], patterns[1], patterns[2])
			p := Principal{user: "u"}
			for _, name := range c.may {
				if refusal := p.Authorize(w.Catalog(), "/", o, "queue", name); refusal != nil {
					t.Errorf("%s, %q: %v", o, c.pattern, refusal)
				}
				if p.Authorize(w.Catalog(), "/", (o+1)%3, "queue", name) == nil {
					t.Errorf("%q permits more than %s of %q", c.pattern, o, name)
				}
				if refusal := p.AuthorizeAny(w.Catalog(), "/", "queue", name); refusal != nil {
					t.Errorf("any of %q: %v", name, refusal)
				}
			}
			for _, name := range c.mayNo {
				if p.Authorize(w.Catalog(), "/", o, "queue", name) == nil {
					t.Errorf("%q permits %s of %q", c.pattern, o, name)
				}
			}
		}
	}
}

func TestRefusalsNameEverything(t *testing.T) {
	w := newWorld(t)
	w.user("u", "p", SHA256)
	w.permit("u", "^amq.default$", "", "")
	p := Principal{user: "u"}
	for _, c := range []struct {
		o                       topology.Operation
		vhost, kind, name, want string
	}{
		{topology.Configure, "/", "queue", "q", "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'u'"},
		{topology.Write, "/", "exchange", "x", "ACCESS_REFUSED - write access to exchange 'x' in vhost '/' refused for user 'u'"},
		{topology.Read, "/", "queue", "q", "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'u'"},
		{topology.Write, "/", "exchange", "", "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'u'"},
		{topology.Configure, "/", "exchange", "", ""},
		{topology.Configure, "/", "queue", "", "ACCESS_REFUSED - configure access to queue '' in vhost '/' refused for user 'u'"},
		{topology.Write, "/", "queue", "", ""}, // the empty pattern is for the empty name
		{topology.Configure, "other", "exchange", "", "ACCESS_REFUSED - configure access to exchange 'amq.default' in vhost 'other' refused for user 'u'"},
	} {
		got := ""
		if refusal := p.Authorize(w.Catalog(), c.vhost, c.o, c.kind, c.name); refusal != nil {
			got = refusal.ReplyText()
		}
		if got != c.want {
			t.Errorf("%s %s %q in %q: got %q, want %q", c.o, c.kind, c.name, c.vhost, got, c.want)
		}
	}
	if System.Authorize(w.Catalog(), "nowhere", topology.Write, "queue", "q") != nil || System.AuthorizeTopic(nil, "", topology.Read, "", "") != nil {
		t.Error("the broker itself is refused something")
	}
}

func TestEnteringAVHostNeedsAnyPermission(t *testing.T) {
	w := newWorld(t)
	w.user("u", "p", SHA256, "monitoring")
	p := Principal{user: "u"}
	if p.MayEnter(w.Catalog(), "/") || p.MayEnter(w.Catalog(), "other") {
		t.Error("may enter without a permission")
	}
	w.permit("u", "", "", "")
	if !p.MayEnter(w.Catalog(), "/") || p.MayEnter(w.Catalog(), "other") {
		t.Error("a permission is for its vhost")
	}
	if !p.HasTag(w.Catalog(), "administrator", "monitoring") || p.HasTag(w.Catalog(), "administrator") || p.HasTag(w.Catalog()) {
		t.Error("tags")
	}
	// what is taken back is gone with the next question
	_, err := w.editor.DeletePermission(context.Background(), "/", "u", nil)
	w.must(err)
	if p.MayEnter(w.Catalog(), "/") || p.Authorize(w.Catalog(), "/", topology.Read, "queue", "") == nil {
		t.Error("a permission that was taken back")
	}
}

func TestTopicPermissions(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"u", "a.b"} {
		w.user(name, "p", SHA256)
	}
	allowed := func(user, exchange, key string, o topology.Operation) bool {
		return Principal{user: user}.AuthorizeTopic(w.Catalog(), "/", o, exchange, key) == nil
	}
	if !allowed("u", "x", "anything", topology.Write) {
		t.Error("without a topic permission every key may be used")
	}
	w.put("topic-permission/%2F/u/x", `{"write":"^{username}\\.","read":"^{vhost}$"}`)
	w.put("topic-permission/%2F/a.b/x", `{"write":"^{username}$","read":""}`)
	for _, c := range []struct {
		user, exchange, key string
		o                   topology.Operation
		want                bool
	}{
		{"u", "x", "u.1", topology.Write, true},
		{"u", "x", "v.1", topology.Write, false},
		{"u", "x", "/", topology.Read, true},
		{"u", "x", "u.1", topology.Read, false},
		{"u", "y", "v.1", topology.Write, true},    // another exchange
		{"a.b", "x", "a.b", topology.Write, true},  // a name is no pattern:
		{"a.b", "x", "axb", topology.Write, false}, // its dot is a dot
		{"a.b", "x", "", topology.Read, true},      // an empty pattern is for the empty key
		{"a.b", "x", "k", topology.Read, false},
	} {
		if got := allowed(c.user, c.exchange, c.key, c.o); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	refusal := Principal{user: "u"}.AuthorizeTopic(w.Catalog(), "/", topology.Write, "x", "v.1")
	if want := "ACCESS_REFUSED - write access to topic 'v.1' in exchange 'x' in vhost '/' refused for user 'u'"; refusal.ReplyText() != want {
		t.Errorf("got %q, want %q", refusal.ReplyText(), want)
	}
	if (Principal{user: "u"}).AuthorizeTopic(w.Catalog(), "nowhere", topology.Write, "x", "v.1") != nil {
		t.Error("no vhost, no topic permission")
	}
}

// TestTopicPermissionsOfHostileNames: two names never run together.
func TestTopicPermissionsOfHostileNames(t *testing.T) {
	w := newWorld(t)
	w.user("a", "p", SHA256)
	w.user("a\x00b", "p", SHA256)
	w.put("topic-permission/%2F/a/b%00c", `{"write":"^never$","read":"^never$"}`)
	if refusal := (Principal{user: "a\x00b"}).AuthorizeTopic(w.Catalog(), "/", topology.Write, "c", "k"); refusal != nil {
		t.Errorf("another user's permission: %v", refusal)
	}
	if (Principal{user: "a"}).AuthorizeTopic(w.Catalog(), "/", topology.Write, "b\x00c", "k") == nil {
		t.Error("the user's own permission is lost")
	}
}

// TestDearPatternsEnd: a pattern that backtracks without end refuses, in time.
func TestDearPatternsEnd(t *testing.T) {
	w := newWorld(t)
	w.user("u", "p", SHA256)
	w.permit("u", `^(?=(a+)+$)x`, "^((a+)+)+$", ".*")
	p := Principal{user: "u"}
	start := time.Now()
	name := strings.Repeat("a", 250) + "!"
	for _, o := range []topology.Operation{topology.Configure, topology.Write} {
		if p.Authorize(w.Catalog(), "/", o, "queue", name) == nil {
			t.Errorf("%s is permitted", o)
		}
	}
	t.Logf("two hostile patterns took %v", time.Since(start))
}
