package authority

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// The protocols by which connections for certificates are told from those for messages. On each the node that has dialed
// says a question, the other one an answer, and that is all. Both are JSON behind its length, 4 bytes, little endian.
const (
	JoinProtocol  = "warren-join/1"  // who dials shows no certificate, but a token in the question
	RenewProtocol = "warren-renew/1" // who dials shows the certificate that is to be renewed
)

// saidMax bounds a question and an answer.
const saidMax = 16 << 10

// talkTime bounds a connection for a certificate, from its beginning to its end.
const talkTime = 10 * time.Second

// question is what a node asks.
type question struct {
	Number  []byte `json:"number,omitempty"` // of its token
	Secret  []byte `json:"secret,omitempty"`
	Request []byte `json:"request"` // PKCS #10, in DER
}

// reply is what it is told.
type reply struct {
	Error       string `json:"error,omitempty"`
	Certificate []byte `json:"certificate,omitempty"` // in DER
	Joined      Joined `json:"joined"`
}

func say(w io.Writer, what any) error {
	data, err := json.Marshal(what)
	if err != nil {
		return err
	}
	if len(data) > saidMax {
		return fmt.Errorf("%d bytes are more than the %d that there may be", len(data), saidMax)
	}
	_, err = w.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(data))), data...))
	return err
}

func hear(r io.Reader, into any) error {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(head)
	if n > saidMax {
		return fmt.Errorf("%d bytes are more than the %d that there may be", n, saidMax)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// Join gets the node of the directory a certificate for names, from a node at an address that can sign, and keeps it with
// what it was told. If it has one already that holds, nobody is asked.
func (d Dir) Join(ctx context.Context, t Token, address string, names Names, now time.Time) error {
	if _, err := d.Joined(); err == nil && d.Holds(t.fingerprint, names, now) {
		return nil
	}
	var ca []byte
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{JoinProtocol},
		InsecureSkipVerify: true, //nolint:gosec // what follows verifies: the node knows its authority by the token, and no names yet
		VerifyConnection: func(state tls.ConnectionState) (err error) {
			ca, err = t.verify(state.PeerCertificates, now)
			return err
		},
	}
	return d.ask(ctx, address, config, names, &question{Number: t.number[:], Secret: t.secret[:]}, func() []byte { return ca })
}

// verify finds the authority that a token is of among certificates, and demands that the first is one of its nodes'.
func (t Token) verify(chain []*x509.Certificate, now time.Time) ([]byte, error) {
	for _, c := range chain[1:] {
		if sha256.Sum256(c.Raw) != t.fingerprint {
			continue
		}
		pool := x509.NewCertPool()
		pool.AddCert(c)
		_, err := chain[0].Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		return c.Raw, err
	}
	return nil, errors.New("who answers there is not of the cluster that the token is for")
}

// Renew gets the node a new certificate with the names of the one it has.
func (d Dir) Renew(ctx context.Context, i *Identity, address string) error {
	mine := i.Certificate()
	if len(mine.Certificate) != 2 {
		return fmt.Errorf("%s was not made by warren cluster", i.files.Certificate)
	}
	config := i.TLS()
	config.NextProtos = []string{RenewProtocol}
	names := Names{DNS: mine.Leaf.DNSNames, IP: mine.Leaf.IPAddresses}
	return d.ask(ctx, address, config, names, &question{}, func() []byte { return mine.Certificate[1] })
}

// ask makes a key, has it signed at an address, and keeps both. The key stays here.
func (d Dir) ask(ctx context.Context, address string, config *tls.Config, names Names, q *question, ca func() []byte) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	q.Request, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: names.first()}, DNSNames: names.DNS, IPAddresses: names.IP,
	}, key)
	if err != nil {
		return err
	}
	r, err := talk(ctx, address, config, q)
	if err != nil {
		return err
	}
	if err := fitting(r.Certificate, ca(), key, names); err != nil {
		return fmt.Errorf("%s answers with a certificate that is of no use: %w", address, err)
	}
	if err := d.keep(key, r.Certificate, ca()); err != nil {
		return err
	}
	return d.Learn(r.Joined)
}

// fitting tells whether an answer is the certificate that was asked for.
func fitting(signed, ca []byte, key *ecdsa.PrivateKey, names Names) error {
	c, err := x509.ParseCertificate(signed)
	if err != nil {
		return err
	}
	authority, err := x509.ParseCertificate(ca)
	if err != nil {
		return err
	}
	if err := c.CheckSignatureFrom(authority); err != nil {
		return err
	}
	if !key.PublicKey.Equal(c.PublicKey) || !names.covered(c) {
		return errors.New("it is for another key, or other names")
	}
	return nil
}

// talk asks a question.
func talk(ctx context.Context, address string, config *tls.Config, q *question) (r reply, err error) {
	ctx, cancel := context.WithTimeout(ctx, talkTime)
	defer cancel()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return r, err
	}
	config.ServerName = host
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return r, fmt.Errorf("%s: %w", address, err)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	if err = say(conn, q); err == nil {
		err = hear(conn, &r)
	}
	if err != nil {
		return r, fmt.Errorf("%s gives no answer: %w", address, err)
	}
	if r.Error != "" {
		return r, fmt.Errorf("%s refuses: %s", address, r.Error)
	}
	return r, nil
}
