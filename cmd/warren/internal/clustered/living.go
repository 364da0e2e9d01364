package clustered

import (
	"maps"
	"sync"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/cluster/membership"
)

// living is which nodes this one takes for living: those that show themselves in etcd, and those that have done so and still
// answer. A lease that is lost while etcd is away, or slow, says nothing about the node; what is sent to it arrives.
type living struct {
	mu       sync.Mutex
	broker   *broker.Broker // nil: nobody is to be told
	view     *membership.View
	answers  map[uint64]int    // how many lanes there are to a node: one to an old address may end after one to the new has begun
	lives    map[uint64]uint64 // the life of each, as the broker knows it
	self     uint64
	announce func(*broker.Broker, map[uint64]uint64)
}

func newLiving(self uint64) *living {
	return &living{self: self, answers: map[uint64]int{}, announce: (*broker.Broker).Alive}
}

// serve begins to tell a broker, or ends it.
func (l *living) serve(b *broker.Broker) {
	l.change(true, func() { l.broker = b })
}

// seen is told what etcd knows.
func (l *living) seen(v *membership.View) {
	l.change(true, func() { l.view = v })
}

// reached is told that a lane to a node has opened, or has closed.
func (l *living) reached(node uint64, answers bool) {
	l.change(false, func() {
		if answers {
			l.answers[node]++
		} else if l.answers[node]--; l.answers[node] <= 0 {
			delete(l.answers, node)
		}
	})
}

// reachable tells whether there is a way to a node.
func (l *living) reachable(node uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers[node] > 0
}

// change tells the broker, in the order in which things happen, who lives: always, or if that is something else than before.
func (l *living) change(always bool, what func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what()
	if l.view == nil {
		return
	}
	before := l.lives
	l.lives = map[uint64]uint64{}
	for id := range l.view.Nodes {
		if life, shown := l.view.Lives[id]; shown {
			l.lives[id] = life
		} else if life, lived := before[id]; lived && l.answers[id] > 0 && id != l.self {
			l.lives[id] = life
		}
	}
	if l.broker != nil && (always || !maps.Equal(before, l.lives)) {
		l.announce(l.broker, l.lives)
	}
}
