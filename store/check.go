package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/store/keys"
)

// beforeOpen looks at a directory that nothing has been changed in yet: does the write-ahead log reach as far as it was
// synced? It gives what was promised.
func beforeOpen(fs vfs.FS, dir string) (promised promise, err error) {
	if promised, err = readSynced(fs, dir); err != nil || promised.end == 0 {
		return promised, err
	}
	files, err := readWALs(fs, dir)
	if err != nil || len(files) == 0 {
		return promised, err
	}
	last := &files[len(files)-1]
	switch {
	case last.Damage != nil:
		return promised, last.Damage
	case last.End >= promised.end:
		return promised, nil
	// Without a record of its own, the newest file says nothing: older ones may have gone into tables, and are deleted in
	// any order. Unless the last promise was made for this very file.
	case last.Records > 0 || last.Number <= promised.file:
		return promised, missing(last.Path, last.Whole)
	}
	return promised, nil
}

func missing(path string, offset int64) error {
	return fmt.Errorf("%w: file %s, offset %d: writes that were confirmed are missing here, the log was synced further than it can be read; "+
		"put the file back as it was, or remove the file %s beside it to go on without them", ErrDamaged, path, offset, keys.SyncedFile)
}

// afterOpen holds the opened database against what was promised, and checks the format version.
func (s *Store) afterOpen(dir string, promised promise) error {
	if err := s.checkVersion(dir); err != nil {
		return err
	}
	b := s.DB.NewBatch()
	defer func() { _ = b.Close() }()
	if err := b.Set(keys.FormatVersion, binary.LittleEndian.AppendUint32(nil, keys.Version), nil); err != nil {
		return err
	}
	if err := s.DB.Apply(b, pebble.NoSync); err != nil {
		return err
	}
	if uint64(b.SeqNum()) < promised.end {
		return missing(dir, 0)
	}
	return nil
}

// migrations lead from a format version to the next; a directory passes through all it lacks.
var migrations = map[uint32]func(*Store) error{
	// 2 knows packed entries, and has the mark of what is synced. What version 1 wrote is as it was.
	1: func(*Store) error { return nil },
}

// checkVersion refuses a directory in a format that this program does not know, and brings an older one up to date.
func (s *Store) checkVersion(dir string) error {
	value, ok, err := s.Get(keys.FormatVersion)
	if err != nil {
		return err
	}
	if !ok {
		return s.checkEmpty(dir)
	}
	if len(value) != 4 {
		return fmt.Errorf("%w: %s: the format version is %x", ErrDamaged, dir, value)
	}
	version := binary.LittleEndian.Uint32(value)
	if version > keys.Version {
		return fmt.Errorf("the data directory %s has format version %d, which a newer Warren has written; this one knows versions up to %d",
			dir, version, keys.Version)
	}
	for ; version < keys.Version; version++ {
		migrate := migrations[version]
		if migrate == nil {
			return fmt.Errorf("the data directory %s has format version %d, which this Warren no longer knows; an older one has to bring it up to date first",
				dir, version)
		}
		if s.readOnly {
			continue
		}
		if err := migrate(s); err != nil {
			return fmt.Errorf("bringing the data directory %s from format version %d to %d: %w", dir, version, version+1, err)
		}
	}
	return nil
}

// checkEmpty refuses a database that somebody else has written.
func (s *Store) checkEmpty(dir string) (err error) {
	it, err := s.DB.NewIter(nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if it.First() {
		return fmt.Errorf("the data directory %s has no format version: Warren did not write it", dir)
	}
	return it.Error()
}
