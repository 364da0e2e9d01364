package session

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/protocol"
)

// confirms keeps track of a channel's messages that are to be confirmed. Numbers begin at 1.
type confirms struct {
	lowest  uint64         // everything below is settled
	settled []uint64       // bits: settled, from the word of lowest on
	base    uint64         // number of the first bit of settled, a multiple of 64
	need    map[uint64]int // answers still to come, for messages that want more than one
	fresh   []span         // settled since the last flush
	nacks   []span
	touched bool
}

// span is numbers first..last.
type span struct{ first, last uint64 }

// expect says that a message wants several answers. It comes before the first of them.
func (w *writer) expect(channel uint16, number uint64, answers int) {
	o := w.outlet(channel)
	if o == nil {
		return
	}
	if o.confirms.need == nil {
		o.confirms.need = map[uint64]int{}
	}
	o.confirms.need[number] = answers
}

// confirmed notes that messages are in all queues of a group, or went nowhere. What is settled already is not said again.
func (w *writer) confirmed(channel uint16, first uint64, count uint32) {
	o := w.outlet(channel)
	if o == nil || o.left || o.earlier(&first, &count) {
		return
	}
	if o.tx != nil {
		o.tx.answered(count, false)
		return
	}
	c := &o.confirms
	last, ok := c.believable(first, count)
	if !ok {
		return
	}
	if len(c.need) > 0 || c.anySettled(first, last) {
		for number := first; number <= last; number++ {
			if c.answer(number) {
				c.settle(number, number)
				c.fresh = append(c.fresh, span{number, number})
			}
		}
	} else {
		c.settle(first, last)
		c.fresh = append(c.fresh, span{first, last})
	}
	w.touch(o)
}

// unsettledMost is more messages than can be on their way at once.
const unsettledMost = 1 << 26

// believable tells whether messages can have been published, and gives the last of them.
func (c *confirms) believable(first uint64, count uint32) (last uint64, ok bool) {
	last = first + uint64(count) - 1
	return last, count > 0 && count < unsettledMost && last < c.lowest+unsettledMost
}

// earlier cuts off what an earlier channel of the same number published, and tells whether nothing is left.
func (o *outlet) earlier(first *uint64, count *uint32) bool {
	if *first > o.base {
		return false
	}
	end := *first + uint64(*count)
	if end <= o.base+1 {
		return true
	}
	*first, *count = o.base+1, uint32(end-o.base-1)
	return false
}

// answer counts an answer, and tells whether it was the last.
func (c *confirms) answer(number uint64) bool {
	left, several := c.need[number]
	if !several {
		return !c.isSettled(number)
	}
	if left--; left > 0 {
		c.need[number] = left
		return false
	}
	delete(c.need, number)
	return !c.isSettled(number)
}

// refusedPublish notes that a queue refused messages: one refusal is enough.
func (w *writer) refusedPublish(channel uint16, first uint64, count uint32) {
	o := w.outlet(channel)
	if o == nil || o.left || o.earlier(&first, &count) {
		return
	}
	if o.tx != nil {
		o.tx.answered(count, true)
		return
	}
	c := &o.confirms
	last, ok := c.believable(first, count)
	if !ok {
		return
	}
	for number := first; number <= last; number++ {
		if c.isSettled(number) {
			c.answer(number)
			continue
		}
		c.settle(number, number)
		if n := len(c.nacks); n > 0 && c.nacks[n-1].last+1 == number {
			c.nacks[n-1].last = number
		} else {
			c.nacks = append(c.nacks, span{number, number})
		}
		c.answer(number) // the other answers still come
	}
	w.touch(o)
}

func (w *writer) touch(o *outlet) {
	if !o.confirms.touched {
		o.confirms.touched = true
		w.touched = append(w.touched, o)
	}
}

func (c *confirms) isSettled(number uint64) bool {
	if number < c.lowest {
		return true
	}
	i := (number - c.base) / 64
	return i < uint64(len(c.settled)) && c.settled[i]&(1<<(number%64)) != 0
}

// anySettled tells whether some of first..last are.
func (c *confirms) anySettled(first, last uint64) bool {
	if first < c.lowest {
		return true
	}
	for number := first; number <= last; number = (number/64 + 1) * 64 {
		i := (number - c.base) / 64
		if i >= uint64(len(c.settled)) {
			return false
		}
		bits := ^uint64(0) << (number % 64)
		if last/64 == number/64 {
			bits &= ^uint64(0) >> (63 - last%64)
		}
		if c.settled[i]&bits != 0 {
			return true
		}
	}
	return false
}

// settle sets the bits of first..last.
func (c *confirms) settle(first, last uint64) {
	if len(c.settled) == 0 {
		c.base = c.lowest / 64 * 64
	}
	for uint64(len(c.settled)) <= (last-c.base)/64 {
		c.settled = append(c.settled, 0)
	}
	for number := first; number <= last; {
		i, bit := (number-c.base)/64, number%64
		n := min(64-bit, last-number+1)
		c.settled[i] |= (^uint64(0) >> (64 - n)) << bit
		number += n
	}
}

// advance moves lowest over everything that is settled without a gap.
func (c *confirms) advance() {
	i := 0
	for i < len(c.settled) {
		bit := uint64(0)
		if i == 0 {
			bit = c.lowest - c.base
		}
		ones := uint64(bits.TrailingZeros64(^(c.settled[i] >> bit)))
		if bit+ones < 64 {
			c.lowest = c.base + bit + ones
			break
		}
		c.base += 64
		c.lowest = c.base
		i++
	}
	c.settled = append(c.settled[:0], c.settled[i:]...)
}

// flushConfirms tells the client what was settled since the last time: a stretch that begins at the lowest unconfirmed
// message in one ack, the others one by one; acks before nacks, and no ack of several together with nacks.
func (w *writer) flushConfirms(o *outlet) {
	c := &o.confirms
	c.touched = false
	if o.closed {
		return
	}
	for _, s := range joinSpans(c.fresh) {
		w.count(o, stats.Confirm, int(s.last-s.first+1))
		if s.first == c.lowest && len(c.nacks) == 0 {
			w.out = protocol.AppendMethodFrame(w.out, o.number, &protocol.BasicAck{DeliveryTag: s.last - o.base, Multiple: s.last > s.first})
			c.advance()
			continue
		}
		for number := s.first; number <= s.last; number++ {
			w.out = protocol.AppendMethodFrame(w.out, o.number, &protocol.BasicAck{DeliveryTag: number - o.base})
		}
	}
	for _, s := range c.nacks {
		o.nacked += s.last - s.first + 1
		w.mark(o)
		for number := s.first; number <= s.last; number++ {
			w.out = protocol.AppendMethodFrame(w.out, o.number, &protocol.BasicNack{DeliveryTag: number - o.base, Requeue: true})
		}
	}
	c.advance()
	c.fresh, c.nacks = c.fresh[:0], c.nacks[:0]
}

// joinSpans sorts spans and joins those that touch, in place.
func joinSpans(spans []span) []span {
	if len(spans) < 2 {
		return spans
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	joined := spans[:1]
	for _, s := range spans[1:] {
		if last := &joined[len(joined)-1]; last.last+1 == s.first {
			last.last = s.last
		} else {
			joined = append(joined, s)
		}
	}
	return joined
}
