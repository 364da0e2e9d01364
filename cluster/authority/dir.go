package authority

import (
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Dir is the directory in which a node keeps what makes it one of a cluster:
//
//	authority.pem   certificate and key of the authority; only on nodes that can sign
//	ca.pem          certificate of the authority
//	node.pem        this node's certificate, the authority's, and this node's key
//	joined.json     Joined: what it was told when it joined
//	tokens/ID       tokens that were given out
//
// Nobody but the broker's user may read any of it. Each file is whole, or not there.
type Dir string

// ErrNone is returned for what is not there.
var ErrNone = errors.New("there is none")

func (d Dir) authorityFile() string { return filepath.Join(string(d), "authority.pem") }

// CAFile is where the authority's certificate is.
func (d Dir) CAFile() string { return filepath.Join(string(d), "ca.pem") }

// NodeFile is where the node's certificate and its key are.
func (d Dir) NodeFile() string { return filepath.Join(string(d), "node.pem") }

func (d Dir) joinedFile() string { return filepath.Join(string(d), "joined.json") }
func (d Dir) tokens() string     { return filepath.Join(string(d), "tokens") }

// Joined is what a node learns when it joins.
type Joined struct {
	Prefix    string   `json:"prefix"`    // of the cluster's keys in etcd
	Endpoints []string `json:"endpoints"` // URLs of etcd
	Signers   []string `json:"signers"`   // addresses of nodes that can sign
}

// Joined reads what the node was told; ErrNone if it did not join.
func (d Dir) Joined() (j Joined, err error) {
	data, err := readFile(d.joinedFile())
	if err != nil {
		return j, err
	}
	if err := json.Unmarshal(data, &j); err != nil {
		return j, fmt.Errorf("%s: %w", d.joinedFile(), err)
	}
	return j, nil
}

// Learn keeps what is known now, for the next start.
func (d Dir) Learn(j Joined) error {
	data, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(d.joinedFile(), append(data, '\n'))
}

// Holds tells whether the node has a certificate of an authority, for these names, that does not have to be renewed yet.
func (d Dir) Holds(authority [sha256.Size]byte, names Names, now time.Time) bool {
	p, err := readPair(d.NodeFile())
	if err != nil || len(p.Certificate) != 2 || sha256.Sum256(p.Certificate[1]) != authority {
		return false
	}
	return now.Before(RenewAt(p.Leaf)) && names.covered(p.Leaf)
}

// keep writes what the node shows to others. The authority's certificate is there before the node's is.
func (d Dir) keep(key crypto.Signer, signed, authority []byte) error {
	both, err := pair(key, signed, authority)
	if err != nil {
		return err
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority})
	if err := WriteFile(d.CAFile(), ca); err != nil {
		return err
	}
	return WriteFile(d.NodeFile(), both)
}

// fileMax bounds a file that is read: all of them are small.
const fileMax = 1 << 20

func readFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", file, ErrNone)
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > fileMax {
		return nil, fmt.Errorf("%s is too long", file)
	}
	return os.ReadFile(file) //nolint:gosec // the operator names the directory
}

// WriteFile makes a file appear with all it holds, so that it outlives a power cut. Its directory is made if need be.
func WriteFile(file string, data []byte) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*") // which only its user may read
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // as above
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
