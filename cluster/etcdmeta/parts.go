package etcdmeta

import (
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/warrenmq/warren/store/meta"
)

// part is as much of a transaction as etcd takes at a time.
type part struct {
	guards []meta.Guard
	ops    []clientv3.Op
	free   []bool // that have no guard of their own
}

// divide makes parts of a transaction that is too large, in the order of its ops. The first decides: it goes under the guards
// of what is not written at all, and so do the others, each under those of what it writes too. Who fails between two of them
// leaves the rest undone, and whoever makes such transactions has to say what that means; topology.Editor does.
func (s *Store) divide(guards []meta.Guard, ops []clientv3.Op) []part {
	if len(ops) <= s.MaxOps && len(guards) <= s.MaxOps {
		return []part{{guards: guards, ops: ops}}
	}
	place := make(map[string]int, len(ops)) // of an op, by key
	for i := range ops {
		place[string(ops[i].KeyBytes())] = i
	}
	own := make(map[int][]meta.Guard, len(guards)) // by the op that they are for
	var whole []meta.Guard
	for _, g := range guards {
		if i, written := place[s.Prefix+g.Key]; written {
			own[i] = append(own[i], g)
		} else {
			whole = append(whole, g)
		}
	}
	size := max(1, s.MaxOps-len(whole)-1) // ops within ops count one more
	var list []part
	for from := 0; from < len(ops); from += size {
		p := part{guards: append([]meta.Guard(nil), whole...)}
		for i := from; i < min(from+size, len(ops)); i++ {
			p.guards = append(p.guards, own[i]...)
			p.ops = append(p.ops, ops[i])
			p.free = append(p.free, len(own[i]) == 0)
		}
		list = append(list, p)
	}
	return list
}

// since gives the ops of a part. What a later one removes is what was there when the first was done, at a revision: what was
// made anew since then is somebody else's.
func (p *part) since(began int64) []clientv3.Op {
	if began == 0 {
		return p.ops
	}
	list := make([]clientv3.Op, len(p.ops))
	for i, op := range p.ops {
		if list[i] = op; !op.IsDelete() || !p.free[i] {
			continue
		}
		key := string(op.KeyBytes())
		old := clientv3.Compare(clientv3.ModRevision(key), "<", began+1)
		list[i] = clientv3.OpTxn([]clientv3.Cmp{old}, []clientv3.Op{op}, []clientv3.Op{clientv3.OpGet(key, clientv3.WithKeysOnly())})
	}
	return list
}
