package entries

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/keys"
	"github.com/warrenmq/warren/store/oplog"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open gives the entries of two groups in one directory; what is done with one must not show in the other.
func open(t *testing.T) (s, other *Store) {
	t.Helper()
	db, err := store.Open("data", store.Options{FS: vfs.NewMem()})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return New(db, 7), New(db, 8)
}

// write commits what f adds to a batch.
func (s *Store) write(f func(b *pebble.Batch)) {
	b := s.NewBatch()
	f(b)
	s.store.CommitLazily(b)
}

// fill appends entries from..to of a term, and gives their data.
func (s *Store) fill(from, to, term uint64, size int) map[uint64][]byte {
	all := map[uint64][]byte{}
	s.write(func(b *pebble.Batch) {
		for i := from; i <= to; i++ {
			data := bytes.Repeat([]byte(fmt.Sprintf("%d.%d ", term, i)), size/4+1)[:size]
			all[i] = data
			s.AppendTo(b, &Entry{Index: i, Term: term, Data: data})
		}
	})
	return all
}

func TestEntriesAreReadAsTheyWereWritten(t *testing.T) {
	s, other := open(t)
	if _, _, ok, err := s.Last(); ok || err != nil {
		t.Error(ok, err)
	}
	other.fill(1, 3, 9, 5)
	all := s.fill(1, 20, 2, 100)
	s.write(func(b *pebble.Batch) { s.AppendTo(b, &Entry{Index: 21, Term: 3, Kind: ConfChangeV2}) })
	if index, term, ok, err := s.Last(); index != 21 || term != 3 || !ok || err != nil {
		t.Error(index, term, ok, err)
	}
	next := uint64(5)
	must(t, s.Range(5, 100, func(e Entry) bool {
		if e.Index != next || e.Index <= 20 && (e.Term != 2 || e.Kind != Normal || !bytes.Equal(e.Data, all[e.Index])) {
			t.Errorf("%d: %+v", next, e)
		}
		next++
		return true
	}))
	if next != 22 {
		t.Errorf("visited up to %d", next)
	}
	must(t, s.Range(5, 100, func(e Entry) bool { next = e.Index; return false }))
	if next != 5 {
		t.Errorf("visited up to %d", next)
	}
	if e, err := s.Get(21); err != nil || e.Term != 3 || e.Kind != ConfChangeV2 || len(e.Data) != 0 {
		t.Error(e, err)
	}
	if _, err := s.Get(22); !errors.Is(err, pebble.ErrNotFound) {
		t.Error(err)
	}
}

// TestANewLeadersEntriesReplaceOthers.
func TestANewLeadersEntriesReplaceOthers(t *testing.T) {
	s, other := open(t)
	s.fill(1, 10, 1, 50)
	other.fill(1, 10, 1, 50)
	s.write(func(b *pebble.Batch) {
		s.TruncateTo(b, 6, 10)
		s.AppendTo(b, &Entry{Index: 6, Term: 2, Data: []byte("new")})
	})
	if index, term, _, err := s.Last(); index != 6 || term != 2 || err != nil {
		t.Error(index, term, err)
	}
	if index, _, _, err := other.Last(); index != 10 || err != nil {
		t.Error(index, err)
	}
}

// TestAGapIsDamage.
func TestAGapIsDamage(t *testing.T) {
	s, _ := open(t)
	s.fill(1, 10, 1, 50)
	s.write(func(b *pebble.Batch) { s.TruncateTo(b, 5, 5) })
	if err := s.Range(1, 11, func(Entry) bool { return true }); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "group 7: ") || !strings.Contains(err.Error(), "entry 5 is not there") {
		t.Error(err)
	}
	must(t, s.Range(6, 11, func(Entry) bool { return true }))
	must(t, s.store.DB.Set(keys.Entry(nil, 7, 5), []byte("short"), nil))
	for _, err := range []error{s.Range(1, 11, func(Entry) bool { return true }), second(s.Get(5))} {
		if !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestHardState(t *testing.T) {
	s, other := open(t)
	if _, ok, err := s.HardState(); ok || err != nil {
		t.Error(ok, err)
	}
	want := HardState{Term: 1 << 40, Vote: 2, Commit: 3}
	s.write(func(b *pebble.Batch) { s.SetHardState(b, want) })
	if h, ok, err := s.HardState(); h != want || !ok || err != nil {
		t.Error(h, ok, err)
	}
	if _, ok, _ := other.HardState(); ok {
		t.Error("it is another group's too")
	}
	must(t, s.store.DB.Set(keys.HardState(7), []byte("x"), nil))
	if _, _, err := s.HardState(); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

// TestSnapshotsOfAnySize come back as they were written, and replace one another.
func TestSnapshotsOfAnySize(t *testing.T) {
	s, other := open(t)
	if _, ok, err := s.SnapshotHead(); ok || err != nil {
		t.Error(ok, err)
	}
	var before *Head
	for i, size := range []int{0, 1, partSize - 1, partSize, partSize + 1, 3*partSize + 5} {
		state := bytes.Repeat([]byte{byte(i + 1)}, size)
		head := &Head{Index: uint64(i + 1), Term: 4, Time: int64(size), Conf: []byte("members"), Segments: []Segment{{First: 1, Last: 5, Bytes: 6}, {First: 7, Last: 7}}}
		s.write(func(b *pebble.Batch) {
			must(t, s.WriteSnapshot(b, head, func(w io.Writer) error {
				for rest := state; len(rest) > 0; { // in pieces that fit nowhere
					n := min(len(rest), 700_001)
					if _, err := w.Write(rest[:n]); err != nil {
						return err
					}
					rest = rest[n:]
				}
				return nil
			}))
		})
		got, ok, err := s.SnapshotHead()
		if err != nil || !ok || got.Index != head.Index || got.Term != 4 || got.Time != int64(size) || string(got.Conf) != "members" || !slices.Equal(got.Segments, head.Segments) {
			t.Fatalf("%+v %v %v", got, ok, err)
		}
		data, err := io.ReadAll(s.SnapshotReader(got))
		if err != nil || !bytes.Equal(data, state) {
			t.Errorf("%d bytes instead of %d, %v", len(data), size, err)
		}
		if before != nil && before.Parts > 0 {
			if _, err := io.ReadAll(s.SnapshotReader(*before)); !errors.Is(err, ErrDamaged) {
				t.Errorf("the one before is still there: %v", err)
			}
		}
		before = &got
	}
	if _, ok, _ := other.SnapshotHead(); ok {
		t.Error("it is another group's too")
	}
	for _, value := range [][]byte{nil, []byte("12345678"), (&Head{Conf: []byte("x")}).append(nil)[:45]} {
		must(t, s.store.DB.Set(keys.SnapshotHead(7), value, nil))
		if _, _, err := s.SnapshotHead(); err == nil {
			t.Errorf("%x is taken for a snapshot", value)
		}
	}
}

// TestASnapshotThatWasNotFinished leaves the one before as it is, and no trace once the next one stands.
func TestASnapshotThatWasNotFinished(t *testing.T) {
	s, _ := open(t)
	s.PartBytes = 10
	snapshot := func(index uint64, state string, finished bool) Head {
		t.Helper()
		head := &Head{Index: index, Term: 1}
		b := s.NewBatch()
		must(t, s.WriteSnapshot(b, head, func(w io.Writer) error { _, err := io.WriteString(w, state); return err }))
		if finished {
			s.store.CommitLazily(b)
		} else {
			must(t, b.Close())
		}
		got, ok, err := s.SnapshotHead()
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		return got
	}
	expect := func(head Head, state string) {
		t.Helper()
		if data, err := io.ReadAll(s.SnapshotReader(head)); err != nil || string(data) != state {
			t.Errorf("%q, %v instead of %q", data, err, state)
		}
	}
	first := strings.Repeat("first ", 5)
	expect(snapshot(3, first, true), first)
	expect(snapshot(5, strings.Repeat("never finished ", 20), false), first)
	expect(snapshot(5, "shorter than before", true), "shorter than before")
	expect(snapshot(7, strings.Repeat("nor was this ", 20), false), "shorter than before")
	expect(snapshot(8, "last", true), "last")
	from, _ := keys.Snapshot(s.group, 0)
	_, to := keys.Snapshot(s.group, 100)
	it, err := s.store.DB.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	must(t, err)
	parts := 0
	for ok := it.First(); ok; ok = it.Next() {
		parts++
	}
	if must(t, it.Close()); parts != 1 {
		t.Errorf("%d parts are there", parts)
	}
}

// TestPackedEntriesKeepTheirAddresses: whatever is live, packed once or again and again, is read as before, alone or with
// what it touches; everything else is gone, and the space with it.
func TestPackedEntriesKeepTheirAddresses(t *testing.T) {
	s, other := open(t)
	random := rand.New(rand.NewPCG(1, 2))
	const count, size = 20, 2000
	all := s.fill(1, count, 3, size)
	foreign := other.fill(1, count, 3, size)
	var live []oplog.Span
	for i := uint64(1); i <= count; i++ {
		for at := uint32(0); at+50 < size && i%4 != 0; at += uint32(50 + random.IntN(400)) {
			live = append(live, oplog.Span{Index: i, Offset: at, Length: 50})
			if random.IntN(2) == 0 && at+100 < size {
				live = append(live, oplog.Span{Index: i, Offset: at + 50, Length: 50})
				at += 50
			}
		}
	}
	left := int64(0)
	for len(live) > 5 {
		s.write(func(b *pebble.Batch) {
			var err error
			left, err = s.PackTo(b, 1, count, slices.Clone(live))
			must(t, err)
		})
		stored := int64(0)
		for i := uint64(1); i <= count; i++ {
			if e, err := s.Get(i); err == nil {
				stored += int64(Footprint(len(e.Data)))
				if e.Term != 3 {
					t.Errorf("entry %d has term %d", i, e.Term)
				}
			}
		}
		if left != stored || stored > int64(len(live)*(50+stretchOnDisk)+count*Footprint(packedHead)) {
			t.Errorf("%d bytes are left, it says %d, for %d spans", stored, left, len(live))
		}
		if err := s.Range(live[0].Index, live[0].Index+1, func(Entry) bool { return true }); !errors.Is(err, ErrDamaged) {
			t.Errorf("raft reads packed entries: %v", err)
		}
		for i, span := range live {
			b, err := s.Bytes(span.Index)
			must(t, err)
			got, err := b.Read(span.Offset, span.Length)
			if err != nil || !bytes.Equal(got, all[span.Index][span.Offset:span.Offset+span.Length]) {
				t.Fatalf("%+v: %q %v", span, got, err)
			}
			if i > 0 && live[i-1].Index == span.Index && live[i-1].Offset+50 == span.Offset {
				if got, err := b.Read(span.Offset-50, 100); err != nil || !bytes.Equal(got, all[span.Index][span.Offset-50:span.Offset+50]) {
					t.Fatalf("%+v and the one before: %q %v", span, got, err)
				}
			}
			if _, err := b.Read(span.Offset, size); !errors.Is(err, oplog.ErrGone) {
				t.Errorf("%+v and what is not there: %v", span, err)
			}
		}
		live = slices.DeleteFunc(live, func(oplog.Span) bool { return random.IntN(3) == 0 })
	}
	s.write(func(b *pebble.Batch) { must(t, second(s.PackTo(b, 1, count, nil))) })
	if _, _, ok, _ := s.Last(); ok {
		t.Error("of nothing, something is left")
	}
	for i, data := range foreign {
		if e, err := other.Get(i); err != nil || !bytes.Equal(e.Data, data) {
			t.Errorf("another group's entry %d: %v", i, err)
		}
	}
}

// TestWhatIsDenseIsNotRewritten.
func TestWhatIsDenseIsNotRewritten(t *testing.T) {
	s, _ := open(t)
	s.fill(1, 2, 3, 100)
	s.write(func(b *pebble.Batch) {
		left, err := s.PackTo(b, 1, 2, []oplog.Span{{Index: 1, Offset: 0, Length: 95}, {Index: 2, Offset: 0, Length: 100}})
		if err != nil || left != int64(2*Footprint(100)) || !b.Empty() {
			t.Error(left, err, b.Count())
		}
	})
}

func TestPackingWhatIsGoneIsAnError(t *testing.T) {
	s, _ := open(t)
	s.fill(1, 1, 3, 100)
	b := s.NewBatch()
	if _, err := s.PackTo(b, 1, 1, []oplog.Span{{Index: 1, Offset: 90, Length: 20}}); !errors.Is(err, oplog.ErrGone) {
		t.Error(err)
	}
	must(t, b.Close())
	for _, value := range [][]byte{{}, {1, 0, 0}, {1, 0, 0, 0}, {1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 'a'}} {
		must(t, s.store.DB.Set(keys.Entry(nil, 7, 1), append([]byte{byte(packed), 0, 0, 0, 0, 0, 0, 0, 0}, value...), nil))
		if _, err := s.Bytes(1); !errors.Is(err, ErrDamaged) {
			t.Errorf("%x: %v", value, err)
		}
	}
}
