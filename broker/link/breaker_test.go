package link

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// answer waits until a request is answered.
func (s *session) answer(request uint32) (outcome queue.Outcome) {
	s.w.t.Helper()
	s.until(fmt.Sprint("an answer to request ", request), func() bool {
		if answers := s.answers[request]; len(answers) > 0 {
			outcome = answers[0]
		}
		return len(s.answers[request]) > 0
	})
	return outcome
}

// standing is how the way from a node to the group is.
func (w *world) standing(node uint64) Standing {
	w.t.Helper()
	list := w.links[node].Standings()
	if len(list) != 1 || list[0].Group != 1 {
		w.t.Fatalf("%+v", list)
	}
	return list[0]
}

// eventually waits until something holds.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	for over := time.Now().Add(patience); !holds(); runtime.Gosched() {
		if time.Now().After(over) {
			w.dump()
			w.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// leaderless takes the leader away, and waits until a session's route knows.
func (w *world) leaderless(s *session) {
	w.t.Helper()
	w.log.lead(0, 0)
	w.eventually("the route to look for a leader", func() bool {
		r := w.links[s.key.Node].known(1)
		r.mu.Lock()
		defer r.mu.Unlock()
		return !r.ready
	})
}

// TestWhateverBreaksForLong: beside what TestWhateverBreaks does, the group is without a leader for too long now and then, or
// too much waits for it. Every message is confirmed or refused; those that are confirmed arrive once and in order, those that
// are refused never.
func TestWhateverBreaksForLong(t *testing.T) {
	total := Tally{}
	for n := *seed; n < *seed+*seeds; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			one := whateverBreaksForLong(t, rand.New(rand.NewPCG(n, 2)))
			total.Leaderless, total.Full, total.Requests = total.Leaderless+one.Leaderless, total.Full+one.Full, total.Requests+one.Requests
		})
	}
	t.Logf("refused: %+v", total)
	if total.Leaderless == 0 || total.Full == 0 {
		t.Error("nothing was refused for one of the reasons")
	}
}

func whateverBreaksForLong(t *testing.T, random *rand.Rand) (refused Tally) {
	w := newWorld(t, func(env *Env) { env.Backlog = 4 << 10 })
	id := w.declare("q")
	const messages = 400
	producer, consumer := w.session(1+random.Uint64N(4), 100), w.session(1+random.Uint64N(4), 200)
	consumer.do(&queue.Attach{Queue: id, Consumer: 1, Request: 1, Channel: 1, Window: window})
	sent := uint64(0)
	publish := func() {
		n := min(1+random.Uint64N(5), messages-sent)
		if n > 0 {
			producer.publish(id, sent+1, sent+n)
		}
		sent += n
	}
	for sent < messages {
		switch random.IntN(16) {
		case 0:
			w.log.lead(1+random.Uint64N(3), random.IntN(3))
		case 1:
			a := 1 + random.Uint64N(4)
			w.network.cut(a, 1+(a+random.Uint64N(3))%4)
		case 2, 3:
			consumer.settle()
		case 4: // there is no leader for a while
			w.log.lead(0, random.IntN(3))
			for range random.IntN(25) {
				publish()
			}
			w.clocks.pass()
			for range random.IntN(8) {
				publish()
				consumer.settle()
			}
			w.log.lead(1+random.Uint64N(3), 0)
			producer.until("answers", func() bool { return len(producer.confirmed) == int(sent) })
		default:
			publish()
		}
	}
	w.log.lead(1+random.Uint64N(3), 0)
	producer.until("all answers", func() bool { return len(producer.confirmed) == messages })
	last := uint32(1)
	for ; consumer.answer(last) == queue.Unavailable; last++ {
		consumer.do(&queue.Attach{Queue: id, Consumer: 1, Request: last + 1, Channel: 1, Window: window})
	}
	stays := []uint64{}
	for n := uint64(1); n <= messages; n++ {
		if !producer.turned[n] {
			stays = append(stays, n)
		}
		if times := producer.confirmed[n]; times == 0 || times > 1 && producer.turned[n] {
			t.Errorf("message %d was answered %d times", n, times) // what one leader was given twice it confirms twice
		}
	}
	for all := false; !all; {
		consumer.settle()
		consumer.until("more messages", func() bool {
			all = len(consumer.got) >= len(stays)
			return all || len(consumer.events) > 0
		})
	}
	for i, body := range consumer.got {
		if i >= len(stays) || body != fmt.Sprint(stays[i]) {
			t.Fatalf("delivery %d is message %s: %v", i+1, body, consumer.got[max(i-5, 0):min(i+5, len(consumer.got))])
		}
	}
	if !slices.Equal(consumer.answers[last], []queue.Outcome{queue.Done}) {
		t.Errorf("basic.consume was answered %v", consumer.answers)
	}
	for node := range w.links {
		for _, s := range w.links[node].Standings() {
			refused.Leaderless, refused.Full, refused.Requests = refused.Leaderless+s.Leaderless, refused.Full+s.Full, refused.Requests+s.Requests
		}
	}
	return refused
}

// TestNobodyWaitsForAGroupWithoutALeader for longer than its patience: what is new is refused at once. What was accepted before
// is there when the group is, and what was refused is not.
func TestNobodyWaitsForAGroupWithoutALeader(t *testing.T) {
	w := newWorld(t)
	id := w.declare("q")
	s := w.session(4, 100)
	s.do(&queue.Attach{Queue: id, Consumer: 1, Request: 1, Channel: 1, Window: window})
	s.publish(id, 1, 5)
	s.until("what was there", func() bool { return len(s.confirmed) == 5 && len(s.got) == 5 })
	w.leaderless(s)
	s.publish(id, 6, 9)
	s.do(&queue.Get{Queue: id, Consumer: 2, Request: 2, Channel: 1})
	if s.adrift != 0 || len(s.answers[2]) != 0 || s.refused != 0 || w.standing(4).Refuses {
		t.Fatal("the group is given up at once")
	}
	if n := w.clocks.pass(); n != 1 {
		t.Errorf("%d clocks run", n)
	}
	s.until("the end of its patience", func() bool { return s.adrift == 1 })
	if s.answer(2) != queue.Unavailable {
		t.Errorf("a get that no leader was given: %v", s.answers)
	}
	s.publish(id, 10, 14)
	s.do(&queue.Settle{Consumer: 1, From: 1, To: 5}, &queue.Get{Queue: id, Consumer: 3, Request: 3, Channel: 1}, &queue.Purge{Queue: id, Request: 4})
	s.do(&queue.Attach{Queue: id, Consumer: 4, Request: 5}, &queue.Delete{Queue: id, Request: 6}, &queue.Detach{Consumer: 1, Request: 7})
	for request := uint32(3); request <= 7; request++ {
		if s.answer(request) != queue.Unavailable {
			t.Errorf("request %d: %v", request, s.answers)
		}
	}
	want := Standing{Group: 1, Refuses: true, Tally: Tally{Leaderless: 5, Requests: 6}}
	if now := w.standing(4); s.refused != 5 || now.Refuses != want.Refuses || now.Tally != want.Tally || now.Waiting == 0 {
		t.Errorf("%d refused; %+v", s.refused, now)
	}
	if w.logged.lines("has no leader") != 1 || w.logged.lines("are dropped") != 0 {
		t.Errorf("the log: %s", w.logged.text.String())
	}
	w.log.lead(2, 0)
	s.until("what was accepted", func() bool { return len(s.confirmed) == 14 && len(s.got) == 9 })
	s.publish(id, 15, 15)
	s.until("what came later", func() bool { return len(s.confirmed) == 15 && len(s.got) == 10 })
	if want := []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "15"}; !slices.Equal(s.got, want) {
		t.Errorf("got %v", s.got)
	}
	if s.refused != 5 || w.standing(4).Refuses || w.logged.lines("taken again") != 1 {
		t.Errorf("%d refused; the log: %s", s.refused, w.logged.text.String())
	}
	w.eventually("nothing to wait", func() bool { return w.standing(4).Waiting == 0 })
}

// TestAGroupThatFindsALeaderInTime refuses nothing, and a clock that is stopped too late opens nothing.
func TestAGroupThatFindsALeaderInTime(t *testing.T) {
	w := newWorld(t)
	id := w.declare("q")
	s := w.session(4, 100)
	for n := range uint64(10) {
		w.leaderless(s)
		s.publish(id, n+1, n+1)
		late := w.clocks.take()
		w.log.lead(1+n%3, 0)
		s.until("a confirm", func() bool { return len(s.confirmed) == int(n)+1 })
		if len(late) != 1 {
			t.Fatalf("%d clocks run", len(late))
		}
		for _, do := range late {
			do()
		}
		if w.clocks.pass() != 0 || w.standing(4).Refuses || s.adrift != 0 || s.refused != 0 {
			t.Fatal("the group is given up")
		}
	}
}

// TestAGroupIsFoundAgainWithoutAnybodyWaiting: the breaker closes by itself, though everything that came was refused.
func TestAGroupIsFoundAgainWithoutAnybodyWaiting(t *testing.T) {
	w := newWorld(t)
	id := w.declare("q")
	w.log.lead(0, 0)
	s := w.session(4, 100)
	s.do(&queue.Get{Queue: id, Consumer: 1, Request: 1})
	w.clocks.pass()
	if s.answer(1) != queue.Unavailable {
		t.Errorf("%v", s.answers)
	}
	s.do(&queue.Down{Node: 4, First: 100, Last: 101, Request: 2})
	if s.answer(2) != queue.Done {
		t.Errorf("%v", s.answers)
	}
	w.inboxes[4].Remove(100)
	other := w.session(4, 200)
	other.publish(id, 1, 3)
	other.do(&queue.Down{Node: 4, First: 200, Last: 201, Request: 1})
	if other.answer(1) != queue.Done || other.refused != 3 {
		t.Errorf("%v, %d refused", other.answers, other.refused)
	}
	if r := w.links[4].known(1); r.callers[other.key] != nil {
		t.Error("something is kept of a session of which nothing was accepted")
	}
	w.log.lead(3, 0)
	w.eventually("the breaker to close", func() bool { return !w.standing(4).Refuses })
	w.eventually("the sessions to be forgotten", func() bool {
		r := w.links[4].known(1)
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.callers) == 0
	})
	last := w.session(4, 300)
	last.publish(id, 1, 1)
	last.until("a confirm", func() bool { return len(last.confirmed) == 1 })
}

// TestASessionEndsWithoutItsGroup: it is not kept waiting, and what it has handed in takes effect, before the group forgets it.
func TestASessionEndsWithoutItsGroup(t *testing.T) {
	w := newWorld(t)
	id := w.declare("q")
	s := w.session(4, 100)
	s.publish(id, 1, 2)
	s.until("confirms", func() bool { return len(s.confirmed) == 2 })
	w.leaderless(s)
	s.publish(id, 3, 4)
	w.clocks.pass()
	s.do(&queue.Leave{Channel: 7, Request: 1})
	s.do(&queue.Down{Node: 4, First: 100, Last: 101, Request: 2})
	if s.answer(1) != queue.Done || s.answer(2) != queue.Done {
		t.Errorf("%v", s.answers)
	}
	w.inboxes[4].Remove(100)
	w.log.lead(2, 0)
	other := w.session(4, 200)
	other.do(&queue.Attach{Queue: id, Consumer: 1, Request: 1, Channel: 1, Window: window})
	for n := uint32(2); other.answer(n-1) == queue.Unavailable; n++ {
		other.do(&queue.Attach{Queue: id, Consumer: 1, Request: n, Channel: 1, Window: window})
	}
	other.until("all messages", func() bool { return len(other.got) == 4 })
	w.eventually("the session to be forgotten", func() bool {
		r := w.links[4].known(1)
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.callers) == 1
	})
	known := make(chan uint64)
	w.must(w.groups[2].Do(func(set *queue.Set) { known <- set.Last(s.key) }))
	if last := <-known; last != 0 {
		t.Errorf("the group still knows the session, up to %d", last)
	}
}

// publishTo hands in a message of so many octets for a group, numbered or not.
func (s *session) publishTo(id queue.ID, number uint64, octets int, from oplog.Origin) error {
	s.w.t.Helper()
	var b queue.Batch
	m := message.Message{Head: message.Head{Priority: message.NoPriority}, RoutingKey: []byte("k"), Body: make([]byte, octets)}
	b.Publish(1, number, []queue.ID{id}, &m)
	return s.hand.Propose(oplog.Batch{From: from, Data: slices.Clone(b.Bytes())})
}

// TestWhatWaitsIsBounded: without a leader no more than so much waits for a group, whoever it is of and whether somebody waits
// for it or not. Requests are few, and wait. Behind a leader sessions wait, whose share is smaller the more there are, and only
// who cannot wait is refused.
func TestWhatWaitsIsBounded(t *testing.T) {
	const limit = 1 << 20
	w := newWorld(t, func(env *Env) { env.Backlog = limit })
	id := w.declare("q")
	s := w.session(4, 100)
	s.publish(id, 1, 1)
	s.until("a confirm", func() bool { return len(s.confirmed) == 1 })
	route := w.links[4].known(1)
	if got := route.Share(); got != limit/2 {
		t.Errorf("the only one has %d octets", got)
	}
	w.leaderless(s)
	sessions := []*session{s}
	for n := range uint64(3) {
		sessions = append(sessions, w.session(4, 200+n))
	}
	accepted, refused := 0, 0
	for n := range 200 {
		one := sessions[n%len(sessions)]
		before := one.seq
		var b queue.Batch
		m := message.Message{Head: message.Head{Priority: message.NoPriority}, RoutingKey: []byte("k"), Body: make([]byte, 10<<10)}
		b.Publish(1, uint64(n)+2, []queue.ID{id}, &m)
		if one.propose(&b); one.seq == before {
			refused++
		} else {
			accepted++
		}
		if waiting := w.standing(4).Waiting; waiting > limit+11<<10 {
			t.Fatalf("%d octets wait", waiting)
		}
	}
	if accepted < 90 || accepted > 105 || route.Share() != 0 || w.standing(4).Full != uint64(refused) {
		t.Errorf("%d accepted, %d refused, a share is %d, %+v", accepted, refused, route.Share(), w.standing(4))
	}
	for n, from := range []oplog.Origin{{}, {}, {Node: queue.Forwarders, Session: uint64(id), Seq: 1}} {
		if err := s.publishTo(id, 0, 10<<10, from); !errors.Is(err, dispatch.ErrRefused) {
			t.Errorf("%d: %v", n, err)
		}
	}
	if w.logged.lines("are dropped") != 1 {
		t.Errorf("the log: %s", w.logged.text.String())
	}
	s.do(&queue.Purge{Queue: id, Request: 1})
	w.log.lead(2, 0)
	if s.answer(1) != queue.Done {
		t.Errorf("%v", s.answers)
	}
	for _, one := range sessions {
		one.until("its batches", func() bool { return one.applied == one.seq })
	}
	w.eventually("an empty backlog", func() bool { return w.standing(4).Waiting == 0 && route.Share() == limit/2 })
	w.log.hold(true)
	full := w.standing(4).Full
	for n := range uint64(2 * limit / (10 << 10)) {
		w.must(s.publishTo(id, 1000+n, 10<<10, oplog.Origin{Node: 4, Session: 100, Seq: s.seq + n + 1}))
	}
	if now := w.standing(4); now.Full != full || now.Waiting < 2*limit {
		t.Errorf("behind a leader: %+v", now)
	}
	if err := s.publishTo(id, 0, 10<<10, oplog.Origin{Node: queue.Forwarders, Session: uint64(id), Seq: 1}); !errors.Is(err, dispatch.ErrRefused) {
		t.Errorf("who cannot wait: %v", err)
	}
	w.log.hold(false)
	w.eventually("an empty backlog", func() bool { return w.standing(4).Waiting == 0 })
}

// TestAskingAGroupWithoutALeader fails at once, if it is known for long that there is none.
func TestAskingAGroupWithoutALeader(t *testing.T) {
	w := newWorld(t)
	w.declare("q")
	s := w.session(4, 100)
	w.log.lead(0, 0)
	s.do(&queue.Leave{Channel: 1})
	w.clocks.pass()
	said := make(chan error, 1)
	w.links[4].Ask(1, nil, func(_ []byte, err error) { said <- err })
	if err := <-said; !errors.Is(err, ErrNoLeader) {
		t.Error(err)
	}
}

// TestALeaderIsLookedForThoughNobodyIsLeft: the sessions that used the group have ended while it was given up.
func TestALeaderIsLookedForThoughNobodyIsLeft(t *testing.T) {
	w := newWorld(t)
	id := w.declare("q")
	s := w.session(4, 100)
	s.publish(id, 1, 1)
	s.until("a confirm", func() bool { return len(s.confirmed) == 1 && s.applied == 1 })
	w.leaderless(s)
	w.clocks.pass()
	s.until("the end of its patience", func() bool { return s.adrift == 1 })
	w.inboxes[4].Remove(100)
	if r := w.links[4].known(1); len(r.callers) != 0 || !w.standing(4).Refuses {
		t.Fatal("somebody is left")
	}
	w.log.lead(3, 0)
	w.eventually("an attachment", func() bool {
		r := w.links[4].known(1)
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.ready && !r.breaker.open
	})
}

// TestWhatALeaderWasGivenIsNotRefused: it may have taken effect. The next leader says how it went.
func TestWhatALeaderWasGivenIsNotRefused(t *testing.T) {
	w := newWorld(t)
	id := w.declare("q")
	s := w.session(4, 100)
	s.publish(id, 1, 2)
	s.until("confirms", func() bool { return len(s.confirmed) == 2 && s.applied == 1 })
	w.log.hold(true)
	s.do(&queue.Get{Queue: id, Consumer: 1, Request: 1, Channel: 1})
	s.publish(id, 3, 3)
	w.log.until("both to be proposed", func() bool { return len(w.log.waiting) == 2 })
	w.leaderless(s)
	w.log.hold(false)
	s.do(&queue.Get{Queue: id, Consumer: 2, Request: 2, Channel: 1})
	w.clocks.pass()
	if s.answer(2) != queue.Unavailable || len(s.answers[1]) != 0 || s.refused != 0 {
		t.Errorf("%v, %d refused", s.answers, s.refused)
	}
	w.log.lead(3, 0)
	s.until("the rest", func() bool { return len(s.confirmed) == 3 && len(s.got) == 1 && len(s.answers[1]) == 1 })
}
