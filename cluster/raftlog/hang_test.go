package raftlog

import (
	cryptorand "crypto/rand"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// hang lets the syncs of a disk wait.
type hang struct {
	nudge   func()
	mu      sync.Mutex
	held    chan struct{} // nil: they do not
	waiting int
}

// MaybeError implements errorfs.Injector.
func (h *hang) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		h.mu.Lock()
		held := h.held
		if held != nil {
			h.waiting++
		}
		h.mu.Unlock()
		if held != nil {
			h.nudge()
			<-held
		}
	}
	return nil
}

// String implements errorfs.Injector.
func (h *hang) String() string { return "(Hang)" }

func (h *hang) set(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case on && h.held == nil:
		h.held = make(chan struct{})
	case !on && h.held != nil:
		close(h.held)
		h.held, h.waiting = nil, 0
	}
}

// stuck tells whether something waits: then whatever is written later does, too.
func (h *hang) stuck() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.waiting > 0
}

func (h *hang) on() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held != nil
}

// seeded makes the chance that raft uses for its elections the same each time.
func seeded(t *testing.T, seed uint64) {
	before := cryptorand.Reader
	cryptorand.Reader = &lockedReader{r: rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})}
	t.Cleanup(func() { cryptorand.Reader = before })
}

// lockedReader may be read from several goroutines.
type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

// Read implements io.Reader.
func (l *lockedReader) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(p)
}
