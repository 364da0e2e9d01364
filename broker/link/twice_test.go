package link

import (
	"testing"
	"time"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// ready is how many messages a queue has, as a member has it.
func (w *world) ready(node uint64, id queue.ID) uint64 {
	w.t.Helper()
	said := make(chan queue.Counts, 1)
	w.must(w.groups[node].Ask(func(s *queue.Set) { c, _ := s.Counts(id); said <- c }))
	return (<-said).Ready
}

// unheard lets a session publish its first message, and the leader apply that and commit what else is proposed; nothing of
// what the leader says arrives. It gives how many messages there are then.
func (w *world) unheard(s *session, id queue.ID, then func()) (messages uint64) {
	w.t.Helper()
	first := w.session(s.key.Node, 900) // the route is attached, and never waits
	first.publish(id, 1, 1)
	first.until("a confirm", func() bool { return len(first.confirmed) == 1 })
	w.log.hold(true)
	s.publish(id, 1, 1)
	then()
	first.publish(id, 2, 2)
	w.log.until("everything to be proposed", func() bool {
		n := len(w.log.waiting)
		return n > 0 && w.log.waiting[n-1].From.Session == first.key.Session
	})
	w.network.silence(1, s.key.Node, true)
	w.log.hold(false)
	w.log.until("everything to be committed", func() bool { return len(w.log.waiting) == 0 })
	w.log.lead(2, 0)
	messages = w.ready(2, id)
	w.network.silence(1, s.key.Node, false)
	w.network.cut(1, s.key.Node)
	w.eventually("another attachment", func() bool {
		r := w.links[s.key.Node].known(1)
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.ready && r.leader == 2
	})
	return messages
}

// TestTheEndOfASessionComesLast: a session ends while the first thing it has published is not answered. The group forgets the
// session, and must not take what comes again, because the answer was lost, for something new.
func TestTheEndOfASessionComesLast(t *testing.T) {
	w := newWorld(t)
	id := w.declare("q")
	publisher, consumer := w.session(4, 101), w.session(4, 100)
	there := w.unheard(publisher, id, func() { consumer.do(&queue.Down{Node: 4, First: 100, Last: 101, Request: 1}) })
	if consumer.answer(1) != queue.Done {
		t.Errorf("%v", consumer.answers)
	}
	other := w.session(4, 300)
	other.publish(id, 1, 1)
	other.until("a confirm", func() bool { return len(other.confirmed) == 1 })
	if n := w.ready(2, id); there != 3 || n != 4 {
		t.Errorf("there are %d messages, there were %d, and one was published", n, there)
	}
}

// TestTheFirstBatchOfASessionThatIsTakenForGone may have been applied before the group forgot the node's sessions: it is not
// handed in again. The session ends, as all do that the group does not know.
func TestTheFirstBatchOfASessionThatIsTakenForGone(t *testing.T) {
	w := newWorld(t)
	ended := make(chan queue.SessionKey, 8)
	w.ended = func(key queue.SessionKey) { ended <- key }
	id := w.declare("q")
	s := w.session(4, 100)
	there := w.unheard(s, id, func() {
		var b queue.Batch
		b.Add(&queue.Down{Node: 4, Last: queue.Everything, Lost: true})
		w.log.until("the message to be proposed", func() bool {
			n := len(w.log.waiting)
			return n > 0 && w.log.waiting[n-1].From.Session == 100
		})
		w.must(w.groups[1].Propose(oplog.Batch{Data: b.Bytes()}))
	})
	for gone := map[uint64]bool{}; !gone[100] || !gone[900]; {
		select {
		case key := <-ended:
			gone[key.Session] = true
		case <-time.After(patience):
			t.Fatalf("ended: %v", gone)
		}
	}
	fresh := w.session(4, 300)
	fresh.publish(id, 1, 1)
	fresh.until("a confirm", func() bool { return len(fresh.confirmed) == 1 })
	w.log.lead(3, 0)
	fresh.publish(id, 2, 2)
	fresh.until("another confirm", func() bool { return len(fresh.confirmed) == 2 })
	if n := w.ready(3, id); there != 2 || n != 4 {
		t.Errorf("there are %d messages, there were %d, and two were published", n, there)
	}
}

// proposed waits until a batch of a session has been proposed so many times, and is not committed.
func (w *world) proposed(s *session, seq uint64, times int) {
	w.t.Helper()
	w.log.until("the batch to be proposed", func() bool {
		n := 0
		for i := range w.log.waiting {
			if from := w.log.waiting[i].From; from.Session == s.key.Session && from.Seq == seq {
				n++
			}
		}
		return n == times
	})
}

// TestABatchThatOneLeaderIsGivenTwiceIsAnsweredOnce: the way to the leader breaks before the batch is committed, so that it
// comes again, and both copies are applied. A session that counts the answers of several groups must not count two of one.
func TestABatchThatOneLeaderIsGivenTwiceIsAnsweredOnce(t *testing.T) {
	w := newWorld(t)
	id := w.declare("q")
	s := w.session(4, 100)
	s.publish(id, 1, 1)
	s.until("a confirm", func() bool { return s.confirmed[1] == 1 })
	w.log.hold(true)
	s.publish(id, 2, 2)
	w.proposed(s, 2, 1)
	w.network.cut(1, 4)
	w.proposed(s, 2, 2)
	w.log.hold(false)
	s.until("a confirm", func() bool { return s.confirmed[2] > 0 })
	s.publish(id, 3, 3)
	s.until("a confirm", func() bool { return s.confirmed[3] > 0 })
	if n := w.ready(1, id); n != 3 || s.confirmed[2] != 1 {
		t.Errorf("there are %d messages of 3; the second was confirmed %d times", n, s.confirmed[2])
	}
}
