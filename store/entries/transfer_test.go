package entries

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/warrenmq/warren/store/keys"
	"github.com/warrenmq/warren/store/oplog"
)

// onTheWay fills a group as one looks that was compacted, and gives what it sends of itself.
func onTheWay(t *testing.T, s *Store) (sent []byte, data map[uint64][]byte) {
	t.Helper()
	data = s.fill(1, 9, 1, 2000)
	s.PartBytes = 100
	head := Head{Index: 7, Term: 1, Time: 42, Conf: []byte("members"), Segments: []Segment{{First: 1, Last: 4}, {First: 5, Last: 8}}}
	s.write(func(b *pebble.Batch) {
		must(t, s.WriteSnapshot(b, &head, func(w io.Writer) error {
			_, err := w.Write(bytes.Repeat([]byte("state"), 50))
			return err
		}))
	})
	s.write(func(b *pebble.Batch) {
		s.TruncateTo(b, 1, 1)
		if _, err := s.PackTo(b, 2, 4, []oplog.Span{{Index: 3, Offset: 10, Length: 20}}); err != nil {
			t.Fatal(err)
		}
	})
	v, ok, err := s.View()
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	s.fill(5, 5, 9, 10) // too late to be seen
	var b bytes.Buffer
	must(t, v.Send(&b))
	must(t, v.Close())
	return b.Bytes(), data
}

func goOn() error { return nil }

// TestAGroupArrivesAsItWasSent: state, whole entries, packed ones; and not what is behind the snapshot. It counts from the
// moment at which it is put in place.
func TestAGroupArrivesAsItWasSent(t *testing.T) {
	s, other := open(t)
	sent, data := onTheWay(t, s)
	own := other.fill(1, 3, 1, 50)
	into := other.In(1)
	head, err := into.Take(bytes.NewReader(sent), goOn)
	must(t, err)
	if _, ok, err := other.SnapshotHead(); ok || err != nil {
		t.Error("it counts before it is put in place", err)
	}
	if e, err := other.Current().Get(2); err != nil || !bytes.Equal(e.Data, own[2]) {
		t.Error(e, err)
	}
	other.write(func(b *pebble.Batch) { into.PlaceTo(b, &head) })
	got, ok, err := other.SnapshotHead()
	if err != nil || !ok || got.Index != 7 || got.Term != 1 || got.Time != 42 || string(got.Conf) != "members" || got.Space != 1 {
		t.Fatalf("%+v %v %v", got, ok, err)
	}
	here := other.Current()
	if here.Space() != 1 {
		t.Error("space", here.Space())
	}
	state, err := io.ReadAll(here.SnapshotReader(got))
	if err != nil || string(state) != string(bytes.Repeat([]byte("state"), 50)) {
		t.Errorf("%q %v", state, err)
	}
	for i := uint64(5); i <= 7; i++ {
		if e, err := here.Get(i); err != nil || !bytes.Equal(e.Data, data[i]) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	b, err := here.Bytes(3)
	must(t, err)
	if piece, err := b.Read(10, 20); err != nil || !bytes.Equal(piece, data[3][10:30]) {
		t.Errorf("%q %v", piece, err)
	}
	if last, _, ok, err := here.Last(); last != 7 || !ok || err != nil {
		t.Error(last, ok, err)
	}
	packedSize := int64(Footprint(packedHead + stretchOnDisk + 20))
	if got.Segments[0].Bytes != packedSize || got.Segments[1].Bytes != 3*int64(Footprint(2000)) {
		t.Errorf("%+v", got.Segments)
	}
	must(t, here.ClearOthers())
	if _, _, ok, err := other.In(0).Last(); ok || err != nil {
		t.Error("what was there before is still there", err)
	}
	if _, err := here.Get(7); err != nil {
		t.Error(err)
	}
}

// TestATornStreamLeavesNothing, wherever it is torn, and whatever byte of it is not what was sent.
func TestATornStreamLeavesNothing(t *testing.T) {
	s, other := open(t)
	sent, _ := onTheWay(t, s)
	other.fill(1, 3, 1, 50)
	into := other.In(1)
	for n := 0; n < len(sent); n += 1 + n%7 {
		if _, err := into.Take(bytes.NewReader(sent[:n]), goOn); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("torn at %d: %v", n, err)
		}
		rotten := slices.Clone(sent)
		rotten[n] ^= 0x20
		if _, err := into.Take(bytes.NewReader(rotten), goOn); err == nil {
			t.Fatalf("byte %d is wrong, and it was taken", n)
		}
	}
	if _, err := into.Take(bytes.NewReader(append(slices.Clone(sent), 0)), goOn); !errors.Is(err, errTransfer) {
		t.Error(err)
	}
	stop := errors.New("enough")
	if _, err := into.Take(bytes.NewReader(sent), func() error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	if _, err := into.Take(bytes.NewReader(sent), goOn); err != nil { // and nobody puts it in place
		t.Error(err)
	}
	if _, _, ok, _ := into.Last(); !ok {
		t.Error("nothing was written")
	}
	must(t, other.ClearOthers())
	if _, _, ok, err := into.Last(); ok || err != nil {
		t.Error("something is left", err)
	}
	if last, _, ok, err := other.Current().Last(); last != 3 || !ok || err != nil {
		t.Error(last, ok, err)
	}
}

// TestADroppedGroupKeepsItsPromises: the era, the term and the vote, and nothing else.
func TestADroppedGroupKeepsItsPromises(t *testing.T) {
	s, other := open(t)
	sent, _ := onTheWay(t, s)
	_, err := s.In(3).Take(bytes.NewReader(sent), goOn)
	must(t, err)
	other.fill(1, 3, 1, 50)
	s.write(func(b *pebble.Batch) {
		s.SetHardState(b, HardState{Term: 5, Vote: 2, Commit: 9})
		s.SetBeginning(b, Beginning{Voters: []uint64{1, 2, 1 << 40}})
		s.SetEra(b, 3)
	})
	if how, ok, err := s.Beginning(); !ok || err != nil || !slices.Equal(how.Voters, []uint64{1, 2, 1 << 40}) {
		t.Error(how, ok, err)
	}
	s.write(func(b *pebble.Batch) { must(t, s.DropTo(b)) })
	if h, ok, err := s.HardState(); h != (HardState{Term: 5, Vote: 2}) || !ok || err != nil {
		t.Error(h, ok, err)
	}
	if era, err := s.Era(); era != 3 || err != nil {
		t.Error(era, err)
	}
	if era, err := other.Era(); era != 0 || err != nil {
		t.Error(era, err)
	}
	for space := range uint64(4) {
		if _, _, ok, err := s.In(space).Last(); ok || err != nil {
			t.Error(space, err)
		}
	}
	if how, ok, err := s.Beginning(); !ok || len(how.Voters) > 0 || err != nil {
		t.Error("it would begin again:", how, ok, err)
	}
	if _, ok, err := s.View(); ok || err != nil {
		t.Error(err)
	}
	if _, _, ok, err := other.Last(); !ok || err != nil {
		t.Error("another group has lost something", err)
	}
}

// TestWhereAGroupLiesIsFoundWithoutItsSnapshot, for those who save what can be saved.
func TestWhereAGroupLiesIsFoundWithoutItsSnapshot(t *testing.T) {
	s, _ := open(t)
	if got := s.Current().Space(); got != 0 {
		t.Error(got)
	}
	s.In(6).fill(1, 3, 1, 10)
	s.write(func(b *pebble.Batch) { s.setHead(b, &Head{Index: 3, Space: 6}) })
	if got := s.Current().Space(); got != 6 {
		t.Error(got)
	}
	s.write(func(b *pebble.Batch) { must(t, b.Set(keys.SnapshotHead(7), []byte("?"), nil)) })
	if got := s.Current().Space(); got != 6 {
		t.Error(got)
	}
	s.fill(1, 1, 1, 10)
	if got := s.Current().Space(); got != 0 {
		t.Error(got)
	}
}
