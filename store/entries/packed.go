package entries

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/warrenmq/warren/store/oplog"
)

// Bytes is what is stored of an entry's data: all of it, or the stretches that were live when it was packed.
type Bytes struct {
	data      []byte
	stretches []stretch // nil while whole
}

// stretch is a span of a packed entry: its place in the whole data, and in what is left. Its bytes lie there up to where
// the next one's begin.
//
// On disk, behind the head of a packed entry: count of stretches 4 bytes, of each its offset 4 and its length 4, then the
// bytes of all.
type stretch struct{ offset, at uint32 }

const (
	packedHead    = 4
	stretchOnDisk = 8
)

// Whole makes the data of an entry that was not packed readable.
func Whole(data []byte) Bytes { return Bytes{data: data} }

// Size is how many bytes are held.
func (b *Bytes) Size() int { return len(b.data) + stretchOnDisk*len(b.stretches) }

// Read gives the bytes of a span, borrowed for ever. What was not live when the entry was packed is gone.
func (b *Bytes) Read(offset, length uint32) ([]byte, error) {
	from, end := uint64(offset), uint64(len(b.data))
	if b.stretches != nil {
		i, found := slices.BinarySearchFunc(b.stretches, offset, func(s stretch, at uint32) int { return cmp.Compare(s.offset, at) })
		if !found {
			i--
		}
		if i < 0 {
			return nil, oplog.ErrGone
		}
		if i+1 < len(b.stretches) {
			end = uint64(b.stretches[i+1].at)
		}
		from = uint64(b.stretches[i].at) + uint64(offset-b.stretches[i].offset)
	}
	if from+uint64(length) > end {
		return nil, oplog.ErrGone
	}
	return b.data[from : from+uint64(length) : from+uint64(length)], nil
}

// parsePacked opens what stands behind the head of a packed entry.
func parsePacked(data []byte) (b Bytes, ok bool) {
	if len(data) < packedHead {
		return b, false
	}
	count := uint64(binary.LittleEndian.Uint32(data))
	data = data[packedHead:]
	if uint64(len(data)) < count*stretchOnDisk {
		return b, false
	}
	list := data[:count*stretchOnDisk]
	b = Bytes{data: data[len(list):], stretches: make([]stretch, 0, count)}
	at := uint64(0)
	for ; len(list) > 0; list = list[stretchOnDisk:] {
		b.stretches = append(b.stretches, stretch{offset: binary.LittleEndian.Uint32(list), at: uint32(at)})
		at += uint64(binary.LittleEndian.Uint32(list[4:]))
	}
	return b, at == uint64(len(b.data))
}

// Bytes reads what is stored of an entry's data.
func (s *Store) Bytes(index uint64) (Bytes, error) {
	e, err := s.Get(index)
	if err != nil {
		return Bytes{}, err
	}
	if e.Kind&packed == 0 {
		return Whole(e.Data), nil
	}
	b, ok := parsePacked(e.Data)
	if !ok {
		return Bytes{}, fmt.Errorf("%w: group %d, entry %d: not a packed entry", ErrDamaged, s.group, index)
	}
	return b, nil
}

// PackTo adds to a batch what replaces the entries from..to, of which only spans are live: these stay, at their addresses.
// It gives the bytes that are left of the entries.
func (s *Store) PackTo(b *pebble.Batch, from, to uint64, spans []oplog.Span) (left int64, err error) {
	slices.SortFunc(spans, func(a, b oplog.Span) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Offset, b.Offset))
	})
	next := from
	for len(spans) > 0 {
		n := 1
		for n < len(spans) && spans[n].Index == spans[0].Index {
			n++
		}
		index := spans[0].Index
		if index < next || index > to {
			bug("group %d: entry %d is none of %d to %d", s.group, index, next, to)
		}
		if index > next {
			s.TruncateTo(b, next, index-1)
		}
		kept, err := s.packOne(b, index, merge(spans[:n]))
		if err != nil {
			return 0, err
		}
		left += int64(kept)
		next, spans = index+1, spans[n:]
	}
	if next <= to {
		s.TruncateTo(b, next, to)
	}
	return left, nil
}

// packOne rewrites one entry, unless that would bring nothing.
func (s *Store) packOne(b *pebble.Batch, index uint64, spans []oplog.Span) (kept int, err error) {
	e, err := s.Get(index)
	if err != nil {
		return 0, err
	}
	size := packedHead
	for _, span := range spans {
		size += stretchOnDisk + int(span.Length)
	}
	if size >= len(e.Data) {
		return Footprint(len(e.Data)), nil
	}
	have := Whole(e.Data)
	if e.Kind&packed != 0 {
		var ok bool
		if have, ok = parsePacked(e.Data); !ok {
			return 0, fmt.Errorf("%w: group %d, entry %d: not a packed entry", ErrDamaged, s.group, index)
		}
	}
	data := make([]byte, entryHead, entryHead+size)
	putHead(data, &Entry{Kind: e.Kind | packed, Term: e.Term})
	data = binary.LittleEndian.AppendUint32(data, uint32(len(spans)))
	for _, span := range spans {
		data = binary.LittleEndian.AppendUint32(data, span.Offset)
		data = binary.LittleEndian.AppendUint32(data, span.Length)
	}
	for _, span := range spans {
		bytes, err := have.Read(span.Offset, span.Length)
		if err != nil {
			return 0, fmt.Errorf("group %d, entry %d, bytes %d to %d: %w", s.group, index, span.Offset, span.Offset+span.Length, err)
		}
		data = append(data, bytes...)
	}
	if err := b.Set(s.space.Entry(nil, index), data, nil); err != nil {
		bug("group %d, entry %d: %v", s.group, index, err)
	}
	return Footprint(len(data) - entryHead), nil
}

// merge joins spans of one entry that touch or overlap, so that what is read as one later is one. They are sorted.
func merge(spans []oplog.Span) []oplog.Span {
	merged := spans[:0]
	for _, s := range spans {
		if n := len(merged); n > 0 && s.Offset <= merged[n-1].Offset+merged[n-1].Length {
			last := &merged[n-1]
			last.Length = max(last.Offset+last.Length, s.Offset+s.Length) - last.Offset
			continue
		}
		merged = append(merged, s)
	}
	return merged
}
