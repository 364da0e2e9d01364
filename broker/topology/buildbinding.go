package topology

import (
	"encoding/json"

	"github.com/warrenmq/warren/broker/matching"
	"github.com/warrenmq/warren/protocol"
)

// Kinds of destinations in a binding's key.
const (
	toQueue    = "q"
	toExchange = "x"
)

// edge takes a binding's key apart. It holds everything there is to know of a binding.
func edge(kv parsedKV) *Edge {
	if len(kv.names) != 6 {
		return nil
	}
	return &Edge{
		VHost: kv.names[0], Source: kv.names[1], ToExchange: kv.names[2] == toExchange, Destination: kv.names[3],
		Key: kv.names[4], Arguments: protocol.RawTable(kv.names[5]), Revision: kv.Revision, key: kv.Key,
	}
}

// metaKey is the key of a binding in the metadata store.
func (e *Edge) metaKey() string {
	kind := toQueue
	if e.ToExchange {
		kind = toExchange
	}
	return key(sectionBinding, e.VHost, e.Source, kind, e.Destination, e.Key, string(e.Arguments))
}

func (b *builder) putBinding(v *VHost, kv parsedKV) error {
	e := edge(kv)
	if e == nil {
		return nil
	}
	source := v.Exchange(e.Source)
	target := v.target(e)
	if source == nil || target == nil {
		b.leave(kv.Key, kv.Revision)
		return nil
	}
	if _, exists := source.outgoing.Get(e.key); exists {
		return nil
	}
	e.binding = &matching.Binding{Key: e.Key, Arguments: e.Arguments, Target: target}
	if refusal := source.routing.Prepare(e.binding); refusal != nil {
		return refusal
	}
	b.attach(v, source, e)
	return nil
}

// target gives where an edge leads, nil if that is gone.
func (v *VHost) target(e *Edge) *matching.Target {
	if e.ToExchange {
		if x := v.Exchange(e.Destination); x != nil {
			return x.target
		}
		return nil
	}
	if q := v.Queue(e.Destination); q != nil {
		return q.Target
	}
	return nil
}

// attach puts an edge into the copies of both its ends.
func (b *builder) attach(v *VHost, source *Exchange, e *Edge) {
	from := *source
	from.Index = from.Index.With(e.binding)
	from.outgoing = from.outgoing.Set(e.key, e)
	if from.AutoDelete && b.next.remnants.Len() > 0 {
		b.cleared(from.key())
	}
	if from.kind.Memory == matching.Remembers {
		b.change.Bound = append(b.change.Bound, e)
	}
	v.exchanges = v.exchanges.Set(from.Name, &from)
	if e.ToExchange {
		to := *v.Exchange(e.Destination)
		to.incoming = to.incoming.Set(e.key, e)
		v.exchanges = v.exchanges.Set(to.Name, &to)
		return
	}
	to := *v.Queue(e.Destination)
	to.incoming = to.incoming.Set(e.key, e)
	b.setQueue(v, &to)
}

func (b *builder) removeBinding(v *VHost, kv parsedKV) {
	if e := edge(kv); e != nil {
		b.detach(v, e)
	}
}

// detach takes an edge out of the copies of both its ends.
func (b *builder) detach(v *VHost, e *Edge) {
	if source := v.Exchange(e.Source); source != nil {
		if have, ok := source.outgoing.Get(e.key); ok {
			from := *source
			from.Index = from.Index.Without(have.binding)
			from.outgoing = from.outgoing.Delete(e.key)
			v.exchanges = v.exchanges.Set(from.Name, &from)
			if from.AutoDelete && from.outgoing.Len() == 0 {
				b.emptied = append(b.emptied, &from)
			}
		}
	}
	if e.ToExchange {
		if x := v.Exchange(e.Destination); x != nil {
			to := *x
			to.incoming = to.incoming.Delete(e.key)
			v.exchanges = v.exchanges.Set(to.Name, &to)
		}
		return
	}
	if q := v.Queue(e.Destination); q != nil {
		to := *q
		to.incoming = to.incoming.Delete(e.key)
		b.setQueue(v, &to)
	}
}

// permissionRecord is what is stored of a permission, topicRecord of a topic permission.
type permissionRecord struct {
	Configure string `json:"configure"`
	Write     string `json:"write"`
	Read      string `json:"read"`
}

type topicRecord struct {
	Write string `json:"write"`
	Read  string `json:"read"`
}

func (b *builder) putPermission(v *VHost, kv parsedKV) error {
	var record permissionRecord
	if err := json.Unmarshal(kv.Value, &record); err != nil {
		return err
	}
	p := &Permission{User: kv.names[1], VHost: v.Name, Revision: kv.Revision}
	var err error
	for text, into := range map[*string]**Pattern{&record.Configure: &p.Configure, &record.Write: &p.Write, &record.Read: &p.Read} {
		if *into, err = CompilePattern(nothingIfEmpty(*text)); err != nil {
			return err
		}
		(*into).text = *text // it is shown as it was given
	}
	v.permissions = v.permissions.Set(p.User, p)
	return nil
}

// nothingIfEmpty: an empty pattern permits the empty name alone.
func nothingIfEmpty(text string) string {
	if text == "" {
		return "^$"
	}
	return text
}

func (b *builder) putTopicPermission(v *VHost, kv parsedKV) error {
	if len(kv.names) != 3 {
		return nil
	}
	var record topicRecord
	if err := json.Unmarshal(kv.Value, &record); err != nil {
		return err
	}
	p := &TopicPermission{
		User: kv.names[1], VHost: v.Name, Exchange: kv.names[2], Revision: kv.Revision,
		Write: record.Write, Read: record.Read,
	}
	var err error
	if p.write, err = p.compile(record.Write); err != nil {
		return err
	}
	if p.read, err = p.compile(record.Read); err != nil {
		return err
	}
	v.topics = v.topics.Set(pair(p.User, p.Exchange), p)
	return nil
}
