package topology

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"

	"github.com/warrenmq/warren/broker/queue"
)

// Policy gives settings to the queues or exchanges of a vhost whose names match. An operator policy does the same above
// whatever users set.
type Policy struct {
	VHost, Name string
	Operator    bool
	Revision    int64
	PolicyRecord
	values  map[string]any // Definition, decoded: string, bool, json.Number
	pattern *Pattern
}

// PolicyRecord is what is stored of a policy.
type PolicyRecord struct {
	Pattern    string          `json:"pattern"`
	ApplyTo    string          `json:"apply-to"` // see appliesTo
	Priority   int64           `json:"priority"`
	Definition json.RawMessage `json:"definition"`
}

// What a policy may apply to.
const (
	applyToAll       = "all"
	applyToExchanges = "exchanges"
	applyToQueues    = "queues"
	applyToClassic   = "classic_queues"
	applyToQuorum    = "quorum_queues"
	applyToStreams   = "streams"
)

// ApplyTo lists what a policy may apply to.
var ApplyTo = []string{applyToAll, applyToExchanges, applyToQueues, applyToClassic, applyToQuorum, applyToStreams}

// Value gives a setting of the policy, nil if it does not set it. A nil policy sets nothing.
func (p *Policy) Value(name string) any {
	if p == nil {
		return nil
	}
	return p.values[name]
}

// LeaderLocator is how the leader of a queue that is about to be declared is chosen: what its arguments or its policy say, or
// nothing.
func (q *Queue) LeaderLocator(c *Catalog) string {
	if said, ok := q.Table.Get("x-queue-leader-locator"); ok {
		locator, _ := said.(string) // anything else was refused
		return locator
	}
	v := c.VHost(q.VHost)
	if v == nil {
		return ""
	}
	p := first(v.policies, func(p *Policy) bool { return p.forQueue(q) })
	if p == nil {
		return ""
	}
	locator, _ := p.text("queue-leader-locator") // "" is nothing
	return locator
}

// text and number read a setting of that type.
func (p *Policy) text(name string) (string, bool) {
	s, ok := p.Value(name).(string)
	return s, ok
}

func (p *Policy) number(name string) (int64, bool) {
	n, ok := p.Value(name).(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}

func (p *Policy) forQueue(q *Queue) bool {
	switch p.ApplyTo {
	case applyToAll, applyToQueues:
	case applyToClassic:
		if q.Type != "classic" {
			return false
		}
	case applyToQuorum:
		if q.Type != "quorum" {
			return false
		}
	case applyToStreams:
		if q.Type != "stream" {
			return false
		}
	default:
		return false
	}
	return p.pattern.Match(q.Name) && p.suits(q.Type)
}

// suits tells whether a queue type knows every setting of the policy; one it does not know rules the whole policy out.
func (p *Policy) suits(queueType string) bool {
	for name := range p.values {
		if slices.Contains(unsupported[queueType], name) {
			return false
		}
	}
	return true
}

// unsupported are the settings that rule a policy out for a queue type. Others that a type has no use for, such as the
// consumer timeout of a classic queue, do not: as in RabbitMQ they are without effect there.
var unsupported = map[string][]string{
	"classic": {
		"max-age", "stream-max-segment-size-bytes", "initial-cluster-size", "delivery-limit", "dead-letter-strategy",
		"max-in-memory-length", "max-in-memory-bytes", "target-group-size",
	},
	"quorum": {"max-age", "stream-max-segment-size-bytes", "initial-cluster-size", "queue-mode"},
	"stream": {
		"message-ttl", "expires", "max-length", "overflow", "dead-letter-exchange", "dead-letter-routing-key",
		"dead-letter-strategy", "delivery-limit", "max-in-memory-length", "max-in-memory-bytes", "queue-mode",
		"target-group-size",
	},
}

func (p *Policy) forExchange(x *Exchange) bool {
	return (p.ApplyTo == applyToAll || p.ApplyTo == applyToExchanges) && p.pattern.Match(x.Name)
}

func first(policies []*Policy, suits func(*Policy) bool) *Policy {
	if i := slices.IndexFunc(policies, suits); i >= 0 {
		return policies[i]
	}
	return nil
}

// applyPolicy finds the policies of a queue and merges them with its arguments.
func (b *builder) applyPolicy(q *Queue, v *VHost) {
	q.Policy = first(v.policies, func(p *Policy) bool { return p.forQueue(q) })
	q.Operator = first(v.operators, func(p *Policy) bool { return p.forQueue(q) })
	q.Config = b.share(q.config(v.consumerTimeoutMs))
}

// share gives a queue's configuration, in memory once for all that are made alike one after the other.
func (b *builder) share(config queue.Config) *queue.Config {
	if b.next.shared == nil || *b.next.shared != config {
		own := config
		b.next.shared = &own
	}
	return b.next.shared
}

func (x *Exchange) applyPolicy(v *VHost) {
	x.Policy = first(v.policies, func(p *Policy) bool { return p.forExchange(x) })
	x.Alternate = ""
	if value, ok := x.Table.Get(argAlternate); ok {
		x.Alternate, _ = value.(string)
	} else if name, ok := x.Policy.text(argAlternate); ok {
		x.Alternate = name
	}
}

const argAlternate = "alternate-exchange"

func (b *builder) putPolicy(v *VHost, kv parsedKV) error {
	p := &Policy{VHost: v.Name, Name: kv.names[1], Operator: kv.section == sectionOperator, Revision: kv.Revision}
	if err := json.Unmarshal(kv.Value, &p.PolicyRecord); err != nil {
		return err
	}
	if err := p.prepare(); err != nil {
		return err
	}
	b.setPolicies(v, p.Name, p.Operator, p)
	return nil
}

// prepare compiles the pattern and decodes the definition.
func (p *Policy) prepare() (err error) {
	if p.pattern, err = CompilePattern(p.Pattern); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(p.Definition))
	d.UseNumber()
	return d.Decode(&p.values)
}

func (b *builder) removePolicy(v *VHost, kv parsedKV) {
	b.setPolicies(v, kv.names[1], kv.section == sectionOperator, nil)
}

// setPolicies replaces the policy of that name, drops it if p is nil, and keeps the list in order.
func (b *builder) setPolicies(v *VHost, name string, operator bool, p *Policy) {
	list := &v.policies
	if operator {
		list = &v.operators
	}
	next := slices.DeleteFunc(slices.Clone(*list), func(have *Policy) bool { return have.Name == name })
	if p != nil {
		next = append(next, p)
	}
	slices.SortStableFunc(next, func(a, b *Policy) int {
		switch {
		case a.Priority != b.Priority:
			return cmp.Compare(b.Priority, a.Priority)
		case a.Name < b.Name:
			return -1
		}
		return 1
	})
	*list = next
	b.stale[v.Name] = true
}

// repolicy gives the objects of the vhosts whose policies changed what now applies to them.
func (b *builder) repolicy() {
	for name := range b.stale {
		v := b.vhosts[name]
		if v == nil {
			continue
		}
		v.Queues(func(q *Queue) bool {
			after := *q
			b.applyPolicy(&after, v)
			if after.Policy != q.Policy || after.Operator != q.Operator || *after.Config != *q.Config {
				b.setQueue(v, &after)
				b.change.Queues = append(b.change.Queues, QueueChange{Before: q, After: &after})
			}
			return true
		})
		v.Exchanges(func(x *Exchange) bool {
			after := *x
			after.applyPolicy(v)
			if after.Policy != x.Policy || after.Alternate != x.Alternate {
				v.exchanges = v.exchanges.Set(x.Name, &after)
			}
			return true
		})
	}
}

// Values are the settings of the policy: string, bool, json.Number. They are not to be changed.
func (p *Policy) Values() map[string]any { return p.values }
