package store

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is the file system as Pebble sees it. It adds two things.
//
// A write or sync that fails ends the process at once, with the error that names the file. What Pebble does behind such an
// error need not be relied on: a failed sync may have thrown written pages away, and asking again would succeed.
//
// A marker is made last. Pebble names its newest manifest by a marker file, and syncs the directory once both are there.
// File systems that write directory entries in the order in which they were made are content with that; others may keep
// the marker through a power failure and lose the manifest, and the directory could not be opened any more. So the
// directory is synced before a marker is made: at a start, and when a manifest has grown large.
type disk struct {
	vfs.FS
	failure *failure
	written written
}

// written counts what went to the disk.
type written struct{ syncs, bytes atomic.Int64 }

// Written tells how often files and directories were synced since the start, and how many bytes were written to files.
func (s *Store) Written() (syncs, bytes int64) {
	return s.disk.written.syncs.Load(), s.disk.written.bytes.Load()
}

// markerPrefix is what Pebble's marker files begin with.
const markerPrefix = "marker."

func (d *disk) judge(err error) error {
	if err != nil {
		d.failure.happened(fmt.Errorf("writing to the data directory failed: %w", err))
	}
	return err
}

// Create implements vfs.FS.
func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(d.PathBase(name), markerPrefix) {
		dir, err := d.OpenDir(d.PathDir(name))
		if err != nil {
			return nil, err
		}
		if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
			return nil, err
		}
	}
	return d.watch(d.FS.Create(name, category))
}

// OpenReadWrite implements vfs.FS.
func (d *disk) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.watch(d.FS.OpenReadWrite(name, category, opts...))
}

// OpenDir implements vfs.FS: directories are synced too.
func (d *disk) OpenDir(name string) (vfs.File, error) { return d.watch(d.FS.OpenDir(name)) }

// ReuseForWrite implements vfs.FS.
func (d *disk) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.watch(d.FS.ReuseForWrite(from, to, category))
}

// Rename implements vfs.FS.
func (d *disk) Rename(from, to string) error { return d.judge(d.FS.Rename(from, to)) }

// Unwrap implements vfs.FS.
func (d *disk) Unwrap() vfs.FS { return d.FS }

func (d *disk) watch(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, d.judge(err)
	}
	return &diskFile{File: f, disk: d}, nil
}

// diskFile is a file of which no write may fail.
type diskFile struct {
	vfs.File
	disk *disk
}

func (f *diskFile) judge(what string, err error) error {
	if err != nil {
		f.disk.failure.happened(fmt.Errorf("%s the data directory failed: %w", what, err))
	}
	return err
}

// The methods of vfs.File that change the file or make changes last.

func (f *diskFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.disk.written.bytes.Add(int64(n))
	return n, f.judge("writing to", err)
}

func (f *diskFile) WriteAt(p []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(p, at)
	f.disk.written.bytes.Add(int64(n))
	return n, f.judge("writing to", err)
}

func (f *diskFile) Preallocate(at, length int64) error {
	return f.judge("writing to", f.File.Preallocate(at, length))
}

func (f *diskFile) Sync() error {
	f.disk.written.syncs.Add(1)
	return f.judge("syncing", f.File.Sync())
}

func (f *diskFile) SyncData() error {
	f.disk.written.syncs.Add(1)
	return f.judge("syncing", f.File.SyncData())
}

func (f *diskFile) SyncTo(length int64) (full bool, err error) {
	full, err = f.File.SyncTo(length)
	return full, f.judge("syncing", err)
}
