package queue

import "encoding/binary"

// A packed run is one byte that says what it has in common with the run before, then what differs, as varints. A stretch
// of runs that differ only in their index, which rises by one, is packSame and a count.
const (
	packIndexNext = 1 << iota // index is one more
	packIndexSame             // index is the same
	packOffset                // same offset
	packShape                 // same stride, count and size
	packExpires               // same expiration
	packFlags                 // same priority and flags
	packCounts                // no deliveries, no acquisitions, not held back

	packSame = 0x80
)

// packScratch is what a block of runs that differ in most things takes.
const packScratch = 4096

// pack encodes runs.
func pack(runs []run) block {
	b := block{runs: len(runs), first: runs[0].index, last: runs[0].index}
	var scratch [packScratch]byte
	dst := scratch[:0]
	var prev run
	for i := 0; i < len(runs); {
		if n := same(prev, runs[i:]); i > 0 && n > 1 {
			dst = binary.AppendUvarint(append(dst, packSame), uint64(n))
			prev = runs[i+n-1]
			i += n
		} else {
			dst = packOne(dst, &prev, &runs[i])
			prev = runs[i]
			i++
		}
		b.first, b.last = min(b.first, prev.index), max(b.last, prev.index)
	}
	b.data = append(make([]byte, 0, len(dst)), dst...)
	return b
}

// same counts the runs that differ from the one before only in an index that rises by one.
func same(prev run, runs []run) int {
	for n := range runs {
		prev.index++
		if runs[n] != prev {
			return n
		}
	}
	return len(runs)
}

func packOne(dst []byte, prev, r *run) []byte {
	at := len(dst)
	dst = append(dst, 0)
	var common byte
	switch r.index {
	case prev.index + 1:
		common |= packIndexNext
	case prev.index:
		common |= packIndexSame
	default:
		dst = binary.AppendVarint(dst, int64(r.index-prev.index))
	}
	if r.offset == prev.offset {
		common |= packOffset
	} else {
		dst = binary.AppendUvarint(dst, uint64(r.offset))
	}
	if r.stride == prev.stride && r.count == prev.count && r.size == prev.size {
		common |= packShape
	} else {
		dst = binary.AppendUvarint(dst, uint64(r.stride))
		dst = binary.AppendUvarint(dst, uint64(r.count))
		dst = binary.AppendUvarint(dst, uint64(r.size))
	}
	if r.expires == prev.expires {
		common |= packExpires
	} else {
		dst = binary.AppendVarint(dst, r.expires-prev.expires)
	}
	if r.priority == prev.priority && r.flags == prev.flags {
		common |= packFlags
	} else {
		dst = append(dst, r.priority, r.flags)
	}
	if r.deliveries == 0 && r.acquired == 0 && r.due == 0 {
		common |= packCounts
	} else {
		dst = binary.AppendUvarint(dst, uint64(r.deliveries))
		dst = binary.AppendUvarint(dst, uint64(r.acquired))
		dst = binary.AppendVarint(dst, r.due-prev.due)
	}
	dst[at] = common
	return dst
}

// unpack appends the runs of b to dst.
func unpack(b block, dst []run) []run {
	u := unpacker{data: b.data}
	var prev run
	for n := 0; n < b.runs; {
		if u.data[0] == packSame {
			u.data = u.data[1:]
			for k := u.uvarint(); k > 0; k-- {
				prev.index++
				dst = append(dst, prev)
				n++
			}
			continue
		}
		prev = u.one(prev)
		dst = append(dst, prev)
		n++
	}
	return dst
}

// unpacker reads what pack wrote; the bytes have been in this process or in a snapshot with its checksum: they are whole.
type unpacker struct{ data []byte }

func (u *unpacker) uvarint() uint64 {
	v, n := binary.Uvarint(u.data)
	u.data = u.data[n:]
	return v
}

func (u *unpacker) varint() int64 {
	v, n := binary.Varint(u.data)
	u.data = u.data[n:]
	return v
}

func (u *unpacker) one(prev run) run {
	r := prev
	common := u.data[0]
	u.data = u.data[1:]
	switch {
	case common&packIndexNext != 0:
		r.index = prev.index + 1
	case common&packIndexSame == 0:
		r.index = prev.index + uint64(u.varint())
	}
	if common&packOffset == 0 {
		r.offset = uint32(u.uvarint())
	}
	if common&packShape == 0 {
		r.stride, r.count, r.size = uint32(u.uvarint()), uint32(u.uvarint()), uint32(u.uvarint())
	}
	if common&packExpires == 0 {
		r.expires = prev.expires + u.varint()
	}
	if common&packFlags == 0 {
		r.priority, r.flags = u.data[0], u.data[1]
		u.data = u.data[2:]
	}
	r.deliveries, r.acquired, r.due = 0, 0, 0
	if common&packCounts == 0 {
		r.deliveries, r.acquired = uint32(u.uvarint()), uint32(u.uvarint())
		r.due = prev.due + u.varint()
	}
	return r
}
