package topology

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
)

// QueueDeclaration is a queue as somebody wishes it to be.
type QueueDeclaration struct {
	VHost      string
	Name       string // "": a name is made up
	Durable    bool
	Exclusive  bool
	AutoDelete bool
	Arguments  protocol.RawTable // borrowed
	Owner      Owner             // the connection, for an exclusive queue
}

// reserved is the prefix of names that only the broker gives.
const reserved = "amq."

// DirectReplyTo is the name, and the prefix of names, of the pseudo-queue for direct replies.
const DirectReplyTo = "amq.rabbitmq.reply-to"

// CleanName drops the line breaks that RabbitMQ drops from names in declarations, bindings and deletions.
func CleanName(name string) string {
	if !strings.ContainsAny(name, "\r\n") {
		return name
	}
	return strings.NewReplacer("\r", "", "\n", "").Replace(name)
}

// DeclareQueue makes a queue, or finds that the one there is just so. durable is called when the answer may be given.
func (e *Editor) DeclareQueue(ctx context.Context, d QueueDeclaration, by Actor, durable func(error)) (*Queue, error) {
	d.Name = CleanName(d.Name)
	generated := d.Name == ""
	name := d.Name
	var found *Queue
	plan := func(c *Catalog) (meta.Txn, error) {
		v := c.VHost(d.VHost)
		if v == nil {
			return meta.Txn{}, protocol.NotFound("no vhost '%s'", d.VHost)
		}
		want, refusal := e.wish(v, d)
		if refusal != nil {
			return meta.Txn{}, refusal
		}
		if generated {
			name = RandomName("amq.gen-")
		} else if strings.HasPrefix(name, reserved) {
			return meta.Txn{}, protocol.AccessRefused("queue name '%s' contains reserved prefix 'amq.*'", name)
		}
		want.Name = name
		if refusal := by.Authorize(c, v.Name, Configure, "queue", name); refusal != nil {
			return meta.Txn{}, refusal
		}
		if have := v.Queue(name); have != nil {
			found = have
			return meta.Txn{}, equivalentQueue(have, want).orNil()
		}
		found = want
		return e.createQueue(c, v, want, by)
	}
	if err := e.placed(ctx, func() error { return e.edit(ctx, durable, plan) }); err != nil {
		return nil, err
	}
	if q := e.Catalog().QueueByID(found.ID); q != nil {
		return q, nil
	}
	gone := *found // deleted meanwhile: it was there all the same
	gone.Revision = e.Catalog().Revision
	return &gone, nil
}

// refused makes a nil *protocol.Error a nil error.
type refused struct{ *protocol.Error }

func (r refused) orNil() error {
	if r.Error == nil {
		return nil
	}
	return r.Error
}

// wish is the queue that a declaration asks for, its type resolved.
func (e *Editor) wish(v *VHost, d QueueDeclaration) (*Queue, *protocol.Error) {
	q := &Queue{VHost: v.Name, Name: d.Name, incoming: noEdges}
	q.Durable, q.AutoDelete, q.Exclusive = d.Durable && !d.Exclusive, d.AutoDelete, d.Exclusive
	if d.Exclusive {
		q.Owner = d.Owner
	}
	q.Table = d.Arguments.Decode()
	value, given := q.Table.Get("x-queue-type")
	text, isText := value.(string)
	if !given || isText && text == "" { // name what was left to the default
		text = e.defaultType(v, q)
		q.Table = withType(q.Table, text)
	}
	q.Type = text
	q.Arguments = q.Table.Raw()
	if d.Name != "" || text == "classic" {
		return q, nil
	}
	if driver, known := queueTypes[text]; known {
		return nil, protocol.PreconditionFailed("Cannot declare a server-named queue for type %s", driver)
	}
	return nil, protocol.PreconditionFailed("unknown queue type '%s'", show(value))
}

func withType(t protocol.Table, queueType string) protocol.Table {
	out := make(protocol.Table, 0, len(t)+1)
	for _, f := range t {
		if f.Key != "x-queue-type" {
			out = append(out, f)
		}
	}
	return append(out, protocol.Field{Key: "x-queue-type", Value: queueType})
}

// wrongType says what is wrong with a new queue's x-queue-type.
func wrongType(where string, q *Queue) *protocol.Error {
	if _, known := queueTypes[q.Type]; known {
		return nil
	}
	value, _ := q.Table.Get("x-queue-type")
	if _, isText := value.(string); !isText {
		return protocol.PreconditionFailed("invalid arg 'x-queue-type' for %s: {unacceptable_type,%s}", where, protocol.TypeName(value))
	}
	return protocol.PreconditionFailed(`invalid arg 'x-queue-type' for %s: "unsupported queue type '%s'"`, where, q.Type)
}

// defaultType is the vhost's or the node's, where the queue's flags allow it.
func (e *Editor) defaultType(v *VHost, q *Queue) string {
	text := v.DefaultQueueType
	if _, known := queueTypes[text]; !known {
		text = e.DefaultQueueType
	}
	if _, known := queueTypes[text]; !known || q.Name == "" || !q.Durable || q.Exclusive || q.AutoDelete {
		return "classic"
	}
	return text
}

// locked is the refusal for whoever is not the owner of an exclusive queue.
func locked(q *Queue) *protocol.Error {
	return protocol.ResourceLocked("cannot obtain exclusive access to locked %s. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.", queueName(q.VHost, q.Name))
}

// Locked refuses the use of an exclusive queue by anybody but its owner.
func (q *Queue) Locked(by Owner) *protocol.Error {
	if q.Exclusive && q.Owner != by {
		return locked(q)
	}
	return nil
}

func equivalentQueue(have, want *Queue) refused {
	where := queueName(have.VHost, have.Name)
	if have.Exclusive != want.Exclusive || have.Exclusive && have.Owner != want.Owner {
		return refused{locked(have)}
	}
	if refusal := equivalentFlag("durable", where, have.Durable, want.Durable); refusal != nil {
		return refused{refusal}
	}
	if refusal := equivalentFlag("auto_delete", where, have.AutoDelete, want.AutoDelete); refusal != nil {
		return refused{refusal}
	}
	return refused{equivalentArguments(have.Type, where, have.Table, want.Table)}
}

// createQueue checks everything that a new queue must be and gives the transaction that makes it.
func (e *Editor) createQueue(c *Catalog, v *VHost, q *Queue, by Actor) (meta.Txn, error) {
	if refusal := e.allowQueue(c, v, q, by); refusal != nil {
		return meta.Txn{}, refusal
	}
	q.ID = randomID()
	q.User = by.Name()
	var err error
	if q.Group, err = e.place(c, q, queueName(v.Name, q.Name)); err != nil {
		return meta.Txn{}, err
	}
	k := key(sectionQueue, v.Name, q.Name)
	return meta.Txn{
		Guards: []meta.Guard{{Key: key(sectionVHost, v.Name), Revision: v.Revision}, {Key: k}},
		Ops:    []meta.Op{put(k, &q.QueueRecord, !q.Lasting())},
	}, nil
}

func (e *Editor) allowQueue(c *Catalog, v *VHost, q *Queue, by Actor) *protocol.Error {
	where := queueName(v.Name, q.Name)
	if refusal := wrongType(where, q); refusal != nil {
		return refusal
	}
	if value, ok := q.Table.Get("x-dead-letter-exchange"); ok {
		name, isText := value.(string)
		if !isText {
			return protocol.PreconditionFailed("invalid type '%s' for arg 'x-dead-letter-exchange' in %s", protocol.TypeName(value), where)
		}
		if refusal := by.Authorize(c, v.Name, Read, "queue", q.Name); refusal != nil {
			return refusal
		}
		if refusal := by.Authorize(c, v.Name, Write, "exchange", name); refusal != nil {
			return refusal
		}
	}
	if _, ok := q.Table.Get("x-queue-master-locator"); ok && e.Forbidden["queue_master_locator"] {
		return deprecated("queue_master_locator")
	}
	if refusal := checkArguments(q.Type, where, q.Table); refusal != nil {
		return refusal
	}
	if refusal := checkProperties(q, where); refusal != nil {
		return refusal
	}
	if !q.Durable && !q.Exclusive && e.Forbidden["transient_nonexcl_queues"] {
		return deprecated("transient_nonexcl_queues")
	}
	return e.limitQueues(c, v, q)
}

// checkProperties: only classic queues may be exclusive, auto-deleted or not durable.
func checkProperties(q *Queue, where string) *protocol.Error {
	if q.Type == "classic" {
		return nil
	}
	for _, p := range []struct {
		has  bool
		name string
	}{{q.AutoDelete, "auto-delete"}, {q.Exclusive, "exclusive-owner"}, {!q.Durable, "non-durable"}} {
		if p.has {
			return protocol.PreconditionFailed("invalid property '%s' for %s", p.name, where)
		}
	}
	return nil
}

func (e *Editor) limitQueues(c *Catalog, v *VHost, q *Queue) *protocol.Error {
	if limit, ok := v.Limit("max-queues"); ok && int64(v.QueueCount()) >= limit {
		return protocol.PreconditionFailed("cannot declare queue '%s': queue limit in vhost '%s' (%d) is reached", q.Name, v.Name, limit)
	}
	if e.QueueLimit > 0 && int64(c.byID.Len()) >= e.QueueLimit {
		return protocol.PreconditionFailed("cannot declare queue '%s': queue limit in cluster (%d) is reached", q.Name, e.QueueLimit)
	}
	return nil
}

// RandomName makes up a name: prefix and 22 characters.
func RandomName(prefix string) string {
	var b [16]byte
	rand.Read(b[:])
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

func randomID() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])>>1 | 1
}

// DeleteQueue removes a queue and its bindings. Conditions on its messages and consumers are its machine's business. A
// queue that is gone, or is another by now, is fine; id 0 stands for whichever it is.
func (e *Editor) DeleteQueue(ctx context.Context, vhost, name string, id uint64, durable func(error)) error {
	return e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		v := c.VHost(vhost)
		if v == nil {
			return meta.Txn{}, nil
		}
		q := v.Queue(name)
		if q == nil || id != 0 && q.ID != id {
			return meta.Txn{}, nil
		}
		r := removal{of: e, c: c, v: v, seen: map[string]bool{}}
		r.queue(q)
		return r.txn, nil
	})
}

// DeleteQueues removes several queues of a vhost at once: what a connection owned.
func (e *Editor) DeleteQueues(ctx context.Context, vhost string, ids []uint64, durable func(error)) error {
	return e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		v := c.VHost(vhost)
		if v == nil {
			return meta.Txn{}, nil
		}
		r := removal{of: e, c: c, v: v, seen: map[string]bool{}}
		for _, id := range ids {
			if q := c.QueueByID(id); q != nil {
				r.queue(q)
			}
		}
		return r.txn, nil
	})
}
