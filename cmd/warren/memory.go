package main

import (
	"math"
	"os"
	"runtime/debug"

	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/settings"
	"github.com/warrenmq/warren/cluster/raftlog"
	"github.com/warrenmq/warren/store"
)

// The budget is how many bytes of memory the process means to hold. It is the limit of the alarm, if the settings name one,
// and budgetShare of the memory there is if they do not: then the alarm comes later. What the process keeps for speed alone
// is sized by it, and the collector works harder as the heap comes near it.
const (
	budgetShare = 0.4
	// programBytes is what the program itself takes, and others in the process that are not on the heap.
	programBytes = 24 << 20
	// heapShare of the rest is where the collector begins to work harder: it may come late.
	heapShare = 0.75
	// heapLeast is what the heap gets in any case.
	heapLeast = 64 << 20
)

// budget gives the bytes of memory that the settings allow; 0 is no limit.
func budget(v *settings.Values) (uint64, error) {
	const absolute, relative = "vm_memory_high_watermark.absolute", "vm_memory_high_watermark.relative"
	if v.Said(absolute) || v.Said(relative) {
		memory, _, err := alarms(v)
		return memory, err
	}
	total := v.Size("total_memory_available_override_value")
	if total == 0 {
		var err error
		if total, err = limits.TotalMemory(); err != nil {
			return 0, nil // nobody asked for a limit
		}
	}
	return uint64(budgetShare * float64(total)), nil
}

// heapLimit is how large a budget lets the heap become. One in which no broker could live is meant for publishers alone.
func heapLimit(budget uint64) int64 {
	if budget < heapLeast || budget > math.MaxInt64/2 {
		return math.MaxInt64
	}
	return max(int64(heapShare*(float64(budget)-programBytes)), heapLeast)
}

// limitHeap keeps the heap within a budget, unless the variable GOMEMLIMIT says what to do.
func limitHeap(budget uint64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(heapLimit(budget))
	}
}

// share gives a part of the budget, least and most at the ends.
func share(budget uint64, part, least, most int64) int64 {
	if budget == 0 || budget > math.MaxInt64 {
		return most
	}
	return min(max(int64(budget)/part, least), most)
}

// sizeStore gives the store its part of the budget: memtables, of which there may be four and one that is given back late.
func sizeStore(budget uint64, o *store.Options) {
	o.MemTableBytes = uint64(share(budget, 32, 2<<20, 32<<20))
	o.CacheBytes = share(budget, 32, 2<<20, 16<<20)
}

// sizeLog gives the log of groups its part of the budget.
func sizeLog(budget uint64, o *raftlog.Options) {
	o.CacheBytes = share(budget, 32, 2<<20, 16<<20)
	o.FlightBytes = share(budget, 64, 1<<20, 16<<20)
}
