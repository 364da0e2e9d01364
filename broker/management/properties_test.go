package management

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// FuzzPropertiesKey: bindings that differ in their keys are named differently, a name can be put in a path and means that
// binding and no other, and the key can be read from it.
func FuzzPropertiesKey(f *testing.F) {
	for _, key := range []string{"", "~", "a.b.*", "a/b", "a%2Fb", "%7E", "a b+c", "ä€", "\x00\xff", "a~b", "../x", "?#&="} {
		f.Add(key, "a/b", false)
		f.Add(key, "%2F", true)
	}
	table := protocol.Table{{Key: "x", Value: "y"}}.Raw()
	f.Fuzz(func(t *testing.T, key, other string, argued bool) {
		edges := []edge{{topology.Edge{Key: other}}, {topology.Edge{Key: key}}}
		if argued {
			edges[0].Arguments, edges[1].Arguments = table, table
		}
		names := []string{edges[0].properties(), edges[1].properties()}
		if (names[0] == names[1]) != (key == other) {
			t.Fatalf("%q is called %q, %q is called %q", other, names[0], key, names[1])
		}
		for i, name := range names {
			at, err := url.Parse("/api/bindings/v/e/x/q/q/" + url.PathEscape(name))
			if err != nil {
				t.Fatal(err)
			}
			if got := named(edges, last(at.Path), at.EscapedPath()); key != other && got != i {
				t.Errorf("%q means binding %d of %q, want %d", at.EscapedPath(), got, names, i)
			}
			head := name
			if argued {
				head = name[:strings.LastIndex(name, "~")]
			} else if name == "~" {
				head = ""
			}
			if back, err := url.QueryUnescape(head); err != nil || back != edges[i].Key {
				t.Errorf("%q is read as %q from %q, %v", edges[i].Key, back, name, err)
			}
		}
	})
}

// last is the last word of a path that has eight.
func last(path string) string { return strings.SplitN(path, "/", 9)[8] }

// TestABindingIsNotTakenForAnother: the way in which one client writes a name is the way in which another writes that of
// another binding. What RabbitMQ understands comes first.
func TestABindingIsNotTakenForAnother(t *testing.T) {
	w := newWorld(t)
	w.do(201, "PUT", "/queues/%2F/q", "")
	for _, key := range []string{"a/b", "a%2Fb"} {
		w.do(201, "POST", "/bindings/%2F/e/amq.direct/q/q", fmt.Sprintf(`{"routing_key":%q}`, key))
	}
	for path, key := range map[string]string{"a%252Fb": "a/b", "a%25252Fb": "a%2Fb", "a%2Fb": "a/b"} {
		if got := at(w.get("/bindings/%2F/e/amq.direct/q/q/"+path), "routing_key"); got != key {
			t.Errorf("%s means the key %v, want %q", path, got, key)
		}
	}
}
