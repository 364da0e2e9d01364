// Package meta is the contract of the metadata store, and a form of it that lives in memory.
//
// Metadata is a flat map from keys to values with one revision that rises with every transaction. There is one way to
// change it, Commit, and one way to learn of changes, Watch; whoever commits sees its own change in its watch before
// Commit returns.
//
//  1. Load gives everything at one revision;
//  2. Watch delivers every later change, in order, one Event a transaction;
//  3. Commit applies a transaction if its guards still hold, else returns ErrConflict and the caller looks again.
package meta

import (
	"context"
	"errors"
)

// ErrConflict is returned by Commit when a guard no longer holds: nothing was changed.
var ErrConflict = errors.New("meta: the metadata changed meanwhile")

// ErrUnavailable is returned, wrapped, when the store cannot be reached in time. Whether the transaction took effect is
// then not known.
var ErrUnavailable = errors.New("meta: the metadata store cannot be reached")

// KV is one pair. Revision is that of the transaction that last wrote it. Life is, in a store that knows it, whose life an
// ephemeral pair goes with; 0: it lasts.
type KV struct {
	Key      string
	Value    []byte
	Revision int64
	Life     int64
}

// Op writes a pair, or deletes it if Delete is set. An ephemeral pair goes with this node; or, if With is not "", as the pair of
// that key does, whichever node's it is.
type Op struct {
	Key       string
	Value     []byte
	Delete    bool
	Ephemeral bool
	With      string
}

// Guard demands that a key still has the revision it had when it was read; 0: that there is no such key.
type Guard struct {
	Key      string
	Revision int64
}

// Txn is what happens together or not at all.
type Txn struct {
	Guards []Guard
	Ops    []Op
}

// Event is one transaction as a watcher sees it. In Changes a nil Value means that the key is gone.
type Event struct {
	Revision int64
	Changes  []KV
}

// Store keeps metadata. It is safe for concurrent use.
type Store interface {
	// Load gives all pairs, ordered by key, and the revision they are of; from then on watch is called for every later
	// event, in order, one call at a time. watch must not call the store.
	Load(ctx context.Context, watch func(Event)) (pairs []KV, revision int64, err error)
	// Commit applies t. When it returns, this node's watch has seen the event; durable is called, perhaps later and from
	// another goroutine, once the change survives a crash, or with the error that forbids to say so.
	Commit(ctx context.Context, t Txn, durable func(error)) (revision int64, err error)
	Close() error
}
