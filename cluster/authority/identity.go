package authority

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"
)

// RenewAt is when a certificate is to be renewed: when two thirds of its life are over.
func RenewAt(c *x509.Certificate) time.Time {
	begins := c.NotBefore.Add(early)
	return begins.Add(c.NotAfter.Sub(begins) * 2 / 3)
}

// Files are where an Identity is read from. Certificate and key may be in one file.
type Files struct{ Certificate, Key, CA string }

// Files are those of the node of the directory.
func (d Dir) Files() Files { return Files{d.NodeFile(), d.NodeFile(), d.CAFile()} }

// Identity is what a node shows to others, and by what it knows them. A file that changes is read again with the next
// connection; while it cannot be used, the certificate from before is shown. It is safe for concurrent use.
type Identity struct {
	files Files
	pool  *x509.CertPool

	mu      sync.Mutex
	seen    time.Time // when the file of the certificate was written
	current *tls.Certificate
}

// Open reads an Identity.
func Open(files Files) (*Identity, error) {
	i := &Identity{files: files, pool: x509.NewCertPool()}
	ca, err := readFile(files.CA)
	if err != nil {
		return nil, err
	}
	if !i.pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", files.CA)
	}
	if i.current, err = i.read(); err != nil {
		return nil, err
	}
	return i, nil
}

func (i *Identity) read() (*tls.Certificate, error) {
	info, err := os.Stat(i.files.Certificate)
	if err != nil {
		return nil, err
	}
	c, err := tls.LoadX509KeyPair(i.files.Certificate, i.files.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", i.files.Certificate, err)
	}
	i.seen = info.ModTime()
	return &c, nil
}

// Certificate is the one of now.
func (i *Identity) Certificate() *tls.Certificate {
	i.mu.Lock()
	defer i.mu.Unlock()
	if info, err := os.Stat(i.files.Certificate); err == nil && !info.ModTime().Equal(i.seen) {
		if c, err := i.read(); err == nil {
			i.current = c
		}
	}
	return i.current
}

// TLS demands and shows a certificate of the cluster's authority, to listen and to dial. A node's has to hold the address
// that it is dialed under.
func (i *Identity) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: i.pool, RootCAs: i.pool,
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.Certificate(), nil },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return i.Certificate(), nil },
	}
}
