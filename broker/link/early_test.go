package link

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/warrenmq/warren/broker/queue"
)

// content gives what a queue holds, in order.
func (w *world) content(id queue.ID, number uint64, messages int) []string {
	w.t.Helper()
	s := w.session(1, number)
	s.do(&queue.Attach{Queue: id, Consumer: 1, Request: 1, Channel: 1, Window: 1 << 20})
	s.until(fmt.Sprint(messages, " messages"), func() bool { return len(s.got) >= messages && len(s.answers[1]) > 0 })
	return s.got
}

// TestQueuesThatComeLate: messages come before their queues, of which the leader hears late, or only when it is one no more;
// leaders change and connections break. Every message is confirmed once, and is in its queue once and in order.
func TestQueuesThatComeLate(t *testing.T) {
	for n := *seed; n < *seed+*seeds; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) { comeLate(t, rand.New(rand.NewPCG(n, 2))) })
	}
}

func comeLate(t *testing.T, random *rand.Rand) {
	w := newWorld(t)
	w.hushed = true
	producer := w.session(1+random.Uint64N(4), 100)
	const messages = 300
	queues, want := []queue.ID{w.declare("q0")}, make([][]string, 1)
	held := false
	for sent := uint64(0); sent < messages; {
		switch random.IntN(24) {
		case 0:
			w.log.lead(1+random.Uint64N(3), random.IntN(3))
		case 1:
			a := 1 + random.Uint64N(4)
			w.network.cut(a, 1+(a+random.Uint64N(3))%4)
		case 2, 3:
			queues, want = append(queues, w.declare(fmt.Sprint("q", len(queues)))), append(want, nil)
		case 4:
			w.tell()
		case 5, 6, 7, 8:
			held = !held
			w.log.hold(held) // what is proposed meanwhile is committed together
		case 9:
			q := random.IntN(len(queues)) // what comes after it, or is in it, is lost; it is confirmed all the same
			if err := w.editor.DeleteQueue(context.Background(), "/", fmt.Sprint("q", q), 0, nil); err == nil {
				want[q] = nil
			}
		default:
			q := max(0, len(queues)-1-random.IntN(3))
			n := min(1+random.Uint64N(5), messages-sent)
			producer.publish(queues[q], sent+1, sent+n)
			for i := range n {
				want[q] = append(want[q], fmt.Sprint(sent+i+1))
			}
			sent += n
		}
	}
	w.log.lead(1+random.Uint64N(3), 0)
	w.log.hold(false)
	producer.until("all confirms", func() bool { return len(producer.confirmed) == messages })
	w.tell()
	c := w.editor.Catalog()
	for q, id := range queues {
		if c.QueueByID(uint64(id)) == nil {
			continue
		}
		if got := w.content(id, uint64(300+q), len(want[q])); !slices.Equal(got, want[q]) {
			t.Errorf("queue %d has %v, published were %v", q, got, want[q])
		}
	}
}

// TestMessagesBeforeTheirQueue are there once and in order, whatever happens before their queue is there.
func TestMessagesBeforeTheirQueue(t *testing.T) {
	for what, happens := range map[string]func(w *world, s *session){
		"the batch comes twice": func(w *world, s *session) {
			w.network.cut(1, 4)
			w.proposed(s, 2, 2)
		},
		"another leads, who declares the queue": func(w *world, _ *session) { w.log.lead(2, 1) },
		"the leader hears of the queue":         func(w *world, _ *session) { w.tell() },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			s := w.session(4, 100)
			s.publish(w.declare("known"), 1, 1)
			s.until("a confirm", func() bool { return len(s.confirmed) == 1 })
			w.hushed = true
			id := w.declare("q")
			w.log.hold(true)
			s.publish(id, 2, 3)
			w.proposed(s, 2, 1)
			happens(w, s)
			s.publish(id, 4, 5)
			w.log.hold(false)
			s.until("confirms", func() bool { return len(s.confirmed) == 5 })
			if got := w.content(id, 300, 4); !slices.Equal(got, []string{"2", "3", "4", "5"}) {
				t.Errorf("the queue has %v", got)
			}
		})
	}
}

// TestALeaderWhoseMetadataAreCutOff does not know the queue that messages are for. It does not take it for one that is
// deleted: they wait until it knows.
func TestALeaderWhoseMetadataAreCutOff(t *testing.T) {
	w := newWorld(t)
	known := w.declare("known")
	w.behind[1].Store(w.editor.Catalog())
	kept, deleted := w.declare("kept"), w.declare("deleted")
	s := w.session(4, 100)
	s.publish(kept, 1, 3)
	s.publish(deleted, 4, 5)
	s.publish(known, 6, 6)
	for s.isWaiting(6) { // for the leader's metadata, as long as it is given
		w.clocks.pass()
	}
	s.until("what was published to others than the unknown", func() bool { return s.applied == 3 && len(s.confirmed) == 1 })
	w.must(w.editor.DeleteQueue(context.Background(), "/", "deleted", 0, nil))
	w.behind[1].Store(nil)
	w.groups[1].Advanced()
	s.until("confirms", func() bool { return len(s.confirmed) == 6 })
	if got := w.content(kept, 300, 3); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("the queue has %v", got)
	}
}

// isWaiting tells whether a message is not confirmed.
func (s *session) isWaiting(number uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.confirmed[number] == 0
}
