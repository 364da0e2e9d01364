// Package keys owns the layout of a data directory: every key there is, in one place.
//
// Numbers in keys are big endian, so that they sort; numbers in values are little endian.
//
//	key                               value
//	v                                 format version, 4 bytes
//	l                                 number of the first session of the node's newest life, 8 bytes
//	n                                 identity of the node, JSON
//	M                                 revision of the newest metadata transaction, 8 bytes
//	m NAME                            a metadata pair: revision of its last change, 8 bytes, then the value
//	g GROUP(8) h                      raft hard state: term, vote, commit, 8 bytes each
//	g GROUP(8) s                      newest snapshot: see entries.Head
//	g GROUP(8) c                      how the group began here: see entries.Beginning
//	g GROUP(8) r                      which era of the group this is of, 8 bytes; without it the first: see entries.Store.Era
//	g GROUP(8) S INDEX(8) PART(4)     a part of the snapshot taken at INDEX
//	g GROUP(8) e INDEX(8)             a log entry: see entries
//	g GROUP(8) x SPACE(8) S INDEX(8) PART(4)
//	g GROUP(8) x SPACE(8) e INDEX(8)  the same in another space: what another member has sent as a whole
//
// The newest snapshot says which space of a group counts; what lies in others nobody reads, and the next start removes it.
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
	// Life is where the number of the first session of the node's newest life stands.
	Life = []byte("l")
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
	beginning     = 'c'
	era           = 'r'
	space         = 'x'

	groupSize = 10
	spaceSize = 9 // more in a key of another space
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

// Beginning is the key of how a group began on this node.
func Beginning(id uint64) []byte { return group(nil, id, beginning) }

// Era is the key of which era of a group its other keys are of.
func Era(id uint64) []byte { return group(nil, id, era) }

// Space is where entries and snapshots of a group lie. Number 0 is where a group begins; each time another member's state
// takes the place of all there is, a new number is begun.
type Space struct{ Group, Number uint64 }

func (s Space) prefix(dst []byte, kind byte) []byte {
	if s.Number == 0 {
		return group(dst, s.Group, kind)
	}
	return append(binary.BigEndian.AppendUint64(group(dst, s.Group, space), s.Number), kind)
}

// SnapshotPart is the key of one part of a snapshot.
func (s Space) SnapshotPart(index uint64, part uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(s.prefix(nil, snapshotParts), index), part)
}

// Snapshot gives the bounds of all parts of a snapshot.
func (s Space) Snapshot(index uint64) (from, to []byte) {
	return binary.BigEndian.AppendUint64(s.prefix(nil, snapshotParts), index),
		binary.BigEndian.AppendUint64(s.prefix(nil, snapshotParts), index+1)
}

// Entry appends the key of a log entry to dst.
func (s Space) Entry(dst []byte, index uint64) []byte {
	return binary.BigEndian.AppendUint64(s.prefix(dst, entry), index)
}

// Entries gives the bounds of the entries from <= index < to.
func (s Space) Entries(from, to uint64) (lower, upper []byte) {
	return s.Entry(nil, from), s.Entry(nil, to)
}

// Bounds gives, by pairs, the bounds of all that is in the space.
func (s Space) Bounds() [][2][]byte {
	if s.Number == 0 {
		return [][2][]byte{{s.prefix(nil, snapshotParts), s.prefix(nil, snapshotParts+1)}, {s.prefix(nil, entry), s.prefix(nil, entry+1)}}
	}
	return [][2][]byte{{Spaces(s.Group, s.Number), Spaces(s.Group, s.Number+1)}}
}

// Spaces is in front of all spaces of a group from a number on, which is not 0.
func Spaces(id, from uint64) []byte {
	return binary.BigEndian.AppendUint64(group(nil, id, space), from)
}

// SpacesEnd is behind all spaces of a group.
func SpacesEnd(id uint64) []byte { return group(nil, id, space+1) }

// SpaceNumber gives the space, other than the first, that a key lies in.
func SpaceNumber(key []byte) (number uint64, err error) {
	if len(key) < groupSize+spaceSize || key[0] != groupPrefix || key[groupSize-1] != space {
		return 0, ErrKey
	}
	return binary.BigEndian.Uint64(key[groupSize:]), nil
}

// SnapshotPart is the key of one part of a snapshot in the group's first space.
func SnapshotPart(id, index uint64, part uint32) []byte {
	return Space{Group: id}.SnapshotPart(index, part)
}

// Snapshot gives the bounds of all parts of a snapshot in the group's first space.
func Snapshot(id, index uint64) (from, to []byte) { return Space{Group: id}.Snapshot(index) }

// Entry appends the key of a log entry in the group's first space to dst.
func Entry(dst []byte, id, index uint64) []byte { return Space{Group: id}.Entry(dst, index) }

// Entries gives the bounds of the entries from <= index < to in the group's first space.
func Entries(id, from, to uint64) (lower, upper []byte) { return Space{Group: id}.Entries(from, to) }

// EntryIndex undoes Entry, in any space.
func EntryIndex(key []byte) (uint64, error) {
	at := groupSize - 1
	if len(key) == EntrySize+spaceSize && key[at] == space {
		at += spaceSize
	} else if len(key) != EntrySize {
		return 0, ErrKey
	}
	if key[0] != groupPrefix || key[at] != entry {
		return 0, ErrKey
	}
	return binary.BigEndian.Uint64(key[at+1:]), nil
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
