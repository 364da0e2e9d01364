package clustered

import (
	"bytes"
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
	missing, ours := lacking(there, pairs)
	if !ours {
		return fmt.Errorf("etcd has metadata under %s, and %s has its own: one of them has to go", n.Prefix, n.Dir)
	}
	t := meta.Txn{}
	for _, kv := range missing {
		t.Guards = append(t.Guards, meta.Guard{Key: kv.Key})
		t.Ops = append(t.Ops, meta.Op{Key: kv.Key, Value: kv.Value})
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := n.metadata.Store.Commit(ctx, t, nil); err != nil {
		if errors.Is(err, meta.ErrConflict) {
			return fmt.Errorf("somebody else has begun to write metadata under %s", n.Prefix)
		}
		return fmt.Errorf("copying the metadata: %w", err)
	}
	n.Logger.Info().Int("pairs", len(missing)).Msg("the metadata was copied to etcd")
	return nil
}

// lacking gives the pairs that are not there yet. ours is false if something else is there: what is, a copy that ended too
// soon must have brought.
func lacking(there, pairs []meta.KV) (missing []meta.KV, ours bool) {
	values := map[string][]byte{}
	for _, kv := range there {
		values[kv.Key] = kv.Value
	}
	for _, kv := range pairs {
		value, ok := values[kv.Key]
		if !ok {
			missing = append(missing, kv)
			continue
		}
		if !bytes.Equal(value, kv.Value) {
			return nil, false
		}
		delete(values, kv.Key)
	}
	return missing, len(values) == 0
}
