// Package limits owns the alarms of a node: when memory or disk run low, publishers are held back until there is room
// again; consumers and acknowledgements go on.
//
//  1. A Monitor looks at memory and disk once a second and raises or clears an alarm.
//  2. A session that is about to take a message asks Alarms.Active, and if so waits for Alarms.Cleared.
package limits

import (
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
	cleared chan struct{} // closed when the last alarm is cleared
}

// Active tells whether any alarm is raised.
func (a *Alarms) Active() bool { return a.active.Load() }

// Raised tells whether one alarm is raised.
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
	any := a.raised[Memory] || a.raised[Disk]
	switch {
	case any && a.cleared == nil:
		a.cleared = make(chan struct{})
	case !any && a.cleared != nil:
		close(a.cleared)
		a.cleared = nil
	}
	a.active.Store(any)
	return true
}

// Cleared gives a channel that is closed once no alarm is raised, and the reason in RabbitMQ's words; nil if none is.
func (a *Alarms) Cleared() (cleared <-chan struct{}, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cleared == nil {
		return nil, ""
	}
	var low []string
	for k := range kinds {
		if a.raised[k] {
			low = append(low, k.String())
		}
	}
	return a.cleared, "low on " + strings.Join(low, " & ")
}
