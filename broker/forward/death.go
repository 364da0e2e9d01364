package forward

import (
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/protocol"
)

// death is one death of a message.
type death struct {
	queue    string
	reason   queue.Reason
	exchange string   // it was published to
	keys     []string // it was published with
	time     uint64   // seconds
}

// record notes a death in the message's headers and gives its history, the newest death first, and its properties. An
// expiration is taken away, so that it does not strike again.
func (d *death) record(m *message.Message) (deaths protocol.Array, props []byte) {
	properties := protocol.Properties(m.Props)
	raw, _ := properties.Headers()
	headers := raw.Decode()
	history := protocol.Array(nil)
	if m.Flags&message.FlagCounts != 0 { // else what it claims of deaths is not ours
		value, _ := headers.Get("x-death")
		history, _ = value.(protocol.Array)
	} else {
		headers = drop(headers, "x-first-death-reason", "x-first-death-queue", "x-first-death-exchange")
	}
	expiration, expires := properties.Expiration()
	deaths = d.add(history, string(expiration), expires)
	headers = set(headers, "x-death", deaths)
	if _, known := headers.Get("x-first-death-reason"); !known {
		headers = set(headers, "x-first-death-reason", d.reason.String())
		headers = set(headers, "x-first-death-queue", d.queue)
		headers = set(headers, "x-first-death-exchange", d.exchange)
	}
	headers = set(headers, "x-last-death-reason", d.reason.String())
	headers = set(headers, "x-last-death-queue", d.queue)
	headers = set(headers, "x-last-death-exchange", d.exchange)
	props = protocol.AppendWithHeaders(nil, properties, headers.Raw())
	if expires {
		props = protocol.AppendWithout(nil, protocol.Properties(props), protocol.FlagExpiration)
	}
	return deaths, props
}

// add puts the death in front: a new entry, or the one of the same queue and reason with its count raised.
func (d *death) add(history protocol.Array, expiration string, expires bool) protocol.Array {
	for i, value := range history {
		entry, _ := value.(protocol.Table)
		name, _ := entry.Get("queue")
		reason, _ := entry.Get("reason")
		if name != d.queue || reason != d.reason.String() {
			continue
		}
		count, _ := entry.Get("count")
		n, _ := count.(int64)
		again := set(entry, "count", n+1)
		rest := append(append(protocol.Array{}, history[:i]...), history[i+1:]...)
		return append(protocol.Array{again}, rest...)
	}
	return append(protocol.Array{d.entry(expiration, expires)}, history...)
}

func (d *death) entry(expiration string, expires bool) protocol.Table {
	keys := make(protocol.Array, len(d.keys))
	for i, key := range d.keys {
		keys[i] = key
	}
	entry := protocol.Table{}
	if expires {
		entry = append(entry, protocol.Field{Key: "original-expiration", Value: expiration})
	}
	return append(entry,
		protocol.Field{Key: "count", Value: int64(1)},
		protocol.Field{Key: "reason", Value: d.reason.String()},
		protocol.Field{Key: "queue", Value: d.queue},
		protocol.Field{Key: "time", Value: protocol.Timestamp(d.time)},
		protocol.Field{Key: "exchange", Value: d.exchange},
		protocol.Field{Key: "routing-keys", Value: keys},
	)
}

// set gives a table with one field replaced or added.
func set(t protocol.Table, key string, value any) protocol.Table {
	out := make(protocol.Table, 0, len(t)+1)
	found := false
	for _, f := range t {
		if f.Key == key {
			f.Value, found = value, true
		}
		out = append(out, f)
	}
	if !found {
		out = append(out, protocol.Field{Key: key, Value: value})
	}
	return out
}

// drop gives a table without some fields.
func drop(t protocol.Table, keys ...string) protocol.Table {
	out := make(protocol.Table, 0, len(t))
	for _, f := range t {
		keep := true
		for _, key := range keys {
			keep = keep && f.Key != key
		}
		if keep {
			out = append(out, f)
		}
	}
	return out
}
