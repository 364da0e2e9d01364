package metadb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/keys"
	"github.com/warrenmq/warren/store/meta"
)

var ctx = context.Background()

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, fs vfs.FS) (*store.Store, *DB) {
	t.Helper()
	s, err := store.Open("data", store.Options{FS: fs})
	check(t, err)
	d, err := Open(ctx, s)
	check(t, err)
	return s, d
}

// commit commits, and waits until it lasts.
func commit(t *testing.T, d *DB, ops ...meta.Op) {
	t.Helper()
	done := make(chan error, 1)
	_, err := d.Commit(ctx, meta.Txn{Ops: ops}, func(err error) { done <- err })
	check(t, err)
	check(t, <-done)
}

func put(key, value string) meta.Op { return meta.Op{Key: key, Value: []byte(value)} }

func text(t *testing.T, d *DB) string {
	t.Helper()
	pairs, revision, err := d.Load(ctx, nil)
	check(t, err)
	all := fmt.Sprint(revision)
	for _, kv := range pairs {
		all += fmt.Sprintf(" %s=%s@%d", kv.Key, kv.Value, kv.Revision)
	}
	return all
}

func TestPairsAndRevisionsSurvive(t *testing.T) {
	fs := vfs.NewMem()
	s, d := open(t, fs)
	commit(t, d, put("a", "1"), put("b", "2"))
	commit(t, d, put("a", "3"), meta.Op{Key: "b", Delete: true}, meta.Op{Key: "empty"})
	commit(t, d, meta.Op{Key: "fleeting", Value: []byte("x"), Ephemeral: true}, put("c", "4"))
	if got := text(t, d); got != "3 a=3@2 c=4@3 empty=@2 fleeting=x@3" {
		t.Error(got)
	}
	check(t, s.Close())
	s, d = open(t, fs)
	if got := text(t, d); got != "3 a=3@2 c=4@3 empty=@2" {
		t.Error(got)
	}
	if _, err := d.Commit(ctx, meta.Txn{Guards: []meta.Guard{{Key: "a", Revision: 1}}, Ops: []meta.Op{put("a", "5")}}, nil); !errors.Is(err, meta.ErrConflict) {
		t.Error(err)
	}
	commit(t, d, put("d", "5"))
	if got := text(t, d); got != "4 a=3@2 c=4@3 d=5@4 empty=@2" {
		t.Error(got)
	}
	check(t, s.Close())
}

// TestWhatWasDurableIsThereAfterACrash, and transactions are there whole, in order and without a gap.
func TestWhatWasDurableIsThereAfterACrash(t *testing.T) {
	for seed := range uint64(40) {
		fs := vfs.NewCrashableMem()
		s, d := open(t, fs)
		var mu sync.Mutex
		durable := 0
		for i := 1; i <= 30; i++ {
			_, err := d.Commit(ctx, meta.Txn{Ops: []meta.Op{put("a", fmt.Sprint(i)), put(fmt.Sprint("b", i), "x")}}, func(error) {
				mu.Lock()
				defer mu.Unlock()
				durable = i
			})
			check(t, err)
		}
		mu.Lock()
		promised := durable
		mu.Unlock()
		left := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed) % 101, RNG: rand.New(rand.NewPCG(seed, 1))})
		check(t, s.Close())
		s, d = open(t, left)
		pairs, revision, err := d.Load(ctx, nil)
		check(t, err)
		if int(revision) < promised || len(pairs) > 0 && len(pairs) != int(revision)+1 {
			t.Errorf("seed %d: revision %d, %d pairs; %d were durable", seed, revision, len(pairs), promised)
		}
		if len(pairs) > 0 && string(pairs[0].Value) != fmt.Sprint(revision) {
			t.Errorf("seed %d: revision %d has %s", seed, revision, pairs[0].Value)
		}
		check(t, s.Close())
	}
}

// TestAPairThatIsNoneIsNamed.
func TestAPairThatIsNoneIsNamed(t *testing.T) {
	fs := vfs.NewMem()
	s, d := open(t, fs)
	commit(t, d, put("a", "1"))
	check(t, s.DB.Set(keys.Meta("a"), []byte("short"), nil))
	if _, err := Open(ctx, s); !errors.Is(err, store.ErrDamaged) {
		t.Error(err)
	}
	check(t, s.DB.Set(keys.MetaRevision, []byte("short"), nil))
	if _, err := Open(ctx, s); !errors.Is(err, store.ErrDamaged) {
		t.Error(err)
	}
	check(t, s.Close())
}
