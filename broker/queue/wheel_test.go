package queue

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestWheelAgainstAList holds messages back for anything between a millisecond and years, and lets time pass in steps of
// any size: what is due comes in the order of its time, and what is due at one time in the order in which it came.
func TestWheelAgainstAList(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 5))
		spans := []int64{5, 900, 70_000, 4_000_000, 90_000_000, 5 * 365 * 86_400_000}
		now := 1_700_000_000_000 + rng.Int64N(86_400_000)
		var w wheel
		var list []run
		for step := range 1500 {
			for range rng.IntN(4) {
				r := run{index: uint64(step), offset: uint32(rng.IntN(1000)), stride: 40, count: 1 + uint32(rng.IntN(3)), size: 16}
				r.due = now + 1 + rng.Int64N(spans[rng.IntN(len(spans))])
				if rng.IntN(3) == 0 && len(list) > 0 { // at the time of another
					r.due = list[rng.IntN(len(list))].due
				}
				if r.due <= now {
					continue
				}
				w.add(r, now)
				at := slices.IndexFunc(list, func(o run) bool { return o.due > r.due })
				if at < 0 {
					at = len(list)
				}
				list = slices.Insert(list, at, r)
			}
			checkWheel(t, &w, list, now)
			now += rng.Int64N(spans[rng.IntN(len(spans)-1)])
			if next := w.next(); next > now && rng.IntN(2) == 0 {
				now = next
			}
			var got []run
			w.due(now, func(r run) { got = append(got, r) })
			n := 0
			for n < len(list) && list[n].due <= now {
				n++
			}
			if !slices.Equal(singles(got), singles(list[:n])) {
				t.Fatalf("seed %d, step %d: %d are due, should be %d, or in another order", seed, step, len(got), n)
			}
			list = list[n:]
			if step%100 == 0 {
				w = reloadWheel(t, &w)
			}
		}
	}
}

func checkWheel(t *testing.T, w *wheel, list []run, now int64) {
	t.Helper()
	count, bytes := int64(0), int64(0)
	for i := range list {
		count, bytes = count+int64(list[i].count), bytes+list[i].bytes()
	}
	if w.count != count || w.bytes != bytes || len(singles(collect(w.each))) != int(count) {
		t.Fatalf("%d wait (%d bytes), says %d (%d)", count, bytes, w.count, w.bytes)
	}
	if next := w.next(); len(list) > 0 && (next <= now || next > list[0].due) || len(list) == 0 && next != 0 {
		t.Fatalf("at %d it wants to be looked at at %d, %d wait, the first until %d", now, next, len(list), list[0].due)
	}
}

func reloadWheel(t *testing.T, w *wheel) (again wheel) {
	t.Helper()
	r := &reader{data: w.append(nil)}
	again.read(r)
	if r.bad || len(r.data) > 0 || again.begins != w.begins {
		t.Fatal("a wheel cannot be read from what it wrote")
	}
	return again
}
