package oplog

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

func TestEntryRoundTrips(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, count := range []int{0, 1, 2, 50} {
		in := make([]Batch, count)
		for i := range in {
			in[i].From = Origin{Node: rng.Uint64(), Session: rng.Uint64(), Seq: rng.Uint64()}
			in[i].Data = filled(i, rng.IntN(100))
		}
		head := []byte("head")
		data := AppendEntry(head, -5, in)[len(head):]
		if len(data) != EntrySize(in) {
			t.Fatalf("%d batches: EntrySize says %d, AppendEntry wrote %d", count, EntrySize(in), len(data))
		}
		e, err := ParseEntry(7, data, make([]Batch, 0, 1))
		if err != nil || e.Index != 7 || e.Time != -5 || !bytes.Equal(e.Data, data) || len(e.Batches) != count {
			t.Fatalf("%d batches: %+v, %v", count, e, err)
		}
		for i, b := range e.Batches {
			if b.From != in[i].From || !bytes.Equal(b.Data, in[i].Data) || !bytes.Equal(b.Data, data[b.At:int(b.At)+len(b.Data)]) {
				t.Fatalf("batch %d of %d: %+v", i, count, b)
			}
		}
	}
}

func TestDamagedEntryIsRefused(t *testing.T) {
	data := AppendEntry(nil, 1, []Batch{{Data: []byte("one")}, {Data: []byte("two")}})
	for n := range data {
		if _, err := ParseEntry(1, data[:n], nil); !errors.Is(err, ErrEntry) {
			t.Fatalf("%d of %d bytes were taken for an entry", n, len(data))
		}
	}
	if _, err := ParseEntry(1, append(bytes.Clone(data), 0), nil); !errors.Is(err, ErrEntry) {
		t.Fatal("a byte too many was taken for part of the entry")
	}
	data[0]++
	if _, err := ParseEntry(1, data, nil); !errors.Is(err, ErrEntry) {
		t.Fatal("another version was taken for this one")
	}
}

func TestParseEntryDoesNotAllocate(t *testing.T) {
	data := AppendEntry(nil, 1, make([]Batch, 20))
	reuse := make([]Batch, 0, 20)
	if n := testing.AllocsPerRun(100, func() {
		if e, err := ParseEntry(1, data, reuse[:0]); err != nil || len(e.Batches) != 20 {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

// FuzzParseEntry: whatever is taken for an entry is what AppendEntry would have written.
func FuzzParseEntry(f *testing.F) {
	f.Add([]byte{})
	f.Add(AppendEntry(nil, 1, nil))
	f.Add(AppendEntry(nil, 1<<40, []Batch{{From: Origin{1, 2, 3}, Data: []byte("data")}, {}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseEntry(9, data, nil)
		if err != nil {
			return
		}
		if again := AppendEntry(nil, e.Time, e.Batches); !bytes.Equal(again, data) {
			t.Fatalf("%x was taken for %x", data, again)
		}
	})
}
