package session

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/warrenmq/warren/protocol"
)

// confirmWriter is a writer with one channel, and what it says to the client.
func confirmWriter(base uint64) (*writer, *outlet) {
	w := &writer{Session: &Session{}, outlets: map[uint16]*outlet{}}
	w.openOutlet(&channel{number: 1, base: base})
	return w, w.outlets[1]
}

// said takes the confirms out of the output: for each tag true if it was acked. Multiple counts from lowest on.
func said(t *testing.T, w *writer, settled map[uint64]bool, lowest *uint64) {
	t.Helper()
	nacked := false
	for len(w.out) > 0 {
		f, n, err := protocol.ParseFrame(w.out, 1<<20)
		if err != nil || n == 0 {
			t.Fatal(f, n, err)
		}
		w.out = w.out[n:]
		m, err := protocol.DecodeMethod(f.Payload)
		if err != nil {
			t.Fatal(err)
		}
		from, to, acked := uint64(0), uint64(0), false
		switch m := m.(type) {
		case *protocol.BasicAck:
			from, to, acked = m.DeliveryTag, m.DeliveryTag, true
			if m.Multiple {
				from = *lowest
			}
			if nacked {
				t.Fatal("an ack comes behind a nack")
			}
		case *protocol.BasicNack:
			from, to, nacked = m.DeliveryTag, m.DeliveryTag, true
		}
		for ; from <= to; from++ {
			if was, twice := settled[from]; twice && (was != acked || from == to) {
				t.Fatalf("message %d is settled twice", from)
			}
			settled[from] = acked
		}
		for _, done := settled[*lowest]; done; _, done = settled[*lowest] {
			*lowest++
		}
	}
}

// pending is a message that still wants answers.
type pending struct {
	number  uint64
	answers int
	refused bool
}

// TestConfirmsAreTheSlowModels answers messages in any order, some several times, some refused, and compares what the
// client hears with a list.
func TestConfirmsAreTheSlowModels(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(8, seed))
		base := uint64(random.IntN(3)) << livesShift
		w, o := confirmWriter(base)
		var open []*pending
		want, got := map[uint64]bool{}, map[uint64]bool{}
		next, lowest := base+1, uint64(1)
		for len(want) < 400 || len(open) > 0 {
			if next < base+400 && random.IntN(2) == 0 || len(open) == 0 {
				p := &pending{number: next, answers: 1 + random.IntN(3)}
				if p.answers > 1 {
					w.expect(1, p.number, p.answers)
				}
				open = append(open, p)
				next++
				continue
			}
			answer(w, random, &open, want, base)
			if random.IntN(4) == 0 {
				w.flushConfirms(o)
				said(t, w, got, &lowest)
				for tag := range want {
					if got[tag] != want[tag] {
						t.Fatalf("seed %d: message %d: %v, want %v", seed, tag, got[tag], want[tag])
					}
				}
				if len(got) != len(want) {
					t.Fatalf("seed %d: %d settled, want %d", seed, len(got), len(want))
				}
			}
		}
		w.flushConfirms(o)
		said(t, w, got, &lowest)
		if len(got) != len(want) || len(o.confirms.need) != 0 {
			t.Fatalf("seed %d: %d settled, want %d; %d are kept", seed, len(got), len(want), len(o.confirms.need))
		}
		if o.confirms.lowest != next || len(o.confirms.settled) > 1 {
			t.Fatalf("seed %d: lowest %d of %d, %d words", seed, o.confirms.lowest, next, len(o.confirms.settled))
		}
	}
}

// answer gives one answer: a confirm of one message or of several neighbours, or a refusal.
func answer(w *writer, random *rand.Rand, open *[]*pending, want map[uint64]bool, base uint64) {
	i := random.IntN(len(*open))
	first := (*open)[i].number
	count := uint32(0)
	refuse := random.IntN(5) == 0
	for _, p := range (*open)[i:] {
		if p.number != first+uint64(count) || count > 0 && random.IntN(3) == 0 {
			break
		}
		count++
		if p.answers--; refuse && !p.refused {
			p.refused = true
			want[p.number-base] = false
		} else if p.answers == 0 && !p.refused {
			want[p.number-base] = true
		}
	}
	if refuse {
		w.refusedPublish(1, first, count)
	} else {
		w.confirmed(1, first, count)
	}
	*open = slices.DeleteFunc(*open, func(p *pending) bool { return p.answers == 0 })
}

// TestConfirmsComeOnce: what is answered again, whole or in part, the client does not hear again, and neither what nobody can
// have published.
func TestConfirmsComeOnce(t *testing.T) {
	const base = 1 << livesShift
	w, o := confirmWriter(base)
	got, lowest := map[uint64]bool{}, uint64(1)
	for i, s := range []struct {
		first   uint64
		count   uint32
		refused bool
		settled int // in all
	}{
		{1, 200, false, 200},
		{1, 200, false, 200},
		{150, 60, false, 209},
		{205, 3, true, 209},
		{300, 2, false, 211},
		{299, 3, false, 212},
		{298, 4, true, 213},
		{1 << 40, 1, false, 213},
		{1, 1<<32 - 1, false, 213},
		{400, 0, false, 213},
		{1 << 40, 1, true, 213},
	} {
		if s.refused {
			w.refusedPublish(1, base+s.first, s.count)
		} else {
			w.confirmed(1, base+s.first, s.count)
		}
		w.flushConfirms(o)
		if said(t, w, got, &lowest); len(got) != s.settled {
			t.Fatalf("step %d: %d are settled, not %d", i, len(got), s.settled)
		}
	}
	if len(o.confirms.settled) > 4 {
		t.Errorf("%d words are kept", len(o.confirms.settled))
	}
}

// TestConfirmsJoin: many answers in a row are one ack.
func TestConfirmsJoin(t *testing.T) {
	w, o := confirmWriter(0)
	for _, s := range []struct{ first, count uint64 }{{101, 100}, {1, 50}, {201, 99}, {51, 50}} {
		w.confirmed(1, s.first, uint32(s.count))
	}
	w.flushConfirms(o)
	want := protocol.AppendMethodFrame(nil, 1, &protocol.BasicAck{DeliveryTag: 299, Multiple: true})
	if string(w.out) != string(want) {
		t.Errorf("%q", w.out)
	}
	w.out = nil
	w.confirmed(1, 300, 1)
	w.flushConfirms(o)
	want = protocol.AppendMethodFrame(nil, 1, &protocol.BasicAck{DeliveryTag: 300})
	if string(w.out) != string(want) {
		t.Errorf("%q", w.out)
	}
}

// TestConfirmsOfAnEarlierLifeAreCutOff, even if they are joined to those of this one.
func TestConfirmsOfAnEarlierLifeAreCutOff(t *testing.T) {
	const base = 5 << livesShift
	for _, c := range []struct {
		first, count uint64
		tags         int
	}{{base - 10, 10, 0}, {base - 10, 11, 0}, {1, 100, 0}, {base - 10, 13, 2}, {base + 1, 2, 2}, {base, 1, 0}} {
		for _, refused := range []bool{false, true} {
			w, o := confirmWriter(base)
			if refused {
				w.refusedPublish(1, c.first, uint32(c.count))
			} else {
				w.confirmed(1, c.first, uint32(c.count))
			}
			w.flushConfirms(o)
			got, lowest := map[uint64]bool{}, uint64(1)
			said(t, w, got, &lowest)
			if len(got) != c.tags || c.tags > 0 && lowest != uint64(c.tags)+1 {
				t.Errorf("%+v: %v", c, got)
			}
			if len(o.confirms.settled) > 2 {
				t.Errorf("%+v: %d words are kept", c, len(o.confirms.settled))
			}
		}
	}
}

func BenchmarkConfirms(b *testing.B) {
	for _, c := range []struct {
		name    string
		answers int
	}{{"one group", 1}, {"two groups", 2}} {
		b.Run(c.name, func(b *testing.B) {
			w, o := confirmWriter(0)
			b.ReportAllocs()
			const burst = 100
			for i := uint64(1); i <= uint64(b.N); i += burst {
				if c.answers > 1 {
					for n := i; n < i+burst; n++ {
						w.expect(1, n, c.answers)
					}
				}
				for range c.answers {
					w.confirmed(1, i, burst)
				}
				w.flushConfirms(o)
				w.out = w.out[:0]
			}
		})
	}
}
