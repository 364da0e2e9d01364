package link

import (
	"testing"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// known is how many sessions of other nodes a node keeps something for.
func (w *world) known(node uint64) (n int) {
	s := &w.links[node].guests
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.visitors {
		n += len(v.guests)
	}
	return n
}

// TestSessionsThatEndAreForgotten: the leader keeps nothing for sessions of another node that have come and gone.
func TestSessionsThatEndAreForgotten(t *testing.T) {
	w := newWorld(t)
	id := w.declare("q")
	stays := w.session(4, 100)
	for n := range uint64(50) {
		s := w.session(4, 101+n)
		s.publish(id, 1, 1)
		s.until("a confirm", func() bool { return len(s.confirmed) == 1 })
		s.do(&queue.Down{Node: 4, First: 101 + n, Last: 101 + n, Request: 1})
		s.until("its end", func() bool { return len(s.answers[1]) == 1 })
		w.inboxes[4].Remove(101 + n)
	}
	stays.publish(id, 1, 1)
	stays.until("a confirm", func() bool { return len(stays.confirmed) == 1 })
	if n := w.known(1); n != 1 {
		t.Errorf("%d sessions of another node are known, and one is there", n)
	}
}

// TestWhatASlowSessionHasWaitedForIsLetGo: a consumer elsewhere that reads nothing goes, by itself or with its node. What was
// kept for it until it had room is not kept for ever.
func TestWhatASlowSessionHasWaitedForIsLetGo(t *testing.T) {
	for name, down := range map[string]*queue.Down{
		"session": {Node: 4, First: 100, Last: 100, Request: 2},
		"node":    {Node: 4, Last: queue.Everything, Lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ended := make(chan queue.SessionKey, 1)
			w.ended = func(key queue.SessionKey) { ended <- key }
			id := w.declare("q")
			slow := w.session(4, 100)
			slow.full = true
			slow.do(&queue.Attach{Queue: id, Consumer: 1, Request: 1, Channel: 1, NoAck: true, Window: 1 << 30})
			slow.until("to be there", func() bool { return len(slow.answers[1]) == 1 })
			quick := w.session(1, 200)
			for n := range uint64(40) {
				var b queue.Batch
				m := message.Message{Head: message.Head{Priority: message.NoPriority}, RoutingKey: []byte("k"), Body: make([]byte, guestRoom/8)}
				b.Publish(1, n+1, []queue.ID{id}, &m)
				quick.propose(&b)
			}
			quick.until("all confirms", func() bool { return len(quick.confirmed) == 40 })
			w.log.until("a backlog", func() bool { return w.log.live[1] > 8*guestRoom/8 })
			if down.Lost {
				var b queue.Batch
				b.Add(down)
				w.must(w.groups[1].Propose(oplog.Batch{Data: b.Bytes()}))
				<-ended
			} else {
				slow.do(down)
				slow.until("its end", func() bool { return len(slow.answers[2]) == 1 })
				w.inboxes[4].Remove(100)
			}
			w.log.until("nothing to be kept", func() bool { return w.log.live[1] == 0 })
		})
	}
}

// TestWhoIsNotAttachedAnyMoreIsTold: a leader that hears late that an old connection is lost forgets what came over the new
// one. Who believes to be attached hears of it with the next thing it hands in.
func TestWhoIsNotAttachedAnyMoreIsTold(t *testing.T) {
	w := newWorld(t)
	id := w.declare("q")
	s := w.session(4, 100)
	s.publish(id, 1, 1)
	s.until("a confirm", func() bool { return len(s.confirmed) == 1 })
	w.links[1].Lost(4)
	s.publish(id, 2, 2)
	s.until("another confirm", func() bool { return len(s.confirmed) == 2 })
}
