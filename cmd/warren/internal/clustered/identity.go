package clustered

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"github.com/warrenmq/warren/cluster/authority"
)

const identityFile = "node-id"

// Known tells whether the data directory has been a node's of a cluster.
func Known(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, identityFile))
	return err == nil
}

// identity is what the data directory was born with. It is on the disk before anybody hears of it: a node that forgot who
// it is would be another one.
func identity(dir string) (string, error) {
	file := filepath.Join(dir, identityFile)
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
	return id, authority.WriteFile(file, []byte(id+"\n"))
}
