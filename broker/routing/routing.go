// Package routing owns the question which queues a message goes to.
//
// It is pure: a Catalog and a message in, a Route out. Find walks from the exchange along its bindings, through
// exchange-to-exchange bindings, with the alternate exchange wherever a hop yields nothing; every exchange is visited and
// every queue taken at most once.
package routing

import (
	"slices"

	"github.com/warrenmq/warren/broker/matching"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
)

// Route is where a message goes. It is immutable and may be kept for as long as the Catalog it was found in.
type Route struct {
	Groups []GroupQueues
	// Kept tells that the exchange's bindings and the routing key alone decided.
	Kept bool
	// Held tells that an exchange with a memory is on the way, which looks at the message's headers.
	Held bool
	// Unroutable tells that no queue gets the message now: only exchanges' memories do, if anything.
	Unroutable bool
}

// GroupQueues is the queues of a route that one group holds.
type GroupQueues struct {
	Group  uint64
	Queues []queue.ID
}

// Empty tells whether the message goes nowhere.
func (r *Route) Empty() bool { return len(r.Groups) == 0 }

// Message is what routing looks at.
type Message struct {
	matching.Message
	// More are the further routing keys, from CC and BCC.
	More []string
	// Released is the exchange whose memory has let the message go, if any: it does not hold it again.
	Released string
}

// Find gives the route of a message that was published to exchange x of vhost v.
func Find(v *topology.VHost, x *topology.Exchange, m *Message) *Route {
	w := walk{v: v, m: m, route: &Route{Kept: len(m.More) == 0, Unroutable: true}}
	w.visit(x)
	for len(w.pending) > 0 {
		next := w.pending[len(w.pending)-1]
		w.pending = w.pending[:len(w.pending)-1]
		w.visit(next)
	}
	return w.route
}

// walk is one search.
type walk struct {
	v       *topology.VHost
	m       *Message
	route   *Route
	pending []*topology.Exchange
	seen    []*topology.Exchange
	many    map[*topology.Exchange]struct{} // seen, once there are too many to search
	found   bool
	queues  map[uint64]struct{} // taken, once there are too many to search the route
}

// visit takes what one exchange selects, or hands on to its alternate.
func (w *walk) visit(x *topology.Exchange) {
	if w.visited(x) {
		return
	}
	w.found = false
	if x.Memory != nil && x.Name != w.m.Released && w.hold(x) {
		return
	}
	w.match(x, &w.m.Message)
	if len(w.m.More) > 0 {
		more := w.m.Message
		for _, more.Key = range w.m.More {
			w.match(x, &more)
		}
	}
	if w.found || x.Alternate == "" {
		return
	}
	if alternate := w.v.Exchange(x.Alternate); alternate != nil {
		w.pending = append(w.pending, alternate)
	}
}

// visited tells whether the walk has been at an exchange, and notes that it is now.
func (w *walk) visited(x *topology.Exchange) bool {
	if w.many == nil {
		if slices.Contains(w.seen, x) {
			return true
		}
		if w.seen = append(w.seen, x); len(w.seen) < searchMax {
			return false
		}
		w.many = map[*topology.Exchange]struct{}{}
		for _, x := range w.seen {
			w.many[x] = struct{}{}
		}
		return false
	}
	_, was := w.many[x]
	w.many[x] = struct{}{}
	return was
}

func (w *walk) match(x *topology.Exchange, m *matching.Message) {
	if x.Name == "" {
		if q := w.v.Queue(m.Key); q != nil {
			w.take(q.Target)
		}
		return
	}
	w.route.Kept = w.route.Kept && x.Index.ByKey()
	x.Index.Match(m, w.take)
}

func (w *walk) take(t *matching.Target) {
	w.found = true
	if !t.Exchange {
		w.route.Unroutable = false
		w.route.add(t, &w.queues)
		return
	}
	if x := w.v.Exchange(t.Name); x != nil {
		w.pending = append(w.pending, x)
	}
}

// searchMax is how many queues, or exchanges, a route may hold before a map tells whether it has one.
const searchMax = 16

func (r *Route) add(t *matching.Target, taken *map[uint64]struct{}) {
	id := queue.ID(t.Queue)
	for i := range r.Groups {
		g := &r.Groups[i]
		if g.Group != t.Group {
			continue
		}
		if !r.has(g, id, taken) {
			g.Queues = append(g.Queues, id)
		}
		return
	}
	if *taken != nil {
		(*taken)[t.Queue] = struct{}{}
	}
	r.Groups = append(r.Groups, GroupQueues{Group: t.Group, Queues: []queue.ID{id}})
}

// has tells whether a group's part of the route holds a queue already, and notes it if a map is kept.
func (r *Route) has(g *GroupQueues, id queue.ID, taken *map[uint64]struct{}) bool {
	if *taken == nil {
		if len(g.Queues) < searchMax {
			return slices.Contains(g.Queues, id)
		}
		*taken = map[uint64]struct{}{}
		for _, group := range r.Groups {
			for _, q := range group.Queues {
				(*taken)[uint64(q)] = struct{}{}
			}
		}
	}
	if _, has := (*taken)[uint64(id)]; has {
		return true
	}
	(*taken)[uint64(id)] = struct{}{}
	return false
}
