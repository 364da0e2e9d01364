package store

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/store/keys"
)

// flip changes a byte of a file.
func flip(t *testing.T, fs vfs.FS, file string, at int64, mask byte) {
	t.Helper()
	f, err := fs.OpenReadWrite(file, vfs.WriteCategoryUnspecified)
	must(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	must(t, err)
	b[0] ^= mask
	_, err = f.WriteAt(b[:], at)
	must(t, err)
	must(t, f.Close())
}

// filesOf gives the files of a directory with an ending.
func filesOf(t *testing.T, fs vfs.FS, ending string) (files []string) {
	t.Helper()
	names, err := fs.List("data")
	must(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, ending) {
			files = append(files, path.Join("data", name))
		}
	}
	return files
}

// copyOf is a file system with the same content.
func copyOf(fs *vfs.MemFS) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

// TestAFlippedByteInTheLogIsFound, wherever it is: also in the last record, behind which nothing says that it was synced.
// The directory stays as it was, so that a copy of the file can be put back.
func TestAFlippedByteInTheLogIsFound(t *testing.T) {
	whole := vfs.NewCrashableMem()
	s := openAt(t, whole)
	for i := range 5 {
		s.set(t, fmt.Sprint("x", i), strings.Repeat("abcdefg", i+1))
	}
	killed := copyOf(whole)
	must(t, s.Close())
	for end, fs := range map[string]*vfs.MemFS{"killed": killed, "closed": copyOf(whole)} {
		logs, err := readWALs(fs, "data")
		must(t, err)
		last := logs[len(logs)-1]
		if last.Damage != nil || last.Records < 5 {
			t.Fatalf("%s: %+v", end, last)
		}
		for at := int64(0); at < last.Whole; at++ {
			damaged := copyOf(fs)
			flip(t, damaged, last.Path, at, 1<<(at%8))
			s, err := Open("data", Options{FS: damaged})
			if err == nil { // a byte that nobody reads
				for i := range 5 {
					s.want(t, fmt.Sprint("x", i), strings.Repeat("abcdefg", i+1))
				}
				must(t, s.Close())
				continue
			}
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), last.Path+", offset ") {
				t.Errorf("%s, byte %d of %d: %v", end, at, last.Whole, err)
			}
			flip(t, damaged, last.Path, at, 1<<(at%8))
			s, err = Open("data", Options{FS: damaged})
			if err != nil {
				t.Fatalf("%s: with the file as it was: %v", end, err)
			}
			s.want(t, "x4", strings.Repeat("abcdefg", 5))
			must(t, s.Close())
		}
	}
}

// TestATornEndIsNoDamage: what was being written when the power went away was promised to nobody.
func TestATornEndIsNoDamage(t *testing.T) {
	torn := 0
	for seed := range uint64(50) {
		fs := vfs.NewCrashableMem()
		s := openAt(t, fs)
		s.set(t, "x1", "one")
		for i := range 10 {
			lazy := s.DB.NewBatch()
			must(t, lazy.Set(fmt.Appendf(nil, "y%d", i), []byte(strings.Repeat("z", 10000)), nil))
			s.CommitLazily(lazy)
		}
		left := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(seed, 1))})
		must(t, s.Close())
		logs, err := readWALs(left, "data")
		must(t, err)
		if logs[len(logs)-1].Torn {
			torn++
		}
		s = openAt(t, left)
		s.want(t, "x1", "one")
		must(t, s.Close())
	}
	if torn == 0 {
		t.Error("no log was torn")
	}
}

// TestALogThatIsTooShortIsRefused, unless the operator takes the loss by removing the mark.
func TestALogThatIsTooShortIsRefused(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openAt(t, fs)
	s.set(t, "x1", "one")
	old := copyOf(fs)
	s.set(t, "x2", "two")
	newer := copyOf(fs)
	must(t, s.Close())
	mark := path.Join("data", keys.SyncedFile)
	copyFile(t, newer, old, mark)
	_, err := Open("data", Options{FS: old})
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "writes that were confirmed are missing") {
		t.Fatal(err)
	}
	must(t, old.Remove(mark))
	s = openAt(t, old)
	s.want(t, "x1", "one")
	must(t, s.Close())
	flip(t, newer, mark, 3, 0x10)
	if _, err := Open("data", Options{FS: newer}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), mark) {
		t.Error(err)
	}
}

func copyFile(t *testing.T, from, to vfs.FS, name string) {
	t.Helper()
	src, err := from.Open(name)
	must(t, err)
	data, err := io.ReadAll(src)
	must(t, err)
	dst, err := to.Create(name, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = dst.Write(data)
	must(t, errors.Join(err, src.Close(), dst.Close()))
}

// number is how Pebble calls a file.
func number(file string) string { return strings.TrimSuffix(path.Base(file), path.Ext(file)) }

// TestAFlippedByteInATableIsFound: reading what lies there says file and block, and everything else is read as before.
func TestAFlippedByteInATableIsFound(t *testing.T) {
	whole := vfs.NewCrashableMem()
	s := openAt(t, whole)
	value := func(i int) string { return strings.Repeat(fmt.Sprintf("%06d", i), 500) }
	const count = 2000
	for i := range count {
		s.set(t, fmt.Sprintf("x%06d", i), value(i))
	}
	must(t, s.DB.Flush())
	must(t, s.Close())
	for _, ending := range []string{".sst", ".blob"} {
		files := filesOf(t, whole, ending)
		if len(files) == 0 {
			t.Fatalf("no %s among %q", ending, filesOf(t, whole, ""))
		}
		fs := copyOf(whole)
		info, err := fs.Stat(files[0])
		must(t, err)
		flip(t, fs, files[0], info.Size()/2, 0x40)
		var said []string
		s, err := Open("data", Options{FS: fs, Log: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }})
		must(t, err)
		bad := 0
		for i := range count {
			got, ok, err := s.Get(fmt.Appendf(nil, "x%06d", i))
			switch {
			case err == nil && ok && string(got) == value(i):
			case errors.Is(err, ErrDamaged) && strings.Contains(err.Error(), number(files[0])) && strings.Contains(err.Error(), "block "):
				bad++
			default:
				t.Fatalf("%s, key %d: %.20q %v %v", ending, i, got, ok, err)
			}
		}
		if bad == 0 || ending == ".blob" && bad == count {
			t.Errorf("%s: %d of %d values cannot be read", ending, bad, count)
		}
		must(t, s.Close())
		if ending == ".sst" && (len(said) == 0 || !strings.Contains(said[0], files[0])) || len(said) > 10 {
			t.Errorf("%s: the log says %q", ending, said)
		}
	}
}

// TestVerifyNamesEveryDamagedFile, and salvage shows what stands before the damage of a log.
func TestVerifyNamesEveryDamagedFile(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openAt(t, fs)
	for i := range 500 {
		s.set(t, fmt.Sprintf("x%06d", i), strings.Repeat(fmt.Sprint(i), 30))
	}
	must(t, s.DB.Flush())
	for i := range 10 {
		s.set(t, fmt.Sprintf("y%06d", i), strings.Repeat("y", 1000))
	}
	killed := copyOf(fs)
	must(t, s.Close())
	whole, err := Verify(killed, "data")
	must(t, err)
	if len(whole.Damage) != 0 || whole.Tables == 0 || whole.Records < 10 {
		t.Errorf("%+v", whole)
	}
	logs, err := readWALs(killed, "data")
	must(t, err)
	table, log := filesOf(t, killed, ".sst")[0], logs[len(logs)-1]
	info, err := killed.Stat(table)
	must(t, err)
	flip(t, killed, table, info.Size()/2, 1)
	flip(t, killed, log.Path, log.Whole/2, 1)
	found, err := Verify(killed, "data")
	must(t, err)
	if text := fmt.Sprint(found.Damage); len(found.Damage) != 2 || !strings.Contains(text, table) || !strings.Contains(text, log.Path+", offset ") {
		t.Errorf("%q", text)
	}
	if _, err := Open("data", Options{FS: killed, ReadOnly: true}); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	s, err = Open("data", Options{FS: killed, ReadOnly: true, Salvage: true})
	must(t, err)
	s.want(t, "y000000", strings.Repeat("y", 1000))
	if _, ok, err := s.Get([]byte("y000009")); ok || err != nil {
		t.Error(ok, err)
	}
	must(t, s.Close())
}
