package session

import (
	"encoding/json"
	"fmt"
)

// Limits on the connections and channels of a user, and on the connections to a vhost, are for all nodes together. Each node
// tells the others its own numbers when they change, and counts what it was told last. What counts toward a limit is on its way
// to them before the client hears that it is open: so a limit may be passed only by what is opened on several nodes at once.

// What is counted, by name.
const (
	ofVHost    = iota // connections to a vhost
	ofUser            // connections of a user
	channelsOf        // channels of a user
	kindsOfTallies
)

// tallies are numbers by what is counted, and by name; 0 is left out.
type tallies [kindsOfTallies]map[string]int

func newTallies() (t tallies) {
	for kind := range t {
		t[kind] = map[string]int{}
	}
	return t
}

// set notes a number.
func (t *tallies) set(kind int, name string, n int) {
	if n > 0 {
		t[kind][name] = n
	} else {
		delete(t[kind], name)
	}
}

// told is what nodes tell each other, as JSON: numbers that have changed, those that are 0 now too, or all there are.
type told struct {
	All     bool    `json:"all"`
	Life    uint64  `json:"life,omitempty"` // of the node; 0: it does not say
	Numbers tallies `json:"numbers"`
}

// sharing is what a Registry knows of other nodes.
type sharing struct {
	stirred chan struct{}     // one place: some number has changed; nil: there are no other nodes
	life    uint64            // of this node
	news    tallies           // what has changed since it was told
	others  map[uint64]*heard // what other nodes have told
	lives   map[uint64]uint64 // the nodes that live, and which life of each it is: the connections of others are gone
	tell    func()
}

// heard is what another node has told, in one of its lives.
type heard struct {
	life uint64
	tallies
}

// Share lets the limits count what other nodes have; life is this node's. The channel has a value when Tallies has something new;
// tell is called when that is not to wait.
func (g *Registry) Share(life uint64, tell func()) (stirred <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stirred, g.news, g.others, g.life, g.tell = make(chan struct{}, 1), newTallies(), map[uint64]*heard{}, life, tell
	return g.stirred
}

// tellAtOnce tells the other nodes of what counts toward a limit.
func (g *Registry) tellAtOnce(counts bool) {
	if counts && g.stirred != nil {
		g.tell()
	}
}

// count adds to a number. The lock is held.
func (g *Registry) count(kind int, name string, n int) {
	n += g.here[kind][name]
	g.here.set(kind, name, n)
	if g.stirred == nil {
		return
	}
	g.news[kind][name] = n
	select {
	case g.stirred <- struct{}{}:
	default:
	}
}

// everywhere gives a number of all nodes together. The lock is held.
func (g *Registry) everywhere(kind int, name string) int64 {
	n := g.here[kind][name]
	for node, there := range g.others {
		if life, lives := g.lives[node]; lives && (there.life == 0 || there.life >= life) {
			n += there.tallies[kind][name]
		}
	}
	return int64(n)
}

// Tallies gives what another node is to be told: all numbers, or those that have changed since they were last asked for; nil if
// none has.
func (g *Registry) Tallies(all bool) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := told{All: all, Life: g.life, Numbers: g.here}
	if !all {
		t.Numbers, g.news = g.news, newTallies()
		if len(t.Numbers[ofVHost])+len(t.Numbers[ofUser])+len(t.Numbers[channelsOf]) == 0 {
			return nil
		}
	}
	data, err := json.Marshal(t)
	if err != nil {
		bug("tallies cannot be written: %v", err)
	}
	return data
}

// Told takes the Tallies of another node.
func (g *Registry) Told(node uint64, data []byte) error {
	var t told
	if err := json.Unmarshal(data, &t); err != nil {
		return fmt.Errorf("tallies of node %d: %w", node, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	known := g.others[node]
	if t.All || known == nil || known.life != t.Life {
		known = &heard{t.Life, newTallies()}
	}
	for kind, numbers := range t.Numbers {
		for name, n := range numbers {
			known.set(kind, name, n)
		}
	}
	g.others[node] = known
	return nil
}

// Alive tells which nodes live, and which life of each it is.
func (g *Registry) Alive(nodes map[uint64]uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lives = nodes
}

// Forget forgets what nodes have told that no longer belong to the cluster. Others may only seem to be gone.
func (g *Registry) Forget(belongs func(node uint64) bool) {
	for _, node := range g.silent() {
		if !belongs(node) {
			g.mu.Lock()
			delete(g.others, node)
			g.mu.Unlock()
		}
	}
}

// silent gives the nodes that have told something and do not live.
func (g *Registry) silent() (list []uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for node := range g.others {
		if _, lives := g.lives[node]; !lives {
			list = append(list, node)
		}
	}
	return list
}

func bug(format string, values ...any) { panic("session: " + fmt.Sprintf(format, values...)) }
