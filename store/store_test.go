package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/store/keys"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openAt opens a directory on a file system in memory.
func openAt(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open("data", Options{FS: fs, Fatal: func(err error) { t.Error(err) }, Log: t.Logf})
	must(t, err)
	return s
}

// set commits pairs, and waits until they are on the disk.
func (s *Store) set(t *testing.T, pairs ...string) {
	t.Helper()
	b := s.DB.NewBatch()
	for i := 0; i < len(pairs); i += 2 {
		must(t, b.Set([]byte(pairs[i]), []byte(pairs[i+1]), nil))
	}
	done := make(chan struct{})
	s.Commit(b, func() { close(done) })
	<-done
}

func (s *Store) want(t *testing.T, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if value, ok, err := s.Get([]byte(pairs[i])); err != nil || !ok || string(value) != pairs[i+1] {
			t.Errorf("%s is %.40q, %v, %v", pairs[i], value, ok, err)
		}
	}
}

func TestWhatWasCommittedIsThereAgain(t *testing.T) {
	fs := vfs.NewMem()
	s := openAt(t, fs)
	s.set(t, "x1", "one", "x2", "")
	lazy := s.DB.NewBatch()
	must(t, lazy.Set([]byte("x3"), []byte("three"), nil))
	s.CommitLazily(lazy)
	s.want(t, "x1", "one", "x2", "", "x3", "three")
	if _, ok, err := s.Get([]byte("x4")); ok || err != nil {
		t.Error(ok, err)
	}
	must(t, s.Close())
	must(t, s.Close())
	s = openAt(t, fs)
	s.want(t, "x1", "one", "x2", "", "x3", "three")
	must(t, s.Close())
}

// TestCommitsCallBackInOrder, whoever commits.
func TestCommitsCallBackInOrder(t *testing.T) {
	s := openAt(t, vfs.NewMem())
	var mu sync.Mutex
	called := map[int][]int{}
	var all sync.WaitGroup
	for who := range 4 {
		all.Go(func() {
			for i := range 300 {
				b := s.DB.NewBatch()
				must(t, b.Set(fmt.Appendf(nil, "x%d.%d", who, i), nil, nil))
				s.Commit(b, func() {
					mu.Lock()
					defer mu.Unlock()
					called[who] = append(called[who], i)
				})
			}
		})
	}
	all.Wait()
	must(t, s.Close())
	for who := range 4 {
		if len(called[who]) != 300 || !slices.IsSorted(called[who]) {
			t.Errorf("%d: %v", who, called[who])
		}
	}
	s.Commit(nil, func() { t.Error("a closed store says that something lasts") })
}

func TestADirectoryIsHeldAgainstOthers(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	must(t, err)
	for _, readOnly := range []bool{false, true} {
		if _, err := Open(dir, Options{ReadOnly: readOnly}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
			t.Error(err)
		}
	}
	must(t, s.Close())
	s, err = Open(dir, Options{})
	must(t, err)
	must(t, s.Close())
}

// writeVersion makes a directory of another format.
func writeVersion(t *testing.T, fs vfs.FS, version []byte) {
	t.Helper()
	s := openAt(t, fs)
	s.set(t, "x", "y")
	b := s.DB.NewBatch()
	if version == nil {
		must(t, b.Delete(keys.FormatVersion, nil))
	} else {
		must(t, b.Set(keys.FormatVersion, version, nil))
	}
	s.CommitLazily(b)
	must(t, s.Close())
}

func TestFormatVersions(t *testing.T) {
	number := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	for _, c := range []struct {
		version []byte
		says    string // "": it opens
	}{
		{number(1), ""},
		{number(keys.Version), ""},
		{number(keys.Version + 1), "a newer Warren has written"},
		{number(0), "no longer knows"},
		{[]byte{1}, "the format version is 01"},
		{nil, "Warren did not write it"},
	} {
		fs := vfs.NewMem()
		writeVersion(t, fs, c.version)
		for _, readOnly := range []bool{true, false} {
			s, err := Open("data", Options{FS: fs, ReadOnly: readOnly})
			if c.says == "" {
				must(t, err)
				s.want(t, "x", "y")
				must(t, s.Close())
				continue
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("version %x: %v", c.version, err)
			}
		}
		if c.says == "" {
			s := openAt(t, fs)
			s.want(t, string(keys.FormatVersion), string(number(keys.Version)))
			must(t, s.Close())
		}
	}
}

func TestReadOnlyChangesNothing(t *testing.T) {
	fs := vfs.NewMem()
	if _, err := Open("data", Options{FS: fs, ReadOnly: true}); err == nil {
		t.Error("what is not there was opened")
	}
	s := openAt(t, fs)
	s.set(t, "x", "y")
	must(t, s.Close())
	before, err := fs.List("data")
	must(t, err)
	s, err = Open("data", Options{FS: fs, ReadOnly: true})
	must(t, err)
	s.want(t, "x", "y")
	must(t, s.Close())
	after, err := fs.List("data")
	must(t, err)
	slices.Sort(before)
	slices.Sort(after)
	if !slices.Equal(before, after) {
		t.Errorf("%q became %q", before, after)
	}
}

// TestACheckpointIsADirectoryOfItsOwn: what is committed afterwards is not in it.
func TestACheckpointIsADirectoryOfItsOwn(t *testing.T) {
	fs := vfs.NewMem()
	s := openAt(t, fs)
	s.set(t, "x1", "one")
	lazy := s.DB.NewBatch()
	must(t, lazy.Set([]byte("x2"), []byte("two"), nil))
	s.CommitLazily(lazy)
	must(t, s.Checkpoint("copy"))
	s.set(t, "x3", "three")
	if err := s.Checkpoint("copy"); err == nil {
		t.Error("a copy was overwritten")
	}
	must(t, s.Close())
	c, err := Open("copy", Options{FS: fs})
	must(t, err)
	c.want(t, "x1", "one", "x2", "two")
	if _, ok, err := c.Get([]byte("x3")); ok || err != nil {
		t.Error(ok, err)
	}
	must(t, c.Close())
}

// TestALargeBatchIsOneWrite: larger than a memtable.
func TestALargeBatchIsOneWrite(t *testing.T) {
	fs := vfs.NewMem()
	s, err := Open("data", Options{FS: fs, MemTableBytes: 64 << 10})
	must(t, err)
	large := strings.Repeat("large ", 100<<10)
	s.set(t, "x1", large, "x2", "small")
	must(t, s.DB.Flush())
	s.want(t, "x1", large, "x2", "small")
	must(t, s.Close())
	s = openAt(t, fs)
	s.want(t, "x1", large, "x2", "small")
	must(t, s.Close())
}
