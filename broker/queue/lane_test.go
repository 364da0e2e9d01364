package queue

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"
)

// randomRuns makes runs as a log would: places that rise, shapes that change now and then.
type randomRuns struct {
	rng  *rand.Rand
	last run
	wild int // how often in a hundred neighbours differ
}

func newRandomRuns(seed uint64, wild int) *randomRuns {
	return &randomRuns{
		rng: rand.New(rand.NewPCG(seed, 7)), wild: wild,
		last: run{index: 1 << 33, offset: 63, stride: 40, count: 1, size: 16},
	}
}

func (g *randomRuns) next() run {
	r := g.last
	chance := func(percent int) bool { return g.rng.IntN(100) < percent }
	switch {
	case chance(20): // right behind the one before
		r.offset += r.stride * r.count
	case chance(20): // further on in the same entry
		r.offset += r.stride*r.count + 1 + uint32(g.rng.IntN(1000))
	default:
		r.index += 1 + uint64(g.rng.IntN(max(1, g.wild/10)))
		r.offset = pickOne(g.rng, r.offset, 63, uint32(g.rng.IntN(1<<20)))
	}
	if chance(g.wild) {
		r.stride, r.size = 16+uint32(g.rng.IntN(1<<16)), uint32(g.rng.IntN(1<<16))
	}
	r.count = pickOne(g.rng, r.count, 1, 1+uint32(g.rng.IntN(g.wild+1)))
	if chance(g.wild / 4) {
		r.expires = pickOne(g.rng, 0, g.rng.Int64N(1<<41))
	}
	if chance(g.wild / 4) {
		r.deliveries, r.acquired = uint32(g.rng.IntN(3)), uint32(g.rng.IntN(3))
		r.due = pickOne(g.rng, 0, g.rng.Int64N(1<<41))
	}
	if chance(g.wild / 4) {
		r.flags, r.priority = uint8(g.rng.IntN(4)), uint8(g.rng.IntN(3))
	}
	g.last = r
	return r
}

func pickOne[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

// singles is the messages of runs, each as a run of one.
func singles(runs []run) (list []run) {
	for _, r := range runs {
		for r.count > 0 {
			list = append(list, r.take(1))
		}
	}
	return list
}

func collect(each func(func(*run))) (runs []run) {
	each(func(r *run) { runs = append(runs, *r) })
	return runs
}

// TestLaneAgainstAList pushes and takes at random, through head, blocks and tail, and compares with a list of messages.
func TestLaneAgainstAList(t *testing.T) {
	for seed := range uint64(30) {
		g := newRandomRuns(seed, []int{0, 5, 50, 100}[seed%4])
		var l lane
		var list []run
		for step := range 60 {
			for range g.rng.IntN(200) {
				r := g.next()
				list = append(list, singles([]run{r})...)
				l.push(r)
			}
			take := g.rng.IntN(1 + 2*len(list)/(step%3+1))
			for take > 0 && len(list) > 0 {
				front := l.front()
				n := min(front.count, 1+uint32(g.rng.IntN(int(front.count))), uint32(take))
				got := singles([]run{l.take(n)})
				if !slices.Equal(got, list[:n]) {
					t.Fatalf("seed %d, step %d: took %+v instead of %+v", seed, step, got, list[:n])
				}
				list, take = list[n:], take-int(n)
			}
			checkLane(t, g, &l, list)
			if step%10 == 9 {
				l = reloadLane(t, &l)
				checkLane(t, g, &l, list)
			}
		}
	}
}

func checkLane(t *testing.T, g *randomRuns, l *lane, list []run) {
	t.Helper()
	bytes := int64(0)
	for i := range list {
		bytes += list[i].bytes()
	}
	if l.count != int64(len(list)) || l.bytes != bytes {
		t.Fatalf("%d messages of %d bytes, says %d of %d", len(list), bytes, l.count, l.bytes)
	}
	if got := singles(collect(l.each)); !slices.Equal(got, list) {
		t.Fatalf("holds %d messages, should be %d, or in another order", len(got), len(list))
	}
	if l.front() == nil != (len(list) == 0) {
		t.Fatalf("front is %v of %d", l.front(), len(list))
	}
	if len(list) == 0 {
		return
	}
	from := list[g.rng.IntN(len(list))].index
	to := from + uint64(g.rng.IntN(100))
	got := singles(collect(func(visit func(*run)) { l.within(from, to, visit) }))
	want := slices.DeleteFunc(slices.Clone(list), func(r run) bool { return r.index < from || r.index >= to })
	if !slices.Equal(got, want) {
		t.Fatalf("within %d..%d are %d messages, should be %d", from, to, len(got), len(want))
	}
}

func reloadLane(t *testing.T, l *lane) lane {
	t.Helper()
	data := l.append(nil)
	r := &reader{data: data}
	var again lane
	again.read(r)
	if r.bad || len(r.data) > 0 {
		t.Fatal("a lane cannot be read from what it wrote")
	}
	return again
}

func TestPackRoundTrips(t *testing.T) {
	for seed := range uint64(200) {
		g := newRandomRuns(seed, int(seed%100))
		runs := make([]run, 1+g.rng.IntN(600))
		for i := range runs {
			runs[i] = g.next()
			if g.rng.IntN(10) == 0 { // places that do not rise
				runs[i].index = uint64(g.rng.Int64N(1 << 40))
			}
		}
		b := pack(runs)
		if got := unpack(b, nil); !slices.Equal(got, runs) {
			t.Fatalf("seed %d: %d runs came out as %d others", seed, len(runs), len(got))
		}
		lowest := slices.MinFunc(runs, func(a, b run) int { return cmpUint(a.index, b.index) })
		highest := slices.MaxFunc(runs, func(a, b run) int { return cmpUint(a.index, b.index) })
		if b.first != lowest.index || b.last != highest.index || b.runs != len(runs) {
			t.Fatalf("seed %d: the block says %d runs in %d..%d", seed, b.runs, b.first, b.last)
		}
	}
}

func cmpUint(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// TestLaneDoesNotAllocateInSteadyState: a backlog that fits the head, and one that goes through blocks.
func TestLaneDoesNotAllocateInSteadyState(t *testing.T) {
	for backlog, most := range map[int]float64{1: 0, 200: 0, 2000: 0.02} {
		g := newRandomRuns(1, 100)
		runs := make([]run, 1000)
		for i := range runs {
			runs[i] = g.next()
		}
		var l lane
		for i := range backlog {
			l.push(runs[i%len(runs)])
		}
		i := 0
		n := testing.AllocsPerRun(20000, func() {
			l.push(runs[i%len(runs)])
			l.take(l.front().count)
			i++
		})
		if n > most {
			t.Errorf("behind a backlog of %d runs: %v allocations for each", backlog, n)
		}
	}
}

// BenchmarkLaneMemory fills a lane with 20 million messages, each in an entry of its own, and tells the memory of each.
func BenchmarkLaneMemory(b *testing.B) {
	const messages = 20e6
	kinds := map[string]func(g *randomRuns, i uint64) run{
		"alike": func(_ *randomRuns, i uint64) run {
			return run{index: i, offset: 63, stride: 40, count: 1, size: 16}
		},
		"beside other queues": func(g *randomRuns, i uint64) run {
			return run{index: 4*i + uint64(g.rng.IntN(4)), offset: 63, stride: 40, count: 1, size: 16}
		},
		"sizes differ": func(g *randomRuns, i uint64) run {
			size := uint32(g.rng.IntN(1000))
			return run{index: i, offset: 63, stride: 40 + size, count: 1, size: size}
		},
		"all differs": func(g *randomRuns, i uint64) run {
			size := uint32(g.rng.IntN(1000))
			return run{
				index: 4*i + uint64(g.rng.IntN(4)), offset: uint32(g.rng.IntN(1 << 18)), stride: 40 + size, count: 1, size: size,
				expires: 1<<41 + g.rng.Int64N(1<<20),
			}
		},
	}
	for name, kind := range kinds {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				g := newRandomRuns(1, 100)
				before := heap()
				var l lane
				for i := range uint64(messages) {
					l.push(kind(g, i))
				}
				b.ReportMetric(float64(heap()-before)/messages, "bytes/message")
				if l.count != messages {
					b.Fatal(l.count)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/messages, "ns/message")
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkLane pushes and takes behind a backlog of runs that all differ.
func BenchmarkLane(b *testing.B) {
	for _, backlog := range []int{1, 100, 255, 256, 500, 5000} {
		b.Run(strconv.Itoa(backlog), func(b *testing.B) {
			g := newRandomRuns(1, 100)
			runs := make([]run, 1024)
			for i := range runs {
				runs[i] = g.next()
			}
			var l lane
			i := 0
			for ; i < backlog; i++ {
				l.push(runs[i%len(runs)])
			}
			for b.Loop() {
				l.push(runs[i%len(runs)])
				l.take(l.front().count)
				i++
			}
		})
	}
}
