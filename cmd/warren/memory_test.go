package main

import (
	"math"
	"testing"

	"github.com/warrenmq/warren/broker/settings"
	"github.com/warrenmq/warren/cluster/raftlog"
	"github.com/warrenmq/warren/store"
)

// TestWhatABudgetMeans: what is said holds, for the heap and for what is kept for speed; what is not said is 40 % of the
// memory there is, and no limit is none.
func TestWhatABudgetMeans(t *testing.T) {
	for _, c := range []struct {
		file   string
		budget uint64
	}{
		{"vm_memory_high_watermark.absolute = 256MiB", 256 << 20},
		{"total_memory_available_override_value = 1000\nvm_memory_high_watermark.relative = 0.5", 500},
		{"total_memory_available_override_value = 1000", 400},
		{"vm_memory_high_watermark.relative = 0", 0},
	} {
		v, err := settings.Load(settings.Sources{Files: []string{write(t, t.TempDir(), "c.conf", c.file)}})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := budget(v); err != nil || got != c.budget {
			t.Errorf("%s: %d, %v", c.file, got, err)
		}
	}
	if heapLimit(0) != math.MaxInt64 || heapLimit(math.MaxUint64) != math.MaxInt64 || heapLimit(1) != math.MaxInt64 || heapLimit(heapLeast) != heapLeast {
		t.Error("no limit, or hardly any")
	}
	for budget := uint64(128 << 20); budget <= 64<<30; budget *= 2 {
		var s store.Options
		var l raftlog.Options
		sizeStore(budget, &s)
		sizeLog(budget, &l)
		heap := heapLimit(budget)
		kept := int64(5*s.MemTableBytes) + s.CacheBytes + l.CacheBytes + 2*l.FlightBytes
		if heap >= int64(budget) || kept > heap/2 || s.MemTableBytes > 32<<20 {
			t.Errorf("of %d bytes the heap gets %d, and %d of these are for speed alone", budget, heap, kept)
		}
	}
}
