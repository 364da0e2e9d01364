// Package stats owns counters and how they were a while ago.
//
//  1. Whoever does something counts it in Counts of its own, which cost an addition. At the end of a round it adds them to
//     a Shared, which others may read at any time.
//  2. A Board holds the Shared of vhosts and exchanges, and Churn: what came and went.
//  3. A Table samples such numbers every few seconds. Its Series tell rates, and what was when.
package stats

import (
	"sync"
	"sync/atomic"
)

// Kind is something that happens to messages.
type Kind uint8

// Kinds.
const (
	Publish Kind = iota
	Confirm
	ReturnUnroutable
	DropUnroutable
	Get
	GetNoAck
	GetEmpty
	Deliver
	DeliverNoAck
	Redeliver
	Ack
	PublishIn  // of an exchange
	PublishOut // of an exchange: copies that queues got
	OctetsIn   // of connections that are closed
	OctetsOut
	Kinds // how many there are
)

// String is the name in the management API.
func (k Kind) String() string {
	return [...]string{
		"publish", "confirm", "return_unroutable", "drop_unroutable", "get", "get_no_ack", "get_empty", "deliver",
		"deliver_no_ack", "redeliver", "ack", "publish_in", "publish_out", "recv_oct", "send_oct",
	}[k]
}

// Counts counts messages, by Kind. It has one owner.
type Counts [Kinds]uint64

// Shared is counts that many add to and many read. The zero value is ready for use.
type Shared struct{ n [Kinds]atomic.Uint64 }

// Add adds what was counted.
func (s *Shared) Add(c *Counts) {
	for k, n := range c {
		if n != 0 {
			s.n[k].Add(n)
		}
	}
}

// Load gives the counts so far.
func (s *Shared) Load() (c Counts) {
	for k := range c {
		c[k] = s.n[k].Load()
	}
	return c
}

// Churn counts what came and went. The zero value is ready for use.
type Churn struct {
	ConnectionsCreated, ConnectionsClosed atomic.Uint64
	ChannelsCreated, ChannelsClosed       atomic.Uint64
	QueuesDeclared                        atomic.Uint64 // by every declaration, also of those there were
	QueuesCreated, QueuesDeleted          atomic.Uint64
}

// Board is where the counts of a node are added up. It is safe for concurrent use.
type Board struct {
	Churn Churn
	Flow  Flow

	mu        sync.Mutex // guards what follows
	vhosts    map[string]*Shared
	exchanges map[[2]string]*Shared
	gone      Counts // of vhosts that are no more
}

// NewBoard makes an empty board.
func NewBoard() *Board {
	return &Board{vhosts: map[string]*Shared{}, exchanges: map[[2]string]*Shared{}}
}

// VHost gives the counts of a vhost.
func (b *Board) VHost(name string) *Shared {
	b.mu.Lock()
	defer b.mu.Unlock()
	return entry(b.vhosts, name)
}

// Exchange gives the counts of an exchange.
func (b *Board) Exchange(vhost, name string) *Shared {
	b.mu.Lock()
	defer b.mu.Unlock()
	return entry(b.exchanges, [2]string{vhost, name})
}

func entry[K comparable](m map[K]*Shared, key K) *Shared {
	s := m[key]
	if s == nil {
		s = &Shared{}
		m[key] = s
	}
	return s
}

// Total adds up all vhosts, those that are no more too.
func (b *Board) Total() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := b.gone
	for _, s := range b.vhosts {
		c := s.Load()
		total.Add(c)
	}
	return total
}

// Add adds what another has counted.
func (c *Counts) Add(more Counts) {
	for k, n := range more {
		c[k] += n
	}
}

// Exchanges visits the counts of all exchanges.
func (b *Board) Exchanges(visit func(vhost, name string, c Counts)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, s := range b.exchanges {
		visit(key[0], key[1], s.Load())
	}
}

// VHosts visits the counts of all vhosts.
func (b *Board) VHosts(visit func(name string, c Counts)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, s := range b.vhosts {
		visit(name, s.Load())
	}
}

// Prune forgets the vhosts and exchanges that are no more; an empty exchange name asks about the vhost.
func (b *Board) Prune(exists func(vhost, exchange string, isVHost bool) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, s := range b.vhosts {
		if !exists(name, "", true) {
			c := s.Load()
			b.gone.Add(c)
			delete(b.vhosts, name)
		}
	}
	for key := range b.exchanges {
		if !exists(key[0], key[1], false) {
			delete(b.exchanges, key)
		}
	}
}
