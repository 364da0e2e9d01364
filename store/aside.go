package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// SetAside moves the files of a data directory that cannot be used into a new directory in it, and gives its path. What else
// is in the directory, in directories of its own, stays.
func SetAside(dir string) (to string, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	to = filepath.Join(dir, "damaged-"+time.Now().UTC().Format("20060102T150405.000000000"))
	if err := os.Mkdir(to, 0o700); err != nil {
		return "", err
	}
	for _, f := range files {
		if f.Type().IsRegular() {
			err = errors.Join(err, os.Rename(filepath.Join(dir, f.Name()), filepath.Join(to, f.Name())))
		}
	}
	if err != nil {
		return to, fmt.Errorf("setting aside what is in %s: %w", dir, err)
	}
	return to, nil
}
