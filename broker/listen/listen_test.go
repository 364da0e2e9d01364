package listen

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}, "ca")
	return a
}

func (a *authority) sign(template *x509.Certificate, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.must(err)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	a.must(err)
	cert, err := x509.ParseCertificate(der)
	a.must(err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	a.must(err)
	a.must(os.WriteFile(a.file(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	a.must(os.WriteFile(a.file(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	return cert, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// pair makes a certificate for a host name.
func (a *authority) pair(name, host string, serial int64) Pair {
	a.t.Helper()
	a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, name)
	return Pair{a.file(name + ".pem"), a.file(name + ".key")}
}

func (a *authority) client(host string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, ServerName: host}
}

// echo listens and sends back the client's address, and a line that it reads.
func echo(t *testing.T, s Spec) *Listener {
	t.Helper()
	s.Address = "127.0.0.1:0"
	l, err := Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				ready, err := l.Prepare(t.Context(), conn)
				if err != nil {
					return
				}
				defer ready.Close()
				b := make([]byte, 4)
				if _, err := io.ReadFull(ready, b); err == nil {
					_, _ = ready.Write([]byte(ready.RemoteAddr().String() + " " + string(b)))
				}
			}()
		}
	}()
	return l
}

// ask sends what there is and gives the answer, or "" if the connection was closed.
func ask(t *testing.T, l *Listener, prefix string, config *tls.Config) (string, *tls.ConnectionState) {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(prefix)); err != nil {
		t.Fatal(err)
	}
	var state *tls.ConnectionState
	if config != nil {
		secure := tls.Client(conn, config)
		if err := secure.Handshake(); err != nil {
			return "", nil
		}
		s := secure.ConnectionState()
		state, conn = &s, secure
	}
	if _, err := conn.Write([]byte("ping")); err != nil {
		return "", state
	}
	answer, _ := io.ReadAll(conn)
	return string(answer), state
}

func certificates(t *testing.T, i Identity) *Certificates {
	t.Helper()
	c, err := LoadCertificates(i, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTLSChoosesTheCertificateByName(t *testing.T) {
	a := newAuthority(t)
	l := echo(t, Spec{PrepareTimeout: time.Second, TLS: certificates(t, Identity{Pair: a.pair("one", "one.test", 2), Others: []Pair{a.pair("two", "two.test", 3)}})})
	if !l.Secure() || l.Expiry().IsZero() {
		t.Error("it does not say that it is secure, and until when")
	}
	for _, host := range []string{"one.test", "two.test"} {
		answer, state := ask(t, l, "", a.client(host))
		if !strings.HasSuffix(answer, "ping") || state.PeerCertificates[0].Subject.CommonName != host {
			t.Errorf("%s: answer %q", host, answer)
		}
	}
	old := a.client("one.test")
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if answer, _ := ask(t, l, "", old); answer != "" {
		t.Errorf("TLS 1.1 is answered %q", answer)
	}
	if answer, _ := ask(t, l, "", nil); strings.Contains(answer, "ping") {
		t.Error("plain text is answered")
	}
}

func TestClientsCertificates(t *testing.T) {
	a := newAuthority(t)
	server := a.pair("server", "server.test", 2)
	mine := a.pair("client", "client.test", 3)
	strange := newAuthority(t).pair("client", "client.test", 4)
	for _, c := range []struct {
		what            string
		verify, require bool
		pair            Pair
		ok              bool
	}{
		{"nothing is asked for", false, false, Pair{}, true},
		{"a certificate is welcome, there is none", true, false, Pair{}, true},
		{"a certificate is wanted, there is none", true, true, Pair{}, false},
		{"a good certificate", true, true, mine, true},
		{"a strange certificate", true, false, strange, false},
	} {
		l := echo(t, Spec{TLS: certificates(t, Identity{Pair: server, Authorities: a.file("ca.pem"), Verify: c.verify, Require: c.require})})
		config := a.client("server.test")
		if c.pair.Cert != "" {
			pair, err := tls.LoadX509KeyPair(c.pair.Cert, c.pair.Key)
			a.must(err)
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		if answer, _ := ask(t, l, "", config); (answer != "") != c.ok {
			t.Errorf("%s: answer %q", c.what, answer)
		}
	}
}

func TestCertificatesAreReadAgain(t *testing.T) {
	a := newAuthority(t)
	pair := a.pair("server", "server.test", 2)
	var said []string
	c, err := LoadCertificates(Identity{Pair: pair}, func(err error) { said = append(said, err.Error()) })
	a.must(err)
	l := echo(t, Spec{TLS: c})
	serial := func() int64 {
		_, state := ask(t, l, "", a.client("server.test"))
		if state == nil {
			t.Fatal("no handshake")
		}
		return state.PeerCertificates[0].SerialNumber.Int64()
	}
	later := func() { // the files are looked at again
		c.mu.Lock()
		c.looked = c.looked.Add(-lookEvery)
		c.mu.Unlock()
	}
	if n := serial(); n != 2 {
		t.Fatalf("certificate %d", n)
	}
	a.pair("server", "server.test", 7)
	later()
	if n := serial(); n != 7 {
		t.Errorf("certificate %d, after it was renewed", n)
	}
	a.must(os.WriteFile(pair.Cert, []byte("nonsense"), 0o600))
	later()
	if n := serial(); n != 7 || len(said) != 1 || !strings.Contains(said[0], "cannot be used") {
		t.Errorf("certificate %d, after it was spoilt; said %q", n, said)
	}
	if end := c.Expiry(); time.Until(end) > time.Hour || time.Until(end) < 0 {
		t.Errorf("it expires %v", end)
	}
}

func TestCertificatesThatCannotBe(t *testing.T) {
	a := newAuthority(t)
	good, other := a.pair("good", "x", 2), a.pair("other", "x", 3)
	locked := a.file("locked.key")
	a.must(os.WriteFile(locked, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1}}), 0o600))
	a.must(os.WriteFile(a.file("empty.pem"), nil, 0o600))
	for want, i := range map[string]Identity{
		"no such file":             {Pair: Pair{a.file("none"), good.Key}},
		"does not match":           {Pair: Pair{good.Cert, other.Key}},
		"is encrypted":             {Pair: Pair{good.Cert, locked}},
		"holds no certificate":     {Pair: good, Authorities: a.file("empty.pem")},
		"there must be authoritie": {Pair: good, Verify: true},
	} {
		if _, err := LoadCertificates(i, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestProxyHeaders(t *testing.T) {
	a := newAuthority(t)
	here := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	plain := echo(t, Spec{Proxy: true, Trusted: here, PrepareTimeout: time.Second})
	second := "\r\n\r\n\x00\r\nQUIT\n"
	for _, c := range []struct{ what, prefix, want string }{
		{"version 1", "PROXY TCP4 192.0.2.7 192.0.2.1 4711 5672\r\n", "192.0.2.7:4711 ping"},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 4711 5672\r\n", "[2001:db8::7]:4711 ping"},
		{"version 2", second + "\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x01\x12\x67\x16\x28", "192.0.2.7:4711 ping"},
		{"version 2, the proxy asks for itself", second + "\x20\x00\x00\x00", "127.0.0.1"},
		{"none", "", ""},
		{"nonsense", "PROXY nonsense\r\n", ""},
	} {
		answer, _ := ask(t, plain, c.prefix, nil)
		if c.want == "" && answer != "" || !strings.HasPrefix(answer, c.want) {
			t.Errorf("%s: %q, want %q", c.what, answer, c.want)
		}
	}
	both := echo(t, Spec{Proxy: true, Trusted: here, TLS: certificates(t, Identity{Pair: a.pair("p", "p.test", 2)})})
	if answer, _ := ask(t, both, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 5672\r\n", a.client("p.test")); answer != "192.0.2.7:4711 ping" {
		t.Errorf("TLS behind a proxy: %q", answer)
	}
	distrustful := echo(t, Spec{Proxy: true, Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	if answer, _ := ask(t, distrustful, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 5672\r\n", nil); strings.HasPrefix(answer, "192.0.2.7") {
		t.Errorf("a header from somewhere else is believed: %q", answer)
	}
	if answer, _ := ask(t, distrustful, "", nil); !strings.HasPrefix(answer, "127.0.0.1:") {
		t.Errorf("who is no proxy: %q", answer)
	}
}

// TestSlowClients are left, and so are all when the listener's owner ends.
func TestSlowClients(t *testing.T) {
	a := newAuthority(t)
	l, err := Open(t.Context(), Spec{Address: "127.0.0.1:0", TLS: certificates(t, Identity{Pair: a.pair("p", "p.test", 2)}), PrepareTimeout: time.Millisecond})
	a.must(err)
	defer l.Close()
	prepare := func(ctx context.Context) error {
		client, err := net.Dial("tcp", l.Addr().String())
		a.must(err)
		defer client.Close()
		conn, err := l.Accept()
		a.must(err)
		_, err = l.Prepare(ctx, conn)
		return err
	}
	if err := prepare(t.Context()); err == nil {
		t.Error("silence is waited for")
	}
	l.spec.PrepareTimeout = time.Hour
	ended, end := context.WithCancel(t.Context())
	end()
	if err := prepare(ended); err == nil {
		t.Error("the end is not noticed")
	}
}

// FuzzProxyHeader: whatever comes first, it is refused or leaves an address and the octets behind it.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 192.0.2.1 4711 5672\r\nAMQP"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x01\x12\x67\x16\x28AMQP"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		client, server := net.Pipe()
		go func() {
			_, _ = client.Write(data)
			_ = client.Close()
		}()
		conn, err := readProxyHeader(server)
		if err == nil {
			left, _ := io.ReadAll(conn) // the pipe ends as it likes
			if conn.RemoteAddr() == nil || len(left) >= len(data) || !strings.HasSuffix(string(data), string(left)) {
				t.Errorf("%q leaves %v and %q", data, conn.RemoteAddr(), left)
			}
		}
		_ = server.Close()
	})
}
