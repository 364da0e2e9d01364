package entries

import (
	"math/rand/v2"
	"testing"
)

// book is a Segments with entries of a size.
func book(entries uint64, size int) *Segments {
	s := &Segments{}
	for i := uint64(1); i <= entries; i++ {
		s.Add(i, size)
	}
	return s
}

func TestWhatIsDeadIsFreedInRanges(t *testing.T) {
	const size = segmentBytes / 4
	s := book(40, size)
	full := len(s.Snapshot())
	if full < 8 || full > 14 {
		t.Fatalf("%d segments", full)
	}
	s.Account(20, 100)
	if dead := s.Free(0); len(dead) != 0 {
		t.Error("freed before a snapshot", dead)
	}
	dead := s.Free(40)
	if len(dead) != 2 || dead[0].First != 1 || dead[1].Last != 40 || dead[0].Last >= 20 || dead[1].First <= 20 {
		t.Errorf("%+v", dead)
	}
	if list := s.Snapshot(); len(list) != 1 || list[0].First > 20 || list[0].Last < 20 || s.Bytes != list[0].Bytes || s.Live != 100 {
		t.Errorf("%+v %d %d", list, s.Bytes, s.Live)
	}
	s.Account(20, -100)
	if dead := s.Free(40); len(dead) != 1 || s.Bytes != 0 || s.Live != 0 {
		t.Errorf("%+v %d %d", dead, s.Bytes, s.Live)
	}
	s.Add(41, 10)
	if list := s.Snapshot(); len(list) != 1 || list[0].First != 41 {
		t.Errorf("%+v", list)
	}
}

// TestTheSparsestArePackedFirst, and no more of them than is needed.
func TestTheSparsestArePackedFirst(t *testing.T) {
	const size = segmentBytes / 4
	s := book(40, size)
	list := s.Snapshot()
	for i, g := range list {
		s.Account(g.First, int64(i)*g.Bytes/int64(len(list)))
	}
	if got := s.Sparse(40, s.Dead()); len(got) != 0 {
		t.Errorf("all that is dead is tolerated, and %d are to be packed", len(got))
	}
	if got := s.Sparse(0, 0); len(got) != 0 {
		t.Error("packed before a snapshot")
	}
	got := s.Sparse(40, s.Dead()-list[1].Bytes)
	if len(got) != 2 || got[0].First != list[1].First || got[1].First != list[2].First {
		t.Errorf("%+v", got)
	}
	for i := range got {
		s.Packed(got[i].First, got[i].Live()+50)
	}
	for _, g := range s.Sparse(40, 0) {
		if g.First == got[0].First || g.Live() == 0 {
			t.Errorf("%+v is to be packed", g)
		}
	}
}

// TestStragglersDoNotMakeTheListLong: what is small is joined, and still freed when its last byte is.
func TestStragglersDoNotMakeTheListLong(t *testing.T) {
	const size, count = segmentBytes / 2, 4000
	s := book(count, size)
	for i := uint64(1); i <= count; i += 2 {
		s.Account(i, 100)
	}
	s.Free(count)
	for _, g := range s.Sparse(count, 0) {
		s.Packed(g.First, 150)
	}
	s.Join(count)
	if n := len(s.Snapshot()); n > 3 {
		t.Errorf("%d segments for %d bytes", n, s.Bytes)
	}
	var bytes, live int64
	for _, g := range s.Snapshot() {
		bytes, live = bytes+g.Bytes, live+g.Live()
	}
	if bytes != s.Bytes || live != s.Live || live != 100*count/2 {
		t.Errorf("%d of %d bytes, %d of %d live", bytes, s.Bytes, live, s.Live)
	}
	for i := uint64(1); i <= count; i += 2 {
		s.Account(i, -100)
	}
	if s.Free(count); s.Bytes != 0 || s.Live != 0 || len(s.Snapshot()) != 0 {
		t.Errorf("%d bytes, %d live", s.Bytes, s.Live)
	}
}

// TestTheAccountIsRightAfterARestart: restored, and told what lives, it says the same as before.
func TestTheAccountIsRightAfterARestart(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := &Segments{}
	live := map[uint64]int64{}
	for i := uint64(1); i <= 3000; i++ {
		size := random.IntN(100_000)
		s.Add(i, size)
		s.Account(i, int64(size))
		live[i] = int64(size)
		if old := 1 + random.Uint64N(i); random.IntN(2) == 0 {
			s.Account(old, -live[old])
			live[old] = 0
		}
		if i%500 == 0 {
			s.Free(i)
			for _, g := range s.Sparse(i, s.Bytes/10) {
				s.Packed(g.First, g.Live())
			}
			s.Join(i)
		}
	}
	again := &Segments{}
	again.Restore(s.Snapshot())
	for i, bytes := range live {
		if bytes > 0 {
			again.Account(i, bytes)
		}
	}
	if again.Bytes != s.Bytes || again.Live != s.Live {
		t.Errorf("%d bytes %d live, before %d %d", again.Bytes, again.Live, s.Bytes, s.Live)
	}
}

func TestAWrongAccountIsABug(t *testing.T) {
	for name, f := range map[string]func(*Segments){
		"of what is not there":   func(s *Segments) { s.Account(99, 1) },
		"of more than lives":     func(s *Segments) { s.Account(1, -1) },
		"a segment that is none": func(s *Segments) { s.Packed(2, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("nobody minds")
				}
			}()
			f(book(3, 10))
		})
	}
}
