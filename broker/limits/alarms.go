// Package limits owns the alarms of a node: when memory or disk run low, publishers are held back until there is room
// again; consumers and acknowledgements go on.
//
//  1. A Monitor looks at memory and disk once a second and raises or clears an alarm.
//  2. A session that is about to take a message asks Alarms.Active, and if so waits for Alarms.Cleared.
package limits

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Kind is what runs low.
type Kind uint8

// Kinds of alarms.
const (
	Memory Kind = iota
	Disk
	kinds
)

// String is the word in reasons and in the API.
func (k Kind) String() string { return [...]string{"memory", "disk"}[k] }

// Alarms is the alarms that are raised. It is safe for concurrent use; the zero value has none.
type Alarms struct {
	// Changed is told of every alarm that is raised or cleared; nil if nobody wants to know. It must not wait.
	Changed func(k Kind, raised bool)

	active atomic.Bool

	mu      sync.Mutex
	raised  [kinds]bool
	others  map[uint64][kinds]bool // alarms of other nodes
	cleared chan struct{}          // closed when the last alarm is cleared
}

// Active tells whether any alarm is raised, here or on another node.
func (a *Alarms) Active() bool { return a.active.Load() }

// Raised tells whether one alarm is raised here.
func (a *Alarms) Raised(k Kind) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.raised[k]
}

// Set raises or clears an alarm, and tells whether that changed anything.
func (a *Alarms) Set(k Kind, on bool) (changed bool) {
	changed = a.set(k, on)
	if changed && a.Changed != nil {
		a.Changed(k, on)
	}
	return changed
}

func (a *Alarms) set(k Kind, on bool) (changed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.raised[k] == on {
		return false
	}
	a.raised[k] = on
	a.judge()
	return true
}

// judge makes known whether an alarm is raised anywhere. The lock is held.
func (a *Alarms) judge() {
	low := a.low()
	any := low != [kinds]bool{}
	switch {
	case any && a.cleared == nil:
		a.cleared = make(chan struct{})
	case !any && a.cleared != nil:
		close(a.cleared)
		a.cleared = nil
	}
	a.active.Store(any)
}

// low is what runs low on any node. The lock is held.
func (a *Alarms) low() [kinds]bool {
	low := a.raised
	for _, other := range a.others {
		for k := range kinds {
			low[k] = low[k] || other[k]
		}
	}
	return low
}

// Bits are the alarms that are raised here, a bit for each: what other nodes are told.
func (a *Alarms) Bits() (bits byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range kinds {
		if a.raised[k] {
			bits |= 1 << k
		}
	}
	return bits
}

// Other takes the Bits of another node: they hold publishers back here too, as RabbitMQ has it.
func (a *Alarms) Other(node uint64, bits byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var raised [kinds]bool
	for k := range kinds {
		raised[k] = bits&(1<<k) != 0
	}
	if a.others == nil {
		a.others = map[uint64][kinds]bool{}
	}
	a.others[node] = raised
	if raised == [kinds]bool{} {
		delete(a.others, node)
	}
	a.judge()
}

// Keep forgets the alarms of nodes that are gone.
func (a *Alarms) Keep(lives func(node uint64) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.others, func(node uint64, _ [kinds]bool) bool { return !lives(node) })
	a.judge()
}

// Others calls f with every alarm of another node.
func (a *Alarms) Others(f func(node uint64, k Kind)) {
	a.mu.Lock()
	others := maps.Clone(a.others)
	a.mu.Unlock()
	for _, node := range slices.Sorted(maps.Keys(others)) {
		for k := range kinds {
			if others[node][k] {
				f(node, k)
			}
		}
	}
}

// Cleared gives a channel that is closed once no alarm is raised, and the reason in RabbitMQ's words; nil if none is.
func (a *Alarms) Cleared() (cleared <-chan struct{}, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cleared == nil {
		return nil, ""
	}
	var words []string
	for k, low := range a.low() {
		if low {
			words = append(words, Kind(k).String())
		}
	}
	return a.cleared, "low on " + strings.Join(words, " & ")
}
