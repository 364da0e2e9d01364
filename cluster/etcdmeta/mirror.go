package etcdmeta

import (
	"context"
	"sort"
	"sync"

	"github.com/warrenmq/warren/store/meta"
)

// mirror is the metadata as the watch has told it so far.
type mirror struct {
	mu       sync.Mutex
	pairs    map[string]meta.KV
	revision int64 // up to which the watch has told everything
	watches  []func(meta.Event)
	told     chan struct{} // closed when the revision rises
	waiting  []waiting
}

// waiting is what is to be done once a revision is reached.
type waiting struct {
	revision int64
	do       func()
}

func (m *mirror) init() { m.pairs, m.told = map[string]meta.KV{}, make(chan struct{}) }

// load gives all pairs and follows from there.
func (m *mirror) load(watch func(meta.Event)) ([]meta.KV, int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	pairs := make([]meta.KV, 0, len(m.pairs))
	for _, kv := range m.pairs {
		pairs = append(pairs, kv)
	}
	sort.Slice(pairs, func(i, j int) bool { return pairs[i].Key < pairs[j].Key })
	if watch != nil {
		m.watches = append(m.watches, watch)
	}
	return pairs, m.revision
}

// apply takes an event in. One that was seen before, or has no changes, only moves the revision.
func (m *mirror) apply(e meta.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.Revision <= m.revision {
		return
	}
	for _, kv := range e.Changes {
		if kv.Value == nil {
			delete(m.pairs, kv.Key)
		} else {
			m.pairs[kv.Key] = kv
		}
	}
	m.tell(e)
}

// replace makes the mirror show these pairs, and tells the watches the difference.
func (m *mirror) replace(pairs map[string]meta.KV, revision int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if revision <= m.revision {
		return
	}
	e := meta.Event{Revision: revision}
	for key := range m.pairs {
		if _, stays := pairs[key]; !stays {
			e.Changes = append(e.Changes, meta.KV{Key: key, Revision: revision})
		}
	}
	for key, kv := range pairs {
		if m.pairs[key].Revision != kv.Revision {
			e.Changes = append(e.Changes, kv)
		}
	}
	sort.Slice(e.Changes, func(i, j int) bool { return e.Changes[i].Key < e.Changes[j].Key })
	m.pairs = pairs
	m.tell(e)
}

func (m *mirror) tell(e meta.Event) {
	m.revision = e.Revision
	if len(e.Changes) > 0 {
		for _, watch := range m.watches {
			watch(e)
		}
	}
	close(m.told)
	m.told = make(chan struct{})
	rest := m.waiting[:0]
	for _, w := range m.waiting {
		if w.revision <= m.revision {
			w.do()
		} else {
			rest = append(rest, w)
		}
	}
	clear(m.waiting[len(rest):])
	m.waiting = rest
}

// reached calls do once the watch has told everything up to revision.
func (m *mirror) reached(revision int64, do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.revision >= revision {
		do()
		return
	}
	m.waiting = append(m.waiting, waiting{revision, do})
}

// life gives whose life a pair goes with, 0 if it lasts or is not there.
func (m *mirror) life(key string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pairs[key].Life
}

func (m *mirror) seen() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.revision
}

// wait blocks until the watch has told everything up to revision.
func (m *mirror) wait(ctx context.Context, revision int64) error {
	return m.until(ctx, func() bool { return m.revision >= revision })
}

// shows blocks until the watch has told what pairs looked like at revision, or later: by key the revision of each, 0 for one
// that was not there. Nothing need happen for the watch to say that it has come as far as revision.
func (m *mirror) shows(ctx context.Context, revision int64, pairs map[string]int64) error {
	return m.until(ctx, func() bool {
		if m.revision >= revision {
			return true
		}
		for key, want := range pairs {
			if kv, there := m.pairs[key]; there != (want > 0) || kv.Revision < want {
				return false
			}
		}
		return true
	})
}

// until blocks until what is asked for holds. It is asked under the lock.
func (m *mirror) until(ctx context.Context, holds func() bool) error {
	for {
		m.mu.Lock()
		done, told := holds(), m.told
		m.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-told:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
