package group

import "github.com/warrenmq/warren/broker/queue"

// outgoing gathers the events of one round for each session.
type outgoing struct {
	list []*parcel
	byTo map[queue.SessionKey]*parcel
	last *parcel
}

type parcel struct {
	to     queue.SessionKey
	events []Event
	bytes  int  // that the events carry
	asked  bool // whether the session has room
	room   bool
}

// parcelsKept is how many parcels keep their memory from round to round.
const parcelsKept = 64

func (o *outgoing) add(e Event) {
	if o.last == nil || o.last.to != e.To {
		o.last = o.parcel(e.To)
	}
	o.last.events = append(o.last.events, e)
	o.last.bytes += len(e.Data)
}

func (o *outgoing) parcel(to queue.SessionKey) *parcel {
	if o.byTo == nil {
		o.byTo = map[queue.SessionKey]*parcel{}
	}
	if p := o.byTo[to]; p != nil {
		return p
	}
	var p *parcel
	if n := len(o.list); n < cap(o.list) {
		o.list = o.list[:n+1]
		p = o.list[n]
	} else {
		o.list = append(o.list, nil)
	}
	if p == nil {
		p = &parcel{}
		o.list[len(o.list)-1] = p
	}
	*p = parcel{to: to, events: p.events[:0]}
	o.byTo[to] = p
	return p
}

// send posts every parcel.
func (o *outgoing) send(x *Inboxes) {
	for _, p := range o.list {
		if len(p.events) > 0 {
			x.post(p.to, p.events)
			clear(p.events)
		}
		delete(o.byTo, p.to)
	}
	o.last = nil
	if len(o.list) > parcelsKept {
		o.list = nil
		return
	}
	o.list = o.list[:0]
}

// room tells whether a session may be sent more in this round.
func (o *outgoing) room(to queue.SessionKey, g *Group) bool {
	return o.welcome(to, g) && o.last.bytes < roomBytes
}

// welcome tells whether a session has room at all. If not, it will wake the group.
func (o *outgoing) welcome(to queue.SessionKey, g *Group) bool {
	if o.last == nil || o.last.to != to {
		o.last = o.parcel(to)
	}
	p := o.last
	if !p.asked {
		p.asked, p.room = true, g.inboxes.room(to, g)
	}
	return p.room
}
