package matching

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol"
)

// kind finds an exchange type that has to exist.
func kind(t testing.TB, name string) Kind {
	t.Helper()
	k, ok := Lookup(name)
	if !ok {
		t.Fatalf("there is no exchange type %q", name)
	}
	return k
}

// empty gives the index of an exchange without arguments.
func empty(t testing.TB, name string) Index {
	t.Helper()
	x, refusal := kind(t, name).New(nil)
	if refusal != nil {
		t.Fatal(refusal)
	}
	return x
}

// prepared makes a binding that leads to a queue of that name.
func prepared(t testing.TB, exchange, key, target string, arguments protocol.Table) *Binding {
	t.Helper()
	b := &Binding{Key: key, Arguments: arguments.Raw(), Target: &Target{Name: target}}
	if refusal := kind(t, exchange).Prepare(b); refusal != nil {
		t.Fatalf("binding %q: %v", key, refusal)
	}
	return b
}

// names gives the targets that a message selects, sorted, each once.
func names(x Index, m *Message) []string {
	var list []string
	x.Match(m, func(t *Target) { list = append(list, t.Name) })
	slices.Sort(list)
	return slices.Compact(list)
}

func wantNames(t *testing.T, x Index, m *Message, want ...string) {
	t.Helper()
	if got := names(x, m); !slices.Equal(got, want) {
		t.Errorf("key %q: got %q, want %q", m.Key, got, want)
	}
}

func TestExchangeTypesAreFound(t *testing.T) {
	var list []string
	for _, k := range Kinds() {
		list = append(list, k.Name)
		if k.Description == "" {
			t.Errorf("%s says nothing of itself", k.Name)
		}
	}
	if !slices.IsSorted(list) {
		t.Errorf("not in order: %q", list)
	}
	for _, name := range []string{"direct", "fanout", "headers", "topic"} {
		if !slices.Contains(list, name) {
			t.Errorf("%s is missing in %q", name, list)
		}
	}
	for _, name := range []string{"", "Direct", "topic ", "system"} {
		if _, ok := Lookup(name); ok {
			t.Errorf("%q is an exchange type", name)
		}
	}
}

func TestDirectMatchesTheExactKey(t *testing.T) {
	x := empty(t, "direct")
	for i, key := range []string{"", "a", "A", "a.b", "*", "#", "\x00", "ä", "\xff", "a"} {
		x = x.With(prepared(t, "direct", key, fmt.Sprintf("q%d", i), nil))
	}
	for key, want := range map[string][]string{
		"": {"q0"}, "a": {"q1", "q9"}, "A": {"q2"}, "a.b": {"q3"}, "*": {"q4"}, "#": {"q5"}, "\x00": {"q6"}, "ä": {"q7"},
		"\xff": {"q8"}, "b": nil, "a.": nil,
	} {
		wantNames(t, x, &Message{Key: key}, want...)
	}
}

func TestFanoutIgnoresTheKey(t *testing.T) {
	x := empty(t, "fanout").With(prepared(t, "fanout", "a", "q1", nil)).With(prepared(t, "fanout", "", "q2", nil))
	for _, key := range []string{"", "a", "#", "whatever"} {
		wantNames(t, x, &Message{Key: key}, "q1", "q2")
	}
}

func TestAnEmptyIndexMatchesNothing(t *testing.T) {
	for _, k := range Kinds() {
		if k.Memory != NoMemory {
			continue // it has the bindings of another kind
		}
		x := empty(t, k.Name)
		wantNames(t, x, &Message{Key: ""})
		wantNames(t, x, &Message{Key: "a.b"})
		key := "1" // a weight too
		if k.Name == "x-local-random" {
			key = "" // it takes no other
		}
		stranger := prepared(t, k.Name, key, "q", nil)
		wantNames(t, x.Without(stranger), &Message{Key: key})
		wantNames(t, x.With(stranger).Without(stranger), &Message{Key: key})
	}
}

func TestOnlyHeadersLooksBeyondTheKey(t *testing.T) {
	for name, want := range map[string]bool{"direct": true, "fanout": true, "topic": true, "headers": false} {
		if got := empty(t, name).ByKey(); got != want {
			t.Errorf("%s: ByKey is %v", name, got)
		}
	}
}

// TestAnOldIndexAnswersAsBefore changes an index at random and asks all of its past at the end.
func TestAnOldIndexAnswersAsBefore(t *testing.T) {
	for _, exchange := range []string{"direct", "fanout", "topic", "headers"} {
		t.Run(exchange, func(t *testing.T) { testImmutability(t, exchange, rand.New(rand.NewPCG(1, 2))) })
	}
}

// past is an index as it was, with the bindings it then had.
type past struct {
	index Index
	live  []*Binding
}

func testImmutability(t *testing.T, exchange string, random *rand.Rand) {
	keys := []string{"", "a", "b", "a.b", "a.*", "*", "#", "a.#", "#.b", "*.b", "#.a.#"}
	x := empty(t, exchange)
	var live []*Binding
	var history []past
	for i := range 1500 {
		if len(live) > 0 && random.IntN(5) < 2 || len(live) > 600 {
			n := random.IntN(len(live))
			x = x.Without(live[n])
			live = slices.Delete(slices.Clone(live), n, n+1)
		} else {
			b := prepared(t, exchange, keys[random.IntN(len(keys))], fmt.Sprintf("q%d", i), nil)
			x = x.With(b)
			live = append(slices.Clip(live), b)
		}
		if i%10 == 0 {
			history = append(history, past{x, live})
		}
	}
	for _, key := range []string{"", "a", "b", "a.b", "b.a"} {
		for i, p := range history {
			if got, want := names(p.index, &Message{Key: key}), selected(exchange, p.live, key); !slices.Equal(got, want) {
				t.Fatalf("index %d, key %q: got %d targets, want %d", i, key, len(got), len(want))
			}
		}
	}
}

// selected is what the bindings select, found one by one.
func selected(exchange string, live []*Binding, key string) []string {
	var list []string
	for _, b := range live {
		if exchange == "fanout" || exchange == "headers" || exchange == "direct" && b.Key == key ||
			exchange == "topic" && slowTopic(b.Key, key) {
			list = append(list, b.Target.Name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// slowTopic is the definition of a topic match, word by word.
func slowTopic(pattern, key string) bool {
	return slowWords(words(pattern), words(key))
}

func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ".")
}

func slowWords(pattern, key []string) bool {
	switch {
	case len(pattern) == 0:
		return len(key) == 0
	case pattern[0] == "#":
		return slowWords(pattern[1:], key) || len(key) > 0 && slowWords(pattern, key[1:])
	case len(key) == 0:
		return false
	}
	return (pattern[0] == "*" || pattern[0] == key[0]) && slowWords(pattern[1:], key[1:])
}

// BenchmarkFanoutUnbind takes away and adds one of a hundred thousand bindings that all have the same place.
func BenchmarkFanoutUnbind(b *testing.B) {
	x := empty(b, "fanout")
	list := make([]*Binding, 100_000)
	for i := range list {
		list[i] = prepared(b, "fanout", "", "q", nil)
		x = x.With(list[i])
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		one := list[i*7919%len(list)]
		x = x.Without(one).With(one)
	}
}
