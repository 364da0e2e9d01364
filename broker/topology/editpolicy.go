package topology

import (
	"context"

	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
)

// ErrNoVHost is returned for a change of something in a vhost that is not there.
var ErrNoVHost = &protocol.Error{Code: protocol.CodeNotFound, Text: "vhost_not_found"}

func policySection(operator bool) string {
	if operator {
		return sectionOperator
	}
	return sectionPolicy
}

func (v *VHost) policy(operator bool, name string) *Policy {
	list := v.policies
	if operator {
		list = v.operators
	}
	return first(list, func(p *Policy) bool { return p.Name == name })
}

// Policy finds a policy, nil if there is none of that name.
func (v *VHost) Policy(name string) *Policy { return v.policy(false, name) }

// OperatorPolicy finds an operator policy.
func (v *VHost) OperatorPolicy(name string) *Policy { return v.policy(true, name) }

// PutPolicy makes or replaces a policy, or an operator policy. It applies to what is there as soon as this returns.
func (e *Editor) PutPolicy(ctx context.Context, vhost, name string, operator bool, w PolicyWish, durable func(error)) (created bool, err error) {
	record, refusal := w.check(operator)
	if refusal != nil {
		return false, refusal
	}
	err = e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		v := c.VHost(vhost)
		if v == nil {
			return meta.Txn{}, ErrNoVHost
		}
		created = v.policy(operator, name) == nil
		return meta.Txn{
			Guards: []meta.Guard{{Key: key(sectionVHost, vhost), Revision: v.Revision}},
			Ops:    []meta.Op{put(key(policySection(operator), vhost, name), &record, false)},
		}, nil
	})
	return created, err
}

// DeletePolicy removes a policy. existed tells whether there was one.
func (e *Editor) DeletePolicy(ctx context.Context, vhost, name string, operator bool, durable func(error)) (existed bool, err error) {
	err = e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		v := c.VHost(vhost)
		existed = v != nil && v.policy(operator, name) != nil
		if !existed {
			return meta.Txn{}, nil
		}
		return meta.Txn{Ops: []meta.Op{drop(key(policySection(operator), vhost, name))}}, nil
	})
	return existed, err
}
