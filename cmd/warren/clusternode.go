package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/broker/settings"
	"github.com/warrenmq/warren/cluster/authority"
	"github.com/warrenmq/warren/cluster/etcdmeta"
	"github.com/warrenmq/warren/cluster/raftlog"
	"github.com/warrenmq/warren/cmd/warren/internal/clustered"
	"github.com/warrenmq/warren/store/meta"
)

// joinTime is how long a node may take to find the others at its start: etcd needs a majority of its members.
const joinTime = 2 * time.Minute

// openCluster makes the broker a node of a cluster.
func (s *server) openCluster(ctx context.Context, dir string, local meta.Store, logs raftlog.Options, config *broker.Config) error {
	o, identity, err := clusterOptions(s.values, dir)
	if err != nil {
		return err
	}
	o.Stuck, o.Anew = s.damage.stuck, s.damage.anew
	o.Local, o.Logs, o.Logger, o.Life = local, logs, s.journal.Area("ra"), config.FirstSession
	if o.Embed != nil {
		o.Embed.Logger = o.Logger
	}
	signing := &signing{server: s, dir: clusterDir(s.values), identity: identity}
	if identity != nil {
		o.Doors = signing.doors
	}
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	node, err := clustered.Open(ctx, o)
	if err != nil {
		return err
	}
	s.closeAll = append(s.closeAll, node.Close)
	if identity != nil {
		s.closeAll = append(s.closeAll, inBackground(signing.run))
	}
	node.Configure(config)
	config.NoClients = s.values.Text("role") == "backend"
	config.Cluster.Patience, config.Cluster.Backlog = s.values.Duration("cluster_patience"), int(s.values.Size("cluster_backlog"))
	s.logger.Info().Uint64("node", node.Self.ID).Str("address", node.Self.Address).Msg("joined the cluster")
	s.cluster = node
	return nil
}

// inBackground runs f until what it gives is called, which waits for it.
func inBackground(f func(context.Context)) func() error {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	return func() error {
		stop()
		<-done
		return nil
	}
}

// clusterOptions are what the settings say of the cluster, and what warren cluster left in the directory. The Identity is nil
// for a node whose certificate is not Warren's to renew.
func clusterOptions(v *settings.Values, dir string) (o clustered.Options, own *authority.Identity, err error) {
	o = clustered.Options{
		Dir: dir, Name: v.Text("node_name"), Zone: v.Text("zone"), Frontend: v.Text("role") == "frontend", Listen: v.Address("cluster_listen"), Advertise: v.Text("cluster_address"),
		Endpoints: strings.Fields(strings.ReplaceAll(v.Text("etcd_endpoints"), ",", " ")), Prefix: v.Text("etcd_prefix"), Lease: v.Duration("cluster_lease"),
		Size: int(v.Number("quorum_queue.initial_cluster_size")), EtcdUser: v.Text("etcd_user"), EtcdPassword: v.Text("etcd_password"),
	}
	files, ours, err := clusterFiles(v, clusterDir(v))
	if err != nil {
		return o, nil, fmt.Errorf("cluster_tls: %w", err)
	}
	if files != (authority.Files{}) {
		identity, err := authority.Open(files)
		if err != nil {
			return o, nil, fmt.Errorf("cluster_tls: %w", err)
		}
		o.TLS = identity.TLS()
		if ours {
			own = identity
		}
	}
	if o.EtcdTLS, err = etcdTLS(v, o.TLS); err != nil {
		return o, nil, err
	}
	if err := etcdOptions(v, &o, files); err != nil {
		return o, nil, err
	}
	if what := inTheClear(&o); what != "" && !v.Boolean("cluster_insecure") {
		return o, nil, fmt.Errorf("%s can be reached from outside, and would be spoken to in the clear: see warren cluster init, or give cluster_tls, or set cluster_insecure", what)
	}
	return o, own, nil
}

// etcdOptions are where etcd is: in this process, where the settings say, where a node that joined was told.
func etcdOptions(v *settings.Values, o *clustered.Options, files authority.Files) error {
	joined, err := clusterDir(v).Joined()
	if err != nil && !errors.Is(err, authority.ErrNone) {
		return err
	}
	if err == nil && !v.Said("etcd_prefix") {
		o.Prefix = joined.Prefix
	}
	if v.Boolean("etcd_embed") {
		o.Embed = &etcdmeta.EmbedOptions{
			Name: v.Text("node_name"), Dir: filepath.Join(o.Dir, "etcd"), ClientURL: etcdURL(o.TLS, v.Address("etcd_listen")),
			PeerURL: etcdURL(o.TLS, v.Address("etcd_peer_listen")), Members: v.Text("etcd_members"),
		}
		if at := v.Text("etcd_address"); at != "" {
			o.Embed.ClientAddress = etcdURL(o.TLS, at)
		}
		if at := v.Text("etcd_peer_address"); at != "" {
			o.Embed.PeerAddress = etcdURL(o.TLS, at)
		}
		if o.TLS != nil {
			o.Embed.TLS = &etcdmeta.EmbedTLS{CertFile: files.Certificate, KeyFile: files.Key, CAFile: files.CA}
			o.EtcdTLS = o.TLS
		}
		if o.Embed.Members == "" {
			o.Grow = joined.Endpoints
		}
		if len(o.Endpoints) == 0 {
			o.Endpoints = []string{cmp.Or(o.Embed.ClientAddress, o.Embed.ClientURL)}
		}
	}
	if len(o.Endpoints) == 0 {
		o.Endpoints = joined.Endpoints
	}
	if len(o.Endpoints) == 0 {
		return errors.New("cluster_listen needs etcd: give etcd_endpoints, set etcd_embed, or join a cluster with warren cluster join")
	}
	return nil
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
