package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Findings is what Verify saw.
type Findings struct {
	Logs, Records int // files of the write-ahead log, and what is in them
	Tables        int
	Damage        []error
}

// Verify reads the write-ahead log and the tables of a directory that nobody uses, block by block. Values that lie apart
// from their tables are read by who reads them: see entries.
func Verify(fs vfs.FS, dir string) (f Findings, err error) {
	lock, err := lockDir(dir, fs)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	files, err := readWALs(fs, dir)
	if err != nil {
		return f, err
	}
	for i := range files {
		f.Logs++
		f.Records += files[i].Records
		if files[i].Damage != nil {
			f.Damage = append(f.Damage, files[i].Damage)
		}
	}
	if _, err := beforeOpen(fs, dir); err != nil && len(f.Damage) == 0 {
		f.Damage = append(f.Damage, err)
	}
	names, err := fs.List(dir)
	if err != nil {
		return f, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			f.Tables++
			if err := verifyTable(fs, fs.PathJoin(dir, name)); err != nil {
				f.Damage = append(f.Damage, fmt.Errorf("%w: file %s: %s", ErrDamaged, fs.PathJoin(dir, name), oneLine(err)))
			}
		}
	}
	return f, nil
}

// verifyTable reads every block of a table.
func verifyTable(fs vfs.FS, path string) (err error) {
	f, err := fs.Open(path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	o := &pebble.Options{}
	o.EnsureDefaults()
	r, err := sstable.NewReader(context.Background(), readable, o.MakeReaderOptions())
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return errors.Join(r.ValidateBlockChecksums(), r.Close())
}

// cutFS shows the damaged files of a write-ahead log up to where they are whole.
type cutFS struct {
	vfs.FS
	whole map[string]int64
}

// cut looks for damage in the write-ahead log of a directory, and gives a file system in which it is not there.
func cut(fs vfs.FS, dir string) (vfs.FS, error) {
	files, err := readWALs(fs, dir)
	if err != nil {
		return nil, err
	}
	c := cutFS{FS: fs, whole: map[string]int64{}}
	for i := range files {
		if f := &files[i]; f.Damage != nil || f.Torn {
			c.whole[f.Path] = f.Whole
		}
	}
	return c, nil
}

// Open implements vfs.FS.
func (c cutFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := c.FS.Open(name, opts...)
	whole, damaged := c.whole[name]
	if err != nil || !damaged {
		return f, err
	}
	return &cutFile{File: f, rest: io.LimitReader(f, whole)}, nil
}

// Unwrap implements vfs.FS.
func (c cutFS) Unwrap() vfs.FS { return c.FS }

// cutFile is read up to where it is whole.
type cutFile struct {
	vfs.File
	rest io.Reader
}

// Read implements io.Reader.
func (f *cutFile) Read(p []byte) (int, error) { return f.rest.Read(p) }
