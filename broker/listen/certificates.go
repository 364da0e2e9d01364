package listen

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Pair is the files of a certificate and of its private key, in PEM.
type Pair struct{ Cert, Key string }

// Identity says what a server shows of itself, and what it wants to see.
type Identity struct {
	Pair
	// Others are further certificates, for clients that ask for one of the names in them.
	Others []Pair
	// Authorities is a PEM file of those who may have signed a client's certificate; "" is none.
	Authorities string
	// Verify tells that a client's certificate is checked, if it shows one; Require that it must.
	Verify, Require bool
	// Least and Most are the versions of TLS that are spoken. Default: 1.2 and up.
	Least, Most uint16
}

// Certificates keeps what the files of an Identity hold. When a file changes, later handshakes see what is new; if that
// cannot be used, what was stays.
type Certificates struct {
	identity Identity
	failed   func(error)
	current  atomic.Pointer[tls.Config]

	mu     sync.Mutex // guards what follows
	looked time.Time
	seen   map[string]stamp
}

// stamp tells whether a file has changed.
type stamp struct {
	modified time.Time
	size     int64
	err      string
}

// lookEvery is how often the files are looked at, at most: with a handshake, when this time is over.
const lookEvery = time.Second

// LoadCertificates reads the files. failed is told when they have changed and cannot be used.
func LoadCertificates(identity Identity, failed func(error)) (*Certificates, error) {
	if identity.Least == 0 {
		identity.Least = tls.VersionTLS12
	}
	c := &Certificates{identity: identity, failed: failed}
	c.seen, c.looked = c.stamps(), time.Now()
	return c, c.Reload()
}

// Reload reads the files anew.
func (c *Certificates) Reload() error {
	config, err := c.identity.load()
	if err == nil {
		c.current.Store(config)
	}
	return err
}

// Config is for servers: each handshake takes the newest.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion: c.identity.Least,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c.look()
			return c.current.Load(), nil
		},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &c.current.Load().Certificates[0], nil
		},
	}
}

// Expiry is when the first of the certificates ends.
func (c *Certificates) Expiry() (first time.Time) {
	for _, pair := range c.current.Load().Certificates {
		if end := pair.Leaf.NotAfter; first.IsZero() || end.Before(first) {
			first = end
		}
	}
	return first
}

// look reads the files anew if they have changed.
func (c *Certificates) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookEvery {
		return
	}
	c.looked = time.Now()
	seen := c.stamps()
	if same(seen, c.seen) {
		return
	}
	c.seen = seen
	if err := c.Reload(); err != nil && c.failed != nil {
		c.failed(fmt.Errorf("the certificates have changed and cannot be used: %w", err))
	}
}

func same(a, b map[string]stamp) bool {
	for file, s := range a {
		if other := b[file]; !s.modified.Equal(other.modified) || s.size != other.size || s.err != other.err {
			return false
		}
	}
	return true
}

func (c *Certificates) stamps() map[string]stamp {
	m := map[string]stamp{}
	files := []string{c.identity.Cert, c.identity.Key, c.identity.Authorities}
	for _, p := range c.identity.Others {
		files = append(files, p.Cert, p.Key)
	}
	for _, file := range slices.Compact(files) {
		if file == "" {
			continue
		}
		info, err := os.Stat(file)
		if err != nil {
			m[file] = stamp{err: err.Error()}
			continue
		}
		m[file] = stamp{modified: info.ModTime(), size: info.Size()}
	}
	return m
}

// errEncrypted is what a private key with a password gets.
var errEncrypted = errors.New("the private key is encrypted; Warren wants it without a password, in a file that only its user can read")

func (i Identity) load() (*tls.Config, error) {
	config := &tls.Config{MinVersion: max(i.Least, tls.VersionTLS12), MaxVersion: i.Most}
	for _, p := range append([]Pair{i.Pair}, i.Others...) {
		pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		if err != nil {
			return nil, p.explain(err)
		}
		config.Certificates = append(config.Certificates, pair)
	}
	if i.Authorities != "" {
		text, err := os.ReadFile(i.Authorities)
		if err != nil {
			return nil, err
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", i.Authorities)
		}
	}
	switch {
	case i.Verify && i.Authorities == "":
		return nil, errors.New("to check clients' certificates there must be authorities to trust (cacertfile)")
	case i.Verify && i.Require:
		config.ClientAuth = tls.RequireAndVerifyClientCert
	case i.Verify:
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return config, nil
}

// explain says which file it was.
func (p Pair) explain(err error) error {
	var missing *fs.PathError
	if errors.As(err, &missing) {
		return err
	}
	if text, readErr := os.ReadFile(p.Key); readErr == nil {
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
				return fmt.Errorf("%s: %w", p.Key, errEncrypted)
			}
		}
	}
	return fmt.Errorf("%s and %s: %w", p.Cert, p.Key, err)
}
