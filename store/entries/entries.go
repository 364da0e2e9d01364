// Package entries owns what a group keeps on disk: log entries, hard state, snapshots.
//
// The log entry is the message store. An entry is written once; behind a snapshot it stays for as long as some of its
// bytes are live, and is removed with its neighbours in one range, or packed to what still lives.
//
//  1. Open reads hard state, the newest snapshot's head, and where the log ends.
//  2. AppendTo adds entries to a batch, which the raft layer commits; Range and Term read them back.
//  3. Read gives a span of an entry to whoever delivers, from memory if it is recent.
//  4. Account and Collect keep track of what lives, and free the rest.
package entries

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/keys"
)

// Kind says what an entry holds.
type Kind uint8

// Kinds of entries. A packed one holds stretches of the data it once had.
const (
	Normal Kind = iota
	ConfChange
	ConfChangeV2
	packed Kind = 0x80
)

// Entry is one item of a group's log.
type Entry struct {
	Index, Term uint64
	Kind        Kind
	Data        []byte
}

// entryHead is what stands before an entry's data: kind, term.
const entryHead = 9

// ErrDamaged is store.ErrDamaged: it is returned, wrapped, for stored bytes that are not what was written.
var ErrDamaged = store.ErrDamaged

// Footprint is what an entry with so many bytes of data takes on disk.
func Footprint(data int) int { return keys.EntrySize + entryHead + data }

// HardState is raft's own state.
type HardState struct{ Term, Vote, Commit uint64 }

// Store is the entries of one group.
type Store struct {
	// PartBytes is how many bytes of a snapshot are written at once. Default 1 MiB.
	PartBytes int

	group uint64
	space keys.Space
	store *store.Store
}

// New gives the entries of a group, in the space that it begins in.
func New(s *store.Store, group uint64) *Store {
	return &Store{group: group, space: keys.Space{Group: group}, store: s}
}

// In gives the entries of the same group in another space. That of the newest snapshot counts: Head.Space.
func (s *Store) In(space uint64) *Store {
	other := *s
	other.space.Number = space
	return &other
}

// NewBatch begins a write.
func (s *Store) NewBatch() *pebble.Batch { return s.store.DB.NewBatch() }

// WriteLazily applies a batch that rides to the disk with the next that is synced.
func (s *Store) WriteLazily(b *pebble.Batch) { s.store.CommitLazily(b) }

// AppendTo adds an entry to a batch.
func (s *Store) AppendTo(b *pebble.Batch, e *Entry) {
	var key [32]byte
	k := s.space.Entry(key[:0], e.Index)
	op := b.SetDeferred(len(k), entryHead+len(e.Data))
	copy(op.Key, k)
	putHead(op.Value, e)
	copy(op.Value[entryHead:], e.Data)
	if err := op.Finish(); err != nil {
		bug("group %d, entry %d: %v", s.group, e.Index, err)
	}
}

func putHead(dst []byte, e *Entry) {
	dst[0] = byte(e.Kind)
	binary.LittleEndian.PutUint64(dst[1:], e.Term)
}

// TruncateTo adds the removal of the entries from..to (both included) to a batch: a new leader has written others.
func (s *Store) TruncateTo(b *pebble.Batch, from, to uint64) {
	lower, upper := s.space.Entries(from, to+1)
	if err := b.DeleteRange(lower, upper, nil); err != nil {
		bug("group %d, entries %d to %d: %v", s.group, from, to, err)
	}
}

// SetHardState adds the hard state to a batch.
func (s *Store) SetHardState(b *pebble.Batch, h HardState) {
	value := binary.LittleEndian.AppendUint64(nil, h.Term)
	value = binary.LittleEndian.AppendUint64(value, h.Vote)
	value = binary.LittleEndian.AppendUint64(value, h.Commit)
	if err := b.Set(keys.HardState(s.group), value, nil); err != nil {
		bug("group %d: %v", s.group, err)
	}
}

// HardState reads the hard state; ok is false if there is none yet.
func (s *Store) HardState() (h HardState, ok bool, err error) {
	value, ok, err := s.store.Get(keys.HardState(s.group))
	if err != nil || !ok {
		return h, false, err
	}
	if len(value) != 24 {
		return h, false, fmt.Errorf("%w: hard state of group %d", ErrDamaged, s.group)
	}
	return HardState{
		Term:   binary.LittleEndian.Uint64(value),
		Vote:   binary.LittleEndian.Uint64(value[8:]),
		Commit: binary.LittleEndian.Uint64(value[16:]),
	}, true, nil
}

// Last gives index and term of the newest entry; ok is false if there is none.
func (s *Store) Last() (index, term uint64, ok bool, err error) {
	lower, upper := s.space.Entries(0, ^uint64(0))
	it, err := s.store.DB.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return 0, 0, false, err
	}
	if it.Last() {
		var e Entry
		var value []byte
		if value, err = it.ValueAndErr(); err == nil {
			e, err = parse(it.Key(), value)
		}
		index, term, ok = e.Index, e.Term, err == nil
	}
	return index, term, ok, s.explain(errors.Join(err, it.Error(), it.Close()))
}

func (s *Store) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("group %d: %w", s.group, store.Explain(err))
}

// parse opens a stored entry; its data is borrowed.
func parse(key, value []byte) (Entry, error) {
	index, err := keys.EntryIndex(key)
	if err != nil || len(value) < entryHead {
		return Entry{}, fmt.Errorf("%w: entry at key %x", ErrDamaged, key)
	}
	return Entry{
		Index: index, Kind: Kind(value[0]), Term: binary.LittleEndian.Uint64(value[1:]), Data: value[entryHead:],
	}, nil
}

// Get reads one entry as it is stored; its data is the caller's. What a packed one holds, Bytes can tell.
func (s *Store) Get(index uint64) (Entry, error) {
	key := s.space.Entry(nil, index)
	value, ok, err := s.store.Get(key)
	if err != nil {
		return Entry{}, fmt.Errorf("group %d, entry %d: %w", s.group, index, err)
	}
	if !ok {
		return Entry{}, fmt.Errorf("group %d, entry %d: %w", s.group, index, pebble.ErrNotFound)
	}
	return parse(key, value)
}

// Range visits the entries from <= index < to in order, until visit says no. Their data is the visitor's to keep. A gap
// is an error.
func (s *Store) Range(from, to uint64, visit func(Entry) bool) error {
	lower, upper := s.space.Entries(from, to)
	it, err := s.store.DB.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	want := from
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return s.explain(errors.Join(fmt.Errorf("entry %d: %w", want, store.Explain(err)), it.Close()))
		}
		e, err := parse(it.Key(), append([]byte(nil), value...))
		switch {
		case err != nil:
		case e.Index != want:
			err = fmt.Errorf("%w: entry %d is not there", ErrDamaged, want)
		case e.Kind&packed != 0:
			err = fmt.Errorf("%w: entry %d is packed, but no snapshot covers it", ErrDamaged, want)
		}
		if err != nil {
			return s.explain(errors.Join(err, it.Close()))
		}
		want++
		if !visit(e) {
			break
		}
	}
	return s.explain(errors.Join(it.Error(), it.Close()))
}

func bug(format string, values ...any) { panic("entries: " + fmt.Sprintf(format, values...)) }
