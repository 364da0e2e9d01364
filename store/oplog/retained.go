package oplog

import (
	"cmp"
	"fmt"
	"slices"
)

// retained is the memory of a Direct log: the entries of which something lives, by index.
type retained struct {
	base    uint64 // index of items[0]
	items   []kept
	bytes   int64 // held by items
	live    int64 // of these, needed
	packAt  uint64
	applied uint64 // entries up to here have been applied
}

// kept is one entry: whole, or packed to the spans that were live when it was packed.
type kept struct {
	data  []byte
	spans []packedSpan // nil while whole
	live  int64
}

type packedSpan struct {
	offset uint32 // in the whole entry
	data   []byte
}

const (
	// packSlack is garbage that is never worth packing.
	packSlack = 16 << 20
	// packRound bounds the entries looked at in one go.
	packRound = 256
)

func (r *retained) next() uint64 { return r.base + uint64(len(r.items)) }

func (r *retained) add(data []byte) uint64 {
	index := r.next()
	r.items = append(r.items, kept{data: data})
	r.bytes += int64(len(data))
	return index
}

func (r *retained) at(index uint64) *kept {
	if index < r.base || index >= r.next() {
		return nil
	}
	return &r.items[index-r.base]
}

func (r *retained) account(index uint64, bytes int64) {
	k := r.at(index)
	if k == nil {
		bug("entry %d is gone, and %d bytes of it are said to be live", index, bytes)
	}
	k.live += bytes
	r.live += bytes
	if k.live < 0 {
		bug("entry %d: %d more bytes released than were live", index, -k.live)
	}
	if k.live == 0 && index <= r.applied {
		r.drop(k)
	}
}

// settle is called once an entry has been applied: only now may it be dropped.
func (r *retained) settle(index uint64) {
	r.applied = index
	if k := r.at(index); k != nil && k.live == 0 {
		r.drop(k)
	}
}

func (r *retained) drop(k *kept) {
	r.bytes -= k.size()
	k.data, k.spans = nil, nil
	r.trim()
}

// trim forgets the dropped entries at the front. The backing array is moved, not leaked, once half of it is dead.
func (r *retained) trim() {
	n := 0
	for n < len(r.items) && r.items[n].gone() && r.base+uint64(n) <= r.applied {
		n++
	}
	if n == 0 {
		return
	}
	r.base += uint64(n)
	if n == len(r.items) {
		clear(r.items)
		r.items = r.items[:0]
		return
	}
	r.items = r.items[n:]
}

func (k *kept) gone() bool { return k.data == nil && k.spans == nil }

func (k *kept) size() int64 {
	n := int64(len(k.data))
	for i := range k.spans {
		n += int64(len(k.spans[i].data))
	}
	return n
}

func (r *retained) read(s Span) ([]byte, error) {
	k := r.at(s.Index)
	if k == nil {
		return nil, ErrGone
	}
	if k.spans == nil {
		if uint64(s.Offset)+uint64(s.Length) > uint64(len(k.data)) {
			return nil, ErrGone
		}
		return k.data[s.Offset : s.Offset+s.Length : s.Offset+s.Length], nil
	}
	return readPacked(k.spans, s)
}

func readPacked(spans []packedSpan, s Span) ([]byte, error) {
	i, found := slices.BinarySearchFunc(spans, s.Offset, func(p packedSpan, at uint32) int { return cmp.Compare(p.offset, at) })
	if !found {
		i--
	}
	if i < 0 {
		return nil, ErrGone
	}
	from := s.Offset - spans[i].offset
	if uint64(from)+uint64(s.Length) > uint64(len(spans[i].data)) {
		return nil, ErrGone
	}
	return spans[i].data[from : from+s.Length : from+s.Length], nil
}

// pack copies the live spans of sparse entries together once the garbage they hold is worth it. Addresses stay.
func (r *retained) pack(m Machine) {
	if r.bytes <= 2*r.live+packSlack {
		return
	}
	r.packAt = max(r.packAt, r.base)
	to := min(r.packAt+packRound, r.next())
	if r.packAt >= to {
		r.packAt = r.base
		return
	}
	found := map[uint64][]packedSpan{}
	m.Live(r.packAt, to, func(s Span) {
		if k := r.at(s.Index); k == nil || 2*k.live > k.size() {
			return
		}
		if data, err := r.read(s); err == nil {
			found[s.Index] = append(found[s.Index], packedSpan{offset: s.Offset, data: data})
		}
	})
	for index, spans := range found {
		k := r.at(index)
		before := k.size()
		k.spans, k.data = mergeSpans(spans), nil
		r.bytes += k.size() - before
	}
	r.packAt = to
}

// mergeSpans sorts spans, joins those that touch or overlap, and copies them out of the entry they pin.
func mergeSpans(spans []packedSpan) []packedSpan {
	slices.SortFunc(spans, func(a, b packedSpan) int { return cmp.Compare(a.offset, b.offset) })
	out := make([]packedSpan, 0, len(spans))
	for _, s := range spans {
		if n := len(out); n > 0 {
			last := &out[n-1]
			end := last.offset + uint32(len(last.data))
			if s.offset <= end {
				if over := end - s.offset; uint32(len(s.data)) > over {
					last.data = append(last.data, s.data[over:]...)
				}
				continue
			}
		}
		out = append(out, packedSpan{offset: s.offset, data: slices.Clone(s.data)})
	}
	return out
}

func bug(format string, values ...any) { panic("oplog: " + fmt.Sprintf(format, values...)) }
