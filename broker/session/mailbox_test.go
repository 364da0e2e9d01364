package session

import (
	"sync"
	"testing"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
)

func newMailbox() *mailbox {
	b := &mailbox{}
	b.init()
	return b
}

func confirmEvent(channel uint16, number uint64) group.Event {
	return group.Event{Effect: queue.Effect{Kind: queue.Confirm, Channel: channel, Number: number, Count: 1}}
}

// TestAFullMailboxHoldsItsReaderBack, for each of the reasons, until the writer has taken what is in it or has ended.
func TestAFullMailboxHoldsItsReaderBack(t *testing.T) {
	nothing := func(*writer) {}
	for _, c := range []struct {
		what string
		fill func(b *mailbox)
	}{
		{"orders", func(b *mailbox) {
			for range ordersMax + 1 {
				b.order(nothing)
			}
		}},
		{"bytes", func(b *mailbox) { b.orderWith(nothing, orderBytesMax+1) }},
		{"debts", func(b *mailbox) { b.take(nil, nil, owedMax+1) }},
		{"answers", func(b *mailbox) {
			for i := range uint64(answersMax + 1) {
				b.postEvents([]group.Event{confirmEvent(uint16(i%2), i)})
			}
		}},
	} {
		for _, end := range []string{"take", "close"} {
			b := newMailbox()
			c.fill(b)
			var done sync.WaitGroup
			posted := make(chan struct{})
			done.Go(func() {
				b.post([]order{{do: nothing}})
				close(posted)
			})
			select {
			case <-posted:
				t.Errorf("%s: the reader is not held back", c.what)
			default:
			}
			if end == "take" {
				b.take(nil, nil, 0)
			} else {
				b.close()
			}
			done.Wait()
			if b.take(nil, nil, 0); b.full() {
				t.Errorf("%s: still full", c.what)
			}
		}
	}
}

// TestNeighbouringConfirmsShareAnEvent, and others do not.
func TestNeighbouringConfirmsShareAnEvent(t *testing.T) {
	b := newMailbox()
	b.postEvents([]group.Event{confirmEvent(1, 1), confirmEvent(1, 2), confirmEvent(1, 3)})
	b.postEvents([]group.Event{confirmEvent(1, 4), confirmEvent(2, 5), confirmEvent(2, 7)})
	refused := confirmEvent(2, 8)
	refused.Kind = queue.Refuse
	b.postEvents([]group.Event{refused, refused})
	_, events := b.take(nil, nil, 0)
	if len(events) != 5 || events[0].Count != 4 || events[1].Count != 1 {
		t.Errorf("%+v", events)
	}
}

// TestAnIdleMailboxIsSmall: what a flood has made it need is given back.
func TestAnIdleMailboxIsSmall(t *testing.T) {
	b := newMailbox()
	for i := range uint64(3 * kept) {
		b.postEvents([]group.Event{confirmEvent(uint16(i%2), i)})
		b.order(nil)
	}
	orders, events := b.take(nil, nil, 0)
	orders, events = b.take(orders[:0], events[:0], 0)
	orders, events = b.take(orders[:0], events[:0], 0)
	if cap(orders) > kept || cap(events) > kept || cap(b.orders) > kept || cap(b.events) > kept {
		t.Errorf("room for %d and %d, %d and %d", cap(orders), cap(events), cap(b.orders), cap(b.events))
	}
}
