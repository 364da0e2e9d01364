package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/warrenmq/warren/broker/settings"
	"github.com/warrenmq/warren/cluster/authority"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/cmd/warren/internal/clustered"
)

// clusterDir is where a node keeps what makes it one of its cluster.
func clusterDir(v *settings.Values) authority.Dir {
	return authority.Dir(filepath.Join(v.Text("data_dir"), "cluster"))
}

// clusterFiles are those that the settings name, else those of warren cluster init and join; none if there are none.
func clusterFiles(v *settings.Values, dir authority.Dir) (f authority.Files, own bool, err error) {
	f = authority.Files{
		Certificate: v.Text("cluster_tls.certfile"), Key: v.Text("cluster_tls.keyfile"), CA: v.Text("cluster_tls.cacertfile"),
	}
	if f != (authority.Files{}) {
		return f, false, nil
	}
	if _, err := authority.Open(dir.Files()); err != nil {
		if errors.Is(err, authority.ErrNone) {
			return f, false, nil
		}
		return f, false, err
	}
	return dir.Files(), true, nil
}

// etcdTLS is how etcd is spoken to: as the nodes are, unless the settings say otherwise.
func etcdTLS(v *settings.Values, nodes *tls.Config) (*tls.Config, error) {
	f := authority.Files{Certificate: v.Text("etcd_tls.certfile"), Key: v.Text("etcd_tls.keyfile"), CA: v.Text("etcd_tls.cacertfile")}
	if f == (authority.Files{}) {
		return nodes, nil
	}
	i, err := authority.Open(f)
	if err != nil {
		return nil, fmt.Errorf("etcd_tls: %w", err)
	}
	return i.TLS(), nil
}

// inTheClear finds what would be said where others could listen; "" is nothing.
func inTheClear(o *clustered.Options) string {
	if o.TLS == nil && !loopback(o.Listen) {
		return "cluster_listen " + o.Listen
	}
	urls := o.Endpoints
	if o.Embed != nil {
		urls = append(slices.Clone(urls), o.Embed.ClientURL, o.Embed.PeerURL)
	}
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			u = &url.URL{Scheme: "http", Host: text} // etcd's client takes an address alone
		}
		host := u.Host
		if u.Port() == "" {
			host = net.JoinHostPort(u.Hostname(), "0")
		}
		if u.Scheme != "https" && !loopback(host) {
			return "etcd at " + text
		}
	}
	return ""
}

// How long it rests before it looks at its certificate again, or tries again to have it renewed.
const (
	renewLeast = time.Second
	renewMost  = time.Hour
)

// renewIn is how long a node rests. Where renewing fails, it tries ten times and more in what is left of the certificate.
func renewIn(c *x509.Certificate, now time.Time, failed bool) time.Duration {
	wait := authority.RenewAt(c).Sub(now)
	if failed {
		if wait = c.NotAfter.Sub(now) / 10; wait < 0 {
			wait = renewMost
		}
	}
	return min(max(wait, renewLeast), renewMost)
}

// signing lets nodes join here, and has the node's own certificate renewed.
type signing struct {
	*server
	dir      authority.Dir
	identity *authority.Identity
	node     *clustered.Node
}

// doors are where nodes that want a certificate come in.
func (s *signing) doors(n *clustered.Node) map[string]transport.Door {
	s.node = n
	o := authority.Options{
		Dir: s.dir, Identity: s.identity, Life: s.values.Duration("cluster_tls.lifetime"), Tell: s.tell, Logger: s.journal.Area("default"),
	}
	a := authority.NewServer(o)
	return map[string]transport.Door{
		authority.JoinProtocol:  {TLS: a.JoinTLS(), Serve: a.ServeJoin},
		authority.RenewProtocol: {TLS: a.RenewTLS(), Serve: a.ServeRenew},
	}
}

// tellTime bounds asking etcd for its members.
const tellTime = 5 * time.Second

func (s *signing) tell() authority.Joined {
	ctx, cancel := context.WithTimeout(context.Background(), tellTime)
	defer cancel()
	return authority.Joined{Prefix: s.node.Prefix, Endpoints: s.node.EtcdURLs(ctx), Signers: []string{s.node.Advertise}}
}

// run renews the certificate until ctx ends.
func (s *signing) run(ctx context.Context) {
	failed := false
	for {
		timer := time.NewTimer(renewIn(s.identity.Certificate().Leaf, time.Now(), failed))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if time.Now().Before(authority.RenewAt(s.identity.Certificate().Leaf)) {
			failed = false // perhaps somebody has called warren cluster join
			continue
		}
		err := s.renew(ctx)
		if failed = err != nil; failed {
			s.logger.Warn().Err(err).Time("ends", s.identity.Certificate().Leaf.NotAfter).Msg("the node's certificate is not renewed")
			continue
		}
		s.logger.Info().Time("ends", s.identity.Certificate().Leaf.NotAfter).Msg("the node's certificate is renewed")
	}
}

// renew signs the certificate here, or asks those that can.
func (s *signing) renew(ctx context.Context) error {
	a, err := s.dir.Authority()
	if err == nil {
		leaf := s.identity.Certificate().Leaf
		names := authority.Names{DNS: leaf.DNSNames, IP: leaf.IPAddresses}
		_, err = s.dir.Issue(a, names, time.Now(), s.settings().Duration("cluster_tls.lifetime"))
		return err
	}
	if !errors.Is(err, authority.ErrNone) {
		return err
	}
	joined, err := s.dir.Joined()
	for _, address := range append(joined.Signers, s.node.Addresses()...) {
		refused := s.dir.Renew(ctx, s.identity, address)
		if refused == nil {
			return nil
		}
		err = errors.Join(err, refused)
	}
	return err
}
