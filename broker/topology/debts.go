package topology

import (
	"context"
	"maps"
	"sync"
	"time"
)

// debts are exclusive queues whose connection has gone and that are still there, because the metadata store took no changes at
// that moment. Nobody else may use them, or have their names: their removal is tried until it succeeds. There are as many at most
// as there are queues.
type debts struct {
	pause time.Duration // before the next try

	mu      sync.Mutex        // guards what follows
	owed    map[uint64]string // the vhosts of queues, by id
	stirred chan struct{}     // one place: something is owed
}

// debtPause is how long the store is left alone that has taken no changes.
const debtPause = time.Second

func newDebts() debts {
	return debts{pause: debtPause, owed: map[uint64]string{}, stirred: make(chan struct{}, 1)}
}

// Owe notes exclusive queues of a vhost that could not be deleted, for Pay.
func (e *Editor) Owe(vhost string, ids []uint64) {
	d := &e.debts
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		d.owed[id] = vhost
	}
	select {
	case d.stirred <- struct{}{}:
	default:
	}
}

// Pay deletes what is owed, as soon as that can be done, until ctx ends.
func (e *Editor) Pay(ctx context.Context) {
	d := &e.debts
	next := time.NewTimer(d.pause)
	defer next.Stop()
	for {
		select {
		case <-d.stirred:
		case <-ctx.Done():
			return
		}
		for !e.payAll(ctx) {
			next.Reset(d.pause)
			select {
			case <-next.C:
			case <-ctx.Done():
				return
			}
		}
	}
}

// payAll tries once, and tells whether nothing is left.
func (e *Editor) payAll(ctx context.Context) bool {
	d := &e.debts
	d.mu.Lock()
	owed := maps.Clone(d.owed)
	d.mu.Unlock()
	of := map[string][]uint64{}
	for id, vhost := range owed {
		of[vhost] = append(of[vhost], id)
	}
	for vhost, ids := range of {
		if e.DeleteQueues(ctx, vhost, ids, nil) != nil {
			return false
		}
		d.mu.Lock()
		for _, id := range ids {
			delete(d.owed, id)
		}
		d.mu.Unlock()
	}
	return true
}
