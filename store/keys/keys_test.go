package keys

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// TestKeysSortAsTheyAreRead: groups one after another, entries by index, parts by number, metadata in a stretch of its own.
func TestKeysSortAsTheyAreRead(t *testing.T) {
	sorted := [][]byte{
		MetaRevision,
		SnapshotPart(1, 5, 0), SnapshotPart(1, 5, 1), SnapshotPart(1, 256, 0),
		Beginning(1), Entry(nil, 1, 0), Entry(nil, 1, 255), Entry(nil, 1, 256), Entry(nil, 1, ^uint64(0)),
		HardState(1), Era(1), SnapshotHead(1),
		Space{1, 1}.SnapshotPart(1, 0), Space{1, 1}.Entry(nil, 7), Space{1, 256}.SnapshotPart(1, 0), Space{1, 256}.Entry(nil, 1),
		Entry(nil, 256, 1), HardState(256), HardState(^uint64(0)),
		Life, Meta(""), Meta("a"), Meta("b/c"), Meta("\xff"),
		Identity, FormatVersion,
	}
	if !slices.IsSortedFunc(sorted, bytes.Compare) {
		t.Errorf("%q", sorted)
	}
	for i, key := range sorted {
		if i > 0 && bytes.Equal(key, sorted[i-1]) {
			t.Errorf("%q is there twice", key)
		}
	}
}

func within(key, from, to []byte) bool {
	return bytes.Compare(from, key) <= 0 && bytes.Compare(key, to) < 0
}

func TestBoundsHoldWhatTheyNameAndNothingElse(t *testing.T) {
	for _, id := range []uint64{0, 1, 1 << 63, ^uint64(0) - 1} {
		from, to := Group(id)
		for _, key := range [][]byte{HardState(id), SnapshotHead(id), SnapshotPart(id, 7, 1), Entry(nil, id, 0), Entry(nil, id, ^uint64(0)),
			Beginning(id), Era(id), Space{id, 1}.Entry(nil, 0), Space{id, ^uint64(0)}.SnapshotPart(7, 1)} {
			if !within(key, from, to) {
				t.Errorf("group %d: %x is not between %x and %x", id, key, from, to)
			}
			if lower, upper := Groups(); !within(key, lower, upper) {
				t.Errorf("%x is of no group", key)
			}
			if got, next, ok := NextGroup(key); !ok || got != id || within(key, next, []byte{0xff}) || !within(HardState(id+1), next, []byte{0xff}) {
				t.Errorf("group %d: %x belongs to %d, and the next begins at %x", id, key, got, next)
			}
		}
		if within(HardState(id+1), from, to) {
			t.Errorf("group %d has what is another's", id)
		}
	}
	for _, space := range []Space{{3, 0}, {3, 7}} {
		for _, other := range []Space{{3, 0}, {3, 6}, {3, 7}, {3, 8}} {
			for _, key := range [][]byte{other.Entry(nil, 1), other.SnapshotPart(1, 1)} {
				in := false
				for _, b := range space.Bounds() {
					in = in || within(key, b[0], b[1])
				}
				if in != (space == other) {
					t.Errorf("%x of %v is in %v: %v", key, other, space, in)
				}
				if other.Number != 0 && !within(key, Spaces(3, 1), SpacesEnd(3)) {
					t.Errorf("%x is in no space", key)
				}
			}
		}
		for _, key := range [][]byte{HardState(3), SnapshotHead(3), Beginning(3), Era(3)} {
			for _, b := range space.Bounds() {
				if within(key, b[0], b[1]) || within(key, Spaces(3, 1), SpacesEnd(3)) {
					t.Errorf("%x is in a space", key)
				}
			}
		}
	}
	lower, upper := Entries(3, 10, 20)
	for index, want := range map[uint64]bool{9: false, 10: true, 19: true, 20: false} {
		if within(Entry(nil, 3, index), lower, upper) != want {
			t.Errorf("entry %d: %v", index, !want)
		}
	}
	lower, upper = Snapshot(3, 10)
	if !within(SnapshotPart(3, 10, ^uint32(0)), lower, upper) || within(SnapshotPart(3, 11, 0), lower, upper) || within(SnapshotPart(3, 9, 0), lower, upper) {
		t.Errorf("%x to %x", lower, upper)
	}
	for _, key := range [][]byte{Meta(""), Meta("\xff\xff")} {
		if !within(key, MetaPrefix, MetaEnd) {
			t.Errorf("%q is no metadata", key)
		}
	}
	for _, key := range [][]byte{FormatVersion, Identity, Life, MetaRevision, HardState(1)} {
		if within(key, MetaPrefix, MetaEnd) {
			t.Errorf("%q is taken for metadata", key)
		}
	}
}

func TestWhatIsWrittenIntoAKeyIsReadBack(t *testing.T) {
	for _, index := range []uint64{0, 1, 1 << 40, ^uint64(0)} {
		if got, err := EntryIndex(Entry([]byte{}, 9, index)); err != nil || got != index {
			t.Errorf("%d %v", got, err)
		}
		if got, err := EntryIndex(Space{9, 2}.Entry(nil, index)); err != nil || got != index {
			t.Errorf("%d %v", got, err)
		}
	}
	for _, key := range [][]byte{nil, HardState(1), SnapshotPart(1, 1, 1), Meta("x"), append(Entry(nil, 1, 1), 0), Space{1, 1}.SnapshotPart(1, 1)} {
		if _, err := EntryIndex(key); !errors.Is(err, ErrKey) {
			t.Errorf("%x is taken for an entry", key)
		}
	}
	if got := MetaName(Meta("queue/%2F/q")); got != "queue/%2F/q" {
		t.Error(got)
	}
	for _, key := range [][]byte{nil, FormatVersion, Meta("g1234567890")} {
		if _, _, ok := NextGroup(key); ok {
			t.Errorf("%q belongs to a group", key)
		}
	}
}
