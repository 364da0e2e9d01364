package forward

import (
	"context"
	"slices"
	"testing"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
	"github.com/warrenmq/warren/store/oplog"
)

// narrow is the way to a group that takes so much at once and refuses what is more.
type narrow struct {
	share   int
	limit   int
	octets  int      // that are under way
	numbers []uint64 // of the letters that are
	arrived []uint64 // in the order in which they came
	refused int
}

// Handle implements dispatch.Groups.
func (n *narrow) Handle(uint64) (dispatch.Handle, error) { return n, nil }

// Share implements dispatch.Handle.
func (n *narrow) Share() int { return n.share }

// Propose implements dispatch.Handle.
func (n *narrow) Propose(b oplog.Batch) error {
	if n.octets >= n.limit {
		n.refused++
		return dispatch.ErrRefused
	}
	n.octets += len(b.Data)
	return queue.Publishes(b.Data, func(_ uint16, number uint64, count uint32) {
		for i := range uint64(count) {
			n.numbers, n.arrived = append(n.numbers, number+i), append(n.arrived, number+i)
		}
	})
}

// confirm answers the oldest that is under way.
func (n *narrow) confirm(f *Forwarder, id queue.ID) {
	n.octets -= n.octets / len(n.numbers)
	number := n.numbers[0]
	n.numbers = n.numbers[1:]
	f.answered(&group.Event{Effect: queue.Effect{Kind: queue.Confirm, To: queue.SessionKey{Node: Node, Session: uint64(id)}, Number: number, Count: 1}})
}

// Letters of the tests.
const (
	letters = 64
	octets  = 256 << 10
)

// outboxOf makes a queue of whose messages all are dead letters, for the queue "target".
func outboxOf(t *testing.T, to dispatch.Groups) (f *Forwarder, id queue.ID) {
	t.Helper()
	ctx := context.Background()
	editor, err := topology.Open(ctx, meta.NewMemory(nil, 0), topology.Options{
		Node: 1, Place: func(*topology.Catalog, *topology.Queue) uint64 { return 1 },
	})
	must(t, err)
	_, err = editor.PutVHost(ctx, "/", nil, nil)
	must(t, err)
	arguments := protocol.Table{{Key: "x-max-length", Value: int32(0)}, {Key: "x-dead-letter-exchange", Value: ""}, {Key: "x-dead-letter-routing-key", Value: "target"}}
	from, err := editor.DeclareQueue(ctx, topology.QueueDeclaration{VHost: "/", Name: "source", Arguments: arguments.Raw()}, topology.Unlimited("anybody"), nil)
	must(t, err)
	_, err = editor.DeclareQueue(ctx, topology.QueueDeclaration{VHost: "/", Name: "target"}, topology.Unlimited("anybody"), nil)
	must(t, err)
	inboxes := group.NewInboxes(1)
	source, err := group.Open(1, oplog.DirectHost{Clock: func() int64 { return 1000 }}, []uint64{1}, inboxes, group.Hooks{
		Catalog: editor.Catalog, DeadLetters: func(*group.Group, queue.ID) {}, QueueGone: func(_ queue.ID, done func()) { done() },
		Fatal: func(err error) { t.Error(err) },
	}, zerolog.Nop())
	must(t, err)
	t.Cleanup(func() { must(t, source.Close()) })
	id = queue.ID(from.ID)
	for n := range uint64(letters) {
		var b queue.Batch
		m := message.Message{Head: message.Head{Priority: message.NoPriority}, RoutingKey: []byte("source"), Body: make([]byte, octets)}
		b.Publish(1, n+1, []queue.ID{id}, &m)
		must(t, source.Propose(oplog.Batch{Data: b.Bytes()}))
	}
	f = New(&Env{
		Catalog: editor.Catalog, Groups: to, Inboxes: inboxes, Clock: func() int64 { return 1000 },
		Reply: func(*message.Message) bool { return false }, Logger: zerolog.Nop(),
	}, source, func(func()) {}) // the test runs it
	f.outbox(id).more = true
	f.fetch(id)
	return f, id
}

// goOn sends what is fetched, until nothing more is.
func (f *Forwarder) goOn(id queue.ID) {
	for f.queues[id].fetching {
		f.mu.Lock()
		for len(f.letters) == 0 {
			f.arrived.Wait()
		}
		fetched := f.letters
		f.letters = nil
		f.mu.Unlock()
		for i := range fetched {
			f.send(&fetched[i])
		}
	}
}

// TestLargeLettersStayInOrder: many at once are more than the way to their target takes. The forwarder waits with what goes
// beyond its share, as a session does: who is refused comes later than those behind it.
func TestLargeLettersStayInOrder(t *testing.T) {
	to := &narrow{share: 1 << 20, limit: 4 << 20}
	f, id := outboxOf(t, to)
	for f.goOn(id); len(to.numbers) > 0; f.goOn(id) {
		if to.octets > to.share+octets+1024 {
			t.Fatalf("%d octets are under way, and %d were refused", to.octets, to.refused)
		}
		to.confirm(f, id)
	}
	if to.refused > 0 || len(to.arrived) != letters || !slices.IsSorted(to.arrived) {
		t.Errorf("%d refused; %v", to.refused, to.arrived)
	}
	if o := f.queues[id]; o.bytes != 0 {
		t.Errorf("%d octets count as under way", o.bytes)
	}
}

// TestLettersForAGroupWithoutALeader hold up nothing behind them: nobody knows when they are confirmed.
func TestLettersForAGroupWithoutALeader(t *testing.T) {
	to := &narrow{share: 1 << 20, limit: letters * (octets + 1024)}
	f, id := outboxOf(t, to)
	f.goOn(id)
	before := len(to.arrived)
	if before == letters {
		t.Fatal("all letters are sent at once")
	}
	f.Post([]group.Event{{Effect: queue.Effect{Kind: queue.Adrift, To: queue.SessionKey{Node: Node, Session: uint64(id)}}}})
	for i := range f.events {
		f.answered(&f.events[i])
	}
	if f.goOn(id); len(to.arrived) <= before {
		t.Fatalf("%d letters were sent, as before", len(to.arrived))
	}
	for len(to.numbers) > 0 {
		to.confirm(f, id)
		f.goOn(id)
	}
	if o := f.queues[id]; len(to.arrived) != letters || o.bytes != 0 {
		t.Errorf("%d letters were sent; %d octets count as under way", len(to.arrived), o.bytes)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
