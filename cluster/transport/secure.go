package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/credentials"
)

// Door is who takes connections that are not for messages. Which one a connection is for stands in its first words (ALPN),
// so that it never comes near the messages: those are for who shows a certificate.
type Door struct {
	// TLS is how such a connection is secured; its NextProtos are the door's name.
	TLS *tls.Config
	// Serve takes the connection; it is closed when Serve returns, and when the Transport is.
	Serve func(*tls.Conn)
}

// handshakeTime is how long another node may take until it is clear who it is.
const handshakeTime = 10 * time.Second

// plain is the name of the protocol that messages come with.
const plain = "h2"

// secured is TLS as the listener speaks it: it parts connections by what they are for, and says why one is refused.
type secured struct {
	credentials.TransportCredentials
	t      *Transport
	config *tls.Config
	logger zerolog.Logger
}

func newSecured(t *Transport) *secured {
	s := &secured{TransportCredentials: credentials.NewTLS(t.TLS), t: t, config: t.TLS.Clone()}
	// Whoever tries doors fills no log.
	s.logger = t.Logger.Sample(&zerolog.BurstSampler{Burst: 20, Period: time.Minute})
	s.config.NextProtos = []string{plain}
	s.config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if len(hello.SupportedProtos) == 1 {
			if door, ok := t.Doors[hello.SupportedProtos[0]]; ok {
				return door.TLS, nil
			}
		}
		return nil, nil // the one that wants a certificate
	}
	return s
}

// ServerHandshake implements credentials.TransportCredentials.
func (s *secured) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn := tls.Server(raw, s.config)
	ctx, cancel := context.WithTimeout(s.t.ctx, handshakeTime)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		s.logger.Warn().Err(err).Stringer("from", raw.RemoteAddr()).Msg("a connection from another node is refused")
		hangUp(raw)
		return nil, nil, err
	}
	state := conn.ConnectionState()
	if door, ok := s.t.Doors[state.NegotiatedProtocol]; ok {
		s.t.runs.Go(func() { s.t.enter(door, conn) })
		return nil, nil, credentials.ErrConnDispatched
	}
	if state.NegotiatedProtocol != plain {
		_ = raw.Close()
		return nil, nil, fmt.Errorf("transport: a connection that does not say what it is for")
	}
	return conn, credentials.TLSInfo{
		State: state, CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}, nil
}

// hangUp closes a connection so that the other side can read why: what it has still under way must not undo that.
func hangUp(raw net.Conn) {
	_ = raw.SetDeadline(time.Now().Add(time.Second))
	if c, ok := raw.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(raw, 64<<10)) // until it has gone
	}
	_ = raw.Close()
}

// enter lets a door serve a connection.
func (t *Transport) enter(door Door, conn *tls.Conn) {
	stop := context.AfterFunc(t.ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	door.Serve(conn)
}
