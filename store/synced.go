package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/store/keys"
)

// syncedMark remembers, outside the write-ahead log, up to which write the log was synced.
//
// A log that ends in the middle of a record is what a crash leaves behind: that record was never confirmed, and it is
// right to go on without it. A log whose last records have rotted looks the same. The mark tells them apart. It is
// written after each sync and before anybody is told, without a sync of its own: it outlives the process, and after a
// power failure it may be older than the log, never newer.
//
// On disk: sequence number behind the last synced write, 8 bytes; number of the log's file that was the newest just before
// that write was added, 8 bytes; checksum of these, 4 bytes.
type syncedMark struct {
	file vfs.File
	data [syncedSize]byte
}

const (
	syncedSize = 20
	syncedSum  = 16 // where the checksum begins
)

// promise is what the mark says; end is 0 if it says nothing.
type promise struct{ end, file uint64 }

var syncedSums = crc32.MakeTable(crc32.Castagnoli)

// openSynced opens the mark for writing.
func openSynced(fs vfs.FS, dir string) (*syncedMark, error) {
	f, err := fs.OpenReadWrite(fs.PathJoin(dir, keys.SyncedFile), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("opening the mark of what is synced: %w", err)
	}
	return &syncedMark{file: f}, nil
}

// readSynced gives what was promised, if anything was.
func readSynced(fs vfs.FS, dir string) (p promise, err error) {
	path := fs.PathJoin(dir, keys.SyncedFile)
	f, err := fs.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	data, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return p, err
	}
	if len(data) == 0 {
		return p, nil // made, and the process ended
	}
	if len(data) < syncedSize || binary.LittleEndian.Uint32(data[syncedSum:]) != crc32.Checksum(data[:syncedSum], syncedSums) {
		return p, fmt.Errorf("%w: file %s, offset 0: the mark of what is synced is not whole; if nothing else is wrong, remove it",
			ErrDamaged, path)
	}
	return promise{end: binary.LittleEndian.Uint64(data), file: binary.LittleEndian.Uint64(data[8:])}, nil
}

// note writes what is synced.
func (m *syncedMark) note(p promise) error {
	binary.LittleEndian.PutUint64(m.data[:], p.end)
	binary.LittleEndian.PutUint64(m.data[8:], p.file)
	binary.LittleEndian.PutUint32(m.data[syncedSum:], crc32.Checksum(m.data[:syncedSum], syncedSums))
	_, err := m.file.WriteAt(m.data[:], 0)
	return err
}

// endOf gives the sequence number behind a batch that was applied.
func endOf(b *pebble.Batch) uint64 { return uint64(b.SeqNum()) + uint64(b.Count()) }
