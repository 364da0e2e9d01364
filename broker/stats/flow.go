package stats

import "sync/atomic"

// QueueType is a type of queue, as an index.
type QueueType uint8

// QueueTypes.
const (
	Classic QueueType = iota
	Quorum
	Stream
	QueueTypes // how many there are
)

// String is the type's name in declarations.
func (t QueueType) String() string { return [...]string{"classic", "quorum", "stream"}[t] }

// QueueTypeOf gives the type of a name. What it does not know is classic.
func QueueTypeOf(name string) QueueType {
	for t := range QueueTypes {
		if t.String() == name {
			return t
		}
	}
	return Classic
}

// Flow is what passes through a node, counted in ways that a vhost does not count it. It only ever grows.
type Flow struct {
	Routed      atomic.Uint64 // copies of messages that queues got
	WantConfirm atomic.Uint64 // messages whose publisher waits for a confirm
	ByType      [QueueTypes]Shared
	Sizes       SharedSizes // of published messages
}

// SizeLimits are the largest bodies that the buckets of Sizes hold, in bytes. What is larger is in one more bucket.
var SizeLimits = [...]int{100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000}

// Sizes counts bodies by their size. It has one owner.
type Sizes struct {
	Buckets [len(SizeLimits) + 1]uint64
	Sum     uint64 // bytes
}

// Note counts a body of so many bytes.
func (s *Sizes) Note(bytes int) {
	at := 0
	for at < len(SizeLimits) && bytes > SizeLimits[at] {
		at++
	}
	s.Buckets[at]++
	s.Sum += uint64(bytes)
}

// SharedSizes is sizes that many add to and many read. The zero value is ready for use.
type SharedSizes struct {
	buckets [len(SizeLimits) + 1]atomic.Uint64
	sum     atomic.Uint64
}

// Take adds what was counted, and begins the count anew.
func (s *SharedSizes) Take(c *Sizes) {
	for i, n := range c.Buckets {
		if n != 0 {
			s.buckets[i].Add(n)
		}
	}
	s.sum.Add(c.Sum)
	*c = Sizes{}
}

// Load gives the counts so far.
func (s *SharedSizes) Load() (c Sizes) {
	for i := range c.Buckets {
		c.Buckets[i] = s.buckets[i].Load()
	}
	c.Sum = s.sum.Load()
	return c
}
