package queue

import (
	"sort"

	"github.com/warrenmq/warren/broker/message"
)

// stream is the log of a stream queue: messages that are read again and again, and go only when they are too old or too
// many. Like a lane it is packed runs, in segments that are dropped as a whole; unlike a lane it is read at any offset.
//
// In a stream's runs expires is the log time at which the message came, and deliveries is the hash of its filter value.
type stream struct {
	segments []*segment
	next     uint64 // offset of the next message
	bytes    int64

	decoded struct { // the block that was read last
		segment *segment
		block   int
		runs    []run
	}
}

// segment is a stretch of a stream.
type segment struct {
	first  uint64 // offset
	count  uint64
	bytes  int64
	newest int64 // log time of its last message
	blocks []streamBlock
	tail   []run
	tailAt uint64 // offset of the first message in tail
}

// streamBlock is packed runs with the offset and time of the first message in them.
type streamBlock struct {
	block
	offset uint64
	time   int64
}

// segmentDefault is the size of a segment if the stream does not say.
const segmentDefault = 500_000_000

func (t *stream) push(r run, segmentBytes int64) {
	if segmentBytes <= 0 {
		segmentBytes = segmentDefault
	}
	for r.count > 0 { // a segment ends with the message that fills it
		n := len(t.segments)
		if n == 0 || t.segments[n-1].bytes >= segmentBytes {
			t.segments = append(t.segments, &segment{first: t.next, tailAt: t.next})
			n++
		}
		g := t.segments[n-1]
		each := max(int64(r.size), 1)
		part := r.take(uint32(min(int64(r.count), (segmentBytes-g.bytes+each-1)/each)))
		g.push(part)
		t.next += uint64(part.count)
		t.bytes += part.bytes()
	}
}

func (g *segment) push(r run) {
	if n := len(g.tail); n == 0 || !g.tail[n-1].join(&r) {
		if n == laneTail {
			g.blocks = append(g.blocks, streamBlock{block: pack(g.tail), offset: g.tailAt, time: g.tail[0].expires})
			g.tail, g.tailAt = g.tail[:0], g.first+g.count
		}
		g.tail = append(g.tail, r)
	}
	g.count += uint64(r.count)
	g.bytes += r.bytes()
	g.newest = r.expires
}

// first is the offset of the oldest message, or of the next if there is none.
func (t *stream) first() uint64 {
	if len(t.segments) == 0 {
		return t.next
	}
	return t.segments[0].first
}

func (t *stream) count() int64 { return int64(t.next - t.first()) }

// at gives the run that holds an offset, cut so that it begins there; ok is false behind the end.
func (t *stream) at(offset uint64) (r run, ok bool) {
	if offset < t.first() || offset >= t.next {
		return run{}, false
	}
	g := t.segments[sort.Search(len(t.segments), func(i int) bool { return t.segments[i].first > offset })-1]
	runs, begin := t.runs(g, offset)
	for i := range runs {
		if end := begin + uint64(runs[i].count); offset < end {
			r = runs[i]
			r.take(uint32(offset - begin))
			return r, true
		}
		begin += uint64(runs[i].count)
	}
	return run{}, false
}

// runs gives the runs of the block that holds an offset, and the offset of the first.
func (t *stream) runs(g *segment, offset uint64) (runs []run, begin uint64) {
	if offset >= g.tailAt {
		return g.tail, g.tailAt
	}
	i := sort.Search(len(g.blocks), func(i int) bool { return g.blocks[i].offset > offset }) - 1
	if t.decoded.segment != g || t.decoded.block != i {
		t.decoded.runs = unpack(g.blocks[i].block, t.decoded.runs[:0])
		t.decoded.segment, t.decoded.block = g, i
	}
	return t.decoded.runs, g.blocks[i].offset
}

// since gives the offset of the first message that came at or after a time.
func (t *stream) since(time int64) uint64 {
	i := sort.Search(len(t.segments), func(i int) bool { return t.segments[i].newest >= time })
	if i == len(t.segments) {
		return t.next
	}
	g := t.segments[i]
	offset := g.first
	if b := sort.Search(len(g.blocks), func(i int) bool { return g.blocks[i].time >= time }); b > 0 {
		offset = g.blocks[b-1].offset
	}
	for {
		r, ok := t.at(offset)
		if !ok || r.expires >= time {
			return offset
		}
		offset += uint64(r.count)
	}
}

// lastEntry gives the offset of the first message that came together with the last one.
func (t *stream) lastEntry() uint64 {
	last, ok := t.at(t.next - 1)
	if t.count() == 0 || !ok {
		return t.next
	}
	offset := t.next - 1
	for offset > t.first() {
		r, _ := t.at(offset - 1)
		if r.index != last.index {
			break
		}
		offset--
	}
	return offset
}

// trim drops the oldest segments, never the last, that are too much by size or too old.
func (t *stream) trim(maxBytes, maxAge, now int64, visit func(*run)) {
	for len(t.segments) > 1 {
		g := t.segments[0]
		if (maxBytes == None || t.bytes <= maxBytes) && (maxAge == None || g.newest > now-maxAge) {
			return
		}
		g.each(visit)
		t.bytes -= g.bytes
		t.segments[0] = nil
		t.segments = t.segments[1:]
		t.decoded.segment = nil
	}
}

func (g *segment) each(visit func(*run)) {
	var runs []run
	for i := range g.blocks {
		runs = unpack(g.blocks[i].block, runs[:0])
		for j := range runs {
			visit(&runs[j])
		}
	}
	for i := range g.tail {
		visit(&g.tail[i])
	}
}

// within visits the runs in the entries from <= index < to.
func (t *stream) within(from, to uint64, visit func(*run)) {
	for _, g := range t.segments {
		var runs []run
		for i := range g.blocks {
			if b := &g.blocks[i]; b.block.first >= to || b.block.last < from {
				continue
			}
			runs = unpack(g.blocks[i].block, runs[:0])
			visitWithin(runs, from, to, visit)
		}
		visitWithin(g.tail, from, to, visit)
	}
}

func visitWithin(runs []run, from, to uint64, visit func(*run)) {
	for i := range runs {
		if runs[i].index >= from && runs[i].index < to {
			visit(&runs[i])
		}
	}
}

// record takes messages into a stream.
func (s *Set) record(q *queue, h *message.Head, r run) {
	r.size = h.Size + h.Properties
	r.expires = s.now
	if h.Flags&message.FlagFilter != 0 {
		r.deliveries = FilterHash(h.Filter)
	}
	s.keep(&r)
	q.stream.push(r, q.config.SegmentBytes)
}

// FilterHash is the hash of a filter value, never 0: that is for messages without one.
func FilterHash(value []byte) uint32 {
	h := uint32(2166136261)
	for _, b := range value {
		h = (h ^ uint32(b)) * 16777619
	}
	return max(h, 1)
}

// scanMax bounds the runs that are passed over for consumers who filter, in one go; the rest follows with the next tick.
const scanMax = 10000

// feed sends a stream's readers what they have room for.
func (s *Set) feed(q *queue) {
	scanned := 0
	for _, c := range q.consumers {
		for c.open() {
			if c.cursor < q.stream.first() {
				c.cursor = q.stream.first()
			}
			r, ok := q.stream.at(c.cursor)
			if !ok {
				break
			}
			if !c.wants(&r) {
				c.cursor += uint64(r.count)
				if scanned++; scanned > scanMax {
					q.scanning = true
					return
				}
				continue
			}
			s.read(q, c, r.take(c.room(&r)))
		}
	}
	q.scanning = false
}

// wants tells whether a reader takes messages with that filter value.
func (c *consumer) wants(r *run) bool {
	if len(c.filters) == 0 {
		return true
	}
	if r.deliveries == 0 {
		return c.unfiltered
	}
	for _, hash := range c.filters {
		if hash == r.deliveries {
			return true
		}
	}
	return false
}

// read sends messages of a stream to a reader. They stay where they are.
func (s *Set) read(q *queue, c *consumer, r run) {
	first := c.next
	c.next += uint64(r.count)
	c.window -= int64(r.count) * (int64(r.stride) + DeliveryOverhead)
	s.emit(Effect{
		Kind: Deliver, To: c.session.key, Queue: q.id, Consumer: c.id, Channel: c.channel, NoAck: c.noAck, Stream: true,
		Number: first, Count: r.count, Index: r.index, Offset: r.offset, Stride: r.stride, Ready: c.cursor,
	})
	c.cursor += uint64(r.count)
	q.stats.Delivered += uint64(r.count)
	q.unacked += int64(r.count)
	q.held += r.bytes()
	c.hold(first, r, s.now)
}

// seek sets a new reader's cursor to where it wants to begin.
func (s *Set) seek(q *queue, c *consumer, from StreamOffset) {
	t := &q.stream
	switch from.Kind {
	case OffsetFirst:
		c.cursor = t.first()
	case OffsetLast:
		c.cursor = t.lastEntry()
	case OffsetNext:
		c.cursor = t.next
	case OffsetAbsolute:
		c.cursor = max(uint64(max(from.Value, 0)), t.first())
	case OffsetTime:
		c.cursor = t.since(from.Value)
	case OffsetAgo:
		c.cursor = t.since(s.now - from.Value)
	}
}
