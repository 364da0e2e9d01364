package topology

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/benbjohnson/immutable"

	"github.com/warrenmq/warren/broker/matching"
	"github.com/warrenmq/warren/store/meta"
)

// builder makes the next Catalog from one event. It copies a vhost once, then changes its copy.
type builder struct {
	next   *Catalog
	vhosts map[string]*VHost // copies
	change Change
	node   uint64
	stale  map[string]bool // vhosts whose policies changed

	emptied []*Exchange // auto-delete exchanges that lost their last binding
}

// Change is what an event did, for whoever follows the metadata.
type Change struct {
	Catalog *Catalog
	Queues  []QueueChange
	Bound   []*Edge  // new bindings of exchanges that remember messages for them
	VHosts  []string // that are gone
	Users   []string // that are gone
}

// QueueChange is a queue that came (Before is nil), went (After is nil) or was configured anew.
type QueueChange struct{ Before, After *Queue }

// build applies the changes of an event to c, which is left as it is.
func build(c *Catalog, e meta.Event, node uint64) (Change, error) {
	next := *c
	next.Revision = e.Revision
	for i := range e.Changes {
		next.Newest = max(next.Newest, e.Changes[i].Revision)
	}
	b := builder{next: &next, vhosts: map[string]*VHost{}, node: node, stale: map[string]bool{}}
	parsed := parseChanges(e.Changes)
	for i := len(parsed) - 1; i >= 0; i-- { // what goes, goes before what it refers to
		if parsed[i].Value == nil {
			b.remove(parsed[i])
		}
	}
	for _, kv := range parsed {
		if kv.Value == nil {
			continue
		}
		if err := b.put(kv); err != nil {
			return Change{}, fmt.Errorf("metadata %s: %w", kv.Key, err)
		}
	}
	b.repolicy()
	b.leaveEmptied()
	for name, v := range b.vhosts {
		if v == nil {
			next.vhosts = next.vhosts.Delete(name)
		} else {
			next.vhosts = next.vhosts.Set(name, v)
		}
	}
	b.change.Catalog = &next
	return b.change, nil
}

// parsedKV is a change with its key taken apart.
type parsedKV struct {
	meta.KV
	section string
	names   []string
}

func parseChanges(changes []meta.KV) []parsedKV {
	parsed := make([]parsedKV, 0, len(changes))
	for _, kv := range changes {
		section, names := splitKey(kv.Key)
		if _, known := order[section]; known && len(names) > 0 {
			parsed = append(parsed, parsedKV{KV: kv, section: section, names: names})
		}
	}
	slices.SortStableFunc(parsed, func(a, b parsedKV) int { return order[a.section] - order[b.section] })
	return parsed
}

// vhost gives this event's copy of a vhost, nil if there is no such vhost.
func (b *builder) vhost(name string) *VHost {
	if v, ok := b.vhosts[name]; ok {
		return v
	}
	old := b.next.VHost(name)
	if old == nil {
		return nil
	}
	v := *old
	b.vhosts[name] = &v
	return &v
}

func (b *builder) put(kv parsedKV) error {
	switch kv.section {
	case sectionGlobal:
		b.next.globals = b.next.globals.Set(kv.names[0], &Parameter{Name: kv.names[0], Revision: kv.Revision, Value: kv.Value})
		return nil
	case sectionUser:
		u := &User{Name: kv.names[0], Revision: kv.Revision}
		b.next.users = b.next.users.Set(u.Name, u)
		return json.Unmarshal(kv.Value, &u.UserRecord)
	case sectionVHost:
		return b.putVHost(kv)
	}
	if len(kv.names) < 2 {
		return nil
	}
	v := b.vhost(kv.names[0])
	if v == nil || b.ofNobody(kv) {
		b.leave(kv.Key, kv.Revision)
		return nil
	}
	b.cleared(kv.Key)
	switch kv.section {
	case sectionPermission:
		return b.putPermission(v, kv)
	case sectionTopic:
		return b.putTopicPermission(v, kv)
	case sectionParameter:
		return b.putParameter(v, kv)
	case sectionPolicy, sectionOperator:
		return b.putPolicy(v, kv)
	case sectionExchange:
		return b.putExchange(v, kv)
	case sectionQueue:
		return b.putQueue(v, kv)
	}
	return b.putBinding(v, kv)
}

// ofNobody tells whether a pair is a permission of a user that is gone.
func (b *builder) ofNobody(kv parsedKV) bool {
	return (kv.section == sectionPermission || kv.section == sectionTopic) && b.next.User(kv.names[1]) == nil
}

func (b *builder) putVHost(kv parsedKV) error {
	v := b.vhost(kv.names[0])
	if v == nil {
		v = &VHost{
			Name:              kv.names[0],
			consumerTimeoutMs: b.next.consumerTimeoutMs,
			exchanges:         immutable.NewSortedMap[string, *Exchange](nil),
			queues:            immutable.NewSortedMap[string, *Queue](nil),
			permissions:       immutable.NewSortedMap[string, *Permission](nil),
			topics:            immutable.NewSortedMap[string, *TopicPermission](nil),
			parameters:        immutable.NewSortedMap[string, *Parameter](nil),
		}
		b.vhosts[v.Name] = v
	}
	v.Revision = kv.Revision
	v.VHostRecord = VHostRecord{}
	return json.Unmarshal(kv.Value, &v.VHostRecord)
}

func (b *builder) putParameter(v *VHost, kv parsedKV) error {
	if len(kv.names) != 3 {
		return nil
	}
	p := &Parameter{VHost: v.Name, Component: kv.names[1], Name: kv.names[2], Revision: kv.Revision, Value: kv.Value}
	v.parameters = v.parameters.Set(pair(p.Component, p.Name), p)
	return nil
}

func (b *builder) putExchange(v *VHost, kv parsedKV) error {
	x := &Exchange{Name: kv.names[1], VHost: v.Name, Revision: kv.Revision, outgoing: noEdges, incoming: noEdges}
	if err := json.Unmarshal(kv.Value, &x.ExchangeRecord); err != nil {
		return err
	}
	kind, ok := matching.Lookup(x.Type)
	if !ok {
		return fmt.Errorf("exchange type %q is not known", x.Type)
	}
	index, refusal := kind.New(x.Arguments)
	if refusal != nil {
		return refusal
	}
	x.kind, x.routing, x.Index, x.Table = kind, kind.Routing(x.Arguments), index, x.Arguments.Decode()
	x.target = &matching.Target{Name: x.Name, Exchange: true}
	x.applyPolicy(v)
	b.removeExchange(v, x.Name)
	if x.Behind != nil {
		b.remember(x)
	}
	v.exchanges = v.exchanges.Set(x.Name, x)
	return nil
}

func (b *builder) putQueue(v *VHost, kv parsedKV) error {
	q := &Queue{Name: kv.names[1], VHost: v.Name, Revision: kv.Revision, incoming: noEdges}
	if err := json.Unmarshal(kv.Value, &q.QueueRecord); err != nil {
		return err
	}
	before := v.Queue(q.Name)
	switch {
	case before == nil:
	case before.ID == q.ID:
		q.incoming = before.incoming
	default:
		b.leaveEdges(v, before.incoming)
	}
	q.Table = q.Arguments.Decode()
	q.Target = &matching.Target{Name: q.Name, Queue: q.ID, Group: q.Group, Local: q.Owner.Node == 0 || q.Owner.Node == b.node}
	b.applyPolicy(q, v)
	b.setQueue(v, q)
	b.change.Queues = append(b.change.Queues, QueueChange{Before: before, After: q})
	return nil
}

func (b *builder) setQueue(v *VHost, q *Queue) {
	v.queues = v.queues.Set(q.Name, q)
	b.next.byID = b.next.byID.Set(q.ID, q)
}

func (b *builder) remove(kv parsedKV) {
	name := kv.names[0]
	switch kv.section {
	case sectionGlobal:
		b.next.globals = b.next.globals.Delete(name)
		return
	case sectionUser:
		b.next.users = b.next.users.Delete(name)
		b.leaveUser(name)
		b.change.Users = append(b.change.Users, name)
		return
	case sectionVHost:
		b.removeVHost(name)
		return
	}
	b.cleared(kv.Key)
	v := b.vhost(name)
	if v == nil || len(kv.names) < 2 {
		return
	}
	name = kv.names[1]
	switch kv.section {
	case sectionPermission:
		v.permissions = v.permissions.Delete(name)
	case sectionTopic:
		v.topics = v.topics.Delete(pair(name, kv.names[2]))
	case sectionParameter:
		v.parameters = v.parameters.Delete(pair(name, kv.names[2]))
	case sectionPolicy, sectionOperator:
		b.removePolicy(v, kv)
	case sectionExchange:
		b.removeExchange(v, name)
	case sectionQueue:
		b.removeQueue(v, name)
	case sectionBinding:
		b.removeBinding(v, kv)
	}
}

func (b *builder) removeExchange(v *VHost, name string) {
	if x := v.Exchange(name); x != nil {
		b.leaveEdges(v, x.outgoing, x.incoming)
		b.forgetMemory(x)
		v.exchanges = v.exchanges.Delete(name)
	}
}

func (b *builder) removeQueue(v *VHost, name string) {
	if q := v.Queue(name); q != nil {
		b.leaveEdges(v, q.incoming)
		v.queues = v.queues.Delete(name)
		b.next.byID = b.next.byID.Delete(q.ID)
		b.change.Queues = append(b.change.Queues, QueueChange{Before: q})
	}
}

// removeVHost drops what is left in a vhost with it.
func (b *builder) removeVHost(name string) {
	v := b.vhost(name)
	if v == nil {
		return
	}
	v.Queues(func(q *Queue) bool {
		b.next.byID = b.next.byID.Delete(q.ID)
		b.change.Queues = append(b.change.Queues, QueueChange{Before: q})
		return true
	})
	v.Exchanges(func(x *Exchange) bool { b.forgetMemory(x); return true })
	b.leaveVHost(v)
	b.vhosts[name] = nil
	b.change.VHosts = append(b.change.VHosts, name)
}
