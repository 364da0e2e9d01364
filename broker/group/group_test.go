package group

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
	"github.com/warrenmq/warren/store/oplog"
)

// host is logs in memory that a test can make lead or not.
type host struct {
	oplog.DirectHost
	machine oplog.Machine
	cold    atomic.Bool // what was written has left the memory
}

func (h *host) Open(group uint64, members []uint64, m oplog.Machine) (oplog.Log, error) {
	h.machine = m
	log, err := h.DirectHost.Open(group, members, m)
	return &coldLog{Log: log, cold: &h.cold}, err
}

type coldLog struct {
	oplog.Log
	cold *atomic.Bool
}

func (l *coldLog) Near(s oplog.Span) ([]byte, bool) {
	if l.cold.Load() {
		return nil, false
	}
	return l.Log.Near(s)
}

// world is one group with its metadata, and one session that notes what it is told.
type world struct {
	t       *testing.T
	editor  *topology.Editor
	store   *meta.Memory
	host    *host
	inboxes *Inboxes
	group   *Group
	now     atomic.Int64
	gone    chan func() // what to call when the metadata of a queue that ended is gone
	seq     uint64

	mu     sync.Mutex
	events []Event
	full   bool // the session has no room
	wakers []Waker
}

// me is the session of the tests.
var me = queue.SessionKey{Node: 1, Session: 100}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, store: meta.NewMemory(nil, 0), inboxes: NewInboxes(1), gone: make(chan func(), 100)}
	w.now.Store(1_000_000)
	clock := w.now.Load
	w.host = &host{DirectHost: oplog.DirectHost{Clock: clock}}
	var err error
	w.editor, err = topology.Open(context.Background(), w.store, topology.Options{
		Node: 1, Place: func(*topology.Catalog, *topology.Queue) uint64 { return 1 },
	})
	w.must(err)
	_, err = w.editor.PutVHost(context.Background(), "/", nil, nil)
	w.must(err)
	w.inboxes.Add(me.Session, w)
	w.group, err = Open(1, w.host, []uint64{1}, w.inboxes, Hooks{
		Catalog: w.editor.Catalog, FirstSession: 50, DeadLetters: func(*Group, queue.ID) {},
		QueueGone: func(_ queue.ID, done func()) { w.gone <- done }, Fatal: func(err error) { t.Error(err) },
	}, zerolog.Nop())
	w.must(err)
	t.Cleanup(func() { w.must(w.group.Close()) })
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// Room implements Inbox.
func (w *world) Room(_ queue.SessionKey, by Waker) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full {
		w.wakers = append(w.wakers, by)
	}
	return !w.full
}

// fill leaves the session without room, or gives it some.
func (w *world) fill(full bool) {
	w.mu.Lock()
	wakers := w.wakers
	w.full, w.wakers = full, nil
	w.mu.Unlock()
	for _, by := range wakers {
		by.HasRoom(me)
	}
}

// Post implements Inbox.
func (w *world) Post(events []Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, events...)
}

// said gives what the session was told so far, without the applied batches, and forgets it.
func (w *world) said() []string {
	w.onMachine(func(*queue.Set) {}) // behind everything
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for i := range w.events {
		e := &w.events[i]
		switch e.Kind {
		case queue.Applied:
		case queue.Deliver, queue.Got:
			var m message.Message
			w.must(message.Parse(e.Data, &m))
			list = append(list, fmt.Sprintf("%v %d of %s to %d", e.Kind, e.Number, m.Body, e.Consumer))
		case queue.Confirm, queue.Refuse:
			list = append(list, fmt.Sprintf("%v %d and %d more", e.Kind, e.Number, e.Count-1))
		case queue.Answer:
			list = append(list, fmt.Sprintf("answer to %d", e.Request))
		default:
			list = append(list, fmt.Sprintf("kind %v of consumer %d", e.Kind, e.Consumer))
		}
	}
	w.events = nil
	return list
}

func (w *world) want(list ...string) {
	w.t.Helper()
	if got := w.said(); !slices.Equal(got, list) {
		w.t.Errorf("got  %q\nwant %q", got, list)
	}
}

// onMachine runs f where the machine is, and waits for it.
func (w *world) onMachine(f func(*queue.Set)) {
	w.t.Helper()
	done := make(chan struct{})
	w.must(w.group.Do(func(s *queue.Set) { f(s); close(done) }))
	<-done
}

// propose hands commands in.
func (w *world) propose(commands ...queue.Command) {
	w.t.Helper()
	var b queue.Batch
	for _, c := range commands {
		b.Add(c)
	}
	w.handIn(&b)
}

func (w *world) handIn(b *queue.Batch) {
	w.t.Helper()
	w.seq++
	w.must(w.group.Propose(oplog.Batch{From: oplog.Origin{Node: me.Node, Session: me.Session, Seq: w.seq}, Data: slices.Clone(b.Bytes())}))
}

// publish hands messages in, numbered from number on; 0: nobody wants a confirm.
func (w *world) publish(number uint64, id uint64, bodies ...string) {
	w.t.Helper()
	var b queue.Batch
	for _, body := range bodies {
		m := message.Message{Head: message.Head{Priority: message.NoPriority}, RoutingKey: []byte("k"), Body: []byte(body)}
		if b.Publish(1, number, []queue.ID{queue.ID(id)}, &m); number > 0 {
			number++
		}
	}
	w.handIn(&b)
}

func (w *world) declare(name string, arguments ...protocol.Field) *topology.Queue {
	w.t.Helper()
	return w.declareAs(topology.QueueDeclaration{VHost: "/", Name: name, Arguments: protocol.Table(arguments).Raw()})
}

func (w *world) declareAs(d topology.QueueDeclaration) *topology.Queue {
	w.t.Helper()
	q, err := w.editor.DeclareQueue(context.Background(), d, topology.Unlimited("anybody"), nil)
	w.must(err)
	return q
}

// known tells whether the machine has a queue, and how it is configured.
func (w *world) known(q *topology.Queue) (config queue.Config, ok bool) {
	w.t.Helper()
	w.onMachine(func(s *queue.Set) { config, ok = s.Config(queue.ID(q.ID)) })
	return config, ok
}

func TestQueuesFollowTheCatalog(t *testing.T) {
	w := newWorld(t)
	w.editor.Listen(func(c topology.Change) { w.group.Follow(c.Queues) })
	q := w.declare("q")
	if config, ok := w.known(q); !ok || config != *q.Config {
		t.Errorf("%+v %v", config, ok)
	}
	_, err := w.store.Commit(context.Background(), meta.Txn{Ops: []meta.Op{{
		Key: "policy/%2F/p", Value: []byte(`{"pattern":"","apply-to":"all","definition":{"max-length":5}}`),
	}}}, nil)
	w.must(err)
	if config, ok := w.known(q); !ok || config.MaxLength != 5 {
		t.Errorf("%+v %v", config, ok)
	}
	w.must(w.editor.DeleteQueue(context.Background(), "/", "q", 0, nil))
	if _, ok := w.known(q); ok {
		t.Error("it is still there")
	}
	again := w.declare("q")
	if _, ok := w.known(again); !ok || again.ID == q.ID {
		t.Error("it is not there again")
	}
}

// TestAGroupLeavesOthersQueuesAlone.
func TestAGroupLeavesOthersQueuesAlone(t *testing.T) {
	w := newWorld(t)
	q := w.declare("q")
	foreign := *q
	foreign.Group, foreign.ID = 2, q.ID+1
	w.group.Follow([]topology.QueueChange{{After: &foreign}})
	if _, ok := w.known(&foreign); ok {
		t.Error("a queue of another group is here")
	}
	w.group.Follow([]topology.QueueChange{{After: q}})
	w.group.Follow([]topology.QueueChange{{Before: &foreign}, {Before: q, After: &foreign}}) // it moves away
	if _, ok := w.known(q); ok {
		t.Error("a queue that has moved is still here")
	}
}

// TestAPublishMayOvertakeItsQueue: the Catalog knows it, its machine does not yet. One for a queue that nobody knows was
// for one that is deleted, and counts as handled.
func TestAPublishMayOvertakeItsQueue(t *testing.T) {
	w := newWorld(t)
	q := w.declare("q") // nobody follows
	w.publish(1, q.ID, "a", "b", "c")
	w.said()
	w.publish(4, q.ID, "d")
	w.publish(7, q.ID+1, "lost", "lost too")
	w.onMachine(func(*queue.Set) {})
	if got := w.said(); !slices.Contains(got, fmt.Sprintf("%v 7 and 0 more", queue.Confirm)) || !slices.Contains(got, fmt.Sprintf("%v 8 and 0 more", queue.Confirm)) {
		t.Errorf("%q", got)
	}
	var counts queue.Counts
	w.onMachine(func(s *queue.Set) { counts, _ = s.Counts(queue.ID(q.ID)) })
	if counts.Ready != 4 {
		t.Errorf("%d messages", counts.Ready)
	}
	w.propose(&queue.Attach{Queue: queue.ID(q.ID), Consumer: 1, Request: 1, Window: 1 << 20, NoAck: true})
	w.want("answer to 1", fmt.Sprintf("%v 1 of a to 1", queue.Deliver), fmt.Sprintf("%v 4 of d to 1", queue.Deliver))
}

// TestANewLeaderMakesItsQueuesThoseOfTheCatalog.
func TestANewLeaderMakesItsQueuesThoseOfTheCatalog(t *testing.T) {
	w := newWorld(t)
	kept, lost := w.declare("kept"), w.declare("lost")
	w.group.Follow([]topology.QueueChange{{After: kept}, {After: lost}})
	w.onMachine(func(*queue.Set) { w.host.machine.Lead(false) })
	asked := make(chan int64, 1)
	w.must(w.group.Ask(func(s *queue.Set) {
		c, ok := s.Counts(queue.ID(kept.ID))
		if _, there := s.Counts(queue.ID(lost.ID)); !ok || there {
			t.Error("answered before the queues were reconciled")
		}
		asked <- int64(c.Ready)
	}))
	w.must(w.editor.DeleteQueue(context.Background(), "/", "lost", 0, nil))
	late := w.declare("late")
	_, err := w.store.Commit(context.Background(), meta.Txn{Ops: []meta.Op{{
		Key: "policy/%2F/p", Value: []byte(`{"pattern":"kept","apply-to":"all","definition":{"max-length":5}}`),
	}}}, nil)
	w.must(err)
	w.publish(1, kept.ID, "a")
	w.want() // who does not lead says nothing
	w.onMachine(func(*queue.Set) {
		if w.group.Leading() {
			t.Error("still leading")
		}
		w.host.machine.Lead(true)
	})
	if n := <-asked; n != 1 {
		t.Errorf("%d messages were counted", n)
	}
	if _, ok := w.known(lost); ok {
		t.Error("a queue that was deleted is still there")
	}
	if _, ok := w.known(late); !ok {
		t.Error("a queue that was declared is not there")
	}
	if config, ok := w.known(kept); !ok || config.MaxLength != 5 {
		t.Errorf("%+v %v", config, ok)
	}
}

// TestWhoEndsAQueueIsAnsweredWhenItIsGone, and is told nothing else before; other sessions do not wait.
func TestWhoEndsAQueueIsAnsweredWhenItIsGone(t *testing.T) {
	w := newWorld(t)
	other := &world{t: t, group: w.group}
	w.inboxes.Add(200, other)
	q := w.declareAs(topology.QueueDeclaration{VHost: "/", Name: "q", AutoDelete: true})
	busy := w.declare("busy")
	w.group.Follow([]topology.QueueChange{{After: q}, {After: busy}})
	w.propose(&queue.Attach{Queue: queue.ID(q.ID), Consumer: 1, Request: 1, Window: 1 << 20})
	w.want("answer to 1")
	w.publish(0, busy.ID, "a", "b")
	w.propose(&queue.Detach{Consumer: 1, Request: 2})
	w.propose(&queue.Attach{Queue: queue.ID(busy.ID), Consumer: 3, Request: 3, Window: 1 << 20, NoAck: true, Prefetch: 0})
	w.publish(5, busy.ID, "c")
	if got := w.said(); len(got) != 1 || got[0] != fmt.Sprintf("%v 5 and 0 more", queue.Confirm) {
		t.Errorf("said %q before the queue is gone", got)
	}
	var b queue.Batch
	b.Add(&queue.Get{Queue: queue.ID(busy.ID), Consumer: 1, Request: 9})
	w.must(w.group.Propose(oplog.Batch{From: oplog.Origin{Node: 1, Session: 200, Seq: 1}, Data: b.Bytes()}))
	other.want("answer to 9")
	(<-w.gone)()
	w.want("answer to 2", "answer to 3", fmt.Sprintf("%v 1 of a to 3", queue.Deliver), fmt.Sprintf("%v 3 of c to 3", queue.Deliver))
	w.propose(&queue.Get{Queue: queue.ID(busy.ID), Consumer: 4, Request: 4})
	w.want("answer to 4")
}

// TestDeliveriesFindTheirBytes: those of this round, and those that were stored long ago.
func TestDeliveriesFindTheirBytes(t *testing.T) {
	w := newWorld(t)
	q := w.declare("q")
	w.group.Follow([]topology.QueueChange{{After: q}})
	for i := range 100 {
		w.publish(0, q.ID, fmt.Sprint("m", i))
	}
	for i := range 100 {
		w.propose(&queue.Get{Queue: queue.ID(q.ID), Consumer: uint32(i + 1), Request: uint32(i + 1), NoAck: true})
		w.want(fmt.Sprintf("%v 1 of m%d to %d", queue.Got, i, i+1))
	}
	w.propose(&queue.Attach{Queue: queue.ID(q.ID), Consumer: 200, Request: 1, Window: 1 << 20, NoAck: true})
	w.publish(0, q.ID, "now")
	w.want("answer to 1", fmt.Sprintf("%v 1 of now to 200", queue.Deliver))
}

// TestEntriesHaveGaps: those that change the members of the group are not among what is applied.
func TestEntriesHaveGaps(t *testing.T) {
	var entries []oplog.Entry
	there := map[uint64]bool{}
	for _, index := range []uint64{5, 6, 8, 9, 13, 14} {
		entries = append(entries, oplog.Entry{Index: index, Data: fmt.Append(nil, index)})
		there[index] = true
	}
	for index := uint64(3); index < 17; index++ {
		if data, ok := dataOf(entries, index); ok != there[index] || ok && string(data) != fmt.Sprint(index) {
			t.Errorf("entry %d: %q %v", index, data, ok)
		}
	}
	if _, ok := dataOf(nil, 1); ok {
		t.Error("an entry of none")
	}
}

// TestTimeComesFromTheClock: a queue's wish to be woken becomes a tick.
func TestTimeComesFromTheClock(t *testing.T) {
	w := newWorld(t)
	q := w.declare("q", protocol.Field{Key: "x-message-ttl", Value: int32(20)})
	w.group.Follow([]topology.QueueChange{{After: q}})
	w.publish(0, q.ID, "a", "b")
	ready := func() (n uint64) {
		w.onMachine(func(s *queue.Set) {
			c, _ := s.Counts(queue.ID(q.ID))
			n = uint64(c.Ready)
		})
		return n
	}
	if n := ready(); n != 2 {
		t.Fatalf("%d ready", n)
	}
	w.now.Add(21)
	for deadline := time.Now().Add(20 * time.Second); ready() > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("nothing expires")
		}
	}
}

// TestAClosedGroupTakesNothing, and tells nobody of a session that has gone.
func TestAClosedGroupTakesNothing(t *testing.T) {
	w := newWorld(t)
	q := w.declare("q")
	w.group.Follow([]topology.QueueChange{{After: q}})
	w.inboxes.Remove(me.Session)
	w.publish(1, q.ID, "a")
	w.want()
	w.must(w.group.Close())
	if w.group.Propose(oplog.Batch{}) == nil || w.group.Do(func(*queue.Set) {}) == nil {
		t.Error("a closed group takes more")
	}
	w.group.Follow([]topology.QueueChange{{Before: q}})
}
