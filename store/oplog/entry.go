package oplog

import (
	"encoding/binary"
	"errors"
)

// The bytes of an entry, little endian:
//
//	0   version  1 byte
//	1   time     8 bytes, milliseconds
//	9   count    4 bytes, batches
//	then each batch:
//	    node 8, session 8, sequence 8, length 4 bytes, data
const (
	entryVersion    = 1
	entryHeadSize   = 13
	batchHeadSize   = 28
	entryCountStart = 9
)

// ErrEntry is returned for bytes that are not an entry of a known version.
var ErrEntry = errors.New("oplog: not an entry of a known version")

// EntrySize is the number of bytes AppendEntry writes for batches.
func EntrySize(batches []Batch) int {
	n := entryHeadSize
	for i := range batches {
		n += BatchSize(&batches[i])
	}
	return n
}

// BatchSize is the share of one batch in its entry's bytes.
func BatchSize(b *Batch) int { return batchHeadSize + len(b.Data) }

// AppendEntry appends the encoded entry to dst.
func AppendEntry(dst []byte, timeMs int64, batches []Batch) []byte {
	dst = append(dst, entryVersion)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(timeMs))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(batches)))
	for i := range batches {
		b := &batches[i]
		dst = binary.LittleEndian.AppendUint64(dst, b.From.Node)
		dst = binary.LittleEndian.AppendUint64(dst, b.From.Session)
		dst = binary.LittleEndian.AppendUint64(dst, b.From.Seq)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b.Data)))
		dst = append(dst, b.Data...)
	}
	return dst
}

// EntryTime gives the log time of an encoded entry, in milliseconds; ok is false for bytes that are none.
func EntryTime(data []byte) (ms int64, ok bool) {
	if len(data) < entryHeadSize || data[0] != entryVersion {
		return 0, false
	}
	return int64(binary.LittleEndian.Uint64(data[1:])), true
}

// ParseEntry opens an encoded entry. Its slices are borrowed from data; batches are appended to reuse.
func ParseEntry(index uint64, data []byte, reuse []Batch) (Entry, error) {
	e := Entry{Index: index, Data: data}
	if len(data) < entryHeadSize || data[0] != entryVersion {
		return e, ErrEntry
	}
	e.Time = int64(binary.LittleEndian.Uint64(data[1:]))
	count := binary.LittleEndian.Uint32(data[entryCountStart:])
	at := entryHeadSize
	for range count {
		if len(data)-at < batchHeadSize {
			return e, ErrEntry
		}
		h := data[at:]
		n := int(binary.LittleEndian.Uint32(h[24:]))
		at += batchHeadSize
		if len(data)-at < n {
			return e, ErrEntry
		}
		reuse = append(reuse, Batch{
			From: Origin{
				Node:    binary.LittleEndian.Uint64(h),
				Session: binary.LittleEndian.Uint64(h[8:]),
				Seq:     binary.LittleEndian.Uint64(h[16:]),
			},
			At:   uint32(at),
			Data: data[at : at+n : at+n],
		})
		at += n
	}
	if at != len(data) {
		return e, ErrEntry
	}
	e.Batches = reuse
	return e, nil
}
