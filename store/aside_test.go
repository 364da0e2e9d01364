package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// TestSetAside: the files go, what has a directory of its own stays, and where the moving ended too soon nobody takes what is
// left for a store.
func TestSetAside(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	must(os.MkdirAll(filepath.Join(dir, "etcd", "member"), 0o700))
	fatal := Options{Fatal: func(err error) { t.Error(err) }}
	s, err := Open(dir, fatal)
	must(err)
	written := make(chan struct{})
	b := s.DB.NewBatch()
	must(b.Set([]byte("key"), []byte("value"), nil))
	s.Commit(b, func() { close(written) })
	<-written
	must(s.Close())
	before, err := filepath.Glob(filepath.Join(dir, "*"))
	must(err)
	to, err := SetAside(dir)
	must(err)
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	must(err)
	if want := []string{to, filepath.Join(dir, "etcd")}; !slices.Equal(left, want) {
		t.Errorf("%q is left, and not %q", left, want)
	}
	moved, err := filepath.Glob(filepath.Join(to, "*"))
	must(err)
	if len(moved) != len(before)-1 {
		t.Errorf("%q were moved of %q", moved, before)
	}
	must(os.Rename(filepath.Join(to, "synced"), filepath.Join(dir, "synced"))) // as when it ended before the last file
	if s, err := Open(dir, fatal); !errors.Is(err, ErrDamaged) {
		t.Errorf("a directory without most of its files: %v", err)
		if s != nil {
			must(s.Close())
		}
	}
	must(os.Remove(filepath.Join(dir, "synced")))
	s, err = Open(dir, fatal)
	must(err)
	if _, _, err := s.DB.Get([]byte("key")); !errors.Is(err, pebble.ErrNotFound) {
		t.Errorf("what was set aside is there: %v", err)
	}
	must(s.Close())
}
