package entries

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/keys"
)

// Remains is what is left of an entry.
type Remains struct {
	Index uint64
	Kind  Kind
	Data  []byte   // of an entry that is whole; the visitor's to keep
	Rest  [][]byte // the stretches that are left of one that was packed
	Err   error    // why there is neither
}

// Salvage visits all entries that are there, without asking for those that are not: for whoever has no snapshot to begin
// from. It ends early, with an error, where not even the next one can be found.
func (s *Store) Salvage(visit func(Remains) bool) error {
	lower, upper := s.space.Entries(0, ^uint64(0))
	it, err := s.store.DB.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return s.explain(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if !visit(s.remains(it.Key(), value, err)) {
			break
		}
	}
	return s.explain(errors.Join(it.Error(), it.Close()))
}

func (s *Store) remains(key, value []byte, err error) (r Remains) {
	if err == nil {
		var e Entry
		if e, err = parse(key, append([]byte(nil), value...)); err == nil {
			r = Remains{Index: e.Index, Kind: e.Kind &^ packed, Data: e.Data}
			if e.Kind&packed != 0 {
				r.Data = nil
				b, ok := parsePacked(e.Data)
				if !ok {
					err = fmt.Errorf("%w: not a packed entry", ErrDamaged)
				}
				r.Rest = b.each()
			}
		}
	}
	if r.Index, _ = keys.EntryIndex(key); err != nil {
		r.Err = fmt.Errorf("group %d, entry %d: %w", s.group, r.Index, store.Explain(err))
	}
	return r
}

// each gives the stretches of a packed entry.
func (b *Bytes) each() (list [][]byte) {
	for i, s := range b.stretches {
		end := len(b.data)
		if i+1 < len(b.stretches) {
			end = int(b.stretches[i+1].at)
		}
		list = append(list, b.data[s.at:end])
	}
	return list
}
