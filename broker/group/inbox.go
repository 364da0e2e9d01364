package group

import (
	"sync"

	"github.com/warrenmq/warren/broker/queue"
)

// Event is an effect of a group on its way to a session. Data is the records of a delivery, Stride apart; it is borrowed for ever.
type Event struct {
	queue.Effect
	Group uint64
	Data  []byte
}

// Inbox takes the events of a session. Its methods never block.
type Inbox interface {
	// Post takes events; the slice is borrowed.
	Post(events []Event)
	// Room tells whether deliveries to that session are welcome. If not, w is told once they are.
	Room(to queue.SessionKey, w Waker) bool
}

// Waker is told that a session has room again.
type Waker interface {
	HasRoom(to queue.SessionKey)
}

// Inboxes finds the sessions of this node.
type Inboxes struct {
	node uint64
	gate Gate // nil: there are no other nodes

	mu   sync.RWMutex
	list map[queue.SessionKey]Inbox
}

// NewInboxes makes an empty directory for a node's sessions.
func NewInboxes(node uint64) *Inboxes {
	return &Inboxes{node: node, list: map[queue.SessionKey]Inbox{}}
}

// Guard puts a gate before the sessions. It comes before any group is opened.
func (x *Inboxes) Guard(g Gate) { x.gate = g }

// Node is the node whose sessions these are.
func (x *Inboxes) Node() uint64 { return x.node }

// Add lets a session be found.
func (x *Inboxes) Add(session uint64, inbox Inbox) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.list[queue.SessionKey{Node: x.node, Session: session}] = inbox
}

// AddFor lets somebody be found who is not a session of this node, such as a forwarder.
func (x *Inboxes) AddFor(key queue.SessionKey, inbox Inbox) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.list[key] = inbox
}

// Remove forgets a session; what is still on its way to it is dropped.
func (x *Inboxes) Remove(session uint64) {
	key := queue.SessionKey{Node: x.node, Session: session}
	x.mu.Lock()
	delete(x.list, key)
	x.mu.Unlock()
	if x.gate != nil {
		x.gate.Gone(key)
	}
}

// RemoveFor is Remove for who was added by AddFor, unless somebody else has taken the place.
func (x *Inboxes) RemoveFor(key queue.SessionKey, inbox Inbox) {
	x.mu.Lock()
	mine := x.list[key] == inbox
	if mine {
		delete(x.list, key)
	}
	x.mu.Unlock()
	if mine && x.gate != nil {
		x.gate.Gone(key)
	}
}

// post hands the events of a group to a session, or to the gate.
func (x *Inboxes) post(to queue.SessionKey, events []Event) {
	if x.gate != nil {
		events = x.gate.Pass(to, events)
	}
	if len(events) > 0 {
		x.Post(to, events)
	}
}

// Post hands events to a session, if it is here. The slice is borrowed.
func (x *Inboxes) Post(to queue.SessionKey, events []Event) {
	x.mu.RLock()
	inbox := x.list[to]
	x.mu.RUnlock()
	if inbox != nil {
		inbox.Post(events)
	}
}

// room tells whether a session has room for deliveries of a group.
func (x *Inboxes) room(to queue.SessionKey, g *Group) bool {
	if x.gate != nil {
		if room, elsewhere := x.gate.Room(g.ID, to, g); elsewhere {
			return room
		}
	}
	return x.Room(to, g)
}

// Room tells whether a session has room; if not, w is told once it has. One that is not here has: what is sent to it is
// dropped.
func (x *Inboxes) Room(to queue.SessionKey, w Waker) bool {
	x.mu.RLock()
	inbox := x.list[to]
	x.mu.RUnlock()
	return inbox == nil || inbox.Room(to, w)
}
