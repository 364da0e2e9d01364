package link

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/store/meta"
	"github.com/warrenmq/warren/store/oplog"
)

var (
	seed  = flag.Uint64("seed", 1, "the first seed of TestWhateverBreaks")
	seeds = flag.Uint64("seeds", 30, "how many seeds TestWhateverBreaks goes through")
)

// patience bounds every wait for what must happen.
const patience = 20 * time.Second

// world is three nodes with a member each of one group, and a fourth that has none.
type world struct {
	t       *testing.T
	editor  *topology.Editor
	log     *ensemble
	network *network
	inboxes map[uint64]*group.Inboxes
	links   map[uint64]*Links
	groups  map[uint64]*group.Group
	ended   func(queue.SessionKey)
	alarmed chan [2]uint64 // who has told of which alarms
	told    chan string    // who has told whom of which tallies
	answer  func(question []byte) ([]byte, bool)
	owner   uint64 // the node that the group lives and dies with
	clocks  clocks
	logged  journal
	hushed  bool                                // changes of the metadata are told to groups only by tell
	changes []topology.Change                   // that they have not been told
	behind  [5]atomic.Pointer[topology.Catalog] // what a node has, if that is not the newest
}

// catalog is the metadata that a node has.
func (w *world) catalog(node uint64) *topology.Catalog {
	if behind := w.behind[node].Load(); behind != nil {
		return behind
	}
	return w.editor.Catalog()
}

// tell tells all groups of what has changed.
func (w *world) tell() {
	for _, change := range w.changes {
		for node, g := range w.groups {
			if w.behind[node].Load() == nil {
				g.Advanced()
				g.Follow(change.Queues)
			}
		}
	}
	w.changes = nil
}

func newWorld(t *testing.T, change ...func(*Env)) *world {
	t.Helper()
	w := &world{
		t: t, log: newEnsemble(t), network: newNetwork(), inboxes: map[uint64]*group.Inboxes{}, links: map[uint64]*Links{},
		groups: map[uint64]*group.Group{}, alarmed: make(chan [2]uint64, 64), told: make(chan string, 64),
		ended: func(key queue.SessionKey) { t.Errorf("session %v has ended", key) },
	}
	var err error
	w.editor, err = topology.Open(context.Background(), meta.NewMemory(nil, 0), topology.Options{
		Node: 1, Place: func(*topology.Catalog, *topology.Queue) uint64 { return 1 },
	})
	w.must(err)
	_, err = w.editor.PutVHost(context.Background(), "/", nil, nil)
	w.must(err)
	members := []uint64{1, 2, 3}
	for _, node := range []uint64{1, 2, 3, 4} {
		w.inboxes[node] = group.NewInboxes(node)
		env := Env{
			Node: node, First: 50, Peers: port{w.network, node}, Inboxes: w.inboxes[node],
			Local:    func(uint64) *group.Group { return w.groups[node] },
			Members:  func(uint64) []uint64 { return members },
			Leader:   func(uint64) uint64 { return w.log.leads() },
			Nodes:    func() []uint64 { return []uint64{1, 2, 3, 4} },
			Revision: func() int64 { return w.catalog(node).Revision },
			Newest:   func() int64 { return w.catalog(node).Newest },
			Leads:    func(*group.Group, bool) {},
			Owner:    func(uint64) uint64 { return w.owner },
			Ended:    func(key queue.SessionKey) { w.ended(key) },
			Alarms:   func() byte { return byte(node) },
			Alarmed:  func(from uint64, alarms byte) { w.alarmed <- [2]uint64{from, uint64(alarms)} },
			Tallies:  func(all bool) []byte { return fmt.Appendf(nil, "%d of all %v", node, all) },
			Told: func(from uint64, tallies []byte) error {
				w.told <- fmt.Sprint(from, " to ", node, ": ", string(tallies))
				return nil
			},
			Aside:    port{w.network, node},
			Question: func(question []byte) ([]byte, bool) { return w.answer(question) },
			After:    w.clocks.after,
			Logger:   zerolog.New(&w.logged),
		}
		for _, f := range change {
			f(&env)
		}
		w.links[node] = New(env)
		w.network.links[node] = w.links[node]
		if node == 4 {
			continue
		}
		w.groups[node], err = group.Open(1, member{w.log, node}, members, w.inboxes[node], group.Hooks{
			Catalog: func() *topology.Catalog { return w.catalog(node) }, FirstSession: 50, DeadLetters: func(*group.Group, queue.ID) {},
			QueueGone: func(_ queue.ID, done func()) { done() }, Fatal: func(err error) { t.Error(err) },
		}, zerolog.Nop())
		w.must(err)
	}
	w.editor.Listen(func(c topology.Change) {
		if w.changes = append(w.changes, c); !w.hushed {
			w.tell()
		}
	})
	w.log.lead(1, 0)
	t.Cleanup(w.close)
	return w
}

func (w *world) close() {
	for _, l := range w.links {
		l.Close()
	}
	w.network.close()
	w.log.close()
	for _, g := range w.groups {
		w.must(g.Close())
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) declare(name string) queue.ID {
	w.t.Helper()
	q, err := w.editor.DeclareQueue(context.Background(), topology.QueueDeclaration{VHost: "/", Name: name}, topology.Unlimited("anybody"), nil)
	w.must(err)
	return queue.ID(q.ID)
}

// session is a client's, on some node.
type session struct {
	w    *world
	key  queue.SessionKey
	seq  uint64
	hand interface{ Propose(oplog.Batch) error }

	mu        sync.Mutex
	changed   *sync.Cond
	events    []group.Event
	confirmed map[uint64]int
	got       []string
	answers   map[uint32][]queue.Outcome
	told      []string
	drained   int64 // of the window of consumer 1, and not given back
	full      bool  // it reads nothing
	applied   uint64
	refused   int
	turned    map[uint64]bool // the numbers of what was refused
	adrift    int             // how often it was told not to wait
}

// window is how many octets may be on their way to a consumer of the tests: some ten messages.
const window = 1200

func (w *world) session(node, number uint64) *session {
	w.t.Helper()
	s := &session{w: w, key: queue.SessionKey{Node: node, Session: number}, confirmed: map[uint64]int{}, answers: map[uint32][]queue.Outcome{}, turned: map[uint64]bool{}}
	s.changed = sync.NewCond(&s.mu)
	hand, err := w.links[node].Handle(1)
	w.must(err)
	s.hand = hand
	w.inboxes[node].Add(number, s)
	return s
}

// Post implements group.Inbox.
func (s *session) Post(events []group.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		s.event(&events[i])
	}
	s.changed.Broadcast()
}

// Room implements group.Inbox.
func (s *session) Room(queue.SessionKey, group.Waker) bool { return !s.full }

func (s *session) event(e *group.Event) {
	switch e.Kind {
	case queue.Applied:
		s.applied = max(s.applied, e.Number)
	case queue.Confirm, queue.Refuse:
		if e.Kind == queue.Refuse {
			s.refused += int(e.Count)
		}
		for n := e.Number; n < e.Number+uint64(e.Count); n++ {
			if s.confirmed[n]++; s.confirmed[n] > 1 {
				s.w.t.Errorf("message %d was answered %d times", n, s.confirmed[n])
			}
			s.turned[n] = e.Kind == queue.Refuse
		}
	case queue.Adrift:
		s.adrift++
	case queue.Deliver, queue.Got:
		if e.Kind == queue.Deliver {
			s.drained += int64(e.Count) * (int64(e.Stride) + queue.DeliveryOverhead)
		}
		for i := range e.Count {
			var m message.Message
			if err := message.Parse(e.Data[i*e.Stride:], &m); err != nil {
				s.w.t.Error(err)
			}
			s.got = append(s.got, string(m.Body))
			s.events = append(s.events, group.Event{Effect: queue.Effect{Consumer: e.Consumer, Number: e.Number + uint64(i)}})
		}
		if e.Kind == queue.Got {
			s.answers[e.Request] = append(s.answers[e.Request], queue.Done)
		}
	case queue.Answer:
		s.answers[e.Request] = append(s.answers[e.Request], e.Outcome)
	case queue.Resumed:
		if lost := window - int64(e.Ready) - s.drained; lost > 0 {
			s.drained += lost
		}
	case queue.Cancelled:
		s.told = append(s.told, fmt.Sprintf("cancelled %d", e.Consumer))
	}
}

// until waits until something holds of the session.
func (s *session) until(what string, holds func() bool) {
	s.w.t.Helper()
	over := time.AfterFunc(patience, func() { s.w.t.Errorf("%v waited in vain for %s", s.key, what); s.changed.Broadcast() })
	defer over.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !holds() && !s.w.t.Failed() {
		s.changed.Wait()
	}
	if s.w.t.Failed() {
		s.w.dump()
		s.w.t.FailNow()
	}
}

func (s *session) propose(b *queue.Batch) {
	s.w.t.Helper()
	s.seq++
	err := s.hand.Propose(oplog.Batch{
		From: oplog.Origin{Node: s.key.Node, Session: s.key.Session, Seq: s.seq}, Data: slices.Clone(b.Bytes()),
	})
	if errors.Is(err, dispatch.ErrRefused) { // as a Door does
		s.seq--
		return
	}
	s.w.must(err)
}

func (s *session) do(commands ...queue.Command) {
	s.w.t.Helper()
	var b queue.Batch
	for _, c := range commands {
		b.Add(c)
	}
	s.propose(&b)
}

// publish hands in messages first..last, named by their numbers.
func (s *session) publish(id queue.ID, first, last uint64) {
	s.w.t.Helper()
	var b queue.Batch
	for n := first; n <= last; n++ {
		m := message.Message{Head: message.Head{Priority: message.NoPriority}, RoutingKey: []byte("k"), Body: fmt.Append(nil, n)}
		b.Publish(1, n, []queue.ID{id}, &m)
	}
	s.propose(&b)
}

// settle acknowledges what has come, and gives how much that was.
func (s *session) settle() int {
	s.w.t.Helper()
	s.mu.Lock()
	events, drained := s.events, s.drained
	s.events, s.drained = nil, 0
	s.mu.Unlock()
	var b queue.Batch
	if drained > 0 {
		b.Add(&queue.Credit{Consumer: 1, Bytes: uint32(drained)})
	}
	for i := range events {
		b.Add(&queue.Settle{Consumer: events[i].Consumer, From: events[i].Number, To: events[i].Number})
	}
	if b.Len() > 0 {
		s.propose(&b)
	}
	return len(events)
}

// TestWhateverBreaks: leaders change and lose what was not committed, connections break and lose what was under way. Every
// message is confirmed once, and arrives once and in order.
func TestWhateverBreaks(t *testing.T) {
	for n := *seed; n < *seed+*seeds; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) { whateverBreaks(t, rand.New(rand.NewPCG(n, 1))) })
	}
}

func whateverBreaks(t *testing.T, random *rand.Rand) {
	w := newWorld(t)
	id := w.declare("q")
	const messages = 400
	producer, consumer := w.session(1+random.Uint64N(4), 100), w.session(1+random.Uint64N(4), 200)
	consumer.do(&queue.Attach{Queue: id, Consumer: 1, Request: 1, Channel: 1, Window: window})
	for sent := uint64(0); sent < messages; {
		switch random.IntN(12) {
		case 0:
			w.log.lead(1+random.Uint64N(3), random.IntN(3))
		case 1:
			a := 1 + random.Uint64N(4)
			w.network.cut(a, 1+(a+random.Uint64N(3))%4)
		case 2, 3:
			consumer.settle()
		default:
			n := min(1+random.Uint64N(5), messages-sent)
			producer.publish(id, sent+1, sent+n)
			sent += n
		}
	}
	w.log.lead(1+random.Uint64N(3), 0)
	producer.until("all confirms", func() bool { return len(producer.confirmed) == messages })
	for settled := 0; settled >= 0; {
		consumer.settle()
		consumer.until("more messages", func() bool { return len(consumer.events) > 0 || len(consumer.got) >= messages })
		if len(consumer.got) >= messages {
			break
		}
	}
	for n := uint64(1); n <= messages; n++ {
		if producer.confirmed[n] != 1 {
			t.Errorf("message %d was confirmed %d times", n, producer.confirmed[n])
		}
	}
	for i, body := range consumer.got {
		if body != fmt.Sprint(i+1) {
			t.Fatalf("delivery %d is message %s: %v", i+1, body, consumer.got[max(i-5, 0):min(i+5, len(consumer.got))])
		}
	}
	if !slices.Equal(consumer.answers[1], []queue.Outcome{queue.Done}) {
		t.Errorf("basic.consume was answered %v", consumer.answers[1])
	}
}

// TestWithoutAcknowledgement nothing is lost as long as nothing breaks, also when the leader has to be found first.
func TestWithoutAcknowledgement(t *testing.T) {
	w := newWorld(t)
	id := w.declare("q")
	producer, consumer := w.session(2, 100), w.session(4, 200)
	producer.publish(id, 1, 50)
	consumer.do(&queue.Attach{Queue: id, Consumer: 1, Request: 1, Channel: 1, NoAck: true, Window: 1 << 20})
	producer.publish(id, 51, 100)
	consumer.until("all messages", func() bool { return len(consumer.got) == 100 })
}

// TestANodeThatWasTakenForGone, and lives: its sessions are ended, and do not wait for what nobody will say to them.
func TestANodeThatWasTakenForGone(t *testing.T) {
	w := newWorld(t)
	ended := make(chan queue.SessionKey, 1)
	w.ended = func(key queue.SessionKey) { ended <- key }
	id := w.declare("q")
	producer := w.session(4, 100)
	producer.publish(id, 1, 5)
	producer.until("confirms", func() bool { return len(producer.confirmed) == 5 })
	var b queue.Batch
	b.Add(&queue.Down{Node: 4, Last: queue.Everything, Lost: true})
	w.must(w.groups[1].Propose(oplog.Batch{Data: b.Bytes()}))
	producer.publish(id, 6, 10)
	select {
	case key := <-ended:
		if key != producer.key {
			t.Errorf("%v was ended", key)
		}
	case <-time.After(patience):
		w.dump()
		t.Error("nobody tells the session that the group does not know it any more")
	}
}

// dump shows what everybody believes.
func (w *world) dump() {
	w.log.mu.Lock()
	w.t.Logf("leader %d, %d entries, %d waiting", w.log.leader, len(w.log.entries), len(w.log.waiting))
	w.log.mu.Unlock()
	for node, l := range w.links {
		l.guests.mu.Lock()
		w.t.Logf("node %d leading %v asked %v", node, l.guests.leading, l.guests.asked)
		for at, v := range l.guests.visitors {
			w.t.Logf("   visitor %v epoch %d", at, v.epoch)
			for k, g := range v.guests {
				w.t.Logf("      %v %+v", k, *g)
			}
		}
		l.guests.mu.Unlock()
		for _, r := range l.all() {
			r.mu.Lock()
			w.t.Logf("   route ready %v leader %d epoch %d hint %d seeking %v", r.ready, r.leader, r.epoch, r.hint, r.seeking)
			for k, c := range r.callers {
				w.t.Logf("      %v last %d pending %d", k, c.last, len(c.pending))
				for _, p := range c.pending {
					w.t.Logf("          seq %d applied %v again %v requests %v", p.batch.From.Seq, p.applied, p.again, p.requests)
				}
				for id, con := range c.consumers {
					w.t.Logf("          consumer %d %+v", id, *con)
				}
			}
			r.mu.Unlock()
		}
		if g := w.groups[node]; g != nil {
			done := make(chan struct{})
			_ = g.Do(func(s *queue.Set) {
				for _, l := range w.links {
					for _, r := range l.all() {
						for k := range r.callers {
							w.t.Logf("   group at %d: %v last %d; %v", node, k, s.Last(k), s.Resume(k, []queue.Seen{{Consumer: 1}}, nil))
						}
					}
				}
				close(done)
			})
			<-done
		}
	}
}
