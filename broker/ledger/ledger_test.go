package ledger

import (
	"math/bits"
	"math/rand/v2"
	"testing"
)

// TestAgainstASet settles random ranges and compares with a plain set of numbers.
func TestAgainstASet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var l Ledger[uint64]
	open := map[uint64]uint64{} // number -> item
	next := uint64(1)
	for step := range 20000 {
		if rng.IntN(2) == 0 {
			n := 1 + rng.IntN(Width)
			l.Push(next, n, next)
			for i := range uint64(n) {
				open[next+i] = next
			}
			next += uint64(n) + uint64(rng.IntN(3))
			continue
		}
		from := uint64(rng.Int64N(int64(next)))
		to := from + uint64(rng.IntN(200))
		count := l.Take(from, to, func(c *Chunk[uint64], taken uint64) {
			for ; taken != 0; taken &= taken - 1 {
				number := c.First + uint64(bits.TrailingZeros64(taken))
				if item, ok := open[number]; !ok || item != c.Item || number < from || number > to {
					t.Fatalf("step %d: took %d of item %d from %d..%d", step, number, c.Item, from, to)
				}
				delete(open, number)
			}
		})
		for number := from; number <= to; number++ {
			if _, left := open[number]; left || l.Has(number) {
				t.Fatalf("step %d: %d stayed open after %d..%d", step, number, from, to)
			}
		}
		if l.Len() != len(open) {
			t.Fatalf("step %d: %d open, expected %d (took %d)", step, l.Len(), len(open), count)
		}
		if first, ok := l.First(); ok {
			if _, is := open[first]; !is {
				t.Fatalf("step %d: first open is %d, which is settled", step, first)
			}
		} else if len(open) > 0 {
			t.Fatalf("step %d: nothing is open, expected %d", step, len(open))
		}
	}
}

func TestAckInOrderDoesNotAllocate(t *testing.T) {
	var l Ledger[int]
	next := uint64(1)
	visit := func(*Chunk[int], uint64) {}
	if n := testing.AllocsPerRun(1000, func() {
		l.Push(next, Width, 0)
		l.Take(next, next+Width-1, visit)
		next += Width
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkAckOutOfOrder(b *testing.B) {
	var l Ledger[int]
	for i := range uint64(1 << 14) {
		l.Push(1+i*Width, Width, 0)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	next := uint64(1 + 1<<20)
	for range b.N {
		number := next - 1 - uint64(rng.Int64N(1<<20))
		l.Take(number, number, func(*Chunk[int], uint64) {})
		if next%Width == 1 {
			l.Push(next, Width, 0)
		}
		next++
	}
}
