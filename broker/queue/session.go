package queue

import (
	"math/bits"

	"github.com/warrenmq/warren/broker/ledger"
)

// session is what a group knows of an AMQP connection. owner: Set
type session struct {
	key       SessionKey
	last      uint64 // number of its last batch
	consumers map[uint32]*consumer
}

// consumer is a consumer, or the holder of what a channel got with basic.get. owner: Set
type consumer struct {
	id        uint32
	session   *session
	queue     *queue
	channel   uint16
	tag       string
	arguments []byte
	priority  int64
	prefetch  uint32
	window    int64 // bytes that may still go to the session
	timeout   int64 // milliseconds for an acknowledgement; 0: the queue's
	next      uint64
	unacked   ledger.Ledger[handed]

	cursor     uint64   // of a stream's reader: offset of the next message
	filters    []uint32 // hashes of the values it takes
	unfiltered bool

	noAck     bool
	exclusive bool
	getter    bool // only ever gets
	waiting   bool // stands in its level
	gone      bool // detached; lives on while something is unacked
}

// handed is messages in a consumer's hands.
type handed struct {
	run
	since int64 // log time
}

// DeliveryOverhead is what a delivery counts for in a window beside its record: its frames.
const DeliveryOverhead = 64

// room is how many messages like r the consumer may have now.
func (c *consumer) room(r *run) uint32 {
	if c.window <= 0 {
		return 0
	}
	each := int64(r.stride) + DeliveryOverhead
	n := min(int64(r.count), (c.window+each-1)/each)
	if c.prefetch > 0 && !c.noAck {
		n = min(n, int64(c.prefetch)-int64(c.unacked.Len()))
	}
	return uint32(max(n, 0))
}

// open tells whether the consumer may have anything at all.
func (c *consumer) open() bool {
	if c.gone || c.window <= 0 {
		return false
	}
	return c.noAck || c.prefetch == 0 || c.unacked.Len() < int(c.prefetch)
}

// hold notes that r is in the consumer's hands, under the numbers from first on.
func (c *consumer) hold(first uint64, r run, now int64) {
	for r.count > 0 {
		part := r.take(min(r.count, ledger.Width))
		n := uint64(part.count)
		c.unacked.Push(first, int(n), handed{run: part, since: now})
		first += n
	}
}

// eachUnacked visits what is in the consumer's hands.
func (c *consumer) eachUnacked(visit func(*run)) {
	c.unacked.Each(func(h *ledger.Chunk[handed]) { openRuns(h.Item.run, h.Open, func(r run) { visit(&r) }) })
}

// openRuns visits the messages of r whose bits are set in open, as few runs as possible. They are values so that settling
// does not allocate.
func openRuns(r run, open uint64, visit func(run)) {
	for skip := uint32(0); open != 0; {
		zeros := uint32(bits.TrailingZeros64(open))
		open >>= zeros
		skip += zeros
		n := uint32(bits.TrailingZeros64(^open))
		visit(r.part(skip, n))
		if n == 64 {
			return
		}
		open >>= n
		skip += n
	}
}

// consumer gives a consumer or holder of the session that asks, nil if it has none of that number.
func (s *Set) consumer(number uint32) *consumer {
	if s.recent == nil || s.recent.key != s.from {
		ses := s.sessions[s.from]
		if ses == nil {
			return nil
		}
		s.recent = ses
	}
	return s.recent.consumers[number]
}

// session gives the state of a session, new if it was not known.
func (s *Set) session(key SessionKey) *session {
	if s.recent != nil && s.recent.key == key {
		return s.recent
	}
	ses := s.sessions[key]
	if ses == nil {
		ses = &session{key: key, consumers: map[uint32]*consumer{}}
		s.sessions[key] = ses
	}
	s.recent = ses
	return ses
}
