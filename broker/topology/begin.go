package topology

import "github.com/warrenmq/warren/store/meta"

// VHostLimits are limits that new vhosts of a name begin with, by their names in the API. Of several that fit a vhost only
// the first holds.
type VHostLimits struct {
	VHosts *Pattern // the names of vhosts
	Limits map[string]int64
}

// VHostPolicy is an operator policy that new vhosts of a name begin with.
type VHostPolicy struct {
	Name   string
	VHosts *Pattern // the names of vhosts
	Record PolicyRecord
}

// OperatorPolicy makes a record of an operator policy, or says why it cannot be.
func OperatorPolicy(w PolicyWish) (PolicyRecord, error) {
	record, refusal := w.check(true)
	if refusal != nil {
		return record, refusal
	}
	return record, nil
}

// createVHost makes a vhost with the exchanges, limits and operator policies it begins with.
func (e *Editor) createVHost(name string, record *VHostRecord) meta.Txn {
	for _, l := range e.VHostLimits {
		if l.VHosts.Match(name) {
			record.Limits = l.Limits
			break
		}
	}
	k := key(sectionVHost, name)
	txn := meta.Txn{Guards: []meta.Guard{{Key: k}}, Ops: []meta.Op{put(k, record, false)}}
	for _, x := range predeclared {
		record := ExchangeRecord{Type: x.kind, Durable: true, Internal: x.internal, User: internalUser}
		txn.Ops = append(txn.Ops, put(key(sectionExchange, name, x.name), &record, false))
	}
	for _, p := range e.VHostPolicies {
		if p.VHosts.Match(name) {
			txn.Ops = append(txn.Ops, put(key(sectionOperator, name, p.Name), &p.Record, false))
		}
	}
	return txn
}
