package oplog

import (
	"cmp"
	"slices"
)

// Packing copies what is alive of an entry together and lets the rest go; its addresses stay. It is worth the while only
// where an entry holds much more than is needed of it, and only the machine knows which bytes these are. Asking costs it a
// walk through all its queues. So packing waits until there is much to win, and then goes through the segments in rounds,
// one after each Apply, of which each frees much or covers much: asking stays cheap in proportion to what it brings.
const (
	// packLeast is what packing has to free before it begins, beside a quarter of what is held.
	packLeast = 16 << 20
	// packRound bounds the bytes that one round frees, and those that it copies.
	packRound = 16 << 20
	// packReach bounds the segments that one round reaches over, and so what the machine has to look at.
	packReach = 4096
	// packSlack is what an entry may hold beside twice its live bytes.
	packSlack = 64
)

// packedSpan is a span of a packed entry. Its bytes lie in data up to where the next span's begin.
type packedSpan struct {
	offset uint32 // in the whole entry
	at     uint32 // in data
}

const packedSpanSize = 8

// worth is the memory that packing the entry would free.
func (k *kept) worth() int64 { return max(k.size()-2*k.live-packSlack, 0) }

// pack does a round of packing, if one is due.
func (r *retained) pack(m Machine) {
	if len(r.round) == 0 {
		if r.worth < packLeast+r.held/4 {
			return
		}
		for _, s := range r.segments {
			if s.worth > 0 {
				r.round = append(r.round, s)
			}
		}
		slices.SortFunc(r.round, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	}
	for len(r.round) > 0 && r.round[0].worth == 0 { // done with meanwhile
		r.round = r.round[1:]
	}
	if len(r.round) == 0 {
		return
	}
	n := r.roundSize()
	first, last := r.round[0].number, r.round[n-1].number
	r.round = r.round[n:]
	found := map[uint64][]Span{}
	m.Live(first*segmentEntries, (last+1)*segmentEntries, func(span Span) {
		if _, k := r.find(span.Index); k != nil && k.worth() > 0 {
			found[span.Index] = append(found[span.Index], span)
		}
	})
	for index, spans := range found {
		s, k := r.find(index)
		r.addWorth(s, -k.worth())
		r.held -= k.size()
		k.pack(spans)
		r.held += k.size()
		r.addWorth(s, k.worth())
	}
}

// roundSize is how many of the segments that are left belong into the next round.
func (r *retained) roundSize() int {
	freed, copied := int64(0), int64(0)
	for i, s := range r.round {
		if i > 0 && (freed >= packRound || copied >= packRound || s.number-r.round[0].number >= packReach) {
			return i
		}
		freed += s.worth
		for j := range s.kept {
			copied += s.kept[j].live
		}
	}
	return len(r.round)
}

// pack keeps the bytes of spans alone. Spans that touch or overlap become one, so that what is read as one later is one.
func (k *kept) pack(spans []Span) {
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Compare(a.Offset, b.Offset) })
	merged := spans[:0]
	size := 0
	for _, s := range spans {
		if n := len(merged); n > 0 && s.Offset <= merged[n-1].Offset+merged[n-1].Length {
			last := &merged[n-1]
			more := max(s.Offset+s.Length, last.Offset+last.Length) - last.Offset - last.Length
			last.Length += more
			size += int(more)
			continue
		}
		merged = append(merged, s)
		size += int(s.Length)
	}
	packed := kept{live: k.live, data: make([]byte, 0, size), spans: make([]packedSpan, 0, len(merged))}
	for _, s := range merged {
		data, err := k.read(s.Offset, s.Length)
		if err != nil {
			bug("entry %d: bytes %d to %d are said to be live, and are not here", s.Index, s.Offset, s.Offset+s.Length)
		}
		packed.spans = append(packed.spans, packedSpan{offset: s.Offset, at: uint32(len(packed.data))})
		packed.data = append(packed.data, data...)
	}
	*k = packed
}

func (k *kept) readPacked(offset, length uint32) ([]byte, error) {
	i, found := slices.BinarySearchFunc(k.spans, offset, func(s packedSpan, at uint32) int { return cmp.Compare(s.offset, at) })
	if !found {
		i--
	}
	if i < 0 {
		return nil, ErrGone
	}
	end := len(k.data)
	if i+1 < len(k.spans) {
		end = int(k.spans[i+1].at)
	}
	from := uint64(k.spans[i].at) + uint64(offset-k.spans[i].offset)
	if from+uint64(length) > uint64(end) {
		return nil, ErrGone
	}
	return k.data[from : from+uint64(length) : from+uint64(length)], nil
}
