package etcdmeta

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/warrenmq/warren/store/meta"
)

// Commit implements meta.Store. What etcd does not take in one transaction goes in several, see divide.
func (s *Store) Commit(ctx context.Context, t meta.Txn, durable func(error)) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	revision, err := s.commit(ctx, t)
	if err == nil && durable != nil {
		durable(nil)
	}
	return revision, err
}

func (s *Store) commit(ctx context.Context, t meta.Txn) (revision int64, err error) {
	ops, err := s.operations(ctx, t.Ops)
	if err != nil {
		return 0, err
	}
	began := int64(0)
	for _, p := range s.divide(t.Guards, ops) {
		revision, err = s.transact(ctx, p.guards, p.since(began))
		if errors.Is(err, rpctypes.ErrLeaseNotFound) && slices.ContainsFunc(t.Ops, func(op meta.Op) bool { return op.With != "" }) {
			return 0, meta.ErrConflict // what it was to go with is gone, as the watch will say
		}
		if err != nil {
			return 0, err
		}
		began = cmp.Or(began, revision)
	}
	return revision, nil
}

// operations are the last ones for each key, in etcd's form.
func (s *Store) operations(ctx context.Context, ops []meta.Op) ([]clientv3.Op, error) {
	last := map[string]int{}
	for i := range ops {
		last[ops[i].Key] = i
	}
	var list []clientv3.Op
	for i, op := range ops {
		switch {
		case last[op.Key] != i:
		case op.Delete:
			list = append(list, clientv3.OpDelete(s.Prefix+op.Key))
		case op.Ephemeral:
			id, err := clientv3.LeaseID(s.mirror.life(op.With)), error(nil)
			if id == 0 {
				id, err = s.lease.wait(ctx)
			}
			if err != nil {
				return nil, unavailable(err)
			}
			list = append(list, clientv3.OpPut(s.Prefix+op.Key, string(op.Value), clientv3.WithLease(id)))
		default:
			list = append(list, clientv3.OpPut(s.Prefix+op.Key, string(op.Value)))
		}
	}
	return list, nil
}

// transact does one etcd transaction and waits until the mirror shows it, or what stood in its way.
func (s *Store) transact(ctx context.Context, guards []meta.Guard, ops []clientv3.Op) (int64, error) {
	compared, otherwise := make([]clientv3.Cmp, len(guards)), make([]clientv3.Op, len(guards))
	for i, g := range guards {
		compared[i] = clientv3.Compare(clientv3.ModRevision(s.Prefix+g.Key), "=", g.Revision)
		otherwise[i] = clientv3.OpGet(s.Prefix+g.Key, clientv3.WithKeysOnly())
	}
	response, err := s.Client.Txn(ctx).If(compared...).Then(ops...).Else(otherwise...).Commit()
	if err != nil {
		return 0, unavailable(err)
	}
	revision := response.Header.Revision
	switch {
	case !response.Succeeded:
		if err := s.mirror.shows(ctx, revision, found(guards, response.Responses)); err != nil {
			return 0, unavailable(err)
		}
		return 0, meta.ErrConflict
	case changed(response.Responses):
		err = s.mirror.wait(ctx, revision)
	default: // what was to be removed was gone, and no event will say so
		err = s.mirror.shows(ctx, revision, s.left(ops, response.Responses))
		revision = min(revision, s.mirror.seen())
	}
	if err != nil {
		return 0, unavailable(err)
	}
	return revision, nil
}

// found are the revisions of the guarded pairs, 0 for one that is not there.
func found(guards []meta.Guard, responses []*etcdserverpb.ResponseOp) map[string]int64 {
	list := map[string]int64{}
	for i, r := range responses {
		list[guards[i].Key] = 0
		for _, kv := range r.GetResponseRange().GetKvs() {
			list[guards[i].Key] = kv.ModRevision
		}
	}
	return list
}

// changed tells whether a transaction has written anything.
func changed(responses []*etcdserverpb.ResponseOp) bool {
	for _, r := range responses {
		if r.GetResponsePut() != nil || r.GetResponseDeleteRange().GetDeleted() > 0 || changed(r.GetResponseTxn().GetResponses()) {
			return true
		}
	}
	return false
}

// left are the revisions of what was to be removed and was not there, or was made anew meanwhile.
func (s *Store) left(ops []clientv3.Op, responses []*etcdserverpb.ResponseOp) map[string]int64 {
	list := map[string]int64{}
	for i := range ops {
		op := &ops[i]
		if op.IsTxn() {
			_, then, _ := op.Txn()
			op = &then[0]
		}
		name := strings.TrimPrefix(string(op.KeyBytes()), s.Prefix)
		list[name] = 0
		for _, r := range responses[i].GetResponseTxn().GetResponses() {
			for _, kv := range r.GetResponseRange().GetKvs() {
				list[name] = kv.ModRevision
			}
		}
	}
	return list
}
