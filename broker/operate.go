package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/protocol"
)

// API is the HTTP API, for listeners that the Config does not know of.
func (b *Broker) API() http.Handler { return b.management }

// Operator gives the credentials, for AMQP and HTTP, of whoever administers the broker from its own machine.
func (b *Broker) Operator() (user, password string) { return b.env.Load().Authority.Operator() }

// SuspendListeners lets nobody in, on no address, until ResumeListeners. Connections that are open stay.
func (b *Broker) SuspendListeners() (err error) {
	for _, l := range b.sockets() {
		err = errors.Join(err, l.Suspend())
	}
	b.config.Logger.Warn().Msg("listeners are suspended: no new connections are accepted")
	return err
}

// ResumeListeners undoes SuspendListeners.
func (b *Broker) ResumeListeners(ctx context.Context) (err error) {
	for _, l := range b.sockets() {
		err = errors.Join(err, l.Resume(ctx))
	}
	if err == nil {
		b.config.Logger.Info().Msg("listeners are resumed")
	}
	return err
}

// CloseConnections ends all connections of clients, in order, and tells how many.
func (b *Broker) CloseConnections(reason string) (n int) {
	b.registry.Each(func(s *session.Session) {
		s.Close(protocol.Errorf(protocol.CodeConnectionForced, "%s", reason))
		n++
	})
	return n
}

// importDefinitions makes what the Config's definitions say, before any client comes.
func (b *Broker) importDefinitions(ctx context.Context) error {
	if b.config.Definitions == nil {
		return nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/api/definitions", bytes.NewReader(b.config.Definitions))
	if err != nil {
		return err
	}
	r.RemoteAddr = "127.0.0.1:0"
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth(b.Operator())
	var a answer
	b.management.ServeHTTP(&a, r)
	if a.status/100 != 2 {
		return fmt.Errorf("the definitions cannot be imported: %d %s", a.status, strings.TrimSpace(a.body.String()))
	}
	b.config.Logger.Info().Int("bytes", len(b.config.Definitions)).Msg("definitions imported")
	return nil
}

// answer keeps what the API answers.
type answer struct {
	header http.Header
	status int
	body   strings.Builder
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}
