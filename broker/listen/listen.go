// Package listen owns the way from a socket to a connection that can be talked on: TCP, TLS, and the PROXY protocol.
//
//  1. Open listens as a Spec says.
//  2. Listener.Accept gives a connection at once, whoever is behind it: nothing has been read from it yet.
//  3. Listener.Prepare, on a goroutine of that connection, reads the PROXY header and shakes hands, and gives the
//     connection to use: its RemoteAddr is the client's, also behind a proxy.
package listen

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// Spec says where and how to listen.
type Spec struct {
	// Address is host:port; port 0 takes a free one.
	Address string
	// TLS is the certificates to show; nil is no TLS.
	TLS *Certificates
	// Proxy tells that clients come through proxies that begin with a PROXY header, version 1 or 2. Trusted are the
	// networks of these proxies. Whoever comes from elsewhere is taken for who he is, and sends no header.
	Proxy   bool
	Trusted []netip.Prefix
	// PrepareTimeout bounds Prepare. Default 5 s.
	PrepareTimeout time.Duration
}

// Listener is a socket that is listened on. It is safe for concurrent use.
type Listener struct {
	spec Spec
	tls  *tls.Config
	addr net.Addr

	mu      sync.Mutex    // guards what follows
	socket  net.Listener  // nil while it is suspended
	resumed chan struct{} // closed when it no longer is
	closed  bool
}

// defaultPrepareTimeout is how long a client may take for what comes before the first octet of its protocol.
const defaultPrepareTimeout = 5 * time.Second

// Open listens.
func Open(ctx context.Context, s Spec) (*Listener, error) {
	if s.PrepareTimeout == 0 {
		s.PrepareTimeout = defaultPrepareTimeout
	}
	l := &Listener{spec: s}
	if s.TLS != nil {
		l.tls = s.TLS.Config()
	}
	var lc net.ListenConfig
	var err error
	if l.socket, err = lc.Listen(ctx, "tcp", s.Address); err != nil {
		return nil, err
	}
	l.addr = l.socket.Addr()
	return l, nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.addr }

// Accept implements net.Listener. While the listener is suspended it waits.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		l.mu.Lock()
		socket, resumed, closed := l.socket, l.resumed, l.closed
		l.mu.Unlock()
		switch {
		case closed:
			return nil, net.ErrClosed
		case socket == nil:
			<-resumed
			continue
		}
		conn, err := socket.Accept()
		if err == nil || !errors.Is(err, net.ErrClosed) {
			return conn, err
		}
	}
}

// Suspend lets nobody in until Resume. Connections that are open stay.
func (l *Listener) Suspend() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.socket == nil {
		return nil
	}
	socket := l.socket
	l.socket, l.resumed = nil, make(chan struct{})
	return socket.Close()
}

// Resume listens again on the same address.
func (l *Listener) Resume(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.socket != nil {
		return nil
	}
	var lc net.ListenConfig
	socket, err := lc.Listen(ctx, "tcp", l.addr.String())
	if err != nil {
		return err
	}
	l.socket = socket
	close(l.resumed)
	return nil
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return net.ErrClosed
	case l.socket == nil:
		close(l.resumed)
	}
	l.closed = true
	if l.socket == nil {
		return nil
	}
	return l.socket.Close()
}

// Secure tells whether the listener speaks TLS.
func (l *Listener) Secure() bool { return l.tls != nil }

// Expiry is when the first of the listener's certificates ends; zero without TLS.
func (l *Listener) Expiry() (end time.Time) {
	if l.spec.TLS != nil {
		end = l.spec.TLS.Expiry()
	}
	return end
}

// Prepare makes an accepted connection ready to talk on. It gives up when the context ends or the client is slow. The
// connection is closed if that fails.
func (l *Listener) Prepare(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if !l.spec.Proxy && l.tls == nil {
		return conn, nil
	}
	ready, err := l.prepare(ctx, conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return ready, nil
}

func (l *Listener) prepare(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if err := conn.SetDeadline(time.Now().Add(l.spec.PrepareTimeout)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	ready := conn
	if l.spec.Proxy && l.trusts(conn.RemoteAddr()) {
		proxied, err := readProxyHeader(conn)
		if err != nil {
			return nil, err
		}
		ready = proxied
	}
	if l.tls != nil {
		secure := tls.Server(ready, l.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS handshake: %w", err)
		}
		ready = secure
	}
	return ready, conn.SetDeadline(time.Time{})
}

func (l *Listener) trusts(peer net.Addr) bool {
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return false
	}
	addr := tcp.AddrPort().Addr().Unmap()
	for _, network := range l.spec.Trusted {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// proxied is a connection through a proxy: what the header reader has read too much comes first.
type proxied struct {
	net.Conn
	in     *bufio.Reader
	client net.Addr
}

// headerMax is the longest PROXY header that is read: the addresses, and what a proxy has to add.
const headerMax = 4096

var errNoHeader = errors.New("the connection does not begin with a PROXY header")

func readProxyHeader(conn net.Conn) (net.Conn, error) {
	in := bufio.NewReaderSize(conn, headerMax)
	header, err := proxyproto.Read(in)
	if errors.Is(err, proxyproto.ErrNoProxyProtocol) {
		return nil, errNoHeader
	}
	if err != nil {
		return nil, fmt.Errorf("PROXY header: %w", err)
	}
	p := &proxied{conn, in, conn.RemoteAddr()}
	if header.Command.IsProxy() && header.SourceAddr != nil {
		p.client = header.SourceAddr // else the proxy itself wants to know whether somebody is here
	}
	return p, nil
}

// Read implements net.Conn.
func (p *proxied) Read(b []byte) (int, error) {
	if p.in.Buffered() > 0 {
		return p.in.Read(b)
	}
	return p.Conn.Read(b)
}

// RemoteAddr implements net.Conn.
func (p *proxied) RemoteAddr() net.Addr { return p.client }
