package auth

import (
	"errors"
	"testing"

	"github.com/warrenmq/warren/broker/topology"
)

func TestTheOperatorMayDoEverything(t *testing.T) {
	w := newWorld(t)
	name, key := w.Operator()
	p, err := w.Login("PLAIN", []byte("\x00"+name+"\x00"+key), at("192.0.2.1"))
	if err != nil || !p.IsOperator() || p.Name() != name {
		t.Fatalf("%+v, %v", p, err)
	}
	c := w.Catalog()
	if p.Authorize(c, "/", topology.Configure, "queue", "q") != nil || p.AuthorizeTopic(c, "/", topology.Write, "amq.topic", "k") != nil ||
		!p.MayEnter(c, "/") || !p.HasTag(c, "administrator") {
		t.Error("something is refused")
	}
	if p.MayEnter(c, "nowhere") {
		t.Error("there is no such vhost")
	}
	for _, wrong := range []string{"", "x", key + "x", key[1:]} {
		if _, err := w.Password(name, wrong, at("127.0.0.1")); !errors.Is(err, ErrRefused) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, again := w.Operator(); again != key {
		t.Error("the key changes")
	}
	w.user(name, "word", SHA256) // a user of that name is a user
	if p, err := w.login(name, "word"); err != nil || p.IsOperator() || p.MayEnter(w.Catalog(), "/") {
		t.Errorf("%+v, %v", p, err)
	}
}
