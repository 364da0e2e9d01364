package queue

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/warrenmq/warren/broker/message"
)

// TestLettersAsASet compares with a map of all that have come.
func TestLettersAsASet(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		q, have, floor := &queue{}, map[uint64]bool{}, uint64(1)
		for step := range 2000 {
			if random.IntN(20) == 0 {
				floor += random.Uint64N(20)
			}
			l := message.Letter{Source: 1, Number: floor + random.Uint64N(50), Floor: floor}
			if random.IntN(10) == 0 { // one that was held up
				l.Floor = 1 + random.Uint64N(floor)
				l.Number = l.Floor + random.Uint64N(50)
			}
			want := l.Number < floor || have[l.Number]
			if q.letters != nil && l.Floor == floor && q.letters.have(&l) != want {
				t.Fatalf("seed %d, step %d: have(%+v) is not %v", seed, step, l, want)
			}
			if fresh := q.note(&l, uint64(step)); l.Floor == floor && fresh == want {
				t.Fatalf("seed %d, step %d: %+v is new: %v; spans %v", seed, step, l, fresh, q.letters[1].spans)
			}
			have[l.Number] = true
			spans := q.letters[1].spans
			for i := 1; i < len(spans); i++ {
				if spans[i].first <= spans[i-1].last+1 {
					t.Fatalf("seed %d: spans %v", seed, spans)
				}
			}
		}
	}
}

// TestLettersAreBounded in their sources and in the spans of one.
func TestLettersAreBounded(t *testing.T) {
	q := &queue{}
	for n := range uint64(3 * spansMax) {
		q.note(&message.Letter{Source: 1, Number: 10 + 2*n, Floor: 1}, n)
	}
	if n := len(q.letters[1].spans); n != spansMax {
		t.Errorf("%d spans", n)
	}
	if newest := (message.Letter{Source: 1, Number: 10 + 2*(3*spansMax-1)}); !q.letters.have(&newest) {
		t.Error("the newest is forgotten")
	}
	for n := range uint64(2 * sourcesMax) {
		q.note(&message.Letter{Source: 100 + n, Number: 1, Floor: 1}, 1e6+n)
	}
	if n := len(q.letters); n > sourcesMax || n < sourcesMax/2 {
		t.Errorf("%d sources", n)
	}
	if newest := (message.Letter{Source: 100 + 2*sourcesMax - 1, Number: 1}); !q.letters.have(&newest) {
		t.Error("the newest source is forgotten")
	}
	again := readLetters(&reader{data: q.letters.append(nil)})
	for id, a := range q.letters {
		if b := again[id]; b == nil || b.used != a.used || !slices.Equal(a.spans, b.spans) {
			t.Fatalf("source %d is not the same after a snapshot", id)
		}
	}
}
