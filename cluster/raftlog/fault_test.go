package raftlog

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// errDisk is what a broken disk says.
var errDisk = errors.New("the disk is broken")

// failing is a life in which the disk fails for good at some write.
type failing struct {
	*life
	broken atomic.Bool
	said   chan error // what ends the process
}

// write fails from the given moment on. What was confirmed until then must be there afterwards.
func (f *failing) write(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose || op.Kind == errorfs.OpRemove {
		return nil
	}
	if f.ops.Add(-1) > 0 {
		return nil
	}
	f.broken.Store(true)
	return errDisk
}

// TestAWriteThatFailsEndsTheProcess: with one error, which says why; and the next start finds all that was confirmed.
func TestAWriteThatFailsEndsTheProcess(t *testing.T) {
	for seed := range uint64(100) {
		f := &failing{life: newLife(seed), said: make(chan error, 2)}
		if err := f.next(); err != nil { // something is there
			t.Fatalf("seed %d: %v", seed, err)
		}
		next, err := f.fails()
		if err == nil {
			t.Fatalf("seed %d: the disk was broken, and nobody said so", seed)
		}
		if text := err.Error(); !errors.Is(err, errDisk) && !strings.Contains(text, errDisk.Error()) || strings.Contains(text, "\n") {
			t.Errorf("seed %d: it says %q", seed, text)
		}
		if len(f.said) != 0 {
			t.Errorf("seed %d: and then it says %v", seed, <-f.said)
		}
		if err := next.next(); err != nil {
			t.Fatalf("seed %d: the next start: %v", seed, err)
		}
	}
}

// fails is a process that works until the disk is broken. It gives what ended it. What hangs in the broken process is left
// behind: a real one is gone.
func (f *failing) fails() (next *life, end error) {
	f.groups = nil
	for g := range simGroups {
		f.groups = append(f.groups, newRecorder(g, f.told))
	}
	f.ended, f.left, f.told.ended = sync.Once{}, nil, false
	f.percent = 100 // the process ends, the machine goes on
	f.ops.Store(1 + int64(f.random.ExpFloat64()*100))
	fatal := func(err error) {
		f.crash()
		f.said <- err
		select {}
	}
	opened, over := make(chan error, 1), make(chan struct{})
	var working atomic.Bool
	go func() {
		defer close(over)
		p, err := f.open(errorfs.Wrap(f.disk, errorfs.InjectorFunc(f.write)), fatal)
		if err != nil {
			f.crash()
			opened <- err
			return
		}
		working.Store(true)
		if err = f.work(p, 1<<30); err != nil && !f.broken.Load() {
			opened <- err
		}
	}()
	var err error
	select {
	case err = <-f.said:
	case err = <-opened:
	}
	if working.Load() {
		<-over // it sees that the process has ended
	}
	return f.heir(), err
}

// heir goes on with what is left of the disk, and shares nothing with the process that is broken.
func (l *life) heir() *life {
	next := newLife(l.seed + 1<<32)
	next.disk = l.left
	l.told.mu.Lock()
	defer l.told.mu.Unlock()
	next.told.last, next.told.gone = maps.Clone(l.told.last), maps.Clone(l.told.gone)
	for g := range simGroups {
		next.published[g], next.underway[g] = maps.Clone(l.published[g]), maps.Clone(l.underway[g])
	}
	return next
}
