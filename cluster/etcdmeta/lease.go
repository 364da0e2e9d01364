package etcdmeta

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// lease is what the node's ephemeral pairs hang on. Without one nothing ephemeral can be written.
type lease struct {
	mu   sync.Mutex
	now  clientv3.LeaseID
	have chan struct{} // closed while there is one
}

func (l *lease) set(id clientv3.LeaseID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.have == nil || l.now != 0 {
		l.have = make(chan struct{})
	}
	if l.now = id; id != 0 {
		close(l.have)
	}
}

func (l *lease) id() clientv3.LeaseID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// wait gives the lease as soon as there is one.
func (l *lease) wait(ctx context.Context) (clientv3.LeaseID, error) {
	l.mu.Lock()
	id, have := l.now, l.have
	l.mu.Unlock()
	if id != 0 {
		return id, nil
	}
	select {
	case <-have:
		return l.id(), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// grant takes a lease.
func (s *Store) grant(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	response, err := s.Client.Grant(ctx, int64(max(s.TTL.Seconds(), 1)))
	if err != nil {
		return fmt.Errorf("taking a lease: %w", unavailable(err))
	}
	s.lease.set(response.ID)
	return nil
}

// keepAlive renews the lease, and takes another when it is lost: then others have seen the node's ephemeral pairs go, and
// so will the node.
func (s *Store) keepAlive() {
	for s.ctx.Err() == nil {
		answers, err := s.Client.KeepAlive(s.ctx, s.lease.id())
		if err == nil {
			for range answers { // until the lease is lost, or the store closed
			}
		}
		if s.ctx.Err() != nil || s.lives() {
			continue
		}
		s.lease.set(0)
		s.Logger.Warn().Err(err).Msg("the node's lease is lost; taking another")
		for pause := pauseLeast; s.grant(s.ctx) != nil && s.ctx.Err() == nil; pause = min(2*pause, pauseMost) {
			s.sleep(pause)
		}
	}
}

// lives tells whether the lease still holds, once etcd can be asked: to this node it seems lost when etcd is away for as long as
// it lasts, but etcd begins its time anew when it is back.
func (s *Store) lives() bool {
	for pause := pauseLeast; s.ctx.Err() == nil; pause = min(2*pause, pauseMost) {
		ctx, cancel := context.WithTimeout(s.ctx, s.Timeout)
		_, err := s.Client.KeepAliveOnce(ctx, s.lease.id())
		cancel()
		if err == nil || errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return err == nil
		}
		s.sleep(pause)
	}
	return false
}
