package store

import (
	"encoding/binary"
	"sync"

	"github.com/warrenmq/warren/store/keys"
)

// BeginLife gives a number for this life of the directory's owner: at least the one that is asked for, and at least so far
// apart from that of the life before. It is on the disk when BeginLife returns.
func (s *Store) BeginLife(least, apart uint64) (uint64, error) {
	value, ok, err := s.Get(keys.Life)
	if err != nil {
		return 0, err
	}
	if ok && len(value) == 8 {
		least = max(least, binary.LittleEndian.Uint64(value)+apart)
	}
	b := s.DB.NewBatch()
	if err := b.Set(keys.Life, binary.LittleEndian.AppendUint64(nil, least), nil); err != nil {
		return 0, Explain(err)
	}
	var written sync.WaitGroup
	written.Add(1)
	s.Commit(b, written.Done)
	written.Wait()
	return least, nil
}
