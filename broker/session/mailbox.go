package session

import (
	"sync"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
)

// mailbox is what the writer has to do: orders from its own reader, events from groups. Posting never blocks a group;
// what bounds the events is credit, and what bounds the orders is that the reader waits.
type mailbox struct {
	wake chan struct{} // one place

	mu     sync.Mutex // guards what follows
	room   *sync.Cond
	orders []order
	events []group.Event
	closed bool
}

// order is something the reader, or anybody else, wants the writer to do: settle acknowledgements, or anything.
type order struct {
	acks []ack
	do   func(*writer)
	sure certain
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

func (b *mailbox) init() {
	b.wake = make(chan struct{}, 1)
	b.room = sync.NewCond(&b.mu)
}

// order posts one order.
func (b *mailbox) order(do func(*writer)) {
	b.mu.Lock()
	b.orders = append(b.orders, order{do: do})
	b.mu.Unlock()
	b.signal()
}

// post posts the reader's orders, and waits while there are too many.
func (b *mailbox) post(orders []order) {
	if len(orders) == 0 {
		return
	}
	b.mu.Lock()
	for len(b.orders) > ordersMax && !b.closed {
		b.room.Wait()
	}
	b.orders = append(b.orders, orders...)
	b.mu.Unlock()
	b.signal()
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
	}
	b.mu.Unlock()
	b.signal()
}

func joins(last, next *group.Event) bool {
	return last.Kind == queue.Confirm && next.Kind == queue.Confirm && last.Channel == next.Channel && last.To == next.To &&
		last.Number+uint64(last.Count) == next.Number
}

// waiting is how many orders wait.
func (b *mailbox) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.orders)
}

func (b *mailbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take swaps what has arrived for two empty slices.
func (b *mailbox) take(orders []order, events []group.Event) ([]order, []group.Event) {
	b.mu.Lock()
	orders, b.orders = b.orders, orders[:0]
	events, b.events = b.events, events[:0]
	if len(orders) > ordersMax {
		b.room.Broadcast()
	}
	b.mu.Unlock()
	return orders, events
}

// close lets nobody wait any more.
func (b *mailbox) close() {
	b.mu.Lock()
	b.closed = true
	b.room.Broadcast()
	b.mu.Unlock()
}
