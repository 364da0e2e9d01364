// Package dispatch owns the way of commands to the groups, and is the single door for every publish, whoever makes it.
//
//  1. Publisher.Exchange finds the exchange and refuses whom it is not for.
//  2. Publisher.Route gives the queues, from memory while neither key nor Catalog changed.
//  3. Publisher.Publish appends the message once for each group to that group's open batch and says how many answers are
//     to be expected.
//  4. Door.Flush hands the batches in at the end of a burst; Door.Wait holds the session back while too much is under way.
package dispatch

import (
	"github.com/warrenmq/warren/broker/matching"
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/routing"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// Publisher is one session's way to publish. owner: the session's reader
type Publisher struct {
	*Door
	principal topology.Actor
	vhost     string
	Own       bool         // what the broker itself publishes may go to internal exchanges
	Board     *stats.Board // takes the counts of exchanges, if it is not nil
	catalog   func() *topology.Catalog

	seen   *topology.Catalog // what follows is true of it
	known  map[string]*known
	last   *known
	routes int

	counted []*known // with something to show
}

// known is an exchange that may be published to.
type known struct {
	*topology.Exchange
	vhost   *topology.VHost
	routes  map[string]*routing.Route
	lastKey string
	last    *routing.Route
	shared  *stats.Shared
	in, out uint64 // messages and copies since the last FlushCounts
}

// routesKept bounds the routes a session remembers; then it begins anew.
const routesKept = 4096

// NewPublisher makes the way for a user in a vhost.
func NewPublisher(door *Door, principal topology.Actor, vhost string, catalog func() *topology.Catalog) *Publisher {
	return &Publisher{Door: door, principal: principal, vhost: vhost, catalog: catalog}
}

// Exchange finds the exchange to publish to. name is borrowed.
func (p *Publisher) Exchange(name []byte) (*topology.Exchange, *protocol.Error) {
	if c := p.catalog(); c != p.seen {
		p.seen, p.known, p.last, p.routes = c, map[string]*known{}, nil, 0
	}
	if p.last != nil && p.last.Name == string(name) {
		return p.last.Exchange, nil
	}
	if k := p.known[string(name)]; k != nil {
		p.last = k
		return k.Exchange, nil
	}
	if refusal := p.principal.Authorize(p.seen, p.vhost, topology.Write, "exchange", string(name)); refusal != nil {
		return nil, refusal
	}
	v := p.seen.VHost(p.vhost)
	if v == nil {
		return nil, protocol.NotFound("no vhost '%s'", p.vhost)
	}
	x := v.Exchange(string(name))
	if x == nil {
		return nil, protocol.NotFound("no exchange '%s' in vhost '%s'", name, p.vhost)
	}
	if x.Internal && !p.Own {
		return nil, protocol.AccessRefused("cannot publish to internal exchange '%s' in vhost '%s'", name, p.vhost)
	}
	p.last = &known{Exchange: x, vhost: v, routes: map[string]*routing.Route{}}
	p.known[x.Name] = p.last
	return x, nil
}

// Route gives where a message with this key goes from the exchange that Exchange gave last, or refuses a key that the
// user may not use there. key is borrowed, as are more and properties.
func (p *Publisher) Route(key []byte, more []string, properties protocol.Properties) (*routing.Route, *protocol.Error) {
	k := p.last
	if len(more) == 0 {
		if k.last != nil && k.lastKey == string(key) {
			return k.last, nil
		}
		if r := k.routes[string(key)]; r != nil {
			k.last, k.lastKey = r, string(key)
			return r, nil
		}
	}
	m := routing.Message{Message: matching.Message{Key: string(key), Properties: properties}, More: more}
	if refusal := p.allowKeys(k, &m); refusal != nil {
		return nil, refusal
	}
	m.Headers, _ = properties.Headers()
	r := routing.Find(k.vhost, k.Exchange, &m)
	if r.Kept {
		p.remember(k, m.Key, r)
	}
	return r, nil
}

// allowKeys checks the topic permissions, which only topic exchanges have.
func (p *Publisher) allowKeys(k *known, m *routing.Message) *protocol.Error {
	if k.Type != "topic" {
		return nil
	}
	if refusal := p.principal.AuthorizeTopic(p.seen, p.vhost, topology.Write, k.Name, m.Key); refusal != nil {
		return refusal
	}
	for _, key := range m.More {
		if refusal := p.principal.AuthorizeTopic(p.seen, p.vhost, topology.Write, k.Name, key); refusal != nil {
			return refusal
		}
	}
	return nil
}

func (p *Publisher) remember(k *known, key string, r *routing.Route) {
	if p.routes >= routesKept {
		for _, other := range p.known {
			clear(other.routes)
		}
		p.routes = 0
	}
	p.routes++
	k.routes[key] = r
	k.last, k.lastKey = r, key
}

// targetsMax is how many queues one publish command names.
const targetsMax = 60000

// Publish appends a message to the open batch of every group on its route. number is the channel's count of the message,
// 0 if nobody waits. It gives how many confirms will come; the message is borrowed only until it returns.
func (p *Publisher) Publish(channel uint16, number uint64, r *routing.Route, m *message.Message) (answers int, err error) {
	for i := range r.Groups {
		g := &r.Groups[i]
		batch, err := p.Batch(g.Group)
		if err != nil {
			return answers, err
		}
		for rest := g.Queues; len(rest) > 0; {
			n := min(len(rest), targetsMax)
			batch.Publish(channel, number, rest[:n], m)
			answers++
			rest = rest[n:]
		}
	}
	return answers, nil
}

// Traced tells whether the vhost wants a copy of what is published to the exchange that Exchange gave last.
func (p *Publisher) Traced() bool { return p.last.vhost.Tracing }

// Count notes a message that takes a route from the exchange that Exchange gave last.
func (p *Publisher) Count(r *routing.Route) {
	k := p.last
	if k.in == 0 {
		p.counted = append(p.counted, k)
	}
	k.in++
	for i := range r.Groups {
		k.out += uint64(len(r.Groups[i].Queues))
	}
}

// FlushCounts shows what was counted since the last time.
func (p *Publisher) FlushCounts() {
	for _, k := range p.counted {
		if k.shared == nil && p.Board != nil {
			k.shared = p.Board.Exchange(p.vhost, k.Name)
		}
		if k.shared != nil {
			k.shared.Add(&stats.Counts{stats.PublishIn: k.in, stats.PublishOut: k.out})
			p.Board.Flow.Routed.Add(k.out)
		}
		k.in, k.out = 0, 0
	}
	clear(p.counted)
	p.counted = p.counted[:0]
}
