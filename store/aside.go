package store

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/warrenmq/warren/store/keys"
)

// SetAside moves the files of a data directory that cannot be used into a new directory in it, and gives its path. What else
// is in the directory, in directories of its own, stays. The mark of how far all was synced goes last: should the moving end
// too soon, it says that something is missing, and nobody takes the rest for a whole or for nothing.
func SetAside(dir string) (to string, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	files = slices.DeleteFunc(files, func(f fs.DirEntry) bool { return !f.Type().IsRegular() })
	last := func(f fs.DirEntry) int {
		if f.Name() == keys.SyncedFile {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(files, func(a, b fs.DirEntry) int { return cmp.Compare(last(a), last(b)) })
	to = filepath.Join(dir, "damaged-"+time.Now().UTC().Format("20060102T150405.000000000"))
	if err := os.Mkdir(to, 0o700); err != nil {
		return "", err
	}
	for _, f := range files {
		if err := os.Rename(filepath.Join(dir, f.Name()), filepath.Join(to, f.Name())); err != nil {
			return to, fmt.Errorf("setting aside what is in %s: %w", dir, err)
		}
	}
	return to, nil
}
