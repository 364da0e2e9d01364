package link

import (
	"slices"
	"testing"

	"github.com/warrenmq/warren/broker/queue"
)

// TestAGroupDiesWithItsNode: what sessions elsewhere wait for is answered, and so is what they hand in later; their consumers
// hear that their queues are gone. When the node is there again, in the same life or in another, they can use what is there.
func TestAGroupDiesWithItsNode(t *testing.T) {
	for name, life := range map[string]uint64{"the same life": 7, "another life": 8} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.owner = 1
			id := w.declare("q")
			l := w.links[4]
			l.Lives(map[uint64]uint64{1: 7, 2: 1, 4: 1})
			s := w.session(4, 100)
			s.publish(id, 1, 5)
			s.do(&queue.Attach{Queue: id, Consumer: 1, Request: 1, Channel: 1, Window: window})
			s.until("what was there", func() bool { return len(s.confirmed) == 5 && len(s.got) == 5 && s.applied == 2 })
			l.Lives(map[uint64]uint64{2: 1, 4: 1})
			s.until("the consumer's end", func() bool { return len(s.told) == 1 })
			s.publish(id, 6, 9)
			s.do(&queue.Get{Queue: id, Consumer: 2, Request: 2}, &queue.Attach{Queue: id, Consumer: 3, Request: 3})
			s.do(&queue.Down{Node: 4, First: 100, Last: 100, Request: 4})
			s.until("answers", func() bool { return len(s.confirmed) == 9 && len(s.answers[4]) == 1 && s.applied == 5 })
			if s.refused != 4 || !slices.Equal(s.answers[2], []queue.Outcome{queue.NoQueue}) || !slices.Equal(s.answers[3], []queue.Outcome{queue.NoQueue}) {
				t.Errorf("%d refused, answers %v", s.refused, s.answers)
			}
			l.Lives(map[uint64]uint64{1: life, 2: 1, 4: 1})
			s.publish(id, 10, 12)
			s.do(&queue.Attach{Queue: id, Consumer: 1, Request: 5, Channel: 1, Window: window})
			s.until("what is there now", func() bool { return len(s.confirmed) == 12 && len(s.got) == 13 && s.applied == 7 })
			if s.refused != 4 || len(s.told) != 1 {
				t.Errorf("%d refused, told %q", s.refused, s.told)
			}
		})
	}
}

// TestANodeThatIsBackBeforeAnybodySawItGo begins with nothing: what sessions elsewhere had there is gone, and they live on.
func TestANodeThatIsBackBeforeAnybodySawItGo(t *testing.T) {
	w := newWorld(t)
	w.owner = 1
	id := w.declare("q")
	s := w.session(4, 100)
	s.do(&queue.Attach{Queue: id, Consumer: 1, Request: 1, Channel: 1, Window: window})
	s.publish(id, 1, 1)
	s.until("a confirm", func() bool { return len(s.confirmed) == 1 && s.applied == 2 })
	other := w.session(1, 200)
	other.do(&queue.Down{Node: 4, First: 100, Last: 100, Request: 1})
	other.until("an answer", func() bool { return len(other.answers[1]) == 1 })
	w.network.cut(1, 4)
	s.until("the consumer's end", func() bool { return len(s.told) == 1 })
	s.publish(id, 2, 2)
	s.until("another confirm", func() bool { return len(s.confirmed) == 2 && s.applied == 3 })
}
