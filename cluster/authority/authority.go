// Package authority owns who belongs to a cluster: an authority that signs nodes' certificates, and what a node keeps of it.
//
//  1. Create makes the authority in a Dir, on one node; Issue gives that node a certificate.
//  2. NewToken lets others come for an hour. A token holds the authority's fingerprint: who joins knows whom it talks to
//     before it says anything.
//  3. Join asks a node that can sign, over a connection for that alone (Server); Renew asks again, with the certificate it has.
//  4. Identity is what connections are made with; it reads a renewed certificate by itself.
//
// It does not know what nodes say to each other, and starts none.
package authority

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

// Life is how long an authority is one.
const Life = 10 * 365 * 24 * time.Hour

// NodeLife is how long a node's certificate holds, where nobody says it. It is renewed when two thirds are over.
const NodeLife = 90 * 24 * time.Hour

// early is how much before now a certificate begins: clocks differ.
const early = time.Hour

// Authority can sign certificates of nodes.
type Authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// Create makes an authority and keeps it in the directory. One that is there stays.
func (d Dir) Create(now time.Time) (*Authority, error) {
	if a, err := d.Authority(); err == nil || !errors.Is(err, ErrNone) {
		return a, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Warren cluster " + serial.Text(36)[:8]},
		NotBefore: now.Add(-early), NotAfter: now.Add(Life), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	both, err := pair(key, signed)
	if err != nil {
		return nil, err
	}
	if err := WriteFile(d.authorityFile(), both); err != nil {
		return nil, err
	}
	return d.Authority()
}

func serialNumber() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

// Authority reads the one in the directory; ErrNone if this node cannot sign.
func (d Dir) Authority() (*Authority, error) { return readAuthority(d.authorityFile()) }

func readAuthority(file string) (*Authority, error) {
	p, err := readPair(file)
	if err != nil {
		return nil, err
	}
	key, ok := p.PrivateKey.(crypto.Signer)
	if !ok || !p.Leaf.IsCA {
		return nil, fmt.Errorf("%s is no authority", file)
	}
	return &Authority{p.Leaf, key}, nil
}

// Adopt keeps a copy of the authority in a file, so that this node can sign too. Another one that is there stays, with an error.
func (d Dir) Adopt(file string) (*Authority, error) {
	a, err := readAuthority(file)
	if err != nil {
		return nil, err
	}
	mine, err := d.Authority()
	switch {
	case err == nil && mine.certificate.Equal(a.certificate):
		return mine, nil
	case err == nil:
		return nil, fmt.Errorf("%s is another authority than the one in %s", file, d)
	case !errors.Is(err, ErrNone):
		return nil, err
	}
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	return a, WriteFile(d.authorityFile(), data)
}

// Fingerprint is the SHA-256 of the authority's certificate.
func (a *Authority) Fingerprint() [sha256.Size]byte { return sha256.Sum256(a.certificate.Raw) }

// sign makes a certificate for a node's key. It can listen under the names, and show itself to others.
func (a *Authority) sign(key any, names Names, now time.Time, life time.Duration) ([]byte, error) {
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	end := now.Add(life)
	if end.After(a.certificate.NotAfter) {
		end = a.certificate.NotAfter
	}
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: names.first()}, NotBefore: now.Add(-early), NotAfter: end,
		DNSNames: names.DNS, IPAddresses: names.IP, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.certificate, key, a.key)
}

// Issue gives the node of the directory a certificate for names, unless it has one that holds for a while yet. It tells
// whether it did.
func (d Dir) Issue(a *Authority, names Names, now time.Time, life time.Duration) (bool, error) {
	if d.Holds(a.Fingerprint(), names, now) {
		return false, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return false, err
	}
	signed, err := a.sign(key.Public(), names, now, life)
	if err != nil {
		return false, err
	}
	return true, d.keep(key, signed, a.certificate.Raw)
}

// Names are what a node is reached under.
type Names struct {
	DNS []string
	IP  []net.IP
}

// namesMax is how many names a certificate has at most.
const namesMax = 32

// ErrNoAddress is returned for an address under which nobody can reach a node.
var ErrNoAddress = errors.New("is no address under which others reach this node")

// NamesOf are the hosts of addresses.
func NamesOf(addresses ...string) (n Names, err error) {
	for _, address := range addresses {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return n, fmt.Errorf("%q: %w", address, err)
		}
		ip := net.ParseIP(host)
		if host == "" || ip != nil && ip.IsUnspecified() {
			return n, fmt.Errorf("%s %w", address, ErrNoAddress)
		}
		n.add(host, ip)
	}
	return n, nil
}

func (n *Names) add(host string, ip net.IP) {
	switch {
	case ip == nil && !slices.Contains(n.DNS, host):
		n.DNS = append(n.DNS, host)
	case ip != nil && !slices.ContainsFunc(n.IP, ip.Equal):
		n.IP = append(n.IP, ip)
	}
}

func (n *Names) first() string {
	if len(n.DNS) > 0 {
		return n.DNS[0]
	}
	if len(n.IP) > 0 {
		return n.IP[0].String()
	}
	return ""
}

// covered tells whether a certificate has all the names.
func (n *Names) covered(c *x509.Certificate) bool {
	for _, name := range n.DNS {
		if !slices.Contains(c.DNSNames, name) {
			return false
		}
	}
	for _, ip := range n.IP {
		if !slices.ContainsFunc(c.IPAddresses, ip.Equal) {
			return false
		}
	}
	return true
}

// pair is a private key and certificates as one PEM text: they change together or not at all.
func pair(key crypto.Signer, certificates ...[]byte) ([]byte, error) {
	var text bytes.Buffer
	for _, c := range certificates {
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c}); err != nil {
			return nil, err
		}
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	err = pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return text.Bytes(), err
}

func readPair(file string) (*tls.Certificate, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	p, err := tls.X509KeyPair(data, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &p, nil
}
