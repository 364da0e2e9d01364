package store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/warrenmq/warren/store/keys"
)

// reclaimer gives the space of removed entries back to the file system.
//
// Pebble compacts by the size of its tables. With messages beside them in blob files, tables are tiny, and what removes an
// entry may rest above the entry for long: measured, four times what is alive lay on the disk. So when too much does, the
// keys in question are compacted at once. That moves keys, not messages; blob files that are garbage in part are then
// rewritten by Pebble itself.
type reclaimer struct {
	wishes chan int64 // one place: the bytes that are needed
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
}

const (
	// reclaimShare and reclaimLeast are how much more than is needed may lie on the disk, beside the write-ahead log.
	reclaimShare = 16
	reclaimLeast = 32 << 20
)

func newReclaimer() *reclaimer {
	r := &reclaimer{wishes: make(chan int64, 1)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Reclaim tells that entries were removed, and the bytes that those of the whole directory still take. It does not wait.
func (s *Store) Reclaim(needed int64) {
	select {
	case s.reclaimer.wishes <- needed:
	default: // it is at work; there will be another wish
	}
}

// reclaim carries out wishes until the store is closed.
func (s *Store) reclaim() {
	from, to := keys.Groups()
	for {
		select {
		case <-s.reclaimer.ctx.Done():
			return
		case needed := <-s.reclaimer.wishes:
			m := s.DB.Metrics()
			if int64(m.DiskSpaceUsage())-int64(m.WAL.PhysicalSize) < needed+needed/reclaimShare+reclaimLeast {
				continue
			}
			err := s.DB.Compact(s.reclaimer.ctx, from, to, false)
			switch {
			case err == nil, pebble.IsCorruptionError(err): // what is damaged was named where it was met
			case errors.Is(err, context.Canceled), errors.Is(err, pebble.ErrClosed), errors.Is(err, pebble.ErrCancelledCompaction):
			default:
				s.failure.happened(fmt.Errorf("maintaining the data directory failed: %w", err))
				return
			}
		}
	}
}

func (r *reclaimer) close() {
	r.cancel()
	r.done.Wait()
}
