package clustered

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/warrenmq/warren/cluster/etcdmeta"
	"github.com/warrenmq/warren/cluster/membership"
)

// openEtcd connects to the metadata, in this process or elsewhere.
func (n *Node) openEtcd(ctx context.Context) (err error) {
	if err := n.embed(ctx); err != nil {
		return err
	}
	endpoints, learner := n.Endpoints, false
	if n.etcd != nil {
		if learner, _ = n.etcd.Learner(); learner {
			endpoints = n.Grow // a member without a vote does not answer clients
		}
	}
	if n.client, err = n.dialEtcd(ctx, endpoints); err != nil {
		return err
	}
	n.undo = append(n.undo, n.client.Close)
	if learner {
		if err := n.etcd.Vote(ctx, n.client); err != nil {
			return err
		}
		n.client.SetEndpoints(n.Endpoints...)
	}
	metadata, err := n.openPart(ctx, "meta/")
	if err != nil {
		return err
	}
	n.metadata = newSpread(metadata, n)
	n.undo = append(n.undo, metadata.Close)
	members, err := n.openPart(ctx, "cluster/")
	if err != nil {
		return err
	}
	n.undo = append(n.undo, members.Close)
	n.registry, err = membership.Open(ctx, members)
	return err
}

func (n *Node) dialEtcd(ctx context.Context, endpoints []string) (*clientv3.Client, error) {
	if err := etcdmeta.Probe(ctx, endpoints, n.EtcdTLS); err != nil {
		return nil, err
	}
	return etcdmeta.Dial(clientv3.Config{
		Endpoints: endpoints, TLS: n.EtcdTLS, Username: n.EtcdUser, Password: n.EtcdPassword,
		DialTimeout: 5 * time.Second, DialKeepAliveTime: 2 * time.Second, DialKeepAliveTimeout: 2 * time.Second,
	})
}

// embed starts the member in this process, if there is to be one.
func (n *Node) embed(ctx context.Context) error {
	if n.Embed == nil {
		return nil
	}
	if len(n.Grow) > 0 {
		client, err := n.dialEtcd(ctx, n.Grow)
		if err != nil {
			return err
		}
		err = n.Embed.Grow(ctx, client)
		_ = client.Close()
		if err != nil {
			return err
		}
	}
	etcd, err := etcdmeta.Embed(ctx, *n.Embed)
	if err != nil {
		return err
	}
	n.etcd = etcd
	n.undo = append(n.undo, func() error { n.etcd.Close(); return nil })
	return nil
}

// EtcdURLs are where a node that joins finds etcd.
func (n *Node) EtcdURLs(ctx context.Context) []string {
	if n.Embed == nil {
		return n.Endpoints
	}
	urls, err := etcdmeta.ClientURLs(ctx, n.client)
	if err != nil {
		n.Logger.Warn().Err(err).Msg("who joins is told of this node's etcd alone")
		return n.Endpoints
	}
	return urls
}

// Addresses are where the other nodes listen for nodes.
func (n *Node) Addresses() (list []string) {
	for id, node := range n.registry.View().Nodes {
		if id != n.Self.ID {
			list = append(list, node.Address)
		}
	}
	return list
}
