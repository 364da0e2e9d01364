package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/broker/settings"
	"github.com/warrenmq/warren/cluster/etcdmeta"
	"github.com/warrenmq/warren/cluster/raftlog"
	"github.com/warrenmq/warren/cmd/warren/internal/clustered"
	"github.com/warrenmq/warren/store/meta"
)

// joinTime is how long a node may take to find the others at its start: etcd needs a majority of its members.
const joinTime = 2 * time.Minute

// openCluster makes the broker a node of a cluster.
func (s *server) openCluster(ctx context.Context, dir string, local meta.Store, logs raftlog.Options, config *broker.Config) error {
	o, err := clusterOptions(s.values, dir)
	if err != nil {
		return err
	}
	o.Local, o.Logs, o.Logger, o.Life = local, logs, s.journal.Area("ra"), config.FirstSession
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	node, err := clustered.Open(ctx, o)
	if err != nil {
		return err
	}
	s.closeAll = append(s.closeAll, node.Close)
	node.Configure(config)
	s.logger.Info().Uint64("node", node.Self.ID).Str("address", node.Self.Address).Msg("joined the cluster")
	s.cluster = node
	return nil
}

// clusterOptions are what the settings say of the cluster.
func clusterOptions(v *settings.Values, dir string) (o clustered.Options, err error) {
	o = clustered.Options{
		Dir: dir, Name: v.Text("node_name"), Zone: v.Text("zone"), Listen: v.Address("cluster_listen"), Advertise: v.Text("cluster_address"),
		Endpoints: strings.Fields(strings.ReplaceAll(v.Text("etcd_endpoints"), ",", " ")), Prefix: v.Text("etcd_prefix"), Lease: v.Duration("cluster_lease"),
	}
	files := etcdmeta.EmbedTLS{
		CertFile: v.Text("cluster_tls.certfile"), KeyFile: v.Text("cluster_tls.keyfile"), CAFile: v.Text("cluster_tls.cacertfile"),
	}
	if files != (etcdmeta.EmbedTLS{}) {
		if o.TLS, err = mutualTLS(files); err != nil {
			return o, err
		}
	}
	if o.TLS == nil && !v.Boolean("cluster_insecure") && !loopback(o.Listen) {
		return o, fmt.Errorf("cluster_listen %s can be reached from outside, and cluster_tls says no certificates: give some, or set cluster_insecure", o.Listen)
	}
	if v.Boolean("etcd_embed") {
		o.Embed = &etcdmeta.EmbedOptions{
			Name: v.Text("node_name"), Dir: filepath.Join(dir, "etcd"), ClientURL: etcdURL(o.TLS, v.Address("etcd_listen")),
			PeerURL: etcdURL(o.TLS, v.Address("etcd_peer_listen")), Members: v.Text("etcd_members"),
		}
		if o.TLS != nil {
			o.Embed.TLS = &files
		}
		if len(o.Endpoints) == 0 {
			o.Endpoints = []string{o.Embed.ClientURL}
		}
	}
	if len(o.Endpoints) == 0 {
		return o, errors.New("cluster_listen needs etcd: give etcd_endpoints, or set etcd_embed")
	}
	return o, nil
}

func etcdURL(secure *tls.Config, address string) string {
	if secure != nil {
		return "https://" + address
	}
	return "http://" + address
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// mutualTLS demands and shows a certificate of the cluster's authority. A node's has to hold the address that others reach
// it under.
func mutualTLS(files etcdmeta.EmbedTLS) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("cluster_tls: %w", err)
	}
	pem, err := os.ReadFile(files.CAFile)
	if err != nil {
		return nil, fmt.Errorf("cluster_tls: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("cluster_tls: %s holds no certificate", files.CAFile)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		RootCAs: pool,
	}, nil
}
