package topology

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
)

// Deed is something that a change of the metadata has brought about, under RabbitMQ's name for such an event.
type Deed struct {
	Name   string
	Fields protocol.Table
}

type actorKey struct{}

// By gives a context for changes that user makes.
func By(ctx context.Context, user string) context.Context {
	return context.WithValue(ctx, actorKey{}, user)
}

// by is who makes the changes of a context: the broker, if it does not say.
func by(ctx context.Context) string {
	if user, ok := ctx.Value(actorKey{}).(string); ok {
		return user
	}
	return internalUser
}

// deeds tells what the ops of a transaction do to the Catalog they were planned on.
func deeds(c *Catalog, ops []meta.Op) (list []Deed) {
	for _, op := range ops {
		section, names := splitKey(op.Key)
		if tell := tellers[section]; tell != nil {
			list = append(list, tell(c, names, op.Value)...)
		}
	}
	return list
}

// tellers know what an op on a key of their section means. A nil value removes the key.
var tellers = map[string]func(c *Catalog, names []string, value []byte) []Deed{
	sectionVHost:      tellVHost,
	sectionUser:       tellUser,
	sectionPermission: tellPermission,
	sectionTopic:      tellTopic,
	sectionPolicy:     tellPolicy,
	sectionOperator:   tellPolicy,
	sectionParameter: func(_ *Catalog, names []string, value []byte) []Deed {
		return tellParameter(value, textField("component", names[1]), textField("name", names[2]), textField("vhost", names[0]))
	},
	sectionGlobal: func(_ *Catalog, names []string, value []byte) []Deed {
		return tellParameter(value, textField("component", "global"), textField("name", names[0]))
	},
	sectionExchange: tellExchange,
	sectionQueue:    tellQueue,
	sectionBinding:  tellBinding,
}

func textField(key, value string) protocol.Field { return protocol.Field{Key: key, Value: value} }

func one(name string, fields ...protocol.Field) []Deed { return []Deed{{name, fields}} }

// record reads what was written a moment ago.
func record[R any](value []byte) (r R) {
	if err := json.Unmarshal(value, &r); err != nil {
		bug("a record that was written cannot be read: %v", err)
	}
	return r
}

func tellVHost(c *Catalog, names []string, value []byte) []Deed {
	name := names[0]
	if value == nil {
		return one("vhost.deleted", textField("name", name))
	}
	r, before := record[VHostRecord](value), c.VHost(name)
	if before == nil {
		return one("vhost.created", textField("name", name), textField("description", r.Description), textField("default_queue_type", r.DefaultQueueType),
			protocol.Field{Key: "tags", Value: texts(r.Tags)}, protocol.Field{Key: "tracing", Value: r.Tracing},
			protocol.Field{Key: "protected_from_deletion", Value: r.Protected})
	}
	if sameLimits(before.Limits, r.Limits) {
		return nil
	}
	return []Deed{
		{"parameter.set", protocol.Table{textField("component", ComponentLimits), textField("name", "limits"), textField("vhost", name), {Key: "value", Value: limitTable(r.Limits)}}},
		{"vhost.limits.set", append(limitTable(r.Limits), textField("name", "limits"), textField("vhost", name))},
	}
}

func tellUser(c *Catalog, names []string, value []byte) []Deed {
	name := textField("name", names[0])
	if value == nil {
		return one("user.deleted", name)
	}
	r, before := record[UserRecord](value), c.User(names[0])
	if before != nil && !sameLimits(before.Limits, r.Limits) {
		if len(r.Limits) == 0 {
			return one("user.limits.cleared", textField("name", "limits"), textField("username", names[0]))
		}
		return one("user.limits.set", append(limitTable(r.Limits), textField("name", "limits"), textField("username", names[0]))...)
	}
	tags := Deed{"user.tags.set", protocol.Table{name, {Key: "tags", Value: texts(r.Tags)}}}
	switch {
	case before == nil:
		return []Deed{{"user.created", protocol.Table{name}}, tags}
	case before.PasswordHash != r.PasswordHash:
		return []Deed{{"user.password.changed", protocol.Table{name}}, tags}
	}
	return []Deed{tags}
}

func tellPermission(_ *Catalog, names []string, value []byte) []Deed {
	whose := protocol.Table{textField("user", names[1]), textField("vhost", names[0])}
	if value == nil {
		return one("permission.deleted", whose...)
	}
	r := record[permissionRecord](value)
	return one("permission.created", append(whose, textField("configure", r.Configure), textField("write", r.Write), textField("read", r.Read))...)
}

func tellTopic(_ *Catalog, names []string, value []byte) []Deed {
	whose := protocol.Table{textField("user", names[1]), textField("vhost", names[0])}
	if value == nil {
		return one("topic.permission.deleted", whose...)
	}
	r := record[topicRecord](value)
	return one("topic.permission.created", append(whose, textField("exchange", names[2]), textField("write", r.Write), textField("read", r.Read))...)
}

func tellPolicy(_ *Catalog, names []string, value []byte) []Deed {
	which := protocol.Table{textField("name", names[1]), textField("vhost", names[0])}
	if value == nil {
		return one("policy.cleared", which...)
	}
	r := record[PolicyRecord](value)
	return one("policy.set", append(which, textField("pattern", r.Pattern), textField("apply-to", r.ApplyTo),
		protocol.Field{Key: "priority", Value: r.Priority}, protocol.Field{Key: "definition", Value: fieldOf(record[any](r.Definition))})...)
}

func tellParameter(value []byte, which ...protocol.Field) []Deed {
	if value == nil {
		return one("parameter.cleared", which...)
	}
	return one("parameter.set", append(which, protocol.Field{Key: "value", Value: fieldOf(record[any](value))})...)
}

func tellExchange(c *Catalog, names []string, value []byte) []Deed {
	which := protocol.Table{textField("name", names[1]), textField("vhost", names[0])}
	if value == nil {
		return one("exchange.deleted", which...)
	}
	if v := c.VHost(names[0]); v != nil && v.Exchange(names[1]) != nil {
		return nil
	}
	r := record[ExchangeRecord](value)
	return one("exchange.created", append(which, textField("type", r.Type), protocol.Field{Key: "durable", Value: r.Durable},
		protocol.Field{Key: "auto_delete", Value: r.AutoDelete}, protocol.Field{Key: "internal", Value: r.Internal},
		protocol.Field{Key: "arguments", Value: Terms(r.Arguments.Decode())}, textField("policy", ""))...)
}

func tellQueue(c *Catalog, names []string, value []byte) []Deed {
	which := protocol.Table{textField("name", names[1]), textField("vhost", names[0])}
	var before *Queue
	if v := c.VHost(names[0]); v != nil {
		before = v.Queue(names[1])
	}
	if value == nil {
		if before != nil {
			which = append(which, textField("type", queueTypes[before.Type]))
		}
		return one("queue.deleted", which...)
	}
	if before != nil {
		return nil
	}
	r := record[QueueRecord](value)
	return one("queue.created", append(which, textField("type", queueTypes[r.Type]), protocol.Field{Key: "durable", Value: r.Durable},
		protocol.Field{Key: "auto_delete", Value: r.AutoDelete}, protocol.Field{Key: "exclusive", Value: r.Exclusive},
		protocol.Field{Key: "arguments", Value: Terms(r.Arguments.Decode())}, textField("owner_pid", ""))...)
}

func tellBinding(_ *Catalog, names []string, value []byte) []Deed {
	kind := "queue"
	if names[2] == "x" {
		kind = "exchange"
	}
	event := "binding.created"
	if value == nil {
		event = "binding.deleted"
	}
	return one(event, textField("vhost", names[0]), textField("source_name", names[1]), textField("source_kind", "exchange"),
		textField("destination_name", names[3]), textField("destination_kind", kind), textField("routing_key", names[4]),
		protocol.Field{Key: "arguments", Value: Terms(protocol.RawTable(names[5]).Decode())})
}

// Terms are the fields of a table as RabbitMQ writes them in an event.
func Terms(t protocol.Table) protocol.Array {
	list := protocol.Array{}
	for _, f := range t {
		list = append(list, "{"+protocol.ErlangBinary([]byte(f.Key))+","+protocol.TypeName(f.Value)+","+protocol.ErlangTerm(f.Value)+"}")
	}
	return list
}

func texts(list []string) protocol.Array {
	array := protocol.Array{}
	for _, one := range list {
		array = append(array, one)
	}
	return array
}

func limitTable(limits map[string]int64) protocol.Table {
	var t protocol.Table
	for name, n := range limits {
		t = append(t, protocol.Field{Key: name, Value: n})
	}
	return t.Sorted()
}

func sameLimits(a, b map[string]int64) bool {
	return slices.EqualFunc(limitTable(a), limitTable(b), func(x, y protocol.Field) bool { return x == y })
}

// fieldOf makes a field's value of what JSON gave.
func fieldOf(value any) any {
	switch v := value.(type) {
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
		return v
	case []any:
		array := protocol.Array{}
		for _, element := range v {
			array = append(array, fieldOf(element))
		}
		return array
	case map[string]any:
		t := protocol.Table{}
		for _, name := range sortedNames(v) {
			t = append(t, protocol.Field{Key: name, Value: fieldOf(v[name])})
		}
		return t
	}
	return value
}
