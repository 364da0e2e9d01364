// Package link owns the way from the sessions of a node to groups that may be led anywhere, and back.
//
// It makes of a group that moves one that does not: what a session has handed in takes effect once and in order, and what it
// is told arrives once and in order, whoever leads, and whatever connection breaks.
//
//  1. A batch that is proposed through a Links is kept until it is known to be applied and its requests are answered.
//  2. The route of a group finds the leader and attaches to it: it tells which deliveries have reached the sessions, the
//     leader says again what has not, and the route hands in again what is not answered. The machine recognises what it has.
//  3. Every attachment has a number of its own, its epoch. What comes under another one is dropped.
//  4. Who waits for a group that has no leader is held back, and after a while refused; see backlog.go and breaker.go.
//  5. The other end, for sessions of other nodes, is in guests.go; how both are written on the wire in wire.go.
package link

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// Peers carries what nodes say to each other.
type Peers interface {
	// Send gives bytes away to another node, for its Receive: the parts of one message, none of which may change any more. It
	// does not block. What is sent arrives in order or not at all; when something may be missing, Lost is told.
	Send(node uint64, parts ...[]byte) error
}

// Env is what Links need of the broker. Its functions must not block.
type Env struct {
	Node    uint64
	First   uint64 // number of the first session of this life of the node
	Peers   Peers
	Inboxes *group.Inboxes
	// Local gives a group that has a member here, nil if it has none.
	Local func(id uint64) *group.Group
	// Members gives the nodes that hold a group.
	Members func(id uint64) []uint64
	// Leader gives the node that is said to lead a group, 0 if nobody knows.
	Leader func(id uint64) uint64
	// Owner gives the node that a group lives and dies with, 0 if there is none. Nil: there never is.
	Owner func(id uint64) uint64
	// Era gives which era of a group is known of, and which one this node's part of it is of. Nil: there is only one.
	Era func(id uint64) (known, here uint64)
	// Nodes gives the other nodes that live.
	Nodes func() []uint64
	// Revision gives up to which revision this node's Catalog has everything, and Newest that of the newest thing in it.
	Revision, Newest func() int64
	// Answer says something about a group that is led here to who asked; ok is false if it no longer is.
	Answer func(g *group.Group, question []byte, done func(said []byte, ok bool))
	// Aside carries questions to nodes, and the answers, so that nothing waits behind them. What it carries comes in order
	// with nothing else, and goes to Receive too.
	Aside Peers
	// Question answers what another node asks of this one; ok is false if it cannot. It runs on a goroutine of its own, and
	// may take its time.
	Question func(question []byte) (said []byte, ok bool)
	// Quick answers at once what takes no time, however much is looked at; ok is false if it is no such question. It must not
	// block. Nil: none is.
	Quick func(question []byte) (said []byte, ok bool)
	// Alarmed takes which alarms are raised on another node, Alarms gives those of this one.
	Alarmed func(node uint64, alarms byte)
	Alarms  func() byte
	// Told takes how many connections and channels another node has, Tallies gives those of this one: all, or what has changed
	// since, nil if nothing has.
	Told    func(node uint64, tallies []byte) error
	Tallies func(all bool) []byte
	// Replied takes a direct reply for a channel of this node, by the name that was made up for it.
	Replied func(name, props, body []byte)
	// Patience is how long a group may have no leader until what is new is refused. Backlog is how many octets may wait for one
	// group.
	Patience time.Duration
	Backlog  int
	// After calls do once a time has passed, unless it is stopped before. Nil: the machine's clock decides.
	After func(wait time.Duration, do func()) (stop func() bool)
	// Describe names a queue for the log. Nil: by its number.
	Describe func(id queue.ID) string
	// Ended tells that the groups no longer know a session of this node.
	Ended func(key queue.SessionKey)
	// Leads tells, on its goroutine, that a group begins or ceases to be led here.
	Leads  func(g *group.Group, leading bool)
	Logger zerolog.Logger
}

// Links is the routes of a node to all groups, and the guests of its groups. It is safe for concurrent use.
type Links struct {
	Env
	guests    guests
	questions questions
	looking   atomic.Int32 // how many questions of other nodes are looked at
	telling   sync.Mutex   // of tellAlarms and TellTallies: what is told last is what is known last
	ended     chan struct{}

	mu     sync.Mutex // guards what follows
	routes map[uint64]*route
	lives  map[uint64]uint64 // the nodes that live, and which life of each it is; nil: nobody has said
	closed bool
	seeks  sync.WaitGroup
}

// New makes Links. They stand at the gate of the inboxes from now on.
func New(env Env) *Links {
	if env.After == nil {
		env.After = func(wait time.Duration, do func()) func() bool { return time.AfterFunc(wait, do).Stop }
	}
	env.Patience, env.Backlog = cmp.Or(env.Patience, DefaultPatience), cmp.Or(env.Backlog, DefaultBacklog)
	l := &Links{Env: env, routes: map[uint64]*route{}, ended: make(chan struct{})}
	l.guests.init(l)
	env.Inboxes.Guard(l)
	return l
}

// Handle implements dispatch.Groups.
func (l *Links) Handle(id uint64) (dispatch.Handle, error) { return l.route(id) }

// route gives the way to a group, also if nobody is known to hold it: it may be new, and a queue in it may be heard of first.
func (l *Links) route(id uint64) (*route, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, oplog.ErrClosed
	}
	r := l.routes[id]
	if r == nil {
		r = newRoute(l, id)
		l.routes[id] = r
	}
	return r, nil
}

func (l *Links) all() []*route {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*route, 0, len(l.routes))
	for _, r := range l.routes {
		list = append(list, r)
	}
	return list
}

func (l *Links) known(id uint64) *route {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.routes[id]
}

// Reply sends a direct reply to the node that waits for it, and tells whether it is on its way. It may be lost, as any may.
func (l *Links) Reply(node uint64, name, props, body []byte) bool {
	return l.Peers.Send(node, appendBytes(appendBytes(appendBytes([]byte{kindReply}, name), props), body)) == nil
}

// Leading tells whether a group is led here.
func (l *Links) Leading(id uint64) bool { return l.guests.leads(id) }

// Pass implements group.Gate.
func (l *Links) Pass(to queue.SessionKey, events []group.Event) []group.Event {
	id := events[0].Group
	if l.guests.pass(id, to, events) {
		return nil
	}
	if r := l.known(id); r != nil {
		return r.pass(to, events)
	}
	return events
}

// Room implements group.Gate.
func (l *Links) Room(id uint64, to queue.SessionKey, w group.Waker) (room, elsewhere bool) {
	return l.guests.room(id, to, w)
}

// Leads implements group.Gate.
func (l *Links) Leads(g *group.Group, leading bool) {
	l.guests.lead(g.ID, leading)
	if leading {
		for _, node := range l.Nodes() {
			_ = l.Peers.Send(node, uvarints([]byte{kindLeads}, g.ID)) // who does not hear of it asks
		}
	}
	l.Env.Leads(g, leading)
	if r := l.known(g.ID); r != nil {
		r.leads(leading)
	}
}

// Gone implements group.Gate.
func (l *Links) Gone(key queue.SessionKey) {
	for _, r := range l.all() {
		r.forget(key)
	}
}

// Lost tells that what was sent to or by a node may be missing from its end on.
func (l *Links) Lost(node uint64) {
	l.questions.lost(node)
	l.guests.lost(node)
	for _, r := range l.all() {
		r.lost(node)
	}
}

// Buried implements group.Gate.
func (l *Links) Buried(id, node uint64) { l.guests.dismiss(visit{id, node}) }

// Found tells that a node can be reached, perhaps again.
func (l *Links) Found(node uint64) {
	if err := l.Peers.Send(node, []byte{kindAgain}); err != nil {
		l.Logger.Debug().Err(err).Uint64("node", node).Msg("not sent")
	}
	l.introduce(node)
}

// introduce tells a node what all others know of this one.
func (l *Links) introduce(node uint64) {
	l.tellAlarms([]uint64{node})
	l.telling.Lock()
	defer l.telling.Unlock()
	_ = l.Peers.Send(node, append([]byte{kindTallies}, l.Tallies(true)...)) // else it is told when it is found
}

// TellAlarms tells the other nodes which alarms are raised here. Who does not hear of it is told when it is found.
func (l *Links) TellAlarms() { l.tellAlarms(l.Nodes()) }

func (l *Links) tellAlarms(nodes []uint64) {
	l.telling.Lock()
	defer l.telling.Unlock()
	alarms := l.Alarms()
	for _, node := range nodes {
		_ = l.Peers.Send(node, []byte{kindAlarms, alarms})
	}
}

// TellTallies tells the other nodes what has changed of the Tallies. Who does not hear of it is told all when it is found.
func (l *Links) TellTallies() {
	l.telling.Lock()
	defer l.telling.Unlock()
	news := l.Tallies(false)
	if news == nil {
		return
	}
	news = append([]byte{kindTallies}, news...)
	for _, node := range l.Nodes() {
		_ = l.Peers.Send(node, news)
	}
}

// Advanced tells that this node's Catalog has a new revision.
func (l *Links) Advanced() { l.guests.advanced(uint64(l.Revision())) }

// Close ends the search for leaders; nothing is proposed any more.
func (l *Links) Close() {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if !closed {
		close(l.ended)
	}
	for _, r := range l.all() {
		r.close()
	}
	l.seeks.Wait()
}
