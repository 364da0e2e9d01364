package clustered

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// identity is what the data directory was born with. It is on the disk before anybody hears of it: a node that forgot who
// it is would be another one.
func identity(dir string) (string, error) {
	file := filepath.Join(dir, "node-id")
	data, err := os.ReadFile(file) //nolint:gosec // the operator names the directory
	if err == nil {
		id, err := uuid.Parse(strings.TrimSpace(string(data)))
		if err != nil {
			return "", fmt.Errorf("%s does not say which node this is: %w", file, err)
		}
		return id.String(), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	id := uuid.NewString()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return id, errors.Join(writeSynced(file+".new", id+"\n"), os.Rename(file+".new", file), syncDir(dir))
}

// writeSynced writes a file so that it outlives a power cut.
func writeSynced(file, text string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) //nolint:gosec // as above
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // as above
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
