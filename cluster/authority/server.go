package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// Options are what a Server is told.
type Options struct {
	Dir      Dir
	Identity *Identity
	Life     time.Duration    // of what it signs; 0: NodeLife
	Now      func() time.Time // nil: time.Now
	Tell     func() Joined    // what who joins has to know
	Logger   zerolog.Logger
}

// Server answers nodes that want a certificate. It is safe for concurrent use.
type Server struct {
	Options
	slots    chan struct{}
	failures failures
}

// slotsMax is how many nodes are answered at a time; who comes beyond that is told to come again.
const slotsMax = 8

// NewServer makes a Server, which waits to be handed connections.
func NewServer(o Options) *Server {
	if o.Life == 0 {
		o.Life = NodeLife
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{Options: o, slots: make(chan struct{}, slotsMax)}
}

// JoinTLS is how connections of JoinProtocol are secured: whoever comes has no certificate yet.
func (s *Server) JoinTLS() *tls.Config {
	c := s.Identity.TLS()
	c.NextProtos, c.ClientAuth = []string{JoinProtocol}, tls.NoClientCert
	return c
}

// RenewTLS is how connections of RenewProtocol are secured.
func (s *Server) RenewTLS() *tls.Config {
	c := s.Identity.TLS()
	c.NextProtos = []string{RenewProtocol}
	return c
}

// ServeJoin answers who has a token.
func (s *Server) ServeJoin(conn *tls.Conn) { s.serve(conn, "joins", s.join) }

// ServeRenew answers who has a certificate.
func (s *Server) ServeRenew(conn *tls.Conn) { s.serve(conn, "renews its certificate", s.renew) }

func (s *Server) serve(conn *tls.Conn, what string, answer func(*tls.Conn, *question) (reply, Names, error)) {
	over := time.AfterFunc(talkTime, func() { _ = conn.Close() })
	defer over.Stop()
	logger := s.Logger.With().Stringer("from", conn.RemoteAddr()).Logger()
	r, names, err := s.answer(conn, answer)
	if err != nil {
		logger.Warn().Err(err).Msgf("a node that %s is refused", what)
		r = reply{Error: err.Error()}
	} else {
		logger.Info().Strs("names", names.all()).Msgf("a node %s", what)
	}
	if err := say(conn, r); err != nil {
		logger.Warn().Err(err).Msg("a node that wanted a certificate has gone")
	}
}

func (s *Server) answer(conn *tls.Conn, answer func(*tls.Conn, *question) (reply, Names, error)) (r reply, n Names, err error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return r, n, errors.New("too many nodes at once: try again")
	}
	defer func() {
		if p := recover(); p != nil { // who asks may be anybody, and must not end the node
			s.Logger.Error().Str("bug", fmt.Sprint(p)).Bytes("stack", debug.Stack()).Msg("a bug ended the answer to a node that wants a certificate")
			err = errors.New("the node that was asked has a bug, and says where in its log")
		}
	}()
	var q question
	if err := hear(conn, &q); err != nil {
		return r, n, fmt.Errorf("the question cannot be read: %w", err)
	}
	return answer(conn, &q)
}

// join signs for who has a token. The request is not looked at before that is clear.
func (s *Server) join(conn *tls.Conn, q *question) (r reply, names Names, err error) {
	now := s.Now()
	from, _ := netip.ParseAddrPort(conn.RemoteAddr().String()) // what is none counts as one address
	if !s.failures.may(from.Addr(), now) {
		return r, names, errors.New("too many wrong tokens came from there: try again in a minute")
	}
	var number [8]byte
	copy(number[:], q.Number)
	if err := s.Dir.admits(number, q.Secret, now); err != nil {
		s.failures.note(from.Addr(), now)
		return r, names, err
	}
	request, names, err := read(q.Request)
	if err != nil {
		return r, names, err
	}
	return s.sign(request.PublicKey, names, now)
}

// renew signs for who has a certificate, with the names that stand in it: nobody gets other ones by asking.
func (s *Server) renew(conn *tls.Conn, q *question) (r reply, names Names, err error) {
	request, _, err := read(q.Request)
	if err != nil {
		return r, names, err
	}
	shown := conn.ConnectionState().PeerCertificates[0] // the handshake has verified it
	return s.sign(request.PublicKey, Names{DNS: shown.DNSNames, IP: shown.IPAddresses}, s.Now())
}

func (s *Server) sign(key any, names Names, now time.Time) (r reply, _ Names, err error) {
	a, err := s.Dir.Authority()
	if errors.Is(err, ErrNone) {
		return r, names, errors.New("this node cannot sign: ask one that has the authority's key")
	}
	if err != nil {
		return r, names, err
	}
	r.Joined = s.Tell()
	r.Certificate, err = a.sign(key, names, now, s.Life)
	return r, names, err
}

// read reads a request, and refuses what no node asks for.
func read(der []byte) (*x509.CertificateRequest, Names, error) {
	var names Names
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, names, fmt.Errorf("the request cannot be read: %w", err)
	}
	if key, ok := request.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, names, errors.New("the request is for a key of another kind than ECDSA P-256")
	}
	if err := request.CheckSignature(); err != nil {
		return nil, names, fmt.Errorf("the request is not signed by its key: %w", err)
	}
	names = Names{DNS: request.DNSNames, IP: request.IPAddresses}
	if n := len(names.DNS) + len(names.IP); n == 0 || n > namesMax {
		return nil, names, fmt.Errorf("the request has %d names, and there may be 1 to %d", n, namesMax)
	}
	for _, name := range names.DNS {
		if name == "" || len(name) > 253 || strings.ContainsAny(name, "* ") {
			return nil, names, fmt.Errorf("the request is for %.60q, which is no host", name)
		}
	}
	for _, ip := range names.IP {
		if ip.IsUnspecified() {
			return nil, names, fmt.Errorf("the request is for %s, which is no host", ip)
		}
	}
	return request, names, nil
}

func (n *Names) all() []string {
	list := append([]string{}, n.DNS...)
	for _, ip := range n.IP {
		list = append(list, ip.String())
	}
	return list
}
