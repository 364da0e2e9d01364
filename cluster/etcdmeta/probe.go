package etcdmeta

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// ErrIdentity is returned by Probe: waiting does not help.
var ErrIdentity = errors.New("etcd and this node do not know each other's certificates")

// probeTime is how long one endpoint may take.
const probeTime = 5 * time.Second

// Probe tells at once if no endpoint lets this node in because of a certificate; etcd's client would only say, after a while,
// that nobody answers. What else is wrong is left to that.
func Probe(ctx context.Context, endpoints []string, secure *tls.Config) error {
	if secure == nil {
		secure = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	var refused []error
	for _, endpoint := range endpoints {
		u, err := url.Parse(endpoint)
		if err != nil || u.Scheme != "https" {
			return nil
		}
		for range probes {
			if err = probe(ctx, u.Host, secure); !cutOff(err) {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), "tls: ") && !strings.Contains(err.Error(), "x509: ") {
			return nil
		}
		refused = append(refused, fmt.Errorf("%s: %s", endpoint, status.Convert(err).Message()))
	}
	if len(refused) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrIdentity, errors.Join(refused...))
}

// probes are how often an endpoint is tried that hangs up without a word that arrives: etcd closes at once when it refuses, and
// what it says of that may be lost on the way.
const probes = 20

func cutOff(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "broken pipe") || strings.Contains(err.Error(), "connection reset"))
}

// probe asks an etcd how it is.
func probe(ctx context.Context, address string, secure *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(secure)))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = etcdserverpb.NewMaintenanceClient(conn).Status(ctx, &etcdserverpb.StatusRequest{})
	return err
}
