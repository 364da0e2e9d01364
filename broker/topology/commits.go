package topology

import (
	"slices"
	"sync"
)

// commits is the transactions that may not have reached the disk yet, so that whoever merely confirms what another just
// declared waits for it too.
type commits struct {
	mu      sync.Mutex
	issued  uint64
	open    []uint64 // tickets, rising
	waiting []waiter
	failed  error // that forbids to say of anything that it is on the disk
}

// waiter wants to know when all tickets up to its own are done.
type waiter struct {
	ticket uint64
	done   func(error)
}

func (c *commits) begin() (ticket uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.issued++
	c.open = append(c.open, c.issued)
	return c.issued
}

// end notes that a transaction is on the disk, or never will be: err says why.
func (c *commits) end(ticket uint64, err error) {
	c.mu.Lock()
	if c.failed == nil {
		c.failed = err
	}
	err = c.failed
	if i, found := slices.BinarySearch(c.open, ticket); found {
		c.open = slices.Delete(c.open, i, i+1)
	}
	var ready []waiter
	c.waiting = slices.DeleteFunc(c.waiting, func(w waiter) bool {
		if len(c.open) > 0 && c.open[0] <= w.ticket {
			return false
		}
		ready = append(ready, w)
		return true
	})
	c.mu.Unlock()
	for _, w := range ready {
		w.done(err)
	}
}

// settled calls done once everything that was begun before now is on the disk, at once if it is.
func (c *commits) settled(done func(error)) {
	if done == nil {
		return
	}
	c.mu.Lock()
	if len(c.open) > 0 {
		c.waiting = append(c.waiting, waiter{ticket: c.issued, done: done})
		c.mu.Unlock()
		return
	}
	err := c.failed
	c.mu.Unlock()
	done(err)
}
