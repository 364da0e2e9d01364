// Package store owns a data directory: Pebble, its options, and the committer.
//
//  1. Open opens the directory, checks that all that was synced is there and in a format it knows, and holds the directory
//     against other processes.
//  2. Commit applies a batch at once and calls back when it is on the disk. All batches that wait at the same moment share
//     one sync, and the next sync begins as soon as the last has ended: there is no timer.
//  3. A write or sync that fails ends the process, through Options.Fatal: what was confirmed must be true.
//  4. What is damaged is named by file and place: ErrDamaged. Nothing is cut off in silence.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options are how a directory is opened.
type Options struct {
	// FS is the file system. Default: the machine's.
	FS vfs.FS
	// CacheBytes is the size of the block cache. Default 16 MiB.
	CacheBytes int64
	// MemTableBytes is the size of one memtable. Default 32 MiB.
	MemTableBytes uint64
	// Fatal is called, once, when a write failed. Default: panic. It should not return.
	Fatal func(error)
	// Log takes what an operator has to know: damage, and Pebble's own errors. Default: dropped.
	Log func(format string, args ...any)
	// ReadOnly opens a directory for looking alone; nothing in it is changed. It has to exist.
	ReadOnly bool
	// Stuck is told, perhaps again and again, that a file is damaged: it stands in the way of putting the directory in order, and
	// what is deleted around the damage stays on the disk.
	Stuck func(error)
	// Salvage, with ReadOnly, opens a directory whose write-ahead log is damaged, and shows what stands before the damage.
	Salvage bool
}

// Store is an open data directory. It is safe for concurrent use.
type Store struct {
	DB        *pebble.DB
	dir       string
	lock      *pebble.Lock
	disk      *disk
	failure   *failure
	readOnly  bool
	synced    *syncedMark
	newest    atomic.Uint64 // file of the write-ahead log
	reclaimer *reclaimer

	mu      sync.Mutex // keeps commits in the order of their callbacks
	pending chan commit
	syncing sync.WaitGroup
	closed  bool
}

// commit is a batch that was applied and waits for its sync.
type commit struct {
	batch *pebble.Batch
	file  uint64 // of the log, or a newer one
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
	if err := makeDir(dir, &o); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir, o.FS)
	if err != nil {
		return nil, err
	}
	if o.ReadOnly && o.Salvage {
		if o.FS, err = cut(o.FS, dir); err != nil {
			return nil, errors.Join(err, lock.Close())
		}
	}
	s, err := open(dir, &o, lock)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.reclaimer = newReclaimer()
	if !o.ReadOnly {
		s.syncing.Go(s.sync)
		s.reclaimer.done.Go(s.reclaim)
	}
	return s, nil
}

func makeDir(dir string, o *Options) error {
	if o.ReadOnly {
		if _, err := o.FS.Stat(dir); err != nil {
			return fmt.Errorf("the data directory: %w", err)
		}
		return nil
	}
	if err := o.FS.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("making the data directory %s: %w", dir, err)
	}
	return nil
}

func lockDir(dir string, fsys vfs.FS) (*pebble.Lock, error) {
	lock, err := pebble.LockDirectory(dir, fsys)
	var path *fs.PathError
	switch {
	case errors.As(err, &path): // the lock's file could not even be made
		return nil, fmt.Errorf("locking the data directory %s: %w", dir, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w (%w)", dir, ErrInUse, err)
	}
	return lock, nil
}

func open(dir string, o *Options, lock *pebble.Lock) (*Store, error) {
	var promised promise
	var err error
	if !o.Salvage {
		if promised, err = beforeOpen(o.FS, dir); err != nil {
			return nil, fmt.Errorf("opening the data directory %s: %w", dir, err)
		}
	}
	s := &Store{dir: dir, lock: lock, readOnly: o.ReadOnly, failure: &failure{fatal: o.Fatal}, pending: make(chan commit, pendingMax)}
	d := &disk{FS: o.FS, failure: s.failure}
	s.disk = d
	options := pebbleOptions(o, d, lock)
	options.EventListener.WALCreated = func(info pebble.WALCreateInfo) { s.newest.Store(uint64(info.FileNum)) }
	if s.DB, err = pebble.Open(dir, options); err != nil {
		return nil, fmt.Errorf("opening the data directory %s: %w", dir, explainOpen(o.FS, dir, err))
	}
	if o.ReadOnly {
		err = s.checkVersion(dir)
	} else {
		err = s.afterOpen(dir, promised)
	}
	if err == nil && !o.ReadOnly {
		s.synced, err = openSynced(d, dir)
	}
	if err != nil {
		return nil, errors.Join(err, s.DB.Close())
	}
	return s, nil
}

// explainOpen adds the place to damage in the write-ahead log, which Pebble's error does not tell.
func explainOpen(fsys vfs.FS, dir string, err error) error {
	if !pebble.IsCorruptionError(err) {
		return err
	}
	files, walErr := readWALs(fsys, dir)
	if walErr != nil {
		return Explain(err)
	}
	for i := range files {
		if f := &files[i]; f.Damage != nil {
			return f.Damage
		}
	}
	for i := range files[:max(len(files)-1, 0)] {
		if f := &files[i]; f.Torn { // only the newest file may end like that
			return fmt.Errorf("%w: file %s, offset %d: the records end here, and newer files of the log say that there were more",
				ErrDamaged, f.Path, f.Whole)
		}
	}
	return Explain(err)
}

// Get reads a value, which is the caller's. ok is false if there is no such key.
func (s *Store) Get(key []byte) (value []byte, ok bool, err error) {
	borrowed, closer, err := s.DB.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, Explain(err)
	}
	value = append([]byte(nil), borrowed...)
	if err := closer.Close(); err != nil { // a value that lies apart is read only now
		return nil, false, Explain(err)
	}
	return value, true, nil
}

// Commit applies a batch, which is given away. done, unless it is nil, is called when the batch is on the disk, from
// another goroutine, in the order of the commits.
func (s *Store) Commit(b *pebble.Batch, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return // the process ends: nobody is told that it lasts
	}
	file := s.newest.Load()
	if err := s.DB.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		s.failure.happened(fmt.Errorf("writing to the data directory failed: %w", err))
		return
	}
	s.pending <- commit{batch: b, file: file, done: done}
}

// CommitLazily applies a batch that rides to the disk with the next that is synced.
func (s *Store) CommitLazily(b *pebble.Batch) {
	if err := s.DB.Apply(b, pebble.NoSync); err != nil {
		s.failure.happened(fmt.Errorf("writing to the data directory failed: %w", err))
	}
	_ = b.Close()
}

// sync waits for the syncs in order, notes how far they reach, and calls back.
func (s *Store) sync() {
	failed := false
	for c := range s.pending { // to the end: whoever commits must not be stuck
		if failed {
			continue
		}
		err := c.batch.SyncWait()
		if err == nil {
			err = s.synced.note(promise{end: endOf(c.batch), file: c.file})
		}
		if err != nil {
			failed = true
			s.failure.happened(fmt.Errorf("syncing the data directory failed: %w", err))
			continue
		}
		_ = c.batch.Close()
		if c.done != nil {
			c.done()
		}
	}
}

// Checkpoint makes a consistent copy of the directory in dir, which must not exist: all that was committed before is in
// it. Files that do not change any more are linked, not copied, where the file system can.
func (s *Store) Checkpoint(dir string) error {
	if err := s.DB.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("copying the data directory %s to %s: %w", s.dir, dir, Explain(err))
	}
	return nil
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
	s.reclaimer.close()
	err := s.DB.Close()
	if s.synced != nil {
		err = errors.Join(err, s.synced.file.Close())
	}
	return errors.Join(err, s.lock.Close())
}

// failure ends the process, once, with one error: what fails behind it has the same cause.
type failure struct {
	fatal func(error)
	once  sync.Once
}

func (f *failure) happened(err error) { f.once.Do(func() { f.fatal(err) }) }

func bug(format string, values ...any) { panic("store: " + fmt.Sprintf(format, values...)) }
