package session

import (
	"bytes"
	"slices"
	"sync"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
)

// mailbox is what the writer has to do: orders from its own reader, events from groups. Posting never blocks a group;
// what bounds the events is credit, and what bounds the orders is that the reader waits.
type mailbox struct {
	wake chan struct{} // one place

	mu     sync.Mutex // guards what follows
	less   *sync.Cond
	orders []order
	bytes  int // that the orders carry for the client
	events []group.Event
	load   int // bytes that the events carry
	sure   int // events that answer a publish
	owed   int // answers that the writer could not give yet
	closed bool

	sleepers []sleeper
}

// sleeper is a group that has more for a session than its mailbox takes.
type sleeper struct {
	group group.Waker
	to    queue.SessionKey
}

// order is something the reader, or anybody else, wants the writer to do: settle acknowledgements, or anything.
type order struct {
	acks []ack
	do   func(*writer)
	sure certain

	bytes int // that do carries for the client
}

// certain is messages that went nowhere: their confirm depends on nobody.
type certain struct {
	channel uint16
	first   uint64
	count   uint32
}

// ordersMax is how many orders may wait before the reader stops reading: a client that asks and asks and does not read
// the answers is held back.
const ordersMax = 4096

// orderBytesMax is how many bytes orders may carry for the client before the reader stops reading: messages that are
// returned.
const orderBytesMax = 1 << 20

// answersMax is how many events that answer publishes may wait before the reader stops reading: a client that publishes
// and does not read its confirms is held back.
const answersMax = 1 << 14

// owedMax is how many answers may wait behind one that cannot be given yet before the reader stops reading: a disk that
// does not answer must not fill the memory.
const owedMax = 1 << 13

// loadMax is how many bytes events may carry before groups keep their deliveries: a client that does not read what it
// consumes is sent the rest later, from the log.
const loadMax = 1 << 20

// An event that comes when many wait already is likely to wait as well. If it is short its bytes are copied, so that it does
// not hold a whole entry in memory.
const (
	copyBehind = 16
	copyBelow  = 16 << 10
)

// kept is for how many orders or events an empty mailbox keeps the memory.
const kept = 1 << 14

func (b *mailbox) init() {
	b.wake = make(chan struct{}, 1)
	b.less = sync.NewCond(&b.mu)
}

// order posts one order.
func (b *mailbox) order(do func(*writer)) { b.orderWith(do, 0) }

// orderWith posts one order that carries bytes for the client.
func (b *mailbox) orderWith(do func(*writer), bytes int) {
	b.mu.Lock()
	b.orders = append(b.orders, order{do: do, bytes: bytes})
	b.bytes += bytes
	b.mu.Unlock()
	b.signal()
}

// post posts the reader's orders, and waits while the writer has too much to do.
func (b *mailbox) post(orders []order) {
	b.mu.Lock()
	for b.full() && !b.closed {
		b.less.Wait()
	}
	b.orders = append(b.orders, orders...)
	for i := range orders {
		b.bytes += orders[i].bytes
	}
	b.mu.Unlock()
	if len(orders) > 0 {
		b.signal()
	}
}

func (b *mailbox) full() bool {
	return len(b.orders) > ordersMax || b.bytes > orderBytesMax || b.sure > answersMax || b.owed > owedMax
}

// postEvents posts events of a group; confirms that go on from the last are joined to it.
func (b *mailbox) postEvents(events []group.Event) {
	b.mu.Lock()
	for i := range events {
		if n := len(b.events); n > 0 && joins(&b.events[n-1], &events[i]) {
			b.events[n-1].Count += events[i].Count
			continue
		}
		b.events = append(b.events, events[i])
		if data := events[i].Data; len(data) > 0 {
			b.load += len(data)
			if len(b.events) > copyBehind && len(data) < copyBelow {
				b.events[len(b.events)-1].Data = bytes.Clone(data)
			}
		}
		if kind := events[i].Kind; kind == queue.Confirm || kind == queue.Refuse {
			b.sure++
		}
	}
	b.mu.Unlock()
	b.signal()
}

// room tells whether deliveries are welcome; if not, who asks is woken when they are.
func (b *mailbox) room(s sleeper) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.load < loadMax || b.closed {
		return true
	}
	if !slices.Contains(b.sleepers, s) {
		b.sleepers = append(b.sleepers, s)
	}
	return false
}

func wake(sleepers []sleeper) {
	for _, s := range sleepers {
		s.group.HasRoom(s.to)
	}
}

func joins(last, next *group.Event) bool {
	return last.Kind == queue.Confirm && next.Kind == queue.Confirm && last.Channel == next.Channel && last.To == next.To &&
		last.Number+uint64(last.Count) == next.Number
}

// waiting is how many orders wait, and the bytes they carry.
func (b *mailbox) waiting() (orders, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.orders), b.bytes
}

func (b *mailbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take swaps what has arrived for two empty slices; owed is what the writer owes the client by now.
func (b *mailbox) take(orders []order, events []group.Event, owed int) ([]order, []group.Event) {
	if cap(orders) > kept {
		orders = nil
	}
	if cap(events) > kept {
		events = nil
	}
	b.mu.Lock()
	if b.full() {
		b.less.Broadcast()
	}
	orders, b.orders = b.orders, orders[:0]
	events, b.events = b.events, events[:0]
	b.bytes, b.load, b.sure, b.owed = 0, 0, 0, owed
	sleepers := b.sleepers
	b.sleepers = nil
	b.mu.Unlock()
	wake(sleepers)
	return orders, events
}

// close lets nobody wait any more.
func (b *mailbox) close() {
	b.mu.Lock()
	b.closed = true
	b.less.Broadcast()
	sleepers := b.sleepers
	b.sleepers = nil
	b.mu.Unlock()
	wake(sleepers)
}
