package entries

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/warrenmq/warren/store/keys"
)

// Head describes a snapshot: everything up to Index has been applied to it.
//
// On disk, all 8 bytes: version, index, term, time (not in version 1), parts, then the configuration with its length, then the count of segments
// and of each: first, last, bytes. Version 3, which is written only where it is needed, has the space behind these.
type Head struct {
	Index, Term uint64
	Time        int64  // of the newest entry that has one, milliseconds since the epoch; 0: not known
	Conf        []byte // the group's members, as the raft layer encodes them
	Parts       uint32
	Segments    []Segment
	Space       uint64 // where the group's entries and this snapshot's parts lie
}

const (
	snapshotVersion      = 2 // of a group in the space that it began in
	snapshotVersionSpace = 3
	// partSize is the most bytes in one part of a snapshot, unless PartBytes says otherwise.
	partSize = 1 << 20
)

func (h *Head) append(dst []byte) []byte {
	le := binary.LittleEndian
	version := uint64(snapshotVersion)
	if h.Space != 0 {
		version = snapshotVersionSpace
	}
	dst = le.AppendUint64(dst, version)
	dst = le.AppendUint64(dst, h.Index)
	dst = le.AppendUint64(dst, h.Term)
	dst = le.AppendUint64(dst, uint64(h.Time))
	dst = le.AppendUint64(dst, uint64(h.Parts))
	dst = append(le.AppendUint64(dst, uint64(len(h.Conf))), h.Conf...)
	dst = le.AppendUint64(dst, uint64(len(h.Segments)))
	for _, s := range h.Segments {
		dst = le.AppendUint64(dst, s.First)
		dst = le.AppendUint64(dst, s.Last)
		dst = le.AppendUint64(dst, uint64(s.Bytes))
	}
	if h.Space != 0 {
		dst = le.AppendUint64(dst, h.Space)
	}
	return dst
}

func (h *Head) parse(data []byte) error {
	short := false
	next := func() uint64 {
		if short = short || len(data) < 8; short {
			return 0
		}
		n := binary.LittleEndian.Uint64(data)
		data = data[8:]
		return n
	}
	version := next()
	if version < 1 || version > snapshotVersionSpace {
		return fmt.Errorf("snapshot of version %d, this program knows 1 to %d", version, snapshotVersionSpace)
	}
	h.Index, h.Term = next(), next()
	if version > 1 {
		h.Time = int64(next())
	}
	h.Parts = uint32(next())
	if n := next(); n <= uint64(len(data)) {
		h.Conf, data = append([]byte(nil), data[:n]...), data[n:]
	} else {
		short = true
	}
	for n := next(); n > 0 && !short; n-- {
		h.Segments = append(h.Segments, Segment{First: next(), Last: next(), Bytes: int64(next())})
	}
	if version == snapshotVersionSpace {
		h.Space = next()
	}
	if short {
		return fmt.Errorf("%w: head of a snapshot", ErrDamaged)
	}
	return nil
}

// SnapshotHead reads what describes the newest snapshot; ok is false if there is none.
func (s *Store) SnapshotHead() (h Head, ok bool, err error) { return s.headIn(s.store.DB) }

func (s *Store) headIn(r pebble.Reader) (h Head, ok bool, err error) {
	value, ok, err := get(r, keys.SnapshotHead(s.group))
	if err != nil || !ok {
		return h, false, err
	}
	if err := h.parse(value); err != nil {
		return h, false, fmt.Errorf("group %d: %w", s.group, err)
	}
	return h, true, nil
}

// WriteSnapshot writes a snapshot part by part, and adds to a batch what puts it in place of those before; state gets the
// writer to write to. Parts are not synced, nor does anything refer to them: they are on the disk when the batch is, and if
// the process ends before, the old snapshot holds and the next one removes what was left.
func (s *Store) WriteSnapshot(b *pebble.Batch, h *Head, state func(io.Writer) error) error {
	w := &partWriter{store: s, index: h.Index, size: s.PartBytes}
	if w.size == 0 {
		w.size = partSize
	}
	if err := state(w); err != nil {
		return err
	}
	w.flush()
	h.Parts = w.parts
	h.Space = s.space.Number
	from, _ := s.space.Snapshot(0)
	to, _ := s.space.Snapshot(h.Index)
	if err := b.DeleteRange(from, to, nil); err != nil {
		return err
	}
	s.setHead(b, h)
	return nil
}

func (s *Store) setHead(b *pebble.Batch, h *Head) {
	if err := b.Set(keys.SnapshotHead(s.group), h.append(nil), nil); err != nil {
		bug("group %d: %v", s.group, err)
	}
}

// partWriter cuts a snapshot into parts, and writes each as soon as it is full.
type partWriter struct {
	store *Store
	index uint64
	size  int
	parts uint32
	data  []byte
}

// Write implements io.Writer.
func (w *partWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(w.size-len(w.data), len(rest))
		w.data, rest = append(w.data, rest[:n]...), rest[n:]
		if len(w.data) == w.size {
			w.flush()
		}
	}
	return len(p), nil
}

func (w *partWriter) flush() {
	if len(w.data) == 0 {
		return
	}
	b := w.store.NewBatch()
	if err := b.Set(w.store.space.SnapshotPart(w.index, w.parts), w.data, nil); err != nil {
		bug("group %d, snapshot %d: %v", w.store.group, w.index, err)
	}
	w.store.store.CommitLazily(b)
	w.data = w.data[:0]
	w.parts++
}

// SnapshotReader reads the state of a snapshot that lies in this space, part by part.
func (s *Store) SnapshotReader(h Head) io.Reader { return &partReader{store: s, head: h} }

type partReader struct {
	store *Store
	head  Head
	next  uint32
	data  []byte
}

// Read implements io.Reader.
func (r *partReader) Read(p []byte) (int, error) {
	for len(r.data) == 0 {
		if r.next == r.head.Parts {
			return 0, io.EOF
		}
		part, ok, err := r.store.store.Get(r.store.space.SnapshotPart(r.head.Index, r.next))
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, fmt.Errorf("%w: group %d lacks part %d of snapshot %d", ErrDamaged, r.store.group, r.next, r.head.Index)
		}
		r.data = part
		r.next++
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}
