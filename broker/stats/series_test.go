package stats

import (
	"testing"
	"time"
)

// clock is a table with one thing, sampled by hand.
type clock struct {
	*Table[string]
	now int64
}

func (c *clock) tick(value int64) {
	c.now += intervalMs
	c.Sample(c.now, func(record func(string, []int64)) { record("x", []int64{value, -value}) })
}

func TestRates(t *testing.T) {
	c := &clock{Table: NewTable[string](2, false)}
	if v := c.View("x"); !v.Empty() || v.Rate(0) != 0 {
		t.Error("something of nothing")
	}
	c.tick(10)
	if rate := c.View("x").Rate(0); rate != 0 {
		t.Errorf("rate %v of one sample", rate)
	}
	c.tick(60)
	if v := c.View("x"); v.Rate(0) != 10 || v.Rate(1) != -10 {
		t.Errorf("rates %v %v, want 10 and -10", v.Rate(0), v.Rate(1))
	}
	for range 100 {
		c.tick(60)
	}
	v := c.View("x")
	if v.Rate(0) != 0 || len(v.times) > 4 {
		t.Errorf("rate %v, %d samples of a stretch without change", v.Rate(0), len(v.times))
	}
	if since := v.IdleSince(); since > 3*intervalMs {
		t.Errorf("idle since %d", since)
	}
	c.tick(65)
	if rate := c.View("x").Rate(0); rate != 1 {
		t.Errorf("rate %v after a rest, want 1", rate)
	}
}

func TestSamples(t *testing.T) {
	c := &clock{Table: NewTable[string](2, false)}
	for i := range 5 {
		c.tick(int64(i))
	}
	got := c.View("x").Samples(0, 10*time.Second, 5*time.Second)
	want := []Sample{{4, 25000}, {3, 20000}, {2, 15000}}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
	if n := len(c.View("x").Samples(0, time.Hour, 5*time.Second)); n != 5 {
		t.Errorf("%d samples of five", n)
	}
	if n := len(c.View("x").Samples(0, time.Hour, 0)); n != 0 {
		t.Errorf("%d samples without a step", n)
	}
}

// TestHistoryIsBounded: ten minutes in a short table, a day in a long one, one sample a minute of what is not quite new.
func TestHistoryIsBounded(t *testing.T) {
	for _, long := range []bool{false, true} {
		c := &clock{Table: NewTable[string](2, long)}
		for i := range int64(2 * dayMs / intervalMs) {
			c.tick(i)
		}
		v := c.View("x")
		span, most := int64(detailMs), 130
		if long {
			span, most = dayMs, 130+dayMs/coarseMs*2+10
		}
		if got := v.Last() - v.times[0]; got < span-coarseMs || got > span+2*coarseMs || len(v.times) > most {
			t.Errorf("long %v: %d s in %d samples", long, got/1000, len(v.times))
		}
	}
}

// TestWhatIsGoneIsForgotten, and many things share the room there is.
func TestWhatIsGoneIsForgotten(t *testing.T) {
	table := NewTable[int](1, false)
	many := samplesMax / 10
	for round := range 30 {
		table.Sample(int64(round)*intervalMs, func(record func(int, []int64)) {
			for i := range many {
				record(i, []int64{int64(round * i)})
			}
		})
	}
	if n := len(table.View(7).times); n > 10 || n < 2 {
		t.Errorf("%d samples each", n)
	}
	table.Sample(0, func(func(int, []int64)) {})
	if len(table.series) != 0 {
		t.Error("remembered")
	}
}

func TestBoard(t *testing.T) {
	b := NewBoard()
	c := Counts{Publish: 3, Ack: 2}
	b.VHost("a").Add(&c)
	b.VHost("b").Add(&c)
	b.Exchange("a", "x").Add(&Counts{PublishIn: 1})
	b.Prune(func(vhost, exchange string, isVHost bool) bool { return vhost == "a" && isVHost })
	if total := b.Total(); total[Publish] != 6 || total[Ack] != 4 {
		t.Errorf("total %v", total)
	}
	b.Exchanges(func(vhost, name string, c Counts) { t.Errorf("%s in %s is left", name, vhost) })
	seen := 0
	b.VHosts(func(string, Counts) { seen++ })
	if seen != 1 {
		t.Errorf("%d vhosts", seen)
	}
}
