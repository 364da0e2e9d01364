package queue

import (
	"slices"

	"github.com/warrenmq/warren/broker/message"
)

// A relay is the queue behind an exchange that needs a memory: one whose messages wait for their time, or one that lets
// a key pass once. What has waited, and what may pass, goes through the outbox to the exchange's bindings.

// relay takes messages into a relay. Where it remembers keys, a message's delay is how long its key is remembered.
func (s *Set) relay(q *queue, h *message.Head, r run) {
	delay := int64(0)
	if h.Flags&message.FlagDelay != 0 {
		delay = int64(min(h.Delay, ttlMax))
	}
	r.size = h.Size
	if q.config.Dedup {
		if h.Flags&message.FlagDedup != 0 && !s.fresh(q, string(h.Dedup), delay) {
			q.stats.Dropped += uint64(r.count)
			return
		}
		delay = 0
	}
	s.keep(&r)
	if delay == 0 {
		s.bury(q, r, Due)
		return
	}
	r.due = s.now + delay + 1 // it came within the millisecond that now began, and is not to leave early
	q.waiting.add(r, s.now)
}

// releaseDue lets go what has waited long enough: on its way from a relay, back into a quorum queue.
func (s *Set) releaseDue(q *queue) {
	if q.waiting.count == 0 {
		return
	}
	q.waiting.due(s.now, func(r run) {
		r.due = 0
		if q.config.Type == Relay {
			s.bury(q, r, Due)
			return
		}
		q.putBack(r)
	})
}

// retryDelay is how long a message that came back is held, 0 if it is not.
func (q *queue) retryDelay(r *run, cause Cause) int64 {
	c := q.config
	held := c.Type == Quorum && c.RetryMinMs > 0
	switch c.Retry {
	case RetryAll:
	case RetryFailed:
		held = held && failed(cause)
	case RetryReturned:
		held = held && !failed(cause)
	default:
		held = false
	}
	if !held {
		return 0
	}
	delay := c.RetryMinMs * int64(max(1, r.deliveries))
	if c.RetryMaxMs > 0 {
		delay = min(delay, c.RetryMaxMs)
	}
	return delay
}

// keyring is the keys a queue or relay remembers. In a queue a key is known while a message with it is there; a cache with a
// size or a time knows it for so long.
type keyring struct {
	keys   map[string]memory
	places map[place]string // of messages that hold their key
	order  []string         // keys by age, for a cache with a size
}

// memory is what is known of a key: how many messages hold it, and until when it is remembered beyond that (0: not).
type memory struct {
	holders int
	until   int64
}

// place is where a message lies.
type place struct {
	index  uint64
	offset uint32
}

// forEver is a time that does not come.
const forEver = 1 << 62

// fresh tells whether a relay has not seen the key, and remembers it for so many milliseconds, 0: as it is configured.
func (s *Set) fresh(q *queue, key string, ttl int64) bool {
	q.keyring.forget(s.now)
	if m, known := q.keyring.keys[key]; known {
		if m.until > s.now {
			return false
		}
		q.keyring.order = slices.DeleteFunc(q.keyring.order, func(have string) bool { return have == key })
	}
	q.keyring.remember(key, q.config.DedupSize)
	until := int64(forEver)
	switch {
	case ttl > 0:
		until = s.now + ttl
	case q.config.DedupTTLMs != None:
		until = s.now + q.config.DedupTTLMs
	}
	q.keyring.keys[key] = memory{until: until}
	return true
}

// forget drops the oldest keys, as long as their time is over.
func (e *keyring) forget(now int64) {
	for len(e.order) > 0 && e.keys[e.order[0]].until <= now {
		delete(e.keys, e.order[0])
		e.order = e.order[1:]
	}
}

// remember makes room for a key that is not known.
func (e *keyring) remember(key string, size int64) {
	if e.keys == nil {
		e.keys = map[string]memory{}
	}
	e.order = append(e.order, key)
	for size > 0 && int64(len(e.order)) > size {
		delete(e.keys, e.order[0])
		e.order = e.order[1:]
	}
}

// duplicate tells whether the queue holds a message with this key already.
func (q *queue) duplicate(h *message.Head) bool {
	return q.config.Dedup && q.config.Type != Relay && h.Flags&message.FlagDedup != 0 && q.keyring.keys[string(h.Dedup)].holders > 0
}

// hold notes that a message holds its key.
func (e *keyring) hold(key string, at place) {
	if e.keys == nil {
		e.keys = map[string]memory{}
	}
	if e.places == nil {
		e.places = map[place]string{}
	}
	m := e.keys[key]
	m.holders++
	e.keys[key] = m
	e.places[at] = key
}

// depart notes that messages have left the queue, with their keys.
func (q *queue) depart(r *run) {
	if r.flags&runDedup == 0 {
		return
	}
	for i := range r.count {
		at := place{r.index, r.offset + i*r.stride}
		key, held := q.keyring.places[at]
		if !held {
			continue
		}
		delete(q.keyring.places, at)
		m := q.keyring.keys[key]
		if m.holders--; m.holders > 0 {
			q.keyring.keys[key] = m
		} else {
			delete(q.keyring.keys, key)
		}
	}
}

// producers is the highest number that each producer's messages have had in a queue: what comes again is recognised.
type producers map[uint64]*producer

type producer struct {
	last uint64 // its highest number
	used uint64 // entry of its last message
}

// producersMax is how many producers a queue remembers; then the one that was silent longest is forgotten.
const producersMax = 1024

// repeated tells whether a producer's message, or a letter, is in the queue already, and notes it if it is not.
func (q *queue) repeated(h *message.Head, index uint64) bool {
	if h.Flags&message.FlagLetter != 0 {
		return !q.note(&h.Letter, index)
	}
	if h.Flags&message.FlagProducer == 0 {
		return false
	}
	if q.producers == nil {
		q.producers = producers{}
	}
	p := q.producers[h.Producer]
	if p == nil {
		q.producers.makeRoom()
		p = &producer{}
		q.producers[h.Producer] = p
	}
	p.used = index
	if h.Sequence <= p.last {
		return true
	}
	p.last = h.Sequence
	return false
}

// repeats tells whether repeated will say so.
func (q *queue) repeats(h *message.Head) bool {
	if h.Flags&message.FlagLetter != 0 {
		return q.letters.have(&h.Letter)
	}
	if h.Flags&message.FlagProducer == 0 {
		return false
	}
	last := uint64(0) // numbers begin with 1
	if p := q.producers[h.Producer]; p != nil {
		last = p.last
	}
	return h.Sequence <= last
}

func (p producers) makeRoom() {
	if len(p) < producersMax {
		return
	}
	oldest, found := uint64(0), false
	for id, one := range p {
		if !found || one.used < p[oldest].used || one.used == p[oldest].used && id < oldest {
			oldest, found = id, true
		}
	}
	delete(p, oldest)
}
