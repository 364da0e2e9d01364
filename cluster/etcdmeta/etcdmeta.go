// Package etcdmeta owns the metadata of a cluster: meta.Store on etcd.
//
//  1. Open takes a lease for this node: what it writes as ephemeral goes when the node does.
//  2. Load reads everything once and follows it with a watch; a mirror holds what the watch has said.
//  3. Commit is one etcd transaction, compared by revisions, and returns when the mirror has seen it.
//  4. A watch that fell behind etcd's compaction reads everything again, and says what is different as one event.
//
// A revision is etcd's own.
package etcdmeta

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/warrenmq/warren/store/meta"
)

// Options are what a Store is told.
type Options struct {
	// Client is the connection to etcd. Close leaves it open.
	Client *clientv3.Client
	// Prefix is what all keys begin with, such as "/warren/". Two clusters in one etcd differ in it.
	Prefix string
	// TTL is how long ephemeral pairs outlive a node that is not heard of. Default 15 s.
	TTL time.Duration
	// Timeout bounds a Commit. Default 4 s: whoever declares hears within 5.
	Timeout time.Duration
	// MaxOps is how many operations etcd takes in one transaction. Default 128, which is etcd's own default.
	MaxOps int
	Logger zerolog.Logger
}

// Store is the metadata in etcd. It is safe for concurrent use.
type Store struct {
	Options
	ctx  context.Context // ends with Close
	stop context.CancelFunc
	runs sync.WaitGroup

	mirror mirror
	lease  lease
}

// DefaultTTL is how long a lease holds where Options say nothing.
const DefaultTTL = 15 * time.Second

// Open connects a node to the metadata. ctx bounds the opening alone.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	if o.Timeout == 0 {
		o.Timeout = 4 * time.Second
	}
	if o.MaxOps == 0 {
		o.MaxOps = 128
	}
	s := &Store{Options: o}
	s.ctx, s.stop = context.WithCancel(clientv3.WithRequireLeader(context.WithoutCancel(ctx)))
	s.mirror.init()
	if err := s.grant(ctx); err != nil {
		s.stop()
		return nil, err
	}
	if err := s.fill(ctx); err != nil {
		s.stop()
		return nil, err
	}
	s.runs.Go(s.follow)
	s.runs.Go(s.keepAlive)
	return s, nil
}

// Load implements meta.Store.
func (s *Store) Load(_ context.Context, watch func(meta.Event)) ([]meta.KV, int64, error) {
	pairs, revision := s.mirror.load(watch)
	return pairs, revision, nil
}

// Reached calls do, which must not block or call the Store, once this node's watch has told everything up to revision.
func (s *Store) Reached(revision int64, do func()) { s.mirror.reached(revision, do) }

// Close gives the node's lease back, so that what is ephemeral goes at once, and ends the watch.
func (s *Store) Close() error {
	if s.ctx.Err() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), s.Timeout)
	defer cancel()
	s.stop()
	s.runs.Wait()
	_, err := s.Client.Revoke(ctx, s.lease.id())
	return unavailable(err)
}

// fill reads everything into the mirror.
func (s *Store) fill(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	response, err := s.Client.Get(ctx, s.Prefix, clientv3.WithPrefix())
	if err != nil {
		return fmt.Errorf("reading the metadata: %w", unavailable(err))
	}
	pairs := make(map[string]meta.KV, len(response.Kvs))
	for _, kv := range response.Kvs {
		name := strings.TrimPrefix(string(kv.Key), s.Prefix)
		pairs[name] = meta.KV{Key: name, Value: value(kv.Value), Revision: kv.ModRevision, Life: kv.Lease}
	}
	s.mirror.replace(pairs, response.Header.Revision)
	return nil
}

// value is never nil: that would say that a pair is gone.
func value(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}

// unavailable says what kept etcd from answering.
func unavailable(err error) error {
	if err == nil || errors.Is(err, meta.ErrConflict) {
		return err
	}
	if errors.Is(err, rpctypes.ErrPermissionDenied) || errors.Is(err, rpctypes.ErrAuthFailed) {
		return fmt.Errorf("%w: etcd refuses the credentials it was given: %w", meta.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: etcd does not answer: %w", meta.ErrUnavailable, err)
}
