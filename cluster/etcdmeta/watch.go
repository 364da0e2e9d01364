package etcdmeta

import (
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/warrenmq/warren/store/meta"
)

// Pauses before etcd is asked again.
const (
	pauseLeast = 50 * time.Millisecond
	pauseMost  = 2 * time.Second
)

// follow keeps the mirror up to date until the store is closed.
func (s *Store) follow() {
	pause := pauseLeast
	for s.ctx.Err() == nil {
		before := s.mirror.seen()
		err := s.watch(before + 1)
		if s.ctx.Err() != nil {
			return
		}
		if s.mirror.seen() > before {
			pause = pauseLeast
		}
		s.Logger.Warn().Err(err).Msg("the watch on the metadata ended; reading anew")
		s.sleep(pause)
		pause = min(2*pause, pauseMost)
		if err := s.fill(s.ctx); err != nil && s.ctx.Err() == nil {
			s.Logger.Warn().Err(err).Msg("the metadata cannot be read")
		}
	}
}

// watch takes in what changes from a revision on, until the watch breaks.
func (s *Store) watch(from int64) error {
	events := s.Client.Watch(s.ctx, s.Prefix, clientv3.WithPrefix(), clientv3.WithRev(from), clientv3.WithProgressNotify())
	for response := range events {
		if err := response.Err(); err != nil {
			return err
		}
		s.takeIn(&response)
	}
	return s.ctx.Err()
}

// takeIn applies a response of the watch: the changes of a revision are one event.
func (s *Store) takeIn(r *clientv3.WatchResponse) {
	list := r.Events
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].Kv.ModRevision == list[0].Kv.ModRevision {
			n++
		}
		e := meta.Event{Revision: list[0].Kv.ModRevision, Changes: make([]meta.KV, n)}
		for i, one := range list[:n] {
			e.Changes[i] = meta.KV{Key: strings.TrimPrefix(string(one.Kv.Key), s.Prefix), Revision: e.Revision}
			if one.Type == mvccpb.Event_PUT {
				e.Changes[i].Value, e.Changes[i].Life = value(one.Kv.Value), one.Kv.Lease
			}
		}
		s.mirror.apply(e)
		list = list[n:]
	}
	if r.IsProgressNotify() {
		s.mirror.apply(meta.Event{Revision: r.Header.Revision})
	}
}

// sleep waits, but not for longer than the store is open.
func (s *Store) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}
