package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
)

var ctx = context.Background()

func put(key, value string) Op { return Op{Key: key, Value: []byte(value)} }

// commit commits what has to succeed.
func commit(t *testing.T, m *Memory, txn Txn) int64 {
	t.Helper()
	told := false
	revision, err := m.Commit(ctx, txn, func(err error) { told = err == nil })
	if err != nil || !told {
		t.Fatal(err, told)
	}
	return revision
}

func load(t *testing.T, m *Memory) string {
	t.Helper()
	pairs, revision, err := m.Load(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(revision)
	for _, kv := range pairs {
		text += fmt.Sprintf(" %s=%s@%d", kv.Key, kv.Value, kv.Revision)
	}
	return text
}

func TestPairsHaveTheRevisionOfTheirTransaction(t *testing.T) {
	m := NewMemory([]KV{{Key: "old", Value: []byte("0"), Revision: 3}}, 7)
	if got := load(t, m); got != "7 old=0@3" {
		t.Error(got)
	}
	if r := commit(t, m, Txn{Ops: []Op{put("b", "1"), put("a", "2")}}); r != 8 {
		t.Error(r)
	}
	commit(t, m, Txn{Ops: []Op{put("b", "3"), {Key: "old", Delete: true}, {Key: "never", Delete: true}}})
	if got := load(t, m); got != "9 a=2@8 b=3@9" {
		t.Error(got)
	}
	commit(t, m, Txn{Ops: []Op{{Key: "empty"}}})
	pairs, _, _ := m.Load(ctx, nil)
	if len(pairs) != 3 || pairs[2].Value == nil {
		t.Errorf("an empty value is no value: %+v", pairs)
	}
}

func TestGuardsHoldOrNothingHappens(t *testing.T) {
	m := NewMemory(nil, 0)
	commit(t, m, Txn{Guards: []Guard{{Key: "a"}}, Ops: []Op{put("a", "1")}})
	for _, guards := range [][]Guard{
		{{Key: "a"}}, {{Key: "a", Revision: 2}}, {{Key: "b", Revision: 1}}, {{Key: "a", Revision: 1}, {Key: "b", Revision: 1}},
	} {
		revision, err := m.Commit(ctx, Txn{Guards: guards, Ops: []Op{put("a", "2"), put("b", "2")}}, func(error) { t.Error("durable") })
		if !errors.Is(err, ErrConflict) || revision != 0 {
			t.Errorf("%+v: %d, %v", guards, revision, err)
		}
	}
	if got := load(t, m); got != "1 a=1@1" {
		t.Error(got)
	}
	commit(t, m, Txn{Guards: []Guard{{Key: "a", Revision: 1}, {Key: "b"}}, Ops: []Op{put("b", "2")}})
	if got := load(t, m); got != "2 a=1@1 b=2@2" {
		t.Error(got)
	}
}

func TestWatchersSeeEveryChangeBeforeItsAuthorDoes(t *testing.T) {
	m := NewMemory(nil, 0)
	commit(t, m, Txn{Ops: []Op{put("before", "1")}})
	var seen []string
	watch := func(e Event) {
		text := fmt.Sprint(e.Revision)
		for _, kv := range e.Changes {
			text += fmt.Sprintf(" %s=%s@%d", kv.Key, kv.Value, kv.Revision)
			if kv.Value == nil {
				text += " gone"
			}
		}
		seen = append(seen, text)
	}
	if _, _, err := m.Load(ctx, watch); err != nil {
		t.Fatal(err)
	}
	commit(t, m, Txn{Ops: []Op{put("a", "1"), {Key: "before", Delete: true}, {Key: "empty"}, {Key: "e", Value: []byte("2"), Ephemeral: true}}})
	if want := []string{"2 a=1@2 before=@2 gone empty=@2 e=2@2"}; !slices.Equal(seen, want) {
		t.Errorf("%q", seen)
	}
	if _, err := m.Commit(ctx, Txn{Guards: []Guard{{Key: "a"}}, Ops: []Op{put("a", "2")}}, nil); !errors.Is(err, ErrConflict) || len(seen) != 1 {
		t.Errorf("%v, %q", err, seen)
	}
}

// TestOnlyWhatLastsIsPersisted, in order; a transaction of which nothing lasts is durable at once.
func TestOnlyWhatLastsIsPersisted(t *testing.T) {
	m := NewMemory(nil, 0)
	var persisted []string
	var owed []func(error)
	m.Persist = func(revision int64, ops []Op, durable func(error)) {
		text := fmt.Sprint(revision)
		for _, op := range ops {
			text += fmt.Sprintf(" %s=%s %v", op.Key, op.Value, op.Delete)
		}
		persisted = append(persisted, text)
		owed = append(owed, durable)
	}
	told := 0
	try := func(ops ...Op) {
		t.Helper()
		if _, err := m.Commit(ctx, Txn{Ops: ops}, func(error) { told++ }); err != nil {
			t.Fatal(err)
		}
	}
	fleeting := Op{Key: "e", Value: []byte("1"), Ephemeral: true}
	try(fleeting)
	try(put("a", "1"), fleeting)
	try(Op{Key: "a", Delete: true}, Op{Key: "e", Delete: true, Ephemeral: true})
	if want := []string{"2 a=1 false", "3 a= true"}; !slices.Equal(persisted, want) || told != 1 {
		t.Errorf("%q, told %d times", persisted, told)
	}
	for _, durable := range owed {
		durable(nil)
	}
	if told != 3 {
		t.Errorf("told %d times", told)
	}
}

func TestManyCommitAtOnce(t *testing.T) {
	m := NewMemory(nil, 0)
	last := int64(0)
	_, _, err := m.Load(ctx, func(e Event) { // one at a time, in order
		if e.Revision != last+1 {
			t.Errorf("revision %d behind %d", e.Revision, last)
		}
		last = e.Revision
	})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for done := 0; done < 50; {
				pairs, _, _ := m.Load(ctx, nil)
				var n, revision int64
				for _, kv := range pairs {
					_, _ = fmt.Sscan(string(kv.Value), &n)
					revision = kv.Revision
				}
				_, err := m.Commit(ctx, Txn{Guards: []Guard{{Key: "n", Revision: revision}}, Ops: []Op{put("n", fmt.Sprint(n+1))}}, nil)
				switch {
				case err == nil:
					done++
				case !errors.Is(err, ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if got := load(t, m); got != "400 n=400@400" {
		t.Error(got)
	}
}

// TestADurableCallbackMayAskTheStore.
func TestADurableCallbackMayAskTheStore(t *testing.T) {
	m := NewMemory(nil, 0)
	_, err := m.Commit(ctx, Txn{Ops: []Op{put("a", "1")}}, func(error) {
		if got := load(t, m); got != "1 a=1@1" {
			t.Error(got)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestACommitWhoseTimeIsOverChangesNothing(t *testing.T) {
	m := NewMemory(nil, 0)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := m.Commit(ended, Txn{Ops: []Op{put("a", "1")}}, nil); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := load(t, m); got != "0" {
		t.Error(got)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
