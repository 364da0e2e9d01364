package queue

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// placed puts messages into the order in which a classic queue delivers them.
func placed(a, b run) int {
	return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.index, b.index), cmp.Compare(a.offset, b.offset))
}

// TestReturnsAgainstAList gives runs back in any order, in pieces, and takes them again.
func TestReturnsAgainstAList(t *testing.T) {
	for seed := range uint64(60) {
		g := newRandomRuns(seed, []int{0, 5, 60}[seed%3])
		sorted := seed%2 == 0
		var held, list []run // single messages that are out, and that came back
		var r returns
		for step := range 400 {
			for range g.rng.IntN(4) {
				one := g.next()
				one.count = min(one.count, 20)
				held = append(held, singles([]run{one})...)
			}
			for range g.rng.IntN(6) {
				if len(held) == 0 {
					break
				}
				list = giveBack(g.rng, &r, &held, list, sorted)
			}
			list = takeSome(t, g.rng, &r, list)
			bytes := int64(0)
			for i := range list {
				bytes += list[i].bytes()
			}
			if got := singles(collect(r.each)); !slices.Equal(got, list) || r.count != int64(len(list)) || r.bytes != bytes {
				t.Fatalf("seed %d, step %d: holds %d messages (says %d, %d bytes), should be %d (%d bytes), or in another order",
					seed, step, len(got), r.count, r.bytes, len(list), bytes)
			}
		}
	}
}

// TestReturnsBecomeOneRunAgain: a run that was handed out in pieces and comes back in any order.
func TestReturnsBecomeOneRunAgain(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for range 50 {
		whole := run{index: 5, offset: 63, stride: 40, count: 200, size: 16}
		pieces := singles([]run{whole})
		rng.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
		var r returns
		for _, p := range pieces {
			r.insert(p)
		}
		if got := collect(r.each); len(got) != 1 || got[0] != whole {
			t.Fatalf("%d runs instead of one", len(got))
		}
	}
}

// giveBack returns a stretch of held messages that are one run.
func giveBack(rng *rand.Rand, r *returns, held *[]run, list []run, sorted bool) []run {
	from := rng.IntN(len(*held))
	back, to := (*held)[from], from+1
	for to < len(*held) && rng.IntN(3) > 0 && back.join(&(*held)[to]) {
		to++
	}
	*held = slices.Delete(*held, from, to)
	if !sorted {
		r.append(back)
		return append(list, singles([]run{back})...)
	}
	r.insert(back)
	list = append(list, singles([]run{back})...)
	slices.SortFunc(list, placed)
	return list
}

func takeSome(t *testing.T, rng *rand.Rand, r *returns, list []run) []run {
	t.Helper()
	for rng.IntN(3) > 0 && len(list) > 0 {
		n := 1 + uint32(rng.IntN(int(r.front().count)))
		if got := singles([]run{r.take(n)}); !slices.Equal(got, list[:n]) {
			t.Fatalf("took %+v instead of %+v", got, list[:n])
		}
		list = list[n:]
	}
	if (r.front() == nil) != (len(list) == 0) {
		t.Fatalf("front is %v of %d", r.front(), len(list))
	}
	return list
}

// BenchmarkReturnEverything gives 100,000 single messages back, in order and in any order.
func BenchmarkReturnEverything(b *testing.B) {
	const messages = 100000
	for name, shuffled := range map[string]bool{"in order": false, "in any order": true} {
		b.Run(name, func(b *testing.B) {
			runs := make([]run, messages)
			for i := range runs {
				runs[i] = run{index: uint64(i), offset: 63, stride: 40, count: 1, size: 16}
			}
			if shuffled {
				rand.New(rand.NewPCG(1, 1)).Shuffle(messages, func(i, j int) { runs[i], runs[j] = runs[j], runs[i] })
			}
			for b.Loop() {
				var r returns
				for i := range runs {
					r.insert(runs[i])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/messages, "ns/message")
		})
	}
}
