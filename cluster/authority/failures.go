package authority

import (
	"net/netip"
	"sync"
	"time"
)

// failures counts wrong tokens by where they came from, for a minute.
type failures struct {
	mu    sync.Mutex
	since time.Time
	count map[netip.Addr]int
}

const (
	failuresMax  = 10   // in a minute from one address; then it is refused unheard
	addressesMax = 1024 // that are counted; those beyond share one count
)

func (f *failures) may(from netip.Addr, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count[f.key(from, now)] < failuresMax
}

func (f *failures) note(from netip.Addr, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count[f.key(from, now)]++
}

// key is what an address is counted under. IPv6 gives everybody many addresses: a network of 64 bits counts as one.
func (f *failures) key(from netip.Addr, now time.Time) netip.Addr {
	if f.count == nil || now.Sub(f.since) >= time.Minute {
		f.count, f.since = map[netip.Addr]int{}, now
	}
	from = from.Unmap()
	if from.Is6() {
		if p, err := from.Prefix(64); err == nil {
			from = p.Addr()
		}
	}
	if _, known := f.count[from]; !known && len(f.count) >= addressesMax {
		return netip.Addr{}
	}
	return from
}
