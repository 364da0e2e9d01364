// Package keys owns the layout of a data directory: every key there is, in one place.
//
// Numbers in keys are big endian, so that they sort; numbers in values are little endian.
//
//	key                               value
//	v                                 format version, 4 bytes
//	n                                 identity of the node, JSON
//	M                                 revision of the newest metadata transaction, 8 bytes
//	m NAME                            a metadata pair: revision of its last change, 8 bytes, then the value
//	g GROUP(8) h                      raft hard state: term, vote, commit, 8 bytes each
//	g GROUP(8) s                      newest snapshot: see entries.snapshotHead
//	g GROUP(8) S INDEX(8) PART(4)     a part of the snapshot taken at INDEX
//	g GROUP(8) e INDEX(8)             a log entry: see entries
//
// An older version than Version is brought up to date at open, a newer one is refused. Version 1 had no packed entries.
//
// Beside Pebble's files the directory has the file SyncedFile: up to which write the write-ahead log was synced, see
// store.syncedMark.
package keys

import (
	"encoding/binary"
	"errors"
)

// Version is the format this program reads and writes.
const Version = 2

// SyncedFile is the file with the mark of what is synced.
const SyncedFile = "synced"

var (
	// FormatVersion is where the format version stands.
	FormatVersion = []byte("v")
	// Identity is where the node's identity stands.
	Identity = []byte("n")
	// MetaRevision is where the newest metadata revision stands.
	MetaRevision = []byte("M")
	// MetaPrefix is what metadata keys begin with.
	MetaPrefix = []byte("m")
	// MetaEnd is behind all metadata keys.
	MetaEnd = []byte("n")
)

const (
	groupPrefix   = 'g'
	hardState     = 'h'
	snapshotHead  = 's'
	snapshotParts = 'S'
	entry         = 'e'

	groupSize = 10
	// EntrySize is the length of an entry's key.
	EntrySize = groupSize + 8
)

// ErrKey is returned for a key that is not of the shape asked for.
var ErrKey = errors.New("keys: not a key of this kind")

// Meta is the key of a metadata pair.
func Meta(name string) []byte { return append(append([]byte{}, MetaPrefix...), name...) }

// MetaName undoes Meta.
func MetaName(key []byte) string { return string(key[len(MetaPrefix):]) }

func group(dst []byte, id uint64, kind byte) []byte {
	return append(binary.BigEndian.AppendUint64(append(dst, groupPrefix), id), kind)
}

// HardState is the key of a group's hard state.
func HardState(id uint64) []byte { return group(nil, id, hardState) }

// SnapshotHead is the key of what describes a group's newest snapshot.
func SnapshotHead(id uint64) []byte { return group(nil, id, snapshotHead) }

// SnapshotPart is the key of one part of a snapshot.
func SnapshotPart(id, index uint64, part uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(group(nil, id, snapshotParts), index), part)
}

// Snapshot gives the bounds of all parts of a snapshot.
func Snapshot(id, index uint64) (from, to []byte) {
	return binary.BigEndian.AppendUint64(group(nil, id, snapshotParts), index),
		binary.BigEndian.AppendUint64(group(nil, id, snapshotParts), index+1)
}

// Entry appends the key of a log entry to dst.
func Entry(dst []byte, id, index uint64) []byte {
	return binary.BigEndian.AppendUint64(group(dst, id, entry), index)
}

// Entries gives the bounds of the entries from <= index < to.
func Entries(id, from, to uint64) (lower, upper []byte) {
	return Entry(nil, id, from), Entry(nil, id, to)
}

// EntryIndex undoes Entry.
func EntryIndex(key []byte) (uint64, error) {
	if len(key) != EntrySize || key[0] != groupPrefix || key[groupSize-1] != entry {
		return 0, ErrKey
	}
	return binary.BigEndian.Uint64(key[groupSize:]), nil
}

// NextGroup gives the group that a key belongs to, and where to look for the next; ok is false if it belongs to none.
func NextGroup(key []byte) (id uint64, next []byte, ok bool) {
	if len(key) < groupSize || key[0] != groupPrefix {
		return 0, nil, false
	}
	id = binary.BigEndian.Uint64(key[1:])
	if id == ^uint64(0) {
		return id, []byte{groupPrefix + 1}, true
	}
	return id, binary.BigEndian.AppendUint64([]byte{groupPrefix}, id+1), true
}

// Groups gives the bounds of everything of all groups.
func Groups() (from, to []byte) { return []byte{groupPrefix}, []byte{groupPrefix + 1} }

// Group gives the bounds of everything of a group.
func Group(id uint64) (from, to []byte) { return group(nil, id, 0), group(nil, id, 0xff) }
