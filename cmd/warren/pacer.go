package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// Go's collector runs when as much was allocated as lives. In a broker little lives, and for whatever passes through it memory is
// allocated: under load it would collect fifty times a second (docs/performance.md). So it gets more room the more is allocated,
// within a part of the budget, and at rest none.
const (
	// collections is how often in a second the collector is to run, as long as there is room.
	collections = 4
	// collectorShare of the budget, and collectorMost, bound that room.
	collectorShare = 8
	collectorMost  = 64 << 20
	// liveLeast is what Go takes for alive in any case.
	liveLeast = 4 << 20
)

// gcPercent is how much may be allocated until the collector runs, in percent of what lives.
func gcPercent(live, perSecond, most uint64) int {
	return int(max(100, 100*min(perSecond/collections, most)/max(live, liveLeast)))
}

// pacer gives Go's collector its room, once a second.
type pacer struct {
	most    atomic.Uint64
	stop    chan struct{}
	stopped chan struct{}
}

// openPacer begins, unless the variable GOGC says what to do.
func openPacer(budget uint64) *pacer {
	c := &pacer{stop: make(chan struct{}), stopped: make(chan struct{})}
	c.limit(budget)
	if os.Getenv("GOGC") != "" {
		close(c.stopped)
		return c
	}
	go c.run()
	return c
}

// limit bounds the room by another budget.
func (c *pacer) limit(budget uint64) {
	c.most.Store(uint64(share(budget, collectorShare, 0, collectorMost)))
}

func (c *pacer) run() {
	defer close(c.stopped)
	usual := debug.SetGCPercent(100)
	defer debug.SetGCPercent(usual)
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	set, before := 100, samples[1].Value.Uint64()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-tick.C:
		}
		metrics.Read(samples)
		live, all := samples[0].Value.Uint64(), samples[1].Value.Uint64()
		want := gcPercent(live, all-before, c.most.Load())
		before = all
		if want > set+set/8 || want < set-set/8 { // to set it stops everybody for a moment
			set = want
			debug.SetGCPercent(set)
		}
	}
}

// Close gives Go's collector its usual room.
func (c *pacer) Close() error {
	close(c.stop)
	<-c.stopped
	return nil
}
