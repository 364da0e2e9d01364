package routing

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// graph is exchanges as a slow and obvious router sees them.
type graph struct {
	alternate map[string]string
	kind      map[string]string
	bindings  map[string][]binding
	queues    map[string]bool
}

type binding struct {
	key, to    string
	toExchange bool
}

// route visits from exchange on and gives the queues.
func (g *graph) route(from string, keys []string) []string {
	found := map[string]bool{}
	seen := map[string]bool{}
	var visit func(x string)
	visit = func(x string) {
		if kind, exists := g.kind[x]; !exists || kind == "" || seen[x] {
			return
		}
		seen[x] = true
		any := false
		for _, b := range g.bindings[x] {
			if g.kind[x] != "fanout" && !slices.Contains(keys, b.key) {
				continue
			}
			any = true
			if b.toExchange {
				visit(b.to)
			} else {
				found[b.to] = true
			}
		}
		if !any && g.alternate[x] != "" {
			visit(g.alternate[x])
		}
	}
	visit(from)
	list := []string{}
	for name := range found {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// TestFindIsTheSlowRouter compares routes through random graphs, circles and missing alternates included.
func TestFindIsTheSlowRouter(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 40 {
		w, g := newWorld(t), &graph{
			alternate: map[string]string{}, kind: map[string]string{}, bindings: map[string][]binding{}, queues: map[string]bool{},
		}
		fill(w, g, random)
		for range 60 {
			x := fmt.Sprint("x", random.IntN(len(g.kind)))
			keys := []string{fmt.Sprint(random.IntN(4))}
			for random.IntN(3) == 0 {
				keys = append(keys, fmt.Sprint(random.IntN(4)))
			}
			if got, want := w.queues(w.route(x, nil, keys...)), g.route(x, keys); !slices.Equal(got, want) {
				t.Fatalf("from %s with %q through %+v: got %q, want %q", x, keys, g, got, want)
			}
		}
	}
}

func fill(w *world, g *graph, random *rand.Rand) {
	exchanges, queues := 2+random.IntN(3*searchMax), 1+random.IntN(40)
	for i := range queues {
		w.queue(fmt.Sprint("q", i))
	}
	for i := range exchanges {
		name := fmt.Sprint("x", i)
		g.kind[name] = []string{"direct", "fanout", "topic"}[random.IntN(3)]
		if random.IntN(2) == 0 {
			g.alternate[name] = fmt.Sprint("x", random.IntN(exchanges+1)) // the last is missing
		}
		w.exchange(name, g.kind[name], g.alternate[name])
	}
	for range random.IntN(3 * (exchanges + queues)) {
		from := fmt.Sprint("x", random.IntN(exchanges))
		b := binding{key: fmt.Sprint(random.IntN(4)), to: fmt.Sprint("q", random.IntN(queues))}
		if random.IntN(3) == 0 {
			b.to, b.toExchange = fmt.Sprint("x", random.IntN(exchanges)), true
		}
		w.bind(from, b.to, b.key, b.toExchange)
		g.bindings[from] = append(g.bindings[from], b)
	}
}
