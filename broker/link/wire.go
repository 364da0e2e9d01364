package link

import (
	"encoding/binary"
	"errors"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// A message between nodes is a byte that says what it is, and then numbers as varints and strings with their length:
//
//	attach    group, epoch, first session; callers: node, session, consumers: number, last delivery seen; the era of the group that
//	          is known, unless it is the first
//	resume    as attach
//	attached  group, epoch; of each caller the number of its last batch
//	refused   group, epoch, who leads or 0
//	propose   group, epoch, revision of the metadata, node, session, number, batch
//	events    group, epoch, node, session; events
//	took      group, epoch, node, session, octets
//	leads     group: who sends this leads it now
//	reply     the name that waits for it, properties, body
//	again     nothing: something sent before may be missing
//	call      number, group, what is asked
//	answer    number, 1 or 0 if it does not lead or cannot, what is answered
//	question  number, what is asked of the node itself; the answer is an answer
//	alarms    a bit for each alarm that is raised on the sender
//	tallies   how many connections and channels the sender has, to the end
//	gone      group, epoch, node, session, 0: nothing is to be kept for the session any more
const (
	kindAttach byte = iota + 1
	kindResume
	kindAttached
	kindRefused
	kindPropose
	kindEvents
	kindTook
	kindAgain
	kindLeads
	kindReply
	kindCall
	kindAnswer
	kindQuestion
	kindAlarms
	kindGone
	kindTallies
)

var errMessage = errors.New("link: not a message between nodes")

type attachMessage struct {
	group, epoch, first uint64
	era                 uint64
	callers             []group.Caller
}

type proposeMessage struct {
	group, epoch, revision uint64
	batch                  oplog.Batch
}

type eventsMessage struct {
	group, epoch uint64
	to           queue.SessionKey
	events       []group.Event
}

type tookMessage struct {
	group, epoch uint64
	key          queue.SessionKey
	bytes        int
}

func uvarints(dst []byte, numbers ...uint64) []byte {
	for _, n := range numbers {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendAttach(dst []byte, kind byte, id, epoch, first uint64, callers []group.Caller) []byte {
	dst = uvarints(append(dst, kind), id, epoch, first, uint64(len(callers)))
	for _, c := range callers {
		dst = uvarints(dst, c.Key.Node, c.Key.Session, uint64(len(c.Seen)))
		for _, s := range c.Seen {
			dst = uvarints(dst, uint64(s.Consumer), s.Number)
		}
	}
	return dst
}

func appendAttached(dst []byte, id, epoch uint64, last []uint64) []byte {
	return uvarints(uvarints(append(dst, kindAttached), id, epoch, uint64(len(last))), last...)
}

func appendRefused(dst []byte, id, epoch, leader uint64) []byte {
	return uvarints(append(dst, kindRefused), id, epoch, leader)
}

// proposeParts is a propose message, without a copy of the batch.
func proposeParts(id, epoch, revision uint64, b *oplog.Batch) [][]byte {
	head := uvarints(append(make([]byte, 0, 64), kindPropose), id, epoch, revision, b.From.Node, b.From.Session, b.From.Seq, uint64(len(b.Data)))
	return [][]byte{head, b.Data}
}

func appendTook(dst []byte, id, epoch uint64, key queue.SessionKey, bytes int) []byte {
	return uvarints(append(dst, kindTook), id, epoch, key.Node, key.Session, uint64(bytes))
}

func appendGone(dst []byte, id, epoch uint64, key queue.SessionKey) []byte {
	return uvarints(append(dst, kindGone), id, epoch, key.Node, key.Session, 0)
}

// partLeast is how long records must be to be sent from where they lie: what is shorter is copied.
const partLeast = 4 << 10

// eventParts is an events message, without a copy of long records.
func eventParts(id, epoch uint64, to queue.SessionKey, events []group.Event) (parts [][]byte) {
	room := 64
	for i := range events {
		if room += eventRoom; len(events[i].Data) < partLeast {
			room += len(events[i].Data)
		}
	}
	dst := uvarints(append(make([]byte, 0, room), kindEvents), id, epoch, to.Node, to.Session, uint64(len(events)))
	from := 0
	for i := range events {
		e := &events[i]
		dst = appendEvent(dst, e)
		if len(e.Data) < partLeast {
			dst = append(dst, e.Data...)
			continue
		}
		parts = append(parts, dst[from:len(dst):len(dst)], e.Data)
		from = len(dst)
	}
	return append(parts, dst[from:])
}

// eventRoom is more than most events take without their records.
const eventRoom = 48

// Flags of an event.
const (
	flagRedelivered = 1 << iota
	flagNoAck
	flagStream
)

// appendEvent appends all of an event but its records, which come next.
func appendEvent(dst []byte, e *group.Event) []byte {
	flags := byte(0)
	if e.Redelivered {
		flags |= flagRedelivered
	}
	if e.NoAck {
		flags |= flagNoAck
	}
	if e.Stream {
		flags |= flagStream
	}
	dst = append(dst, byte(e.Kind), byte(e.Outcome), flags)
	return uvarints(dst, uint64(e.Queue), uint64(e.Consumer), uint64(e.Request), uint64(e.Channel), e.Number, uint64(e.Count),
		e.Index, uint64(e.Offset), uint64(e.Stride), uint64(e.Deliveries), uint64(e.Acquired), e.Ready, uint64(len(e.Data)))
}

// reader takes what was appended off the front; bad is set, for good, once something was missing.
type reader struct {
	data []byte
	bad  bool
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.data)
	if size <= 0 {
		r.bad, r.data = true, nil
		return 0
	}
	r.data = r.data[size:]
	return n
}

// count is the number of things that follow, each of some bytes at least.
func (r *reader) count(least int) int {
	n := r.number()
	if n > uint64(len(r.data)/least) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) byte() byte {
	if len(r.data) == 0 {
		r.bad = true
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

func (r *reader) bytes() []byte {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

func (r *reader) key() queue.SessionKey {
	return queue.SessionKey{Node: r.number(), Session: r.number()}
}

func (r *reader) attach() *attachMessage {
	m := &attachMessage{group: r.number(), epoch: r.number(), first: r.number()}
	for range r.count(3) {
		c := group.Caller{Key: r.key()}
		for range r.count(2) {
			c.Seen = append(c.Seen, queue.Seen{Consumer: uint32(r.number()), Number: r.number()})
		}
		m.callers = append(m.callers, c)
	}
	if len(r.data) > 0 {
		m.era = r.number()
	}
	return m
}

func (r *reader) propose() *proposeMessage {
	m := &proposeMessage{group: r.number(), epoch: r.number(), revision: r.number()}
	m.batch.From = oplog.Origin{Node: r.number(), Session: r.number(), Seq: r.number()}
	m.batch.Data = r.bytes()
	return m
}

func (r *reader) took() *tookMessage {
	return &tookMessage{group: r.number(), epoch: r.number(), key: r.key(), bytes: int(r.number())}
}

func (r *reader) events() *eventsMessage {
	m := &eventsMessage{group: r.number(), epoch: r.number(), to: r.key()}
	n := r.count(16)
	m.events = make([]group.Event, 0, n)
	for range n {
		m.events = append(m.events, r.event(m))
	}
	return m
}

func (r *reader) event(m *eventsMessage) group.Event {
	e := group.Event{Group: m.group}
	e.To = m.to
	e.Kind, e.Outcome = queue.Kind(r.byte()), queue.Outcome(r.byte())
	flags := r.byte()
	e.Redelivered, e.NoAck, e.Stream = flags&flagRedelivered != 0, flags&flagNoAck != 0, flags&flagStream != 0
	e.Queue, e.Consumer, e.Request = queue.ID(r.number()), uint32(r.number()), uint32(r.number())
	e.Channel, e.Number, e.Count = uint16(r.number()), r.number(), uint32(r.number())
	e.Index, e.Offset, e.Stride = r.number(), uint32(r.number()), uint32(r.number())
	e.Deliveries, e.Acquired, e.Ready = uint32(r.number()), uint32(r.number()), r.number()
	e.Data = r.bytes()
	r.bad = r.bad || !sound(&e)
	return e
}

// sound tells whether an event is one that a group sends, and has the records that it says it has.
func sound(e *group.Event) bool {
	if e.Kind < queue.Deliver || e.Kind > queue.Active || e.Outcome > queue.TimedOut || e.Number+uint64(e.Count) < e.Number {
		return false
	}
	if e.Kind != queue.Deliver && e.Kind != queue.Got {
		return len(e.Data) == 0
	}
	return e.Count > 0 && e.Stride > queue.RecordGap && uint64(len(e.Data)) == uint64(e.Count)*uint64(e.Stride)-queue.RecordGap
}
