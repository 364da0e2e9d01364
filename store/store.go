// Package store owns a data directory: Pebble, its options, and the committer.
//
//  1. Open opens the directory, checks its format version, and holds it against other processes.
//  2. Commit applies a batch at once and calls back when it is on the disk. All batches that wait at the same moment share
//     one sync, and the next sync begins as soon as the last has ended: there is no timer.
//  3. A write or sync that fails ends the process, through Options.Fatal: what was confirmed must be true.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/store/keys"
)

// Options are how a directory is opened.
type Options struct {
	// FS is the file system. Default: the machine's.
	FS vfs.FS
	// CacheBytes is the size of the block cache. Default 16 MiB.
	CacheBytes int64
	// MemTableBytes is the size of one memtable. Default 32 MiB.
	MemTableBytes uint64
	// Fatal is called when a write failed. Default: panic. It should not return.
	Fatal func(error)
	// Log takes Pebble's own messages, if they matter. Default: dropped.
	Log func(format string, args ...any)
}

// Store is an open data directory. It is safe for concurrent use.
type Store struct {
	DB    *pebble.DB
	fatal func(error)

	mu      sync.Mutex // keeps commits in the order of their callbacks
	pending chan commit
	syncing sync.WaitGroup
	closed  bool
}

// commit is a batch that was applied and waits for its sync.
type commit struct {
	batch *pebble.Batch
	done  func()
}

// pendingMax bounds the batches that wait for their sync; then Commit waits.
const pendingMax = 256

// ErrInUse is returned for a directory that another process holds.
var ErrInUse = errors.New("the data directory is in use by another process")

// Open opens a data directory, which is made if it is not there.
func Open(dir string, o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Fatal == nil {
		o.Fatal = func(err error) { bug("%v", err) }
	}
	if err := o.FS.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the data directory %s: %w", dir, err)
	}
	lock, err := pebble.LockDirectory(dir, o.FS)
	var path *fs.PathError
	switch {
	case errors.As(err, &path): // the lock's file could not even be made
		return nil, fmt.Errorf("locking the data directory %s: %w", dir, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w (%w)", dir, ErrInUse, err)
	}
	db, err := pebble.Open(dir, pebbleOptions(&o, lock))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the data directory %s: %w", dir, err), lock.Close())
	}
	s := &Store{DB: db, fatal: o.Fatal, pending: make(chan commit, pendingMax)}
	if err := s.checkVersion(dir); err != nil {
		return nil, errors.Join(err, db.Close(), lock.Close())
	}
	s.syncing.Go(s.sync)
	return s, nil
}

// checkVersion refuses a directory in a format that this program does not know.
func (s *Store) checkVersion(dir string) error {
	value, ok, err := s.Get(keys.FormatVersion)
	switch {
	case err != nil:
		return err
	case !ok:
		return s.DB.Set(keys.FormatVersion, binary.LittleEndian.AppendUint32(nil, keys.Version), pebble.NoSync)
	case len(value) != 4 || binary.LittleEndian.Uint32(value) != keys.Version:
		return fmt.Errorf("the data directory %s has format version %x, this program knows version %d only", dir, value, keys.Version)
	}
	return nil
}

// Get reads a value, which is the caller's. ok is false if there is no such key.
func (s *Store) Get(key []byte) (value []byte, ok bool, err error) {
	borrowed, closer, err := s.DB.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	value = append([]byte(nil), borrowed...)
	return value, true, closer.Close()
}

// Commit applies a batch, which is given away. done, unless it is nil, is called when the batch is on the disk, from
// another goroutine, in the order of the commits.
func (s *Store) Commit(b *pebble.Batch, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return // the process ends: nobody is told that it lasts
	}
	if err := s.DB.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		s.fatal(fmt.Errorf("writing to the data directory failed: %w", err))
		return
	}
	s.pending <- commit{batch: b, done: done}
}

// CommitLazily applies a batch that rides to the disk with the next that is synced.
func (s *Store) CommitLazily(b *pebble.Batch) {
	if err := s.DB.Apply(b, pebble.NoSync); err != nil {
		s.fatal(fmt.Errorf("writing to the data directory failed: %w", err))
	}
	_ = b.Close()
}

// sync waits for the syncs in order and calls back.
func (s *Store) sync() {
	for c := range s.pending {
		if err := c.batch.SyncWait(); err != nil {
			s.fatal(fmt.Errorf("syncing the data directory failed: %w", err))
			return
		}
		_ = c.batch.Close()
		if c.done != nil {
			c.done()
		}
	}
}

// Close waits for what is pending and closes the directory.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	close(s.pending)
	s.syncing.Wait()
	return s.DB.Close()
}

func bug(format string, values ...any) { panic("store: " + fmt.Sprintf(format, values...)) }
