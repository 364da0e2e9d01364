package link

import (
	"sync/atomic"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
)

// epochs are given out by a node, to any of its routes.
var epochs atomic.Uint64

func (l *Links) nextEpoch() uint64 { return epochs.Add(1) }

// Receive takes what another node's Peers was given. The bytes are given away.
func (l *Links) Receive(from uint64, data []byte) {
	r := reader{data: data}
	if err := l.handle(from, r.byte(), &r); err != nil {
		l.Logger.Error().Err(err).Uint64("from", from).Msg("a message was dropped")
	}
}

func (l *Links) handle(from uint64, kind byte, r *reader) error {
	switch kind {
	case kindAttach, kindResume:
		m := r.attach()
		if r.bad {
			return errMessage
		}
		if kind == kindAttach {
			l.guests.attach(from, m)
		} else {
			l.guests.resume(from, m)
		}
	case kindPropose:
		m := r.propose()
		if r.bad || queue.Check(m.batch.Data) != nil {
			return errMessage
		}
		l.guests.propose(from, m)
	case kindTook, kindGone:
		m := r.took()
		if r.bad {
			return errMessage
		}
		if kind == kindTook {
			l.guests.took(from, m)
		} else {
			l.guests.gone(from, m)
		}
	case kindLeads:
		if route := l.known(r.number()); route != nil && !r.bad {
			route.moved(from)
		}
	case kindReply:
		name, props, body := r.bytes(), r.bytes(), r.bytes()
		if r.bad {
			return errMessage
		}
		l.Replied(name, props, body)
	case kindAgain:
		for _, route := range l.all() {
			route.lost(from)
		}
		l.introduce(from) // what it was told before its broker ran it has not heard
	case kindEvents:
		m := r.events()
		if r.bad {
			return errMessage
		}
		if route := l.known(m.group); route != nil {
			route.receive(from, m.epoch, m.to, m.events)
		}
	case kindCall:
		return l.called(from, r)
	case kindAnswer:
		return l.toldAnswer(r)
	case kindQuestion:
		return l.questioned(from, r)
	case kindAlarms:
		if alarms := r.byte(); !r.bad {
			l.Alarmed(from, alarms)
		}
	case kindTallies:
		return l.Told(from, r.data)
	case kindAttached, kindRefused:
		return l.answered(from, kind, r)
	default:
		return errMessage
	}
	return nil
}

// answered takes the answer to an attach.
func (l *Links) answered(from uint64, kind byte, r *reader) error {
	route, epoch := l.known(r.number()), r.number()
	if route == nil {
		return nil
	}
	if kind == kindRefused {
		leader := r.number()
		if r.bad {
			return errMessage
		}
		route.refused(from, epoch, leader)
		return nil
	}
	last := make([]uint64, r.count(1))
	for i := range last {
		last[i] = r.number()
	}
	if r.bad {
		return errMessage
	}
	route.attach(from, epoch, last)
	return nil
}

// takenLeast is how many octets a session has taken when the leader is told.
const takenLeast = guestRoom / 8

// taken notes that octets have reached a session, and tells the leader once it has room for more.
func (r *route) taken(to queue.SessionKey, bytes int) {
	r.mu.Lock()
	c := r.callers[to]
	if c == nil || c.asking {
		if c != nil {
			c.owed += bytes
		}
		r.mu.Unlock()
		return
	}
	if c.owed += bytes; c.owed < takenLeast {
		r.mu.Unlock()
		return
	}
	c.asking = true
	r.mu.Unlock()
	if r.links.Inboxes.Room(to, waker{r}) {
		waker{r}.HasRoom(to)
	}
}

// waker is woken by a session that has room again.
type waker struct{ *route }

var _ group.Waker = waker{}

// HasRoom implements group.Waker.
func (w waker) HasRoom(to queue.SessionKey) {
	r := w.route
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.callers[to]
	if c == nil || !c.asking {
		return
	}
	c.asking = false
	bytes := c.owed
	c.owed = 0
	if r.ready && r.leader != r.links.Node && bytes > 0 {
		if r.links.Peers.Send(r.leader, appendTook(nil, r.group, r.epoch, to, bytes)) != nil {
			r.detach()
		}
	}
}
