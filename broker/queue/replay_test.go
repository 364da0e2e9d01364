package queue

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/warrenmq/warren/store/oplog"
)

// recorded is a run to be gone through again.
type recorded struct {
	entries []*oplog.Entry
	effects [][]Effect
	snaps   [][]byte // before every few entries
	final   []byte
}

// every is how many entries lie between two snapshots of a run.
const every = 9

func record(t testing.TB, seed uint64, entries int) recorded {
	var r recorded
	d := newDuel(t, seed)
	d.generator.deep = seed%2 == 0
	for i := range entries {
		if i%every == 0 {
			r.snaps = append(r.snaps, snapshot(t, d.set))
		}
		e := d.next()
		effects, err := d.set.Apply(e, nil)
		if err != nil {
			t.Fatal(err)
		}
		d.model.play(e, d.history)
		r.entries, r.effects = append(r.entries, e), append(r.effects, effects)
	}
	r.final = snapshot(t, d.set)
	return r
}

// follow applies the entries from the given one on, and compares with what happened the first time.
func (r *recorded) follow(t testing.TB, s *Set, from int, what string) {
	t.Helper()
	for i := from; i < len(r.entries); i++ {
		effects, err := s.Apply(r.entries[i], nil)
		if err != nil || !slices.Equal(effects, r.effects[i]) {
			t.Fatalf("%s, entry %d:\n got  %+v (%v)\n want %+v", what, i+1, effects, err, r.effects[i])
		}
	}
	if !bytes.Equal(snapshot(t, s), r.final) {
		t.Fatalf("%s ends in another state", what)
	}
}

// TestReplay goes through a run again: from the beginning, and from a snapshot after every few entries. Two sets with the
// same log have the same snapshots, octet by octet, all the way.
func TestReplay(t *testing.T) {
	for seed := range uint64(2 + 10/slow) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := record(t, seed, 200)
			none := func(uint64, int64) {}
			twin := NewSet(none)
			for i := range r.entries {
				if i%every == 0 && !bytes.Equal(snapshot(t, twin), r.snaps[i/every]) {
					t.Fatalf("before entry %d two sets with the same log differ", i+1)
				}
				if _, err := twin.Apply(r.entries[i], nil); err != nil {
					t.Fatal(err)
				}
			}
			r.follow(t, NewSet(none), 0, "a second set")
			for i, snap := range r.snaps {
				s := restored(t, snap, none)
				if again := snapshot(t, s); !bytes.Equal(again, snap) {
					t.Fatalf("the snapshot before entry %d comes out as another", i*every+1)
				}
				r.follow(t, s, i*every, fmt.Sprintf("restored before entry %d", i*every+1))
			}
		})
	}
}

// TestDamagedSnapshotIsRefused flips bits and cuts off ends: the set that was to be restored stays as it was.
func TestDamagedSnapshotIsRefused(t *testing.T) {
	r := record(t, 4, 200)
	s := NewSet(func(uint64, int64) {})
	r.follow(t, s, 0, "a second set")
	refuse := func(damaged []byte, format string, values ...any) {
		t.Helper()
		if err := s.Restore(bytes.NewReader(damaged)); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("%s: %v", fmt.Sprintf(format, values...), err)
		}
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		damaged := bytes.Clone(r.final)
		at := rng.IntN(len(damaged))
		for range 1 + rng.IntN(3) {
			damaged[at] ^= 1 << rng.IntN(8)
			if bytes.Equal(damaged, r.final) {
				damaged[at] ^= 1
			}
			at = min(at+rng.IntN(3), len(damaged)-1)
		}
		if !bytes.Equal(damaged, r.final) {
			refuse(damaged, "flipped near byte %d of %d", at, len(damaged))
		}
	}
	for range 300 {
		n := rng.IntN(len(r.final))
		refuse(r.final[:n], "cut off after %d of %d", n, len(r.final))
	}
	for n := range min(200, len(r.final)) {
		refuse(r.final[:n], "the first %d of %d", n, len(r.final))
		refuse(r.final[n+1:], "without the first %d of %d", n+1, len(r.final))
	}
	refuse(append(bytes.Clone(r.final), 0), "with a byte too many")
	if !bytes.Equal(snapshot(t, s), r.final) {
		t.Fatal("a refused snapshot changed the set")
	}
}

// failing is a reader and writer that cannot.
type failing struct{ after int }

var errFailing = errors.New("cannot")

func (f *failing) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, errFailing
	}
	return len(p), nil
}

func (f *failing) Read([]byte) (int, error) { return 0, errFailing }

func TestSnapshotTellsWhatItsWriterSays(t *testing.T) {
	r := record(t, 2, 100)
	s := restored(t, r.final, func(uint64, int64) {})
	for after := range 2 {
		if err := s.Snapshot(&failing{after: after}); !errors.Is(err, errFailing) {
			t.Fatalf("after %d writes: %v", after, err)
		}
	}
	if err := s.Restore(&failing{}); !errors.Is(err, errFailing) {
		t.Fatal(err)
	}
}
