package oplog

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// size adds up what is really held.
func (r *retained) size() (held, worth int64, alive int) {
	for _, s := range r.segments {
		held += s.size()
		for i := range s.kept {
			if k := &s.kept[i]; !k.gone() {
				alive++
				held += k.size()
				worth += k.worth()
			}
		}
	}
	return held, worth, alive
}

// check compares what the retained says with what it has, and reads everything that lives.
func (s *shelf) check(r *retained) (live int64) {
	held, worth, _ := r.size()
	if held != r.held || worth != r.worth {
		s.t.Errorf("%d bytes are held, %d worth packing; said to be %d and %d", held, worth, r.held, r.worth)
	}
	for number, span := range s.kept {
		if span.Length > 0 {
			live += int64(span.Length)
			s.read(span, number)
		}
	}
	return live
}

func TestPackingKeepsWhatLives(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s := openShelf(t, still)
	for round := range 800 {
		var commands [][]byte
		for range 64 {
			commands = append(commands, keep(filled(len(s.kept)+len(commands), 4+4*rng.IntN(1000))))
		}
		s.propose(commands...)
		s.wait(func(*retained) {})
		commands = commands[:0]
		for number := range s.kept { // one in sixteen stays for long, one in two hundred for ever
			age := len(s.kept) - number
			old := age > 64*400 && number%200 != 0
			if s.kept[number].Length > 0 && (old || number%16 != 0) {
				commands = append(commands, letGo(number))
			}
		}
		s.propose(commands...)
		if round%100 == 0 {
			s.wait(func(r *retained) { s.check(r) })
		}
	}
	s.wait(func(r *retained) {
		live := s.check(r)
		if s.asked == 0 || r.held > 2*live+packLeast+r.held/4+packSlack*int64(len(s.kept)) {
			t.Errorf("%d bytes are held for %d that live; the machine was asked %d times", r.held, live, s.asked)
		}
		t.Logf("%d bytes held for %d that live, the machine was asked %d times", r.held, live, s.asked)
	})
}

func TestStragglerPinsNothing(t *testing.T) {
	s := openShelf(t, still)
	const entries, pieces, size = 300, 100, 2000
	for entry := range entries { // each keeps one piece in a hundred
		var commands [][]byte
		for i := range pieces {
			commands = append(commands, keep(filled(entry*pieces+i, size)))
		}
		s.propose(commands...)
		commands = commands[:0]
		for i := range pieces - 1 {
			commands = append(commands, letGo(entry*pieces+i))
		}
		s.propose(commands...)
	}
	for i := range 100000 { // and long after them, others come and go
		s.propose(keep(filled(entries*pieces+i, 4)), letGo(entries*pieces+i))
	}
	s.wait(func(r *retained) {
		live := s.check(r)
		if live != entries*size || r.held > 2*live+packLeast {
			t.Errorf("%d bytes are held for %d", r.held, live)
		}
		if len(r.segments) > 2*entries/segmentEntries+2 {
			t.Errorf("%d segments for %d entries", len(r.segments), entries)
		}
	})
}

// TestFullSegmentThatNobodyNeedsIsDropped: however the entries come, by ones or by many, one may be the last of its segment.
func TestFullSegmentThatNobodyNeedsIsDropped(t *testing.T) {
	s := openShelf(t, still)
	for i := range 4 * segmentEntries {
		s.propose(keep(filled(i, 4)), letGo(i))
		segments := 0
		s.wait(func(r *retained) { segments = len(r.segments) })
		if segments > 1 {
			t.Fatalf("%d segments are kept, and nothing lives", segments)
		}
	}
}

// TestScatteredStragglersKeepNoPlacesOfOthers: one small message stays in every 256 entries.
func TestScatteredStragglersKeepNoPlacesOfOthers(t *testing.T) {
	s := openShelf(t, still)
	const segments = 200
	for i := range segments * segmentEntries {
		s.propose(keep(filled(i, 8)))
		if i%segmentEntries != 100 {
			s.propose(letGo(i))
		}
	}
	s.wait(func(r *retained) {
		live := s.check(r)
		if most := int64(segments+10)*(4*keptSize+100) + 2*segmentEntries*keptSize; live != 8*segments || r.held > most {
			t.Errorf("%d bytes are held for %d that live, at most %d are expected", r.held, live, most)
		}
	})
}

// TestPackingAsksInProportion: the machine is asked for its spans only if that frees much.
func TestPackingAsksInProportion(t *testing.T) {
	s := openShelf(t, still)
	const pieces, size = 64, 1024
	garbage := 0
	for entry := range 4000 {
		var commands [][]byte
		for i := range pieces {
			commands = append(commands, keep(filled(entry*pieces+i, size)))
		}
		s.propose(commands...)
		commands = commands[:0]
		for i := range pieces { // of even entries half stays, of odd ones an eighth
			if entry%2 == 0 && i%2 == 0 || entry%2 == 1 && i%8 != 0 {
				commands = append(commands, letGo(entry*pieces+i))
				garbage += size
			}
		}
		s.propose(commands...)
		s.wait(func(*retained) {})
	}
	if most := garbage/packRound + 1; s.asked == 0 || s.asked > most {
		t.Errorf("%d MiB of garbage: the machine was asked %d times, at most %d are expected", garbage>>20, s.asked, most)
	}
}

// TestSmallEntriesAreNotWorthPacking: what an entry holds beside a small message is no garbage.
func TestSmallEntriesAreNotWorthPacking(t *testing.T) {
	s := openShelf(t, still)
	for i := range 200000 {
		s.propose(noise(50), keep(filled(i, 8)))
	}
	s.wait(func(r *retained) {
		if r.worth != 0 || s.asked != 0 {
			t.Errorf("%d bytes are said to be worth packing, the machine was asked %d times", r.worth, s.asked)
		}
	})
}

func TestPackedSpansThatTouchAreReadAsOne(t *testing.T) {
	data := make([]byte, 200)
	for i := range data {
		data[i] = byte(i)
	}
	k := kept{data: data, live: 60}
	k.pack([]Span{{Offset: 100, Length: 20}, {Offset: 10, Length: 10}, {Offset: 20, Length: 10}, {Offset: 15, Length: 5}, {Offset: 20, Length: 5}})
	for _, c := range []struct {
		offset, length uint32
		gone           bool
	}{
		{offset: 10, length: 20}, {offset: 12, length: 16}, {offset: 100, length: 20}, {offset: 119, length: 1}, {offset: 29, length: 1},
		{offset: 9, length: 2, gone: true}, {offset: 10, length: 21, gone: true}, {offset: 0, length: 1, gone: true},
		{offset: 50, length: 1, gone: true}, {offset: 100, length: 21, gone: true}, {offset: 199, length: 5, gone: true},
	} {
		got, err := k.read(c.offset, c.length)
		if c.gone != errors.Is(err, ErrGone) || !c.gone && (uint32(len(got)) != c.length || got[0] != byte(c.offset)) {
			t.Errorf("%d bytes at %d: %v, %v", c.length, c.offset, got, err)
		}
	}
	k.pack([]Span{{Offset: 105, Length: 5}, {Offset: 22, Length: 4}})
	for _, at := range []uint32{105, 22} {
		if got, err := k.read(at, 4); err != nil || got[0] != byte(at) {
			t.Errorf("packed again, at %d: %v, %v", at, got, err)
		}
	}
	if k.size() != 9+2*packedSpanSize {
		t.Errorf("%d bytes held for 9", k.size())
	}
}

func TestPackRefusesWhatIsNotThere(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("bytes behind the end were packed")
		}
	}()
	k := kept{data: make([]byte, 10), live: 1}
	k.pack([]Span{{Offset: 5, Length: 6}})
}

// BenchmarkDirect is entries of 64 messages of 1 KiB, of which none stays, or one stays until 20,000 entries later; and
// entries of one small message beside 600,000 such that stay.
func BenchmarkDirect(b *testing.B) {
	b.Run("none stays", func(b *testing.B) { benchmarkDirect(b, 64, 1024, 0) })
	b.Run("stragglers", func(b *testing.B) { benchmarkDirect(b, 64, 1024, 20000) })
	b.Run("small ones stay", func(b *testing.B) { benchmarkDirect(b, 1, 8, 600000) })
}

func benchmarkDirect(b *testing.B, pieces, size, stays int) {
	s := &shelf{ready: make(chan struct{})}
	log, err := DirectHost{Clock: still}.Open(1, nil, s)
	if err != nil {
		b.Fatal(err)
	}
	s.log = log
	close(s.ready)
	piece := make([]byte, size)
	entry := func(n int) {
		data := append(make([]byte, 0, 60+2*pieces*(size+5)), noise(50)...)
		for range pieces {
			data = append(data, keep(piece)...)
		}
		for i := range pieces {
			number := n*pieces + i
			if i == 0 {
				number -= stays * pieces
			}
			if number >= 0 {
				data = append(data, letGo(number)...)
			}
		}
		if err := log.Propose(Batch{Data: data}); err != nil {
			b.Fatal(err)
		}
		if n%16 == 0 {
			s.pause()
		}
	}
	n := 0
	for ; n < stays; n++ {
		entry(n)
	}
	s.pause()
	s.asked = 0
	for b.Loop() {
		entry(n)
		n++
	}
	s.pause()
	b.ReportMetric(float64(s.asked)/float64(b.N)*1000, "asked/1000entries")
	b.ReportMetric(float64(log.(*Direct).kept.held)/(1<<20), "MiB-held")
	_ = log.Close()
}

// pause waits until the log has done what it was given.
func (s *shelf) pause() {
	done := make(chan struct{})
	if s.log.Do(func() { close(done) }) == nil {
		<-done
	}
}
