package queue

import (
	"fmt"
	"slices"

	"github.com/warrenmq/warren/broker/message"
)

// What not every queue does: holding back, knowing keys and producers, losing patience, relays and streams.

// mayTurnAway tells whether a queue is of the kind that turns publishes away.
func (m *model) mayTurnAway(id ID) bool {
	q := m.queues[id]
	return q != nil && !q.deleted && (q.refuses() || q.c.Dedup)
}

// turnsAway tells whether a queue does not take a message.
func (m *model) turnsAway(q *modelQueue, msg *message.Message) bool {
	if q == nil || q.deleted || q.repeated(msg) {
		return false
	}
	return m.duplicate(q, msg) || q.refuses() && q.over(1, q.sizeOf(msg))
}

// duplicate tells whether the queue has a message with the same key: ready, held back or in somebody's hands.
func (m *model) duplicate(q *modelQueue, msg *message.Message) bool {
	if !q.c.Dedup || q.c.Type == Relay || msg.Flags&message.FlagDedup == 0 {
		return false
	}
	all := slices.Concat(q.returned, q.ready, q.waiting)
	for _, s := range m.sessions {
		for _, c := range s.consumers {
			for _, u := range c.unacked {
				if c.q == q {
					all = append(all, u.m)
				}
			}
		}
	}
	return slices.ContainsFunc(all, func(o *modelMessage) bool { return o.key == "key "+string(msg.Dedup) })
}

// repeated tells whether the message's producer has had it here before, or the letter has come already.
func (q *modelQueue) repeated(msg *message.Message) bool {
	if msg.Flags&message.FlagLetter != 0 {
		return msg.Letter.Number < q.floors[msg.Letter.Source] || q.letters[letterKey(msg)]
	}
	return msg.Flags&message.FlagProducer != 0 && msg.Sequence <= q.producers[msg.Producer]
}

func letterKey(msg *message.Message) message.Letter {
	return message.Letter{Source: msg.Letter.Source, Number: msg.Letter.Number}
}

// takeIn makes a message one of the queue's.
func (m *model) takeIn(q *modelQueue, msg *message.Message) {
	q.stats.Published++
	if msg.Flags&message.FlagLetter != 0 {
		if q.letters == nil {
			q.letters, q.floors = map[message.Letter]bool{}, map[uint64]uint64{}
		}
		q.floors[msg.Letter.Source] = max(q.floors[msg.Letter.Source], msg.Letter.Floor)
	}
	if q.repeated(msg) {
		return
	}
	if msg.Flags&message.FlagLetter != 0 {
		q.letters[letterKey(msg)] = true
	} else if msg.Flags&message.FlagProducer != 0 {
		if q.producers == nil {
			q.producers = map[uint64]uint64{}
		}
		q.producers[msg.Producer] = msg.Sequence
	}
	r := m.enter(q, msg)
	switch {
	case q.c.Type == Relay:
		m.relay(q, msg, r)
	case q.c.Type == Stream:
		r.expires = m.now // when it came
		q.append(r, int64(len(msg.Body)+len(msg.Props)))
	default:
		if q.c.Dedup && msg.Flags&message.FlagDedup != 0 {
			r.key = "key " + string(msg.Dedup)
		}
		q.put(r)
	}
}

// modelSegment is a stretch of a stream, which goes as a whole.
type modelSegment struct {
	count  int
	bytes  int64
	newest int64
}

// append puts a message behind the others of a stream: into the last segment, unless that is full.
func (q *modelQueue) append(r *modelMessage, bytes int64) {
	full := q.c.SegmentBytes
	if full == 0 {
		full = 500_000_000
	}
	if n := len(q.segments); n == 0 || q.segments[n-1].bytes >= full {
		q.segments = append(q.segments, modelSegment{})
	}
	last := &q.segments[len(q.segments)-1]
	last.count, last.bytes, last.newest = last.count+1, last.bytes+bytes, r.expires
	q.stream = append(q.stream, r)
}

// trim drops the oldest segments of a stream that are too much or too old, and leaves one.
func (m *model) trim(q *modelQueue) {
	for len(q.segments) > 1 {
		sum := int64(0)
		for _, s := range q.segments {
			sum += s.bytes
		}
		first := q.segments[0]
		tooMuch, tooOld := q.c.MaxLengthBytes != None && sum > q.c.MaxLengthBytes, q.c.MaxAgeMs != None && first.newest+q.c.MaxAgeMs <= m.now
		if !tooMuch && !tooOld {
			return
		}
		q.segments, q.stream, q.begins = q.segments[1:], q.stream[first.count:], q.begins+first.count
	}
}

// relay sends a message on: where it knows keys, if it has not seen the message's lately, else after the message's delay.
func (m *model) relay(q *modelQueue, msg *message.Message, r *modelMessage) {
	r.expires, r.again = 0, false
	switch {
	case q.c.Dedup && msg.Flags&message.FlagDedup != 0 && !m.fresh(q, string(msg.Dedup), msg.Delay):
		q.stats.Dropped++
	case q.c.Dedup || msg.Flags&message.FlagDelay == 0 || msg.Delay == 0:
		m.die(q, r, Due)
	default:
		q.holdBack(r, m.now+int64(msg.Delay)+1)
	}
}

// fresh tells whether a relay has not seen a key, or not for long enough, or too many since.
func (m *model) fresh(q *modelQueue, key string, ttl uint64) bool {
	for len(q.cache) > 0 && q.cache[0].until <= m.now {
		q.cache = q.cache[1:]
	}
	if slices.ContainsFunc(q.cache, func(c cached) bool { return c.key == key && c.until > m.now }) {
		return false
	}
	q.cache = slices.DeleteFunc(q.cache, func(c cached) bool { return c.key == key })
	until := int64(1 << 62)
	if q.c.DedupTTLMs != None {
		until = m.now + q.c.DedupTTLMs
	}
	if ttl > 0 {
		until = m.now + int64(ttl)
	}
	q.cache = append(q.cache, cached{key, until})
	for q.c.DedupSize > 0 && len(q.cache) > int(q.c.DedupSize) {
		q.cache = q.cache[1:]
	}
	return true
}

// holdBack keeps a message until it is due, behind others of the same time.
func (q *modelQueue) holdBack(msg *modelMessage, due int64) {
	msg.due = due
	at := slices.IndexFunc(q.waiting, func(o *modelMessage) bool { return o.due > due })
	if at < 0 {
		at = len(q.waiting)
	}
	q.waiting = slices.Insert(q.waiting, at, msg)
}

// release lets go what has been held back long enough.
func (m *model) release(q *modelQueue) {
	for len(q.waiting) > 0 && q.waiting[0].due <= m.now {
		msg := q.waiting[0]
		q.take(msg)
		if q.c.Type == Relay {
			m.die(q, msg, Due)
		} else {
			q.returned = append(q.returned, msg)
		}
	}
}

// retryDelay is how long a message that came back is held back.
func (q *modelQueue) retryDelay(msg *modelMessage, cause Cause) int64 {
	failed := cause == CauseReject || cause == CauseClosed
	if q.c.Retry == RetryDisabled || q.c.Retry == RetryFailed && !failed || q.c.Retry == RetryReturned && failed {
		return 0
	}
	delay := q.c.RetryMinMs * max(1, int64(msg.failed))
	if q.c.RetryMaxMs > 0 {
		delay = min(delay, q.c.RetryMaxMs)
	}
	return delay
}

// slow is when a consumer has been too slow, if that is limited and it holds something.
func (c *modelConsumer) slow() (at int64, limited bool) {
	if !c.q.quorum() || c.noAck && !c.getter || len(c.unacked) == 0 {
		return 0, false
	}
	patience := c.timeout
	if patience == 0 && c.q.c.ConsumerTimeoutMs != None {
		patience = c.q.c.ConsumerTimeoutMs
	}
	return c.unacked[0].since + patience, patience > 0
}

// endSlow cancels the consumers, and holders, that have been too slow; what they hold comes back.
func (m *model) endSlow(q *modelQueue) {
	ended := false
	for _, c := range slices.Concat(q.consumers, q.strays) {
		if at, limited := c.slow(); limited && at <= m.now {
			m.seen.add("cancelled", "%v %d of q%d, too slow", c.key, c.id, q.id)
			m.empty(c, 0, Everything, func(q *modelQueue, msg *modelMessage) { m.comeBack(q, msg, CauseTimeout) })
			if c.attached {
				m.leave(c)
			} else {
				m.forget(c)
			}
			ended = true
		}
	}
	if ended {
		m.elect(q)
	}
}

// feed gives the readers of a stream what they have room for.
func (m *model) feed(q *modelQueue) {
	for _, c := range q.consumers {
		c.cursor = max(c.cursor, q.begins)
		for ; c.room() && c.cursor < q.begins+len(q.stream); c.cursor++ {
			msg := q.stream[c.cursor-q.begins]
			if !c.wants(msg) {
				continue
			}
			c.window -= msg.cost + DeliveryOverhead
			m.seen.add(fmt.Sprint("deliver ", c.key, c.id), "ch%d #%d %s at %d", c.channel, c.next,
				fmt.Sprintf("%s again=false failed=0 acquired=0 noAck=%v", msg.id, c.noAck), c.cursor)
			c.unacked = append(c.unacked, modelUnacked{number: c.next, m: msg, since: m.now})
			c.next++
			q.stats.Delivered++
		}
	}
}

// seek finds where a new reader begins, and what it wants.
func (m *model) seek(c *modelConsumer, a *Attach) {
	c.wants = func(msg *modelMessage) bool {
		if msg.filter == "" {
			return len(a.Filters) == 0 || a.Unfiltered
		}
		return len(a.Filters) == 0 || slices.Contains(a.Filters, FilterHash([]byte(msg.filter)))
	}
	q := c.q
	end := q.begins + len(q.stream)
	since := func(time int64) int {
		if i := slices.IndexFunc(q.stream, func(msg *modelMessage) bool { return msg.expires >= time }); i >= 0 {
			return q.begins + i
		}
		return end
	}
	switch a.From.Kind {
	case OffsetFirst:
		c.cursor = q.begins
	case OffsetLast:
		c.cursor = end
		for i := len(q.stream) - 1; i >= 0 && q.stream[i].entry == q.stream[len(q.stream)-1].entry; i-- {
			c.cursor = q.begins + i
		}
	case OffsetNext:
		c.cursor = end
	case OffsetAbsolute:
		c.cursor = max(int(a.From.Value), q.begins)
	case OffsetTime:
		c.cursor = since(a.From.Value)
	case OffsetAgo:
		c.cursor = since(m.now - a.From.Value)
	}
}
