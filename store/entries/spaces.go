package entries

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/warrenmq/warren/store/keys"
)

// Beginning is how a group began on this node: with voters that were known to all of them, or, without any, as a member
// that joins a group that others have begun.
//
// On disk: the voters, 8 bytes each.
type Beginning struct{ Voters []uint64 }

// SetBeginning adds how the group began to a batch.
func (s *Store) SetBeginning(b *pebble.Batch, how Beginning) {
	value := []byte{}
	for _, id := range how.Voters {
		value = binary.LittleEndian.AppendUint64(value, id)
	}
	if err := b.Set(keys.Beginning(s.group), value, nil); err != nil {
		bug("group %d: %v", s.group, err)
	}
}

// Beginning reads how the group began; ok is false if there is no such record.
func (s *Store) Beginning() (how Beginning, ok bool, err error) {
	value, ok, err := s.store.Get(keys.Beginning(s.group))
	if err != nil || !ok {
		return how, false, err
	}
	if len(value)%8 != 0 {
		return how, false, fmt.Errorf("%w: how group %d began", ErrDamaged, s.group)
	}
	for ; len(value) > 0; value = value[8:] {
		how.Voters = append(how.Voters, binary.LittleEndian.Uint64(value))
	}
	return how, true, nil
}

// SetEra adds which era of the group this node's part of it is of to a batch.
func (s *Store) SetEra(b *pebble.Batch, era uint64) {
	if err := b.Set(keys.Era(s.group), binary.LittleEndian.AppendUint64(nil, era), nil); err != nil {
		bug("group %d: %v", s.group, err)
	}
}

// Era reads how often the group had begun anew, without members that were lost, when this node's part of it began; 0: never.
func (s *Store) Era() (uint64, error) {
	value, ok, err := s.store.Get(keys.Era(s.group))
	if err != nil || !ok {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("%w: the era of group %d", ErrDamaged, s.group)
	}
	return binary.LittleEndian.Uint64(value), nil
}

// Current gives the entries in the space that counts: the one the newest snapshot names, or, where that cannot be read, the
// oldest that has something.
func (s *Store) Current() *Store {
	if head, ok, err := s.SnapshotHead(); err == nil {
		if !ok {
			return s.In(0)
		}
		return s.In(head.Space)
	}
	for _, b := range s.In(0).space.Bounds() {
		if any, err := s.anyIn(b[0], b[1]); any || err != nil {
			return s.In(0)
		}
	}
	it, err := s.store.DB.NewIter(&pebble.IterOptions{LowerBound: keys.Spaces(s.group, 0), UpperBound: keys.SpacesEnd(s.group)})
	if err != nil {
		return s.In(0)
	}
	number, ok := uint64(0), it.First()
	if ok {
		number, _ = keys.SpaceNumber(it.Key())
	}
	_ = it.Close()
	return s.In(number)
}

func (s *Store) anyIn(lower, upper []byte) (bool, error) {
	it, err := s.store.DB.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return false, s.explain(err)
	}
	found := it.First()
	return found, s.explain(errors.Join(it.Error(), it.Close()))
}

// Space is the number of the space that these entries lie in.
func (s *Store) Space() uint64 { return s.space.Number }

// ClearTo adds the removal of all that lies in this space to a batch.
func (s *Store) ClearTo(b *pebble.Batch) {
	for _, bounds := range s.space.Bounds() {
		s.clearTo(b, bounds[0], bounds[1])
	}
}

func (s *Store) clearTo(b *pebble.Batch, lower, upper []byte) {
	if err := b.DeleteRange(lower, upper, nil); err != nil {
		bug("group %d: %v", s.group, err)
	}
}

// ClearOthers removes what lies in other spaces: what was left when the process ended while another member's state came in,
// or had just taken the place of what was there.
func (s *Store) ClearOthers() error {
	var ranges [][2][]byte
	if s.space.Number == 0 {
		ranges = [][2][]byte{{keys.Spaces(s.group, 1), keys.SpacesEnd(s.group)}}
	} else {
		ranges = append(s.In(0).space.Bounds(), [2][]byte{keys.Spaces(s.group, 1), keys.Spaces(s.group, s.space.Number)},
			[2][]byte{keys.Spaces(s.group, s.space.Number+1), keys.SpacesEnd(s.group)})
	}
	b := s.NewBatch()
	for _, r := range ranges {
		any, err := s.anyIn(r[0], r[1])
		if err != nil {
			return errors.Join(err, b.Close())
		}
		if any {
			s.clearTo(b, r[0], r[1])
		}
	}
	if b.Empty() {
		return b.Close()
	}
	s.store.CommitLazily(b)
	return nil
}

// DropTo adds the removal of everything of the group to a batch, but for its era, the term it knows and the vote it gave: these
// are promises to others, and hold should the node ever be a member again. It never begins the group anew: others have it.
func (s *Store) DropTo(b *pebble.Batch) error {
	hard, ok, err := s.HardState()
	if err != nil {
		return err
	}
	era, err := s.Era()
	if err != nil {
		return err
	}
	lower, upper := keys.Group(s.group)
	s.clearTo(b, lower, upper)
	if ok {
		s.SetHardState(b, HardState{Term: hard.Term, Vote: hard.Vote})
	}
	if era > 0 {
		s.SetEra(b, era)
	}
	s.SetBeginning(b, Beginning{})
	return nil
}
