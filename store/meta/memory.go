package meta

import (
	"context"
	"fmt"
	"sort"
	"sync"
)

// Memory is a Store that forgets everything when it is closed. Persist, if it is set, is told of each transaction in
// order, under the lock, and owes the call of durable; ephemeral ops are not among those it gets.
type Memory struct {
	Persist func(revision int64, ops []Op, durable func(error))

	mu       sync.Mutex
	pairs    map[string]KV
	revision int64
	watches  []func(Event)
}

// NewMemory makes a store with these pairs, of that revision.
func NewMemory(pairs []KV, revision int64) *Memory {
	m := &Memory{pairs: make(map[string]KV, len(pairs)), revision: revision}
	for _, kv := range pairs {
		m.pairs[kv.Key] = kv
	}
	return m
}

// Load gives all pairs and follows from there.
func (m *Memory) Load(_ context.Context, watch func(Event)) ([]KV, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	pairs := make([]KV, 0, len(m.pairs))
	for _, kv := range m.pairs {
		pairs = append(pairs, kv)
	}
	sort.Slice(pairs, func(i, j int) bool { return pairs[i].Key < pairs[j].Key })
	if watch != nil {
		m.watches = append(m.watches, watch)
	}
	return pairs, m.revision, nil
}

// Commit applies t at once.
func (m *Memory) Commit(ctx context.Context, t Txn, durable func(error)) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	revision, persisted, err := m.commit(t, durable)
	if err == nil && !persisted && durable != nil {
		durable(nil)
	}
	return revision, err
}

// commit applies t under the lock. persisted tells that Persist owes the call of durable.
func (m *Memory) commit(t Txn, durable func(error)) (revision int64, persisted bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range t.Guards {
		if m.pairs[g.Key].Revision != g.Revision {
			return 0, false, ErrConflict
		}
	}
	m.revision++
	event := Event{Revision: m.revision, Changes: make([]KV, 0, len(t.Ops))}
	var lasting []Op
	for _, op := range t.Ops {
		kv := KV{Key: op.Key, Value: op.Value, Revision: m.revision}
		switch {
		case op.Delete:
			kv.Value = nil
			delete(m.pairs, op.Key)
		case op.Value == nil:
			kv.Value = []byte{} // nil would say that it is gone
			fallthrough
		default:
			m.pairs[op.Key] = kv
		}
		event.Changes = append(event.Changes, kv)
		if !op.Ephemeral {
			lasting = append(lasting, op)
		}
	}
	for _, watch := range m.watches {
		watch(event)
	}
	if m.Persist != nil && len(lasting) > 0 {
		m.Persist(m.revision, lasting, durable)
		persisted = true
	}
	return m.revision, persisted, nil
}

// Close does nothing.
func (m *Memory) Close() error { return nil }
