package oplog

import (
	"context"
	"runtime/pprof"
	"strconv"
	"sync"
)

// Direct is the log of queues that need not outlive their node: a batch is an entry, applied at once, its bytes in memory
// only for as long as they are live.
type Direct struct {
	machine Machine
	clock   func() int64

	mu      sync.Mutex
	waiting []Batch
	calls   []func()
	closed  bool

	wake chan struct{} // one place: a wake-up is never lost and never queued twice
	done chan struct{}

	// owner: run
	kept retained
	last int64 // time of the last entry
}

// DirectHost opens Direct logs.
type DirectHost struct {
	// Clock gives milliseconds since the epoch.
	Clock func() int64
}

// Open starts the log of a group. Its only member is this node, which leads.
func (h DirectHost) Open(group uint64, _ []uint64, m Machine) (Log, error) {
	d := &Direct{
		machine: m,
		clock:   h.Clock,
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		kept:    newRetained(),
	}
	labels := pprof.Labels("oplog.direct", strconv.FormatUint(group, 10))
	go pprof.Do(context.Background(), labels, func(context.Context) { d.run() })
	return d, nil
}

// Propose takes the batch. What bounds the batches that wait is the sessions' own windows.
func (d *Direct) Propose(b Batch) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return ErrClosed
	}
	d.waiting = append(d.waiting, b)
	first := len(d.waiting) == 1
	d.mu.Unlock()
	if first {
		d.signal()
	}
	return nil
}

// Do runs f on the machine's goroutine.
func (d *Direct) Do(f func()) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return ErrClosed
	}
	d.calls = append(d.calls, f)
	d.mu.Unlock()
	d.signal()
	return nil
}

// Read gives the bytes of a live span. Only from the machine's goroutine.
func (d *Direct) Read(s Span) ([]byte, error) { return d.kept.read(s) }

// Near gives the bytes of a live span: all are in memory. Only from the machine's goroutine.
func (d *Direct) Near(s Span) ([]byte, bool) {
	data, err := d.kept.read(s)
	return data, err == nil
}

// Now implements Log.
func (d *Direct) Now() int64 { return d.clock() }

// Account adds to the live bytes of an entry.
func (d *Direct) Account(index uint64, bytes int64) { d.kept.account(index, bytes) }

// Damage implements Log: nothing is stored.
func (d *Direct) Damage() error { return nil }

// Close stops the log after what was proposed before has been applied.
func (d *Direct) Close() error {
	d.mu.Lock()
	closed := d.closed
	d.closed = true
	d.mu.Unlock()
	if !closed {
		d.signal()
	}
	<-d.done
	return nil
}

func (d *Direct) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *Direct) run() {
	defer close(d.done)
	d.machine.Lead(true)
	var batches []Batch
	var calls []func()
	var entries []Entry
	for range d.wake {
		for {
			d.mu.Lock()
			batches, d.waiting = d.waiting, batches[:0]
			calls, d.calls = d.calls, calls[:0]
			closed := d.closed
			d.mu.Unlock()
			if len(batches) == 0 && len(calls) == 0 {
				if closed {
					return
				}
				break
			}
			entries = d.apply(batches, entries[:0])
			for i, f := range calls {
				f()
				calls[i] = nil
			}
		}
	}
}

// apply makes an entry of each batch, applies them together, and forgets those of which nothing lives.
func (d *Direct) apply(batches []Batch, entries []Entry) []Entry {
	if len(batches) == 0 {
		return entries
	}
	d.last = max(d.last, d.clock())
	for i := range batches {
		b := &batches[i]
		b.At = 0
		entries = append(entries, Entry{Index: d.kept.add(b.Data), Time: d.last, Data: b.Data, Batches: batches[i : i+1 : i+1]})
	}
	d.machine.Apply(entries)
	d.kept.settle(entries[len(entries)-1].Index)
	d.kept.pack(d.machine)
	clear(entries)
	clear(batches)
	return entries
}
