// Package metadb owns the metadata on the node's own Pebble.
//
// All pairs live in memory, in a meta.Memory; what lasts is also written, in the order of the transactions, through the
// store's committer, and read back when the store is opened. Ephemeral pairs are never written.
package metadb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/keys"
	"github.com/warrenmq/warren/store/meta"
)

// DB is the metadata of one node.
type DB struct {
	*meta.Memory
	store *store.Store
}

// Open reads the metadata of a data directory.
func Open(ctx context.Context, s *store.Store) (*DB, error) {
	pairs, revision, err := load(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("reading the metadata: %w", err)
	}
	d := &DB{Memory: meta.NewMemory(pairs, revision), store: s}
	d.Persist = d.persist
	return d, nil
}

func load(ctx context.Context, s *store.Store) (pairs []meta.KV, revision int64, err error) {
	value, ok, err := s.Get(keys.MetaRevision)
	if err != nil {
		return nil, 0, err
	}
	if ok && len(value) != 8 {
		return nil, 0, fmt.Errorf("%w: the revision is %x", store.ErrDamaged, value)
	}
	if ok {
		revision = int64(binary.LittleEndian.Uint64(value))
	}
	it, err := s.DB.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: keys.MetaPrefix, UpperBound: keys.MetaEnd})
	if err != nil {
		return nil, 0, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err == nil && len(value) < 8 {
			err = store.ErrDamaged
		}
		if err != nil {
			return nil, 0, errors.Join(fmt.Errorf("metadata key %q: %w", it.Key(), store.Explain(err)), it.Close())
		}
		pairs = append(pairs, meta.KV{
			Key: keys.MetaName(it.Key()), Value: append([]byte{}, value[8:]...),
			Revision: int64(binary.LittleEndian.Uint64(value)),
		})
	}
	return pairs, revision, store.Explain(errors.Join(it.Error(), it.Close()))
}

// persist writes a transaction. It is called in the order of the revisions.
func (d *DB) persist(revision int64, ops []meta.Op, durable func(error)) {
	b := d.store.DB.NewBatch()
	for _, op := range ops {
		if op.Delete {
			must(b.Delete(keys.Meta(op.Key), nil))
			continue
		}
		value := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+len(op.Value)), uint64(revision))
		must(b.Set(keys.Meta(op.Key), append(value, op.Value...), nil))
	}
	must(b.Set(keys.MetaRevision, binary.LittleEndian.AppendUint64(nil, uint64(revision)), nil))
	d.store.Commit(b, func() {
		if durable != nil {
			durable(nil)
		}
	})
}

// must: adding to a batch in memory cannot fail.
func must(err error) {
	if err != nil {
		bug("%v", err)
	}
}

func bug(format string, values ...any) { panic("metadb: " + fmt.Sprintf(format, values...)) }
