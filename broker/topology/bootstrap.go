package topology

import (
	"context"
	"slices"

	"github.com/warrenmq/warren/store/meta"
)

// Defaults are what an empty broker begins with.
type Defaults struct {
	VHost                  string
	User                   string
	Record                 UserRecord
	Configure, Write, Read string
}

// ClusterID is the global parameter that tells this cluster from all others.
const ClusterID = "internal_cluster_id"

// Announcing makes the internal topic exchanges of a vhost through which the broker speaks, where they are not there yet.
func (e *Editor) Announcing(ctx context.Context, vhost string, names ...string) error {
	return e.edit(ctx, nil, func(c *Catalog) (meta.Txn, error) {
		var txn meta.Txn
		v := c.VHost(vhost)
		if v == nil {
			return txn, nil
		}
		for _, name := range names {
			if k := key(sectionExchange, vhost, name); v.Exchange(name) == nil {
				txn.Guards = append(txn.Guards, meta.Guard{Key: k})
				record := ExchangeRecord{Type: "topic", Durable: true, Internal: true, User: internalUser}
				txn.Ops = append(txn.Ops, put(k, &record, false))
			}
		}
		return txn, nil
	})
}

// Bootstrap gives a broker that has neither vhosts nor users its first ones, and the user rights in the vhost. It happens
// as a whole: a broker that is killed at its first start is empty at its second.
func (e *Editor) Bootstrap(ctx context.Context, d Defaults) error {
	brought, records, err := e.newcomers(d.VHost)
	if err != nil {
		return err
	}
	brought = slices.DeleteFunc(brought, func(n Newcomer) bool { return n.Name == d.User })
	return e.edit(ctx, nil, func(c *Catalog) (meta.Txn, error) {
		if c.vhosts.Len() > 0 || c.users.Len() > 0 {
			return meta.Txn{}, nil
		}
		txn := e.createVHost(d.VHost, &VHostRecord{Description: "Default virtual host"})
		txn.Ops = append(txn.Ops, put(key(sectionGlobal, ClusterID), RandomName("rabbitmq-cluster-id-"), false),
			put(key(sectionGlobal, "cluster_tags"), []string{}, false))
		bring(&txn, c, d.VHost, brought, records)
		if d.User == "" {
			return txn, nil
		}
		for _, text := range []string{d.Configure, d.Write, d.Read} {
			if _, err := CompilePattern(text); err != nil {
				return meta.Txn{}, &PatternError{Pattern: text, Err: err}
			}
		}
		k := key(sectionUser, d.User)
		txn.Guards = append(txn.Guards, meta.Guard{Key: k})
		txn.Ops = append(txn.Ops, put(k, &d.Record, false),
			put(key(sectionPermission, d.VHost, d.User), &permissionRecord{d.Configure, d.Write, d.Read}, false))
		return txn, nil
	})
}
