package store

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"
)

// WALFile is what was found in one file of the write-ahead log.
type WALFile struct {
	Path    string
	Number  uint64
	Records int
	End     uint64 // sequence number behind its last whole record; 0: it has none
	Whole   int64  // offset behind that record
	// Damage is why the file cannot be read to its end: a record in its middle is not what was written. nil: there is none.
	Damage error
	// Torn tells that the file ends in the middle of a record, as after a crash.
	Torn bool
}

// readWALs reads the write-ahead log of a directory, oldest file first.
func readWALs(fs vfs.FS, dir string) ([]WALFile, error) {
	logs, err := wal.Scan(wal.Dir{FS: fs, Dirname: dir})
	if err != nil {
		return nil, err
	}
	files := make([]WALFile, 0, len(logs))
	for _, l := range logs {
		_, path := l.SegmentLocation(0)
		f, err := readWAL(l)
		if err != nil {
			return nil, fmt.Errorf("file %s: %w", path, err)
		}
		f.Path, f.Number = path, uint64(l.Num)
		files = append(files, f)
	}
	return files, nil
}

func readWAL(l wal.LogicalLog) (f WALFile, err error) {
	r := l.OpenForRead()
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		data, at, err := r.NextRecord()
		f.Whole = at.PreviousFilesBytes + at.Physical
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return f, nil
		case errors.Is(err, record.ErrUnexpectedEOF):
			f.Torn = true
			return f, nil
		case errors.Is(err, record.ErrInvalidChunk), errors.Is(err, record.ErrZeroedChunk):
			f.Damage = fmt.Errorf("%w: file %s, offset %d: a record is not what was written, and records behind it say that it was synced",
				ErrDamaged, at.PhysicalFile, at.Physical)
			return f, nil
		default:
			return f, err
		}
		whole, err := io.ReadAll(data)
		if err != nil {
			return f, err
		}
		head, ok := batchrepr.ReadHeader(whole)
		if !ok {
			f.Damage = fmt.Errorf("%w: file %s, offset %d: a record is not a batch", ErrDamaged, at.PhysicalFile, at.Physical)
			return f, nil
		}
		f.Records++
		f.End = uint64(head.SeqNum) + uint64(head.Count)
	}
}
