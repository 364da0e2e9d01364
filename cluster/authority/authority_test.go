package authority

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

var here = Names{IP: []net.IP{net.IPv4(127, 0, 0, 1)}}

// signer is a node that can sign, and listens.
type signer struct {
	*Server
	authority *Authority
	address   string
	mu        sync.Mutex
	now       time.Time
}

func (s *signer) time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *signer) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	dir := Dir(filepath.Join(t.TempDir(), "cluster"))
	s := &signer{now: time.Now()}
	var err error
	if s.authority, err = dir.Create(s.now); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Issue(s.authority, here, s.now, NodeLife); err != nil {
		t.Fatal(err)
	}
	identity, err := Open(dir.Files())
	if err != nil {
		t.Fatal(err)
	}
	s.Server = NewServer(Options{Dir: dir, Identity: identity, Now: s.time, Logger: zerolog.Nop(),
		Tell: func() Joined { return Joined{Prefix: "/p/", Endpoints: []string{"https://e:2379"}} }})
	s.listen(t)
	return s
}

func (s *signer) listen(t *testing.T) {
	strict := s.Identity.TLS()
	strict.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Equal(hello.SupportedProtos, []string{JoinProtocol}) {
			return s.JoinTLS(), nil
		}
		return s.RenewTLS(), nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	var served sync.WaitGroup
	served.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer raw.Close()
				conn := tls.Server(raw, strict)
				if conn.Handshake() != nil {
					return
				}
				if conn.ConnectionState().NegotiatedProtocol == JoinProtocol {
					s.ServeJoin(conn)
				} else {
					s.ServeRenew(conn)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		served.Wait()
	})
}

func (s *signer) token(t *testing.T) Token {
	t.Helper()
	token, err := s.Dir.NewToken(s.authority, s.time(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseToken(token.String())
	if err != nil || read != token {
		t.Fatalf("%v: a token is read as another", err)
	}
	return read
}

func newDir(t *testing.T) Dir { return Dir(filepath.Join(t.TempDir(), "cluster")) }

// TestANodeJoinsAndRenews: what it gets is of use with other nodes, and nobody else may read it.
func TestANodeJoinsAndRenews(t *testing.T) {
	s, d := newSigner(t), newDir(t)
	token := s.token(t)
	if err := d.Join(t.Context(), token, s.address, here, s.time()); err != nil {
		t.Fatal(err)
	}
	if j, err := d.Joined(); err != nil || j.Prefix != "/p/" || len(j.Endpoints) != 1 {
		t.Errorf("it was told %v %v", j, err)
	}
	if _, err := d.Authority(); !errors.Is(err, ErrNone) {
		t.Errorf("it has the authority's key: %v", err)
	}
	for _, dir := range []Dir{d, s.Dir} {
		if err := filepath.WalkDir(string(dir), func(path string, e fs.DirEntry, err error) error {
			if info, _ := e.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s can be read by others: %v", path, info.Mode())
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	identity, err := Open(d.Files())
	if err != nil {
		t.Fatal(err)
	}
	first := identity.Certificate()
	if !d.Holds(token.fingerprint, here, s.time()) {
		t.Error("what it was given does not hold")
	}
	if d.Holds(token.fingerprint, here, RenewAt(first.Leaf)) {
		t.Error("it is never renewed")
	}
	if err := d.Renew(t.Context(), identity, s.address); err != nil {
		t.Fatal(err)
	}
	second := identity.Certificate()
	if second.Leaf.SerialNumber.Cmp(first.Leaf.SerialNumber) == 0 || !second.Leaf.IPAddresses[0].Equal(here.IP[0]) {
		t.Errorf("%v, and the one before was %v", second.Leaf.SerialNumber, first.Leaf.SerialNumber)
	}
	if err := d.Join(t.Context(), token, "127.0.0.1:1", here, s.time()); err != nil {
		t.Errorf("a node that has joined asks again: %v", err)
	}
}

// TestABugInAnAnswer is no end of the node, which says where it was; its place is free again.
func TestABugInAnAnswer(t *testing.T) {
	s := newSigner(t)
	var said strings.Builder
	fine := s.Tell
	s.Tell, s.Logger = func() Joined { panic("it cannot be") }, zerolog.New(&said)
	for range slotsMax + 1 {
		if err := newDir(t).Join(t.Context(), s.token(t), s.address, here, s.time()); err == nil || !strings.Contains(err.Error(), "has a bug") {
			t.Fatal(err)
		}
	}
	if !strings.Contains(said.String(), "authority_test.go") {
		t.Errorf("the log says %s", said.String())
	}
	s.Tell = fine
	if err := newDir(t).Join(t.Context(), s.token(t), s.address, here, s.time()); err != nil {
		t.Error(err)
	}
}

// TestWhoMayNotJoin is told why, and gets nothing.
func TestWhoMayNotJoin(t *testing.T) {
	s := newSigner(t)
	refused := func(what string, token Token, says string) {
		t.Helper()
		d := newDir(t)
		err := d.Join(t.Context(), token, s.address, here, s.time())
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := os.Stat(string(d)); err == nil {
			t.Errorf("%s: something was written", what)
		}
	}
	token := s.token(t)
	wrong := token
	wrong.secret[0]++
	refused("a wrong secret", wrong, "is not known here")
	wrong = token
	wrong.number[0]++
	refused("an unknown number", wrong, "is not known here")
	wrong = token
	wrong.fingerprint[0]++
	refused("another authority", wrong, "not of the cluster that the token is for")
	s.pass(59 * time.Minute)
	if err := newDir(t).Join(t.Context(), token, s.address, here, s.time()); err != nil {
		t.Errorf("before it ends: %v", err)
	}
	s.pass(2 * time.Minute)
	refused("a token that has ended", token, "has ended")
	token = s.token(t)
	if err := s.Dir.Revoke(); err != nil {
		t.Fatal(err)
	}
	refused("a token that was revoked", token, "is not known here")
	for range failuresMax {
		refused("again", wrongSecret(s.token(t)), "")
	}
	refused("too often, though it is right", s.token(t), "too many wrong tokens")
	s.pass(time.Minute)
	if err := newDir(t).Join(t.Context(), s.token(t), s.address, here, s.time()); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

func wrongSecret(t Token) Token { t.secret[3]++; return t }

// TestRequestsThatNoNodeMakes are refused, though the token is right.
func TestRequestsThatNoNodeMakes(t *testing.T) {
	s := newSigner(t)
	token := s.token(t)
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	right, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	request := func(key any, names Names) []byte {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names.DNS, IPAddresses: names.IP}, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	broken := request(right, here)
	broken[len(broken)-1]++
	many := Names{}
	for i := range namesMax + 1 {
		many.IP = append(many.IP, net.IPv4(10, 0, 0, byte(i)))
	}
	for _, c := range []struct {
		request []byte
		says    string
	}{
		{nil, "cannot be read"},
		{[]byte("what"), "cannot be read"},
		{request(large, here), "another kind than ECDSA P-256"},
		{request(small, here), "another kind than ECDSA P-256"},
		{broken, "not signed by its key"},
		{request(right, Names{}), "has 0 names"},
		{request(right, many), "has 33 names"},
		{request(right, Names{DNS: []string{"*.example.com"}}), "is no host"},
		{request(right, Names{IP: []net.IP{net.IPv4zero}}), "is no host"},
		{make([]byte, saidMax), "are more than"},
	} {
		config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{JoinProtocol}}
		_, err := talk(t.Context(), s.address, config, &question{token.number[:], token.secret[:], c.request})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v", c.says, err)
		}
	}
	conn, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{JoinProtocol}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{255, 255, 255, 255}); err != nil {
		t.Fatal(err)
	}
	var r reply
	if err := hear(conn, &r); err != nil || !strings.Contains(r.Error, "are more than") {
		t.Errorf("a long question: %q %v", r.Error, err)
	}
}

// TestNobodyRenewsWithoutACertificate, or with one of another authority; and no other names are given than there were.
func TestNobodyRenewsWithoutACertificate(t *testing.T) {
	s, other := newSigner(t), newSigner(t)
	for _, config := range []*tls.Config{
		{InsecureSkipVerify: true, NextProtos: []string{RenewProtocol}},
		{InsecureSkipVerify: true, NextProtos: []string{RenewProtocol}, GetClientCertificate: other.Identity.TLS().GetClientCertificate},
	} {
		if _, err := talk(t.Context(), s.address, config, &question{}); err == nil || !strings.Contains(err.Error(), "tls: ") {
			t.Errorf("%v", err)
		}
	}
	d := newDir(t)
	if err := d.Join(t.Context(), s.token(t), s.address, here, s.time()); err != nil {
		t.Fatal(err)
	}
	identity, err := Open(d.Files())
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"somebody.else"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	config := identity.TLS()
	config.NextProtos = []string{RenewProtocol}
	r, err := talk(t.Context(), s.address, config, &question{Request: der})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := x509.ParseCertificate(r.Certificate); err != nil || len(c.DNSNames) > 0 || len(c.IPAddresses) != 1 {
		t.Errorf("%v has %v", err, c.DNSNames)
	}
}

// TestAuthoritiesStay: who is one already is not made another, and another's copy takes no place.
func TestAuthoritiesStay(t *testing.T) {
	d, other, now := newDir(t), newDir(t), time.Now()
	a, err := d.Create(now)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := d.Create(now); err != nil || again.Fingerprint() != a.Fingerprint() {
		t.Errorf("%v: another authority was made", err)
	}
	if b, err := other.Adopt(d.authorityFile()); err != nil || b.Fingerprint() != a.Fingerprint() {
		t.Errorf("a copy: %v", err)
	}
	third := newDir(t)
	if _, err := third.Create(now); err != nil {
		t.Fatal(err)
	}
	if _, err := third.Adopt(d.authorityFile()); err == nil {
		t.Error("an authority was replaced")
	}
	if _, err := newDir(t).Adopt(filepath.Join(string(d), "nothing")); !errors.Is(err, ErrNone) {
		t.Errorf("of nothing: %v", err)
	}
	for _, text := range []string{"", "warren1_", "warren1_AAAA", strings.Repeat("A", 75)} {
		if _, err := ParseToken(text); err == nil {
			t.Errorf("%q is a token", text)
		}
	}
	if _, err := NamesOf("0.0.0.0:25672"); !errors.Is(err, ErrNoAddress) {
		t.Errorf("%v", err)
	}
}

// TestFailuresAreCountedInBoundedMemory: many addresses share a count.
func TestFailuresAreCountedInBoundedMemory(t *testing.T) {
	var f failures
	now := time.Now()
	for i := range 10 * addressesMax {
		f.note(netipOf(i), now)
	}
	if len(f.count) > addressesMax+1 {
		t.Errorf("%d addresses are counted", len(f.count))
	}
	if f.may(netipOf(10*addressesMax), now) {
		t.Error("those beyond the bound are not counted")
	}
	if !f.may(netipOf(1), now) || !f.may(netipOf(10*addressesMax), now.Add(time.Minute)) {
		t.Error("somebody is refused who should not be")
	}
}

// TestJoiningEndsWithItsContext, whoever listens.
func TestJoiningEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		conn, err := l.Accept()
		if err == nil {
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 1)) // and says nothing
		}
		cancel()
	}()
	if err := newDir(t).Join(ctx, Token{}, l.Addr().String(), here, time.Now()); err == nil {
		t.Error("it has joined nobody")
	}
}
