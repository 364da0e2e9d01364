package queue

import (
	"math/bits"
	"sort"

	"github.com/warrenmq/warren/broker/ledger"
)

// Last is the number of the last batch of a session that was applied; 0 if the session is not known.
func (s *Set) Last(key SessionKey) uint64 {
	if ses := s.sessions[key]; ses != nil {
		return ses.last
	}
	return 0
}

// Oldest gives the nodes that have sessions here, and the lowest number of a session of each.
func (s *Set) Oldest() map[uint64]uint64 {
	nodes := map[uint64]uint64{}
	for key := range s.sessions {
		if key.Node == Forwarders || key.Session == Grave {
			continue
		}
		if oldest, ok := nodes[key.Node]; !ok || key.Session < oldest {
			nodes[key.Node] = key.Session
		}
	}
	return nodes
}

// Resume says again what a session has not seen: it has lost its leader, or the way to it. seen is the consumers it knows
// of, each with the number of the last delivery that reached it. Each is Resumed, and what it holds beyond that is delivered
// again under the same numbers; one that is not here is Cancelled. Nothing is changed.
func (s *Set) Resume(key SessionKey, seen []Seen, out []Effect) []Effect {
	ses := s.sessions[key]
	for _, known := range seen {
		var c *consumer
		if ses != nil {
			c = ses.consumers[known.Consumer]
		}
		if c == nil {
			out = append(out, Effect{Kind: Cancelled, To: key, Consumer: known.Consumer})
			continue
		}
		out = c.resume(known.Number+1, out)
	}
	return out
}

// resume appends what the consumer holds from a number on. Without acknowledgements nothing is held.
func (c *consumer) resume(next uint64, out []Effect) []Effect {
	at := len(out)
	out = append(out, Effect{Kind: Resumed, To: c.session.key, Consumer: c.id, Number: next})
	if c.noAck {
		out[at].Number = c.next
	}
	bytes := max(c.window, 0)
	c.unacked.Each(func(chunk *ledger.Chunk[handed]) {
		for open := chunk.Open; open != 0; {
			from := bits.TrailingZeros64(open)
			count := bits.TrailingZeros64(^(open >> from))
			open &^= (1<<count - 1) << from
			first := chunk.First + uint64(from)
			skip := 0
			if next > first {
				skip = int(min(next-first, uint64(count)))
			}
			if skip < count {
				r := chunk.Item.part(uint32(from+skip), uint32(count-skip))
				bytes += int64(r.count) * (int64(r.stride) + DeliveryOverhead)
				out = append(out, c.delivery(first+uint64(skip), r))
			}
		}
	})
	out[at].Ready = uint64(bytes)
	return out
}

// delivery describes a delivery that was made before.
func (c *consumer) delivery(number uint64, r run) Effect {
	e := Effect{
		Kind: Deliver, To: c.session.key, Queue: c.queue.id, Consumer: c.id, Channel: c.channel, NoAck: c.noAck,
		Number: number, Count: r.count, Index: r.index, Offset: r.offset, Stride: r.stride,
	}
	if c.queue.config.Type == Stream {
		e.Stream, e.Ready = true, c.queue.stream.offsetOf(&r)
		return e
	}
	e.Redelivered, e.Deliveries, e.Acquired = r.flags&runRedelivered != 0, c.queue.failures(&r), r.acquired
	return e
}

// offsetOf finds the offset of the first message of a run by its place in the log.
func (t *stream) offsetOf(r *run) uint64 {
	i := sort.Search(len(t.segments), func(i int) bool { return r.before(t.segments[i].firstRun()) }) - 1
	if i < 0 {
		return t.first()
	}
	g := t.segments[i]
	b := sort.Search(len(g.blocks), func(i int) bool { return g.blocks[i].block.first > r.index })
	for at := max(b-2, 0); at <= len(g.blocks); at++ {
		runs, offset := g.tail, g.tailAt
		if at < len(g.blocks) {
			runs, offset = unpack(g.blocks[at].block, nil), g.blocks[at].offset
		}
		for j := range runs {
			if runs[j].index == r.index && r.offset >= runs[j].offset && r.offset < runs[j].offset+runs[j].stride*runs[j].count {
				return offset + uint64((r.offset-runs[j].offset)/runs[j].stride)
			}
			offset += uint64(runs[j].count)
		}
	}
	return g.first
}

// firstRun is the oldest run of a segment.
func (g *segment) firstRun() *run {
	if len(g.blocks) > 0 {
		return &unpack(g.blocks[0].block, nil)[0]
	}
	return &g.tail[0]
}
