package clustered

import (
	"context"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/store/meta"
)

// A broker that was alone has its metadata on its own disk, and groups of one member that know it as node 1. It can become
// the first node of a cluster: its metadata is copied, and its groups gain members like any others.

// adopt copies the metadata of a broker that was alone, if the cluster is new. It says what is wrong if it is not.
func (n *Node) adopt(ctx context.Context, uuid string) error {
	pairs, _, err := n.Local.Load(ctx, nil)
	if err != nil || len(pairs) == 0 {
		return err
	}
	v := n.registry.View()
	for _, known := range v.Nodes {
		if known.UUID == uuid {
			return nil
		}
	}
	if len(v.Nodes) > 0 {
		return fmt.Errorf("%s holds the messages of a broker that was alone: it can begin a cluster, and not join one that has nodes already", n.Dir)
	}
	there, _, err := n.metadata.Load(ctx, nil)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return fmt.Errorf("etcd has metadata under %s, and %s has its own: one of them has to go", n.Prefix, n.Dir)
	}
	t := meta.Txn{}
	for _, kv := range pairs {
		t.Guards = append(t.Guards, meta.Guard{Key: kv.Key})
		t.Ops = append(t.Ops, meta.Op{Key: kv.Key, Value: kv.Value})
	}
	if _, err := n.metadata.Store.Commit(ctx, t, nil); err != nil {
		if errors.Is(err, meta.ErrConflict) {
			return fmt.Errorf("somebody else has begun to write metadata under %s", n.Prefix)
		}
		return fmt.Errorf("copying the metadata: %w", err)
	}
	n.Logger.Info().Int("pairs", len(pairs)).Msg("the metadata was copied to etcd")
	return nil
}
