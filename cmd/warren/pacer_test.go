package main

import (
	"runtime/debug"
	"testing"
)

// TestTheCollectorHasRoomUnderLoad: for what is allocated in a quarter of a second, as far as the budget goes, and at rest for as
// much as lives, which is what Go gives it.
func TestTheCollectorHasRoomUnderLoad(t *testing.T) {
	for _, c := range []struct {
		live, perSecond, most uint64
		percent               int
	}{
		{40 << 20, 0, collectorMost, 100},
		{40 << 20, 80 << 20, collectorMost, 100},
		{20 << 20, 160 << 20, collectorMost, 200},
		{32 << 20, 64 << 30, collectorMost, 200},
		{1 << 20, 64 << 30, collectorMost, 1600},
		{400 << 20, 64 << 30, collectorMost, 100},
		{64 << 20, 64 << 30, 32 << 20, 100},
	} {
		if got := gcPercent(c.live, c.perSecond, c.most); got != c.percent {
			t.Errorf("%d bytes live, %d are allocated in a second, %d are allowed: %d %%, not %d", c.live, c.perSecond, c.most, got, c.percent)
		}
	}
	for budget, most := range map[uint64]uint64{0: collectorMost, 256 << 20: 32 << 20, 1 << 40: collectorMost} {
		c := openPacer(budget)
		if c.most.Load() != most {
			t.Errorf("of a budget of %d bytes the collector gets %d", budget, c.most.Load())
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if usual := debug.SetGCPercent(100); usual != 100 {
		t.Errorf("%d %% are left behind", usual)
	}
}
