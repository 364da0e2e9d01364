package topology

import (
	"context"

	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
)

// predeclared are the exchanges every vhost begins with (spec 3.1.3, and RabbitMQ's own).
var predeclared = []struct {
	name, kind string
	internal   bool
}{
	{"", "direct", false},
	{"amq.direct", "direct", false},
	{"amq.fanout", "fanout", false},
	{"amq.headers", "headers", false},
	{"amq.match", "headers", false},
	{"amq.rabbitmq.trace", "topic", true},
	{"amq.topic", "topic", false},
}

// PutVHost makes a vhost with its exchanges, or changes what change changes of one that is there. created tells which.
func (e *Editor) PutVHost(ctx context.Context, name string, change func(*VHostRecord), durable func(error)) (created bool, err error) {
	var brought []Newcomer
	var records map[string]*UserRecord
	if e.Catalog().VHost(name) == nil {
		if brought, records, err = e.newcomers(name); err != nil {
			return false, err
		}
	}
	err = e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		k := key(sectionVHost, name)
		v := c.VHost(name)
		created = v == nil
		var record VHostRecord
		guard := meta.Guard{Key: k}
		if v != nil {
			record, guard.Revision = v.VHostRecord.clone(), v.Revision
		}
		if change != nil {
			change(&record)
		}
		if _, known := queueTypes[record.DefaultQueueType]; !known && record.DefaultQueueType != "" {
			return meta.Txn{}, protocol.PreconditionFailed("%s is not a valid queue type", record.DefaultQueueType)
		}
		if created {
			txn := e.createVHost(name, &record)
			bring(&txn, c, name, brought, records)
			return txn, nil
		}
		return meta.Txn{Guards: []meta.Guard{guard}, Ops: []meta.Op{put(k, &record, false)}}, nil
	})
	return created, err
}

// internalUser is who did what nobody asked for.
const internalUser = "rmq-internal"

func (r VHostRecord) clone() VHostRecord {
	limits := make(map[string]int64, len(r.Limits))
	for name, n := range r.Limits {
		limits[name] = n
	}
	r.Limits = limits
	r.Tags = append([]string(nil), r.Tags...)
	return r
}

// DeleteVHost removes a vhost and all that is in it. existed tells whether there was one.
func (e *Editor) DeleteVHost(ctx context.Context, name string, durable func(error)) (existed bool, err error) {
	err = e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		v := c.VHost(name)
		existed = v != nil
		if !existed {
			return meta.Txn{}, nil
		}
		if v.Protected {
			return meta.Txn{}, protocol.PreconditionFailed("cannot delete protected virtual host '%s'", name)
		}
		return v.removal(), nil
	})
	return existed, err
}

// removal removes every key of the vhost.
func (v *VHost) removal() meta.Txn {
	k := key(sectionVHost, v.Name)
	txn := meta.Txn{Guards: []meta.Guard{{Key: k, Revision: v.Revision}}, Ops: []meta.Op{drop(k)}}
	v.pairs(func(key string, _ int64) { txn.Ops = append(txn.Ops, drop(key)) })
	return txn
}
