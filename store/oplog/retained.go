package oplog

import (
	"fmt"
	"slices"
)

// retained is the memory of a Direct log: the entries of which something lives, by index.
//
// An entry that nobody needs is dropped; one of which little is needed is packed (pack.go). So what is held follows what
// is alive, however old and scattered that is.
type retained struct {
	next     uint64 // index of the next entry
	applied  uint64 // entries up to here have been applied
	segments map[uint64]*segment
	recent   *segment // the last one that was looked for
	dying    []uint64 // entries whose last bytes may have died since the last sweep

	held  int64 // bytes of memory
	worth int64 // of these, what packing would free
	round []*segment
}

// segmentEntries is how many entries a segment has.
const segmentEntries = 256

// segment is the entries number*segmentEntries and those after it.
type segment struct {
	number uint64
	kept   []kept
	places []uint8 // of kept in the segment; nil: the i-th is the i-th
	alive  int     // entries that are not dropped
	worth  int64
}

// kept is one entry: whole, or packed to the spans that were live when it was packed.
type kept struct {
	data  []byte
	spans []packedSpan // nil while whole
	live  int64
}

// keptSize is the memory of an entry beside its bytes.
const keptSize = 56

func newRetained() retained { return retained{next: 1, segments: map[uint64]*segment{}} }

func (r *retained) add(data []byte) uint64 {
	index := r.next
	r.next++
	s := r.recent
	if number := index / segmentEntries; s == nil || s.number != number {
		if s = r.segments[number]; s == nil {
			s = &segment{number: number, kept: make([]kept, index%segmentEntries, segmentEntries)}
			r.segments[number] = s
			r.held += s.size()
		}
		r.recent = s
	}
	if data == nil {
		data = []byte{}
	}
	s.kept = append(s.kept, kept{data: data})
	s.alive++
	r.held += int64(len(data))
	return index
}

// find gives an entry that is not dropped, and its segment.
func (r *retained) find(index uint64) (*segment, *kept) {
	s := r.recent
	if number := index / segmentEntries; s == nil || s.number != number {
		if s = r.segments[number]; s == nil {
			return nil, nil
		}
		r.recent = s
	}
	k := s.at(uint8(index % segmentEntries))
	if k == nil || k.gone() {
		return nil, nil
	}
	return s, k
}

func (s *segment) at(place uint8) *kept {
	if s.places == nil {
		if int(place) >= len(s.kept) {
			return nil
		}
		return &s.kept[place]
	}
	if i, found := slices.BinarySearch(s.places, place); found {
		return &s.kept[i]
	}
	return nil
}

// size is the memory of a segment beside its entries' bytes.
func (s *segment) size() int64 { return keptSize * int64(cap(s.kept)) }

// gone tells whether nothing is held of an entry.
func (k *kept) gone() bool { return k.data == nil }

func (k *kept) size() int64 { return int64(len(k.data)) + packedSpanSize*int64(len(k.spans)) }

func (r *retained) account(index uint64, bytes int64) {
	s, k := r.find(index)
	if k == nil {
		bug("entry %d is gone, and %d bytes of it are said to be live", index, bytes)
	}
	before := k.worth()
	k.live += bytes
	if k.live < 0 {
		bug("entry %d: %d more bytes released than were live", index, -k.live)
	}
	if index > r.applied {
		return
	}
	r.addWorth(s, k.worth()-before)
	if k.live == 0 {
		r.dying = append(r.dying, index)
	}
}

func (r *retained) addWorth(s *segment, bytes int64) {
	s.worth += bytes
	r.worth += bytes
}

// settle is called once the entries up to index have been applied: what of them and of older ones is not needed is
// dropped only now, since what the machine ordered may still have had to be read.
func (r *retained) settle(index uint64) {
	for r.applied < index {
		r.applied++
		if s, k := r.find(r.applied); k != nil {
			r.addWorth(s, k.worth())
			r.drop(r.applied)
		}
	}
	for _, index := range r.dying {
		r.drop(index)
	}
	r.dying = r.dying[:0]
}

// drop forgets an entry of which nothing lives.
func (r *retained) drop(index uint64) {
	s, k := r.find(index)
	if k == nil || k.live > 0 {
		return
	}
	r.addWorth(s, -k.worth())
	r.held -= k.size()
	*k = kept{}
	s.alive--
	if r.next < (s.number+1)*segmentEntries {
		return // more are to come into it
	}
	switch {
	case s.alive == 0:
		delete(r.segments, s.number)
		r.held -= s.size()
		if r.recent == s {
			r.recent = nil
		}
	case s.alive*4 <= len(s.kept):
		r.held -= s.size()
		s.thin()
		r.held += s.size()
	}
}

// thin keeps only the entries that are alive.
func (s *segment) thin() {
	kept, places := make([]kept, 0, s.alive), make([]uint8, 0, s.alive)
	for i := range s.kept {
		if s.kept[i].gone() {
			continue
		}
		place := uint8(i)
		if s.places != nil {
			place = s.places[i]
		}
		kept, places = append(kept, s.kept[i]), append(places, place)
	}
	s.kept, s.places = kept, places
}

func (r *retained) read(span Span) ([]byte, error) {
	_, k := r.find(span.Index)
	if k == nil {
		return nil, ErrGone
	}
	return k.read(span.Offset, span.Length)
}

func (k *kept) read(offset, length uint32) ([]byte, error) {
	if k.spans != nil {
		return k.readPacked(offset, length)
	}
	if uint64(offset)+uint64(length) > uint64(len(k.data)) {
		return nil, ErrGone
	}
	return k.data[offset : offset+length : offset+length], nil
}

func bug(format string, values ...any) { panic("oplog: " + fmt.Sprintf(format, values...)) }
