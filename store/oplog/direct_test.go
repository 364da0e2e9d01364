package oplog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
)

// shelf is a machine that keeps what it is told to keep. A batch is commands: "+" and a length keep the bytes that follow,
// "#" and a length do not, "-" and a number let go of what was kept under it, numbers counted from 0.
type shelf struct {
	t       *testing.T
	log     Log
	ready   chan struct{}
	leads   bool
	kept    []Span // Length 0: gone
	from    []Origin
	times   []int64
	indexes []uint64
	asked   int // calls of Live
	looked  int // spans it looked at
	reads   bool
}

func openShelf(t *testing.T, clock func() int64) *shelf {
	s := &shelf{t: t, ready: make(chan struct{})}
	log, err := DirectHost{Clock: clock}.Open(1, nil, s)
	if err != nil {
		t.Fatal(err)
	}
	s.log = log
	close(s.ready)
	t.Cleanup(func() { _ = log.Close() })
	return s
}

func keep(data []byte) []byte {
	return append(binary.LittleEndian.AppendUint32([]byte{'+'}, uint32(len(data))), data...)
}

func noise(size int) []byte {
	return append(binary.LittleEndian.AppendUint32([]byte{'#'}, uint32(size)), make([]byte, size)...)
}

func letGo(number int) []byte { return binary.LittleEndian.AppendUint32([]byte{'-'}, uint32(number)) }

func (s *shelf) Apply(entries []Entry) {
	<-s.ready
	for i := range entries {
		e := &entries[i]
		s.indexes, s.times = append(s.indexes, e.Index), append(s.times, e.Time)
		for _, b := range e.Batches {
			s.from = append(s.from, b.From)
			s.batch(e.Index, b)
		}
	}
}

func (s *shelf) batch(index uint64, b Batch) {
	for at := uint32(0); at < uint32(len(b.Data)); {
		n := binary.LittleEndian.Uint32(b.Data[at+1:])
		switch b.Data[at] {
		case '#':
			at += n
		case '+':
			s.kept = append(s.kept, Span{Index: index, Offset: b.At + at + 5, Length: n})
			s.log.Account(index, int64(n))
			at += n
		default:
			span := s.kept[n]
			s.log.Account(span.Index, -int64(span.Length))
			s.kept[n].Length = 0
			if s.reads { // what has just died
				s.read(span, int(n))
			}
		}
		at += 5
	}
}

func (s *shelf) Lead(leading bool) { s.leads = leading }

func (s *shelf) Snapshot(io.Writer) error { return nil }

func (s *shelf) Restore(io.Reader) error { return nil }

func (s *shelf) Live(from, to uint64, visit func(Span)) {
	s.asked++
	for _, span := range s.kept {
		if span.Length > 0 {
			s.looked++
			if span.Index >= from && span.Index < to {
				visit(span)
			}
		}
	}
}

// read checks that a span holds what was put there under its number: that number, again and again.
func (s *shelf) read(span Span, number int) {
	data, err := s.log.Read(span)
	if err != nil || uint32(len(data)) != span.Length {
		s.t.Fatalf("%d: %d bytes of %+v: %v", number, len(data), span, err)
	}
	for at := 0; at+4 <= len(data); at += 4 {
		if int(binary.LittleEndian.Uint32(data[at:])) != number {
			s.t.Fatalf("%d: wrong bytes at %d of %+v", number, at, span)
		}
	}
}

// filled is size bytes that read checks.
func filled(number, size int) []byte {
	data := make([]byte, size)
	for at := 0; at+4 <= size; at += 4 {
		binary.LittleEndian.PutUint32(data[at:], uint32(number))
	}
	return data
}

func (s *shelf) propose(commands ...[]byte) {
	var data []byte
	for _, c := range commands {
		data = append(data, c...)
	}
	if err := s.log.Propose(Batch{Data: data}); err != nil {
		s.t.Fatal(err)
	}
}

// wait runs f on the machine's goroutine after everything proposed before, and waits for it.
func (s *shelf) wait(f func(r *retained)) {
	done := make(chan struct{})
	if err := s.log.Do(func() { defer close(done); f(&s.log.(*Direct).kept) }); err != nil {
		s.t.Fatal(err)
	}
	<-done
}

func still() int64 { return 1 }

func TestBatchesOfASessionKeepTheirOrder(t *testing.T) {
	var now atomic.Int64
	clock := func() int64 { return 100 - now.Add(1)%7 } // goes back and forth
	s := openShelf(t, clock)
	const sessions, batches = 8, 500
	var all sync.WaitGroup
	for session := range uint64(sessions) {
		all.Go(func() {
			for seq := range uint64(batches) {
				b := Batch{From: Origin{Node: 1, Session: session, Seq: seq + 1}, Data: keep(filled(0, 8))}
				if err := s.log.Propose(b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	s.wait(func(*retained) {})
	if !s.leads || len(s.from) != sessions*batches {
		t.Fatalf("leads %v, %d batches applied", s.leads, len(s.from))
	}
	last := map[uint64]uint64{}
	for i, o := range s.from {
		if last[o.Session]++; o.Seq != last[o.Session] {
			t.Fatalf("session %d: batch %d came where %d was expected", o.Session, o.Seq, last[o.Session])
		}
		if s.indexes[i] != uint64(i)+1 || i > 0 && s.times[i] < s.times[i-1] {
			t.Fatalf("entry %d is number %d, at %d after %d", i, s.indexes[i], s.times[i], s.times[max(i-1, 0)])
		}
	}
}

func TestCloseAppliesWhatWasProposed(t *testing.T) {
	for range 50 {
		s := openShelf(t, still)
		var taken, done atomic.Int64
		var all, closing sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for {
					err := s.log.Propose(Batch{Data: keep(filled(0, 4))})
					if errors.Is(err, ErrClosed) {
						return
					}
					if taken.Add(1); s.log.Do(func() { done.Add(1) }) == nil {
						taken.Add(1 << 32)
					}
				}
			})
		}
		for range 2 {
			closing.Go(func() {
				if err := s.log.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		closing.Wait()
		applied, called := int64(len(s.from)), done.Load() // nothing runs any more
		all.Wait()
		if applied != taken.Load()&(1<<32-1) || called != taken.Load()>>32 || done.Load() != called {
			t.Fatalf("%d batches and %d calls were taken, %d and %d done before Close returned",
				taken.Load()&(1<<32-1), taken.Load()>>32, applied, called)
		}
		if !errors.Is(s.log.Do(func() {}), ErrClosed) {
			t.Fatal("a closed log takes calls")
		}
	}
}

func TestDoMayPropose(t *testing.T) {
	s := openShelf(t, still)
	s.wait(func(*retained) { s.propose(keep(filled(0, 4))) })
	s.wait(func(*retained) {})
	if len(s.kept) != 1 {
		t.Fatalf("%d batches applied", len(s.kept))
	}
}

func TestBytesAreFreedWhenNothingLives(t *testing.T) {
	s := openShelf(t, still)
	const rounds, each = 50, 20
	for round := range rounds {
		var commands [][]byte
		for i := range each {
			commands = append(commands, keep(filled(round*each+i, 1000)))
		}
		s.propose(commands...)
		s.propose() // an entry without bytes
		for i := range each {
			s.propose(letGo(round*each + (i*7)%each))
		}
	}
	s.wait(func(r *retained) {
		if r.held > 2*segmentEntries*keptSize || len(r.segments) > 1 || r.worth != 0 {
			t.Errorf("%d bytes are held in %d segments though nothing lives, %d worth packing", r.held, len(r.segments), r.worth)
		}
		if _, err := s.log.Read(Span{Index: 1, Offset: 5, Length: 4}); !errors.Is(err, ErrGone) {
			t.Errorf("what is gone can be read: %v", err)
		}
	})
	s.wait(func(r *retained) {
		for _, span := range []Span{{Index: 0}, {Index: 1 << 40}, {Index: uint64(len(s.indexes)), Length: 1}} {
			if _, err := r.read(span); !errors.Is(err, ErrGone) {
				t.Errorf("%+v: %v", span, err)
			}
		}
	})
}

// TestWhatDiesCanBeReadUntilApplyReturns: a delivery that needs no acknowledgement is settled before it is read.
func TestWhatDiesCanBeReadUntilApplyReturns(t *testing.T) {
	s := openShelf(t, still)
	s.wait(func(*retained) { s.reads = true })
	s.propose(keep(filled(0, 100)), keep(filled(1, 100)))
	s.propose(letGo(0))
	s.propose(letGo(1))
	s.propose(keep(filled(2, 100)), letGo(2))
	s.wait(func(r *retained) {
		if len(r.segments) != 1 || r.segments[0].alive != 0 {
			t.Errorf("%d entries are held though nothing lives", r.segments[0].alive)
		}
	})
}

func TestAccountRefusesNonsense(t *testing.T) {
	for what, f := range map[string]func(r *retained){
		"more released than live": func(r *retained) { r.account(1, -5) },
		"released after the end":  func(r *retained) { r.account(1, -4); r.settle(1); r.account(1, 4) },
		"never written":           func(r *retained) { r.account(7, 4) },
	} {
		r := newRetained()
		r.add(make([]byte, 10))
		r.account(1, 4)
		r.settle(1)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: nobody noticed", what)
				}
			}()
			f(&r)
		}()
	}
}

func ExampleDirectHost() {
	s := &shelf{ready: make(chan struct{})}
	log, _ := DirectHost{Clock: still}.Open(1, nil, s)
	s.log = log
	close(s.ready)
	_ = log.Propose(Batch{Data: keep([]byte("hello"))})
	_ = log.Close()
	fmt.Println(s.kept)
	// Output: [{1 5 5}]
}
