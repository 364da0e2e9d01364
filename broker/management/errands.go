package management

import (
	"sync"

	"github.com/warrenmq/warren/broker/logs"
)

// errands are goroutines that work for one request. A bug in one is a bug of the request: it ends where it waits for them.
type errands struct {
	running sync.WaitGroup
	mu      sync.Mutex // guards what follows
	bug     *logs.Bug
}

// Go sends one.
func (e *errands) Go(do func()) {
	e.running.Go(func() {
		if bug := logs.Catch(do); bug != nil {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.bug = bug
		}
	})
}

// Wait waits for all.
func (e *errands) Wait() {
	e.running.Wait()
	if e.bug != nil {
		e.bug.Again()
	}
}
