package group

import (
	"encoding/binary"

	"github.com/warrenmq/warren/broker/queue"
)

// waiting is a FIFO of effects for one consumer, packed: deliveries differ in little, and there may be many.
//
// A delivery is a byte of flags, then as varints: index (less the one before), number (less what is expected), offset,
// stride, count, and what the flags announce.
type waiting struct {
	data    []byte
	at      int            // data[:at] has been taken
	like    queue.Effect   // the delivery that was put in last, for what deliveries have in common
	index   uint64         // of the delivery that was taken last
	number  uint64         // that is expected of the next one to be taken
	others  []queue.Effect // what is no delivery; its place is marked in data
	otherAt int
}

// Flags of a packed effect.
const (
	packedOther = 1 << iota // it is in others
	packedRedelivered
	packedCounts
	packedReady
)

func (w *waiting) empty() bool { return w.at == len(w.data) }

// keptTaken is from how many octets on what was taken is given back while more waits: a consumer that is always behind.
const keptTaken = 4 << 10

func (w *waiting) push(e *queue.Effect) {
	if w.at > keptTaken && w.at > len(w.data)/2 {
		w.data, w.at = append(w.data[:0], w.data[w.at:]...), 0
		w.others, w.otherAt = append(w.others[:0], w.others[w.otherAt:]...), 0
	}
	if e.Kind != queue.Deliver {
		w.data = append(w.data, packedOther)
		w.others = append(w.others, *e)
		return
	}
	if w.like.Kind != queue.Deliver {
		w.index, w.number = e.Index, e.Number
		w.like = *e
		w.like.Count = 0
	}
	flags := byte(0)
	if e.Redelivered {
		flags |= packedRedelivered
	}
	if e.Deliveries > 0 || e.Acquired > 0 {
		flags |= packedCounts
	}
	if e.Ready > 0 {
		flags |= packedReady
	}
	w.data = append(w.data, flags)
	w.data = binary.AppendVarint(w.data, int64(e.Index-w.like.Index))
	w.data = binary.AppendVarint(w.data, int64(e.Number-w.like.Number-uint64(w.like.Count)))
	w.data = binary.AppendUvarint(w.data, uint64(e.Offset))
	w.data = binary.AppendUvarint(w.data, uint64(e.Stride))
	w.data = binary.AppendUvarint(w.data, uint64(e.Count))
	if flags&packedCounts != 0 {
		w.data = binary.AppendUvarint(w.data, uint64(e.Deliveries))
		w.data = binary.AppendUvarint(w.data, uint64(e.Acquired))
	}
	if flags&packedReady != 0 {
		w.data = binary.AppendUvarint(w.data, e.Ready)
	}
	w.like = *e
}

// pop takes the oldest effect. There must be one.
func (w *waiting) pop() queue.Effect {
	e := w.unpack()
	if w.empty() {
		w.data, w.at = w.data[:0], 0
	}
	return e
}

func (w *waiting) unpack() queue.Effect {
	flags := w.data[w.at]
	w.at++
	if flags&packedOther != 0 {
		e := w.others[w.otherAt]
		if w.otherAt++; w.otherAt == len(w.others) {
			w.others, w.otherAt = nil, 0
		}
		return e
	}
	e := w.like
	w.index += uint64(w.varint())
	w.number += uint64(w.varint())
	e.Index, e.Number = w.index, w.number
	e.Offset, e.Stride, e.Count = uint32(w.uvarint()), uint32(w.uvarint()), uint32(w.uvarint())
	e.Redelivered, e.Deliveries, e.Acquired, e.Ready = flags&packedRedelivered != 0, 0, 0, 0
	if flags&packedCounts != 0 {
		e.Deliveries, e.Acquired = uint32(w.uvarint()), uint32(w.uvarint())
	}
	if flags&packedReady != 0 {
		e.Ready = w.uvarint()
	}
	w.number += uint64(e.Count)
	return e
}

func (w *waiting) varint() int64 {
	v, n := binary.Varint(w.data[w.at:])
	w.at += n
	return v
}

func (w *waiting) uvarint() uint64 {
	v, n := binary.Uvarint(w.data[w.at:])
	w.at += n
	return v
}

// each visits every effect, oldest first.
func (w *waiting) each(visit func(*queue.Effect)) {
	for rest := *w; !rest.empty(); {
		e := rest.unpack()
		visit(&e)
	}
}
