package raftlog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/warrenmq/warren/store/oplog"
)

// A recorder is a machine small enough to be its own specification: producers append numbered messages, and messages are
// settled. It holds what lives, and how far each producer has come.
//
// A command is: what it is 1 byte, producer 1, number 4, length of the body 2 bytes, body.
type recorder struct {
	log     oplog.Log // told by whoever opened it
	opened  chan struct{}
	told    *oracle
	group   int
	mu      sync.Mutex
	live    map[name]oplog.Span
	last    map[byte]uint32 // of each producer
	applied *sync.Cond
	leading bool
	broken  error
}

// name is a message's.
type name struct {
	producer byte
	number   uint32
}

const (
	publish = 'p'
	settle  = 's'

	commandSize = 8
)

func newRecorder(group int, told *oracle) *recorder {
	r := &recorder{group: group, told: told, opened: make(chan struct{}), live: map[name]oplog.Span{}, last: map[byte]uint32{}}
	r.applied = sync.NewCond(&r.mu)
	return r
}

// bodyOf is what a message says, so that whoever reads it knows whether it is right.
func bodyOf(n name, size int) []byte {
	seed := fmt.Appendf(nil, "%d.%d;", n.producer, n.number)
	return bytes.Repeat(seed, size/len(seed)+1)[:max(size, len(seed))]
}

func appendCommand(dst []byte, what byte, n name, body []byte) []byte {
	dst = append(dst, what, n.producer)
	dst = binary.LittleEndian.AppendUint32(dst, n.number)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(body)))
	return append(dst, body...)
}

// Apply implements oplog.Machine.
func (r *recorder) Apply(entries []oplog.Entry) {
	<-r.opened
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range entries {
		for _, b := range entries[i].Batches {
			at := b.At
			for data := b.Data; len(data) > 0; {
				n := name{data[1], binary.LittleEndian.Uint32(data[2:])}
				size := commandSize + int(binary.LittleEndian.Uint16(data[6:]))
				r.apply(data[0], n, oplog.Span{Index: entries[i].Index, Offset: at + commandSize, Length: uint32(size - commandSize)})
				data, at = data[size:], at+uint32(size)
			}
		}
	}
	r.applied.Broadcast()
}

func (r *recorder) apply(what byte, n name, body oplog.Span) {
	if what == publish {
		if n.number != r.last[n.producer]+1 {
			r.fail(fmt.Errorf("group %d: producer %d: number %d behind %d", r.group, n.producer, n.number, r.last[n.producer]))
		}
		r.last[n.producer] = n.number
		r.live[n] = body
		r.log.Account(body.Index, int64(body.Length))
		r.told.confirmed(r.group, n)
		return
	}
	if span, ok := r.live[n]; ok {
		delete(r.live, n)
		r.log.Account(span.Index, -int64(span.Length))
		r.told.settled(r.group, n)
	}
}

func (r *recorder) fail(err error) {
	if r.broken == nil {
		r.broken = err
	}
}

// Lead implements oplog.Machine.
func (r *recorder) Lead(leading bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leading = leading
	r.applied.Broadcast()
}

// Snapshot implements oplog.Machine. It writes without the lock: a disk that hangs holds up nobody else.
func (r *recorder) Snapshot(w io.Writer) error {
	_, err := w.Write(r.image())
	return err
}

func (r *recorder) image() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	dst := []byte{byte(len(r.last))}
	for _, p := range sortedKeys(r.last, func(a, b byte) int { return cmp.Compare(a, b) }) {
		dst = binary.LittleEndian.AppendUint32(append(dst, p), r.last[p])
	}
	for _, n := range sortedKeys(r.live, compareNames) {
		s := r.live[n]
		dst = binary.LittleEndian.AppendUint32(append(dst, n.producer), n.number)
		dst = binary.LittleEndian.AppendUint64(dst, s.Index)
		dst = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(dst, s.Offset), s.Length)
	}
	return dst
}

func compareNames(a, b name) int {
	return cmp.Or(cmp.Compare(a.producer, b.producer), cmp.Compare(a.number, b.number))
}

func sortedKeys[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compare)
	return keys
}

var errSnapshot = errors.New("not a recorder's snapshot")

// Restore implements oplog.Machine.
func (r *recorder) Restore(from io.Reader) error {
	data, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	if len(data) == 0 || len(data) < 1+5*int(data[0]) || (len(data)-1-5*int(data[0]))%21 != 0 {
		return errSnapshot
	}
	n := int(data[0])
	data = data[1:]
	for range n {
		r.last[data[0]] = binary.LittleEndian.Uint32(data[1:])
		data = data[5:]
	}
	for ; len(data) > 0; data = data[21:] {
		r.live[name{data[0], binary.LittleEndian.Uint32(data[1:])}] = oplog.Span{
			Index:  binary.LittleEndian.Uint64(data[5:]),
			Offset: binary.LittleEndian.Uint32(data[13:]), Length: binary.LittleEndian.Uint32(data[17:]),
		}
	}
	return nil
}

// Live implements oplog.Machine.
func (r *recorder) Live(from, to uint64, visit func(oplog.Span)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.live {
		if s.Index >= from && s.Index < to {
			visit(s)
		}
	}
}

// wait waits until something holds of the recorder, or it is broken, or stop says so.
func (r *recorder) wait(holds func() bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !holds() && r.broken == nil && !r.told.over() {
		r.applied.Wait()
	}
	return r.broken
}

// wake lets wait look again.
func (r *recorder) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.applied.Broadcast()
}

// readAll reads every live message and compares it with what was published. It ends with the process.
func (r *recorder) readAll() error {
	var read bool
	if err := r.log.Do(func() {
		err := r.compareAll()
		r.mu.Lock()
		defer r.mu.Unlock()
		if read = true; err != nil {
			r.fail(err)
		}
		r.applied.Broadcast()
	}); err != nil {
		return err
	}
	return r.wait(func() bool { return read })
}

func (r *recorder) compareAll() error {
	r.mu.Lock()
	live := maps.Clone(r.live)
	r.mu.Unlock()
	for n, span := range live {
		body, err := r.log.Read(span)
		if err != nil {
			return err
		}
		if !bytes.Equal(body, bodyOf(n, len(body))) {
			return fmt.Errorf("group %d: message %v says %q", r.group, n, body)
		}
	}
	return nil
}

// oracle is what the world outside has been told: it must stay true. One for all groups.
type oracle struct {
	mu    sync.Mutex
	last  map[[2]int]uint32     // the newest confirmed number, by group and producer
	gone  map[int]map[name]bool // settled
	ended bool                  // the crash has happened: nothing counts any more
}

func newOracle() *oracle {
	return &oracle{last: map[[2]int]uint32{}, gone: map[int]map[name]bool{}}
}

func (o *oracle) confirmed(group int, n name) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ended {
		o.last[[2]int{group, int(n.producer)}] = n.number
	}
}

func (o *oracle) settled(group int, n name) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return
	}
	if o.gone[group] == nil {
		o.gone[group] = map[name]bool{}
	}
	o.gone[group][n] = true
}

func (o *oracle) over() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended
}

// judge holds a recorder that was restored against what the world was told. Messages from settling that was under way may
// be gone or not; everything else is certain.
func (o *oracle) judge(r *recorder, underway map[name]bool, published map[byte]uint32) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return r.broken
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for at, last := range o.last {
		if at[0] == r.group && r.last[byte(at[1])] < last {
			return fmt.Errorf("group %d: producer %d: number %d was confirmed, and the log ends at %d", r.group, at[1], last, r.last[byte(at[1])])
		}
	}
	for n := range r.live {
		switch {
		case o.gone[r.group][n]:
			return fmt.Errorf("group %d: message %v was settled and is back", r.group, n)
		case n.number > published[n.producer]:
			return fmt.Errorf("group %d: message %v was never published", r.group, n)
		}
	}
	for producer, last := range r.last {
		for number := uint32(1); number <= last; number++ {
			n := name{producer, number}
			if _, ok := r.live[n]; !ok && !o.gone[r.group][n] && !underway[n] {
				return fmt.Errorf("group %d: message %v was published and not settled, and is not there", r.group, n)
			}
		}
	}
	return nil
}
