// Package ledger owns the list of what was handed out under rising numbers and is not settled yet: the unacked messages
// of a consumer, the delivery tags of a channel.
//
// Neighbours share a Chunk of up to 64 numbers with one item and one bit mask, so that an acknowledgement in any order
// flips bits and moves nothing, and a burst is a handful of chunks.
//
//  1. Push notes a stretch of numbers that were handed out;
//  2. Take settles a range of them and tells which were still open, chunk by chunk;
//  3. Len is what is open.
package ledger

import (
	"fmt"
	"math/bits"
	"sort"
)

// Width is the most numbers a chunk holds.
const Width = 64

// Chunk is a stretch of numbers First..First+63; bit i of Open stands for First+i.
type Chunk[T any] struct {
	First uint64
	Open  uint64
	Item  T
}

// Ledger is a list of chunks with rising numbers. The zero value is empty.
type Ledger[T any] struct {
	chunks []Chunk[T]
	head   int // chunks before it are settled
	dead   int // settled chunks at or after head
	open   int
}

// Len is the count of open numbers.
func (l *Ledger[T]) Len() int { return l.open }

// Push notes that first..first+n-1 were handed out, n at most Width. Numbers rise from push to push.
func (l *Ledger[T]) Push(first uint64, n int, item T) {
	if n <= 0 || n > Width {
		bug("a chunk holds 1 to 64 numbers, not %d", n)
	}
	l.chunks = append(l.chunks, Chunk[T]{First: first, Open: ^uint64(0) >> (Width - n), Item: item})
	l.open += n
}

// Restore appends a chunk as Each showed it.
func (l *Ledger[T]) Restore(c Chunk[T]) {
	l.chunks = append(l.chunks, c)
	l.open += bits.OnesCount64(c.Open)
}

// Has tells whether number is open.
func (l *Ledger[T]) Has(number uint64) bool {
	i := l.find(number)
	if i >= len(l.chunks) {
		return false
	}
	c := &l.chunks[i]
	return number >= c.First && number-c.First < Width && c.Open&(1<<(number-c.First)) != 0
}

// First is the lowest open number; ok is false if nothing is open.
func (l *Ledger[T]) First() (number uint64, ok bool) {
	for i := l.head; i < len(l.chunks); i++ {
		if c := &l.chunks[i]; c.Open != 0 {
			return c.First + uint64(bits.TrailingZeros64(c.Open)), true
		}
	}
	return 0, false
}

// Front is the first chunk that has open numbers; ok is false if nothing is open. It is borrowed until the next change.
func (l *Ledger[T]) Front() (c *Chunk[T], ok bool) {
	for i := l.head; i < len(l.chunks); i++ {
		if l.chunks[i].Open != 0 {
			return &l.chunks[i], true
		}
	}
	return nil, false
}

// Take settles the open numbers from..to (both included) and gives their count. visit gets each chunk that had some, with
// the bits that were taken; the chunk is borrowed.
func (l *Ledger[T]) Take(from, to uint64, visit func(c *Chunk[T], taken uint64)) int {
	count := 0
	for i := l.find(from); i < len(l.chunks) && l.chunks[i].First <= to; i++ {
		c := &l.chunks[i]
		taken := c.Open & window(c.First, from, to)
		if taken == 0 {
			continue
		}
		c.Open &^= taken
		count += bits.OnesCount64(taken)
		visit(c, taken)
		if c.Open == 0 {
			l.dead++
		}
	}
	l.open -= count
	l.trim()
	return count
}

// Each visits the chunks that have open numbers, in order.
func (l *Ledger[T]) Each(visit func(c *Chunk[T])) {
	for i := l.head; i < len(l.chunks); i++ {
		if l.chunks[i].Open != 0 {
			visit(&l.chunks[i])
		}
	}
}

// From visits the chunks that have open numbers, beginning with the one that may hold number, until visit says no.
func (l *Ledger[T]) From(number uint64, visit func(c *Chunk[T]) bool) {
	for i := l.find(number); i < len(l.chunks); i++ {
		if l.chunks[i].Open != 0 && !visit(&l.chunks[i]) {
			return
		}
	}
}

// window gives the bits of a chunk starting at first that lie in from..to.
func window(first, from, to uint64) uint64 {
	mask := ^uint64(0)
	if from > first {
		if from-first >= Width {
			return 0
		}
		mask <<= from - first
	}
	if to < first {
		return 0
	}
	if last := to - first; last < Width-1 {
		mask &= ^uint64(0) >> (Width - 1 - last)
	}
	return mask
}

// find gives the position of the chunk that would hold number, or of the next one.
func (l *Ledger[T]) find(number uint64) int {
	if l.head < len(l.chunks) && number <= l.chunks[l.head].First {
		return l.head
	}
	live := l.chunks[l.head:]
	i := sort.Search(len(live), func(i int) bool { return live[i].First > number })
	return l.head + max(i-1, 0)
}

// trim forgets settled chunks: at the front always, in the middle once they are the majority.
func (l *Ledger[T]) trim() {
	for l.head < len(l.chunks) && l.chunks[l.head].Open == 0 {
		l.chunks[l.head] = Chunk[T]{}
		l.head++
		l.dead--
	}
	switch {
	case l.head == len(l.chunks):
		l.chunks, l.head, l.dead = l.chunks[:0], 0, 0
	case l.head+l.dead > 32 && l.head+l.dead > len(l.chunks)/2:
		l.compact()
	}
}

func (l *Ledger[T]) compact() {
	kept := l.chunks[:0]
	for _, c := range l.chunks[l.head:] {
		if c.Open != 0 {
			kept = append(kept, c)
		}
	}
	clear(l.chunks[len(kept):])
	l.chunks, l.head, l.dead = kept, 0, 0
}

func bug(format string, values ...any) { panic("ledger: " + fmt.Sprintf(format, values...)) }
