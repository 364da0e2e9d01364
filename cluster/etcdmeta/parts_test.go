package etcdmeta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/warrenmq/warren/store/meta"
)

// small is an etcd that takes as much at a time as one does by default, or less.
func small(t *testing.T, most uint) *server {
	t.Helper()
	s := &server{t: t, options: EmbedOptions{
		Name: "one", Dir: t.TempDir(), ClientURL: "http://" + freeAddress(t), PeerURL: "http://" + freeAddress(t), MaxOps: most,
	}}
	s.start()
	t.Cleanup(s.stop)
	return s
}

// many makes pairs and, of each, an op and a guard that holds for it.
func (n *node) many(count int) (keys []string) {
	n.t.Helper()
	for i := range count {
		keys = append(keys, fmt.Sprintf("k%03d", i))
		n.commit(meta.Txn{Ops: []meta.Op{put(keys[i], "v")}})
	}
	return keys
}

// revisions are those of all pairs.
func (n *node) revisions() map[string]int64 {
	n.t.Helper()
	pairs, _, err := n.Load(context.Background(), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	list := map[string]int64{}
	for _, kv := range pairs {
		list[kv.Key] = kv.Revision
	}
	return list
}

// TestMoreThanEtcdTakesAtOnce: any number of ops, and of guards, to a server that takes as many as one does by default.
func TestMoreThanEtcdTakesAtOnce(t *testing.T) {
	a := small(t, 128).open(Options{})
	var made, gone meta.Txn
	for i := range 1000 {
		key := fmt.Sprintf("k%03d", i)
		made.Guards = append(made.Guards, meta.Guard{Key: key})
		made.Ops = append(made.Ops, put(key, "v"))
	}
	made.Guards = append(made.Guards, meta.Guard{Key: "other"})
	a.commit(made)
	if n := len(a.all()); n != 1000 {
		t.Fatalf("%d pairs", n)
	}
	for key, revision := range a.revisions() {
		gone.Guards = append(gone.Guards, meta.Guard{Key: key, Revision: revision})
		gone.Ops = append(gone.Ops, remove(key))
	}
	a.commit(gone)
	if n := len(a.all()); n != 0 {
		t.Errorf("%d pairs are left", n)
	}
	gone.Guards = nil
	a.commit(made)
	a.commit(gone) // under no guard
	if n := len(a.all()); n != 0 {
		t.Errorf("%d pairs are left", n)
	}
}

// TestAGuardOfALaterPart does not hold: what was not done yet is not done.
func TestAGuardOfALaterPart(t *testing.T) {
	a := small(t, 4).open(Options{MaxOps: 4})
	keys := a.many(10)
	var txn meta.Txn
	for key, revision := range a.revisions() {
		txn.Guards = append(txn.Guards, meta.Guard{Key: key, Revision: revision})
	}
	slices.SortFunc(txn.Guards, func(a, b meta.Guard) int { return strings.Compare(a.Key, b.Key) })
	for _, key := range keys {
		txn.Ops = append(txn.Ops, remove(key))
	}
	txn.Guards[9].Revision++
	if _, err := a.Commit(context.Background(), txn, nil); !errors.Is(err, meta.ErrConflict) {
		t.Errorf("a guard that does not hold: %v", err)
	}
	if got := a.all(); len(got) == 0 || !slices.Contains(got, "k009=v") {
		t.Errorf("left is %q", got)
	}
}

// between does something behind the first part of a transaction.
type between struct {
	clientv3.KV
	do func()
}

func (b *between) Txn(ctx context.Context) clientv3.Txn { return &counted{b.KV.Txn(ctx), b} }

type counted struct {
	clientv3.Txn
	of *between
}

func (c *counted) If(list ...clientv3.Cmp) clientv3.Txn  { c.Txn = c.Txn.If(list...); return c }
func (c *counted) Then(list ...clientv3.Op) clientv3.Txn { c.Txn = c.Txn.Then(list...); return c }
func (c *counted) Else(list ...clientv3.Op) clientv3.Txn { c.Txn = c.Txn.Else(list...); return c }

func (c *counted) Commit() (*clientv3.TxnResponse, error) {
	response, err := c.Txn.Commit()
	if do := c.of.do; do != nil {
		c.of.do = nil
		do()
	}
	return response, err
}

// TestWhatIsMadeAnewBetweenTheParts stays: the later parts of a deletion are about what there was when it began.
func TestWhatIsMadeAnewBetweenTheParts(t *testing.T) {
	s := small(t, 4)
	a, other := s.open(Options{MaxOps: 4}), s.open(Options{MaxOps: 4})
	keys := a.many(12)
	a.Client.KV = &between{a.Client.KV, func() {
		other.commit(meta.Txn{Ops: []meta.Op{put("k000", "anew"), put("k011", "anew")}})
	}}
	var txn meta.Txn
	for _, key := range keys {
		txn.Ops = append(txn.Ops, remove(key))
	}
	a.commit(txn)
	if got := a.all(); !slices.Equal(got, []string{"k000=anew", "k011=anew"}) {
		t.Errorf("left is %q", got)
	}
}

// TestEtcdFailsBetweenTheParts: whoever commits hears so, and what was done stands.
func TestEtcdFailsBetweenTheParts(t *testing.T) {
	s := small(t, 4)
	a := s.open(Options{MaxOps: 4, Timeout: 2 * time.Second})
	keys := a.many(12)
	a.Client.KV = &between{a.Client.KV, s.stop}
	var txn meta.Txn
	for _, key := range keys {
		txn.Ops = append(txn.Ops, remove(key))
	}
	if _, err := a.Commit(context.Background(), txn, nil); !errors.Is(err, meta.ErrUnavailable) {
		t.Fatalf("etcd has failed, and the commit says %v", err)
	}
	s.start()
	b := s.open(Options{MaxOps: 4})
	if got := b.all(); len(got) != 9 || got[0] != "k003=v" { // a part has 3: what is within another counts too
		t.Errorf("left is %q", got)
	}
}
