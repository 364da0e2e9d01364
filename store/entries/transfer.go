package entries

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/warrenmq/warren/store"
)

// What a group is at one moment, as it travels to another member: the newest snapshot, and what is left of the entries that
// it covers, whole or packed, as they lie on the disk.
//
// The bytes, little endian: the snapshot's head with its length, 4 bytes, in front; then records, of which each begins with
// a byte that says what it is:
//
//	p  part of the snapshot: length 4 bytes, the bytes; in order
//	e  entry: index 8, length 4 bytes, what is stored of it; in order, behind all parts
//	z  the end: CRC-32C of everything in front of it, 4 bytes
const (
	recordPart  = 'p'
	recordEntry = 'e'
	recordEnd   = 'z'
)

// recordMax is more than a record has, and what a receiver takes for damage.
const recordMax = 1 << 30

// errTransfer is wrapped by what is wrong with the bytes that another member sent.
var errTransfer = errors.New("not what a member sends of a group")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// View is a group at one moment. What happens to it later does not show.
type View struct {
	Head    Head // of the newest snapshot
	entries *Store
	at      *pebble.Snapshot
}

// View looks at the group as it is now; ok is false while it has no snapshot. It must be closed.
func (s *Store) View() (v *View, ok bool, err error) {
	v = &View{at: s.store.DB.NewSnapshot()}
	head, ok, err := s.headIn(v.at)
	if err != nil || !ok {
		return nil, false, errors.Join(err, v.at.Close())
	}
	v.Head, v.entries = head, s.In(head.Space)
	return v, true, nil
}

// Close lets go of the moment.
func (v *View) Close() error { return v.at.Close() }

// Send writes all of it.
func (v *View) Send(w io.Writer) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	s := &sender{w: buffered, sum: crc32.New(castagnoli)}
	head := v.Head
	head.Space = 0 // the receiver has its own
	s.lengthAnd(head.append(nil))
	for part := range v.Head.Parts {
		data, ok, err := get(v.at, v.entries.space.SnapshotPart(v.Head.Index, part))
		if err == nil && !ok {
			err = fmt.Errorf("%w: group %d lacks part %d of snapshot %d", ErrDamaged, v.entries.group, part, v.Head.Index)
		}
		if err != nil {
			return err
		}
		s.write([]byte{recordPart})
		s.lengthAnd(data)
		if s.err != nil {
			return s.err
		}
	}
	if err := v.sendEntries(s); err != nil {
		return err
	}
	s.write([]byte{recordEnd})
	s.write(binary.LittleEndian.AppendUint32(nil, s.sum.Sum32()))
	return errors.Join(s.err, buffered.Flush())
}

func (v *View) sendEntries(s *sender) error {
	lower, upper := v.entries.space.Entries(0, v.Head.Index+1)
	it, err := v.at.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return v.entries.explain(err)
	}
	for ok := it.First(); ok && s.err == nil; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err == nil {
			var e Entry
			if e, err = parse(it.Key(), value); err == nil {
				s.write(binary.LittleEndian.AppendUint64([]byte{recordEntry}, e.Index))
				s.lengthAnd(value)
			}
		}
		if err != nil {
			return v.entries.explain(errors.Join(err, it.Close()))
		}
	}
	return errors.Join(s.err, v.entries.explain(errors.Join(it.Error(), it.Close())))
}

// sender writes until something goes wrong, and sums up.
type sender struct {
	w   io.Writer
	sum hash.Hash32
	err error
}

func (s *sender) write(p []byte) {
	if s.err == nil {
		_, _ = s.sum.Write(p)
		_, s.err = s.w.Write(p)
	}
}

func (s *sender) lengthAnd(p []byte) {
	s.write(binary.LittleEndian.AppendUint32(nil, uint32(len(p))))
	s.write(p)
}

// Take writes what Send gave to this space, which nothing reads yet, a piece at a time. The head it gives names the space,
// and what the entries take on the disk here; once it is put in place (PlaceTo), the space counts. proceed is asked before
// each piece is written.
func (s *Store) Take(r io.Reader, proceed func() error) (Head, error) {
	t := &taker{r: bufio.NewReaderSize(r, 64<<10), sum: crc32.New(castagnoli), into: s, proceed: proceed}
	err := t.run()
	if err != nil && t.batch != nil {
		err = errors.Join(err, t.batch.Close())
	}
	if err == nil {
		err = errors.Join(t.flush(), t.atEnd())
	}
	if err != nil {
		err = fmt.Errorf("group %d: %w", s.group, err)
	}
	return t.head, err
}

// taker reads records and writes what they hold.
type taker struct {
	r       *bufio.Reader
	sum     hash.Hash32
	into    *Store
	proceed func() error
	batch   *pebble.Batch
	head    Head
	parts   uint32
	last    uint64 // entry
	segment int
}

// takeRound is how much is written at once.
const takeRound = 1 << 20

func (t *taker) run() error {
	data, err := t.record()
	if err == nil {
		err = t.head.parse(data)
	}
	if err != nil {
		return err
	}
	t.head.Space = t.into.space.Number
	for i := range t.head.Segments {
		t.head.Segments[i].Bytes = 0
	}
	for {
		kind, err := t.read(1)
		if err != nil {
			return err
		}
		switch kind[0] {
		case recordPart:
			err = t.takePart()
		case recordEntry:
			err = t.takeEntry()
		case recordEnd:
			return t.end()
		default:
			err = fmt.Errorf("%w: a record of kind %d", errTransfer, kind[0])
		}
		if err == nil && t.batch != nil && t.batch.Len() >= takeRound {
			err = t.flush()
		}
		if err != nil {
			return err
		}
	}
}

func (t *taker) read(n int) ([]byte, error) {
	data := make([]byte, n)
	if _, err := io.ReadFull(t.r, data); err != nil {
		return nil, noEOF(err)
	}
	_, _ = t.sum.Write(data)
	return data, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (t *taker) record() ([]byte, error) {
	length, err := t.read(4)
	if err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(length)
	if n > recordMax {
		return nil, fmt.Errorf("%w: a record of %d bytes", errTransfer, n)
	}
	return t.read(int(n))
}

func (t *taker) set(key, value []byte) {
	if t.batch == nil {
		t.batch = t.into.NewBatch()
	}
	if err := t.batch.Set(key, value, nil); err != nil {
		bug("group %d: %v", t.into.group, err)
	}
}

func (t *taker) takePart() error {
	data, err := t.record()
	if err == nil {
		t.set(t.into.space.SnapshotPart(t.head.Index, t.parts), data)
		t.parts++
	}
	return err
}

func (t *taker) takeEntry() error {
	at, err := t.read(8)
	if err != nil {
		return err
	}
	value, err := t.record()
	if err != nil {
		return err
	}
	index := binary.LittleEndian.Uint64(at)
	list := t.head.Segments
	for t.segment < len(list) && list[t.segment].Last < index {
		t.segment++
	}
	if index <= t.last || t.segment == len(list) || index < list[t.segment].First || len(value) < entryHead {
		return fmt.Errorf("%w: entry %d", errTransfer, index)
	}
	t.last = index
	list[t.segment].Bytes += int64(Footprint(len(value) - entryHead))
	t.set(t.into.space.Entry(nil, index), value)
	return nil
}

func (t *taker) end() error {
	want := t.sum.Sum32()
	sum, err := t.read(4)
	switch {
	case err != nil:
		return err
	case binary.LittleEndian.Uint32(sum) != want:
		return fmt.Errorf("%w: the sum is wrong", errTransfer)
	case t.parts != t.head.Parts:
		return fmt.Errorf("%w: %d parts of %d", errTransfer, t.parts, t.head.Parts)
	}
	return nil
}

// flush writes what was gathered, not synced: nothing refers to it.
func (t *taker) flush() error {
	if t.batch == nil {
		return nil
	}
	if err := t.proceed(); err != nil {
		return err
	}
	t.into.store.CommitLazily(t.batch)
	t.batch = nil
	return nil
}

// atEnd reads to the end of the stream: it says whether it was whole.
func (t *taker) atEnd() error {
	switch _, err := t.r.ReadByte(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: there is more behind the end", errTransfer)
}

// PlaceTo adds to a batch what makes a snapshot that was taken the newest. What lies in other spaces counts no more.
func (s *Store) PlaceTo(b *pebble.Batch, head *Head) { s.setHead(b, head) }

// get reads a value, which is the caller's.
func get(r pebble.Reader, key []byte) (value []byte, ok bool, err error) {
	borrowed, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, store.Explain(err)
	}
	value = append([]byte(nil), borrowed...)
	if err := closer.Close(); err != nil {
		return nil, false, store.Explain(err)
	}
	return value, true, nil
}
