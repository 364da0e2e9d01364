package group

import (
	"time"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// outgoing gathers the events of one round for each session.
type outgoing struct {
	list []*parcel
	byTo map[queue.SessionKey]*parcel
	last *parcel
}

type parcel struct {
	to     queue.SessionKey
	events []Event
}

// parcelsKept is how many parcels keep their memory from round to round.
const parcelsKept = 64

func (o *outgoing) add(e Event) {
	if o.last == nil || o.last.to != e.To {
		o.last = o.parcel(e.To)
	}
	o.last.events = append(o.last.events, e)
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
	p.to, p.events = to, p.events[:0]
	o.byTo[to] = p
	return p
}

// send posts every parcel.
func (o *outgoing) send(x *Inboxes) {
	for _, p := range o.list {
		x.post(p.to, p.events)
		clear(p.events)
		delete(o.byTo, p.to)
	}
	o.last = nil
	if len(o.list) > parcelsKept {
		o.list = nil
		return
	}
	o.list = o.list[:0]
}

// perform carries out the effects of a round. Those whose bytes are needed find them in the entries, or in the log.
func (g *Group) perform(entries []oplog.Entry) {
	for i := range g.effects {
		e := &g.effects[i]
		switch e.Kind {
		case queue.Deliver, queue.Got:
			g.deliver(e, entries)
		case queue.DeadLetters:
			g.hooks.DeadLetters(g, e.Queue)
		case queue.Gone:
			g.gone(e.Queue)
		case queue.Unknown:
			g.unknown(*e, entries)
		case queue.WakeAt:
			g.wakeAt(int64(e.Number))
		default:
			g.say(Event{Effect: *e, Group: g.ID})
		}
	}
	g.ended = false
	g.outgo.send(g.inboxes)
}

// deliver adds a delivery with its bytes.
func (g *Group) deliver(e *queue.Effect, entries []oplog.Entry) {
	data, err := g.bytes(e, entries)
	if err != nil {
		g.logger.Error().Err(err).Uint64("entry", e.Index).Uint64("queue", uint64(e.Queue)).Msg("a message cannot be read")
		return
	}
	g.say(Event{Effect: *e, Group: g.ID, Data: data})
}

// bytes gives the records that an effect names.
func (g *Group) bytes(e *queue.Effect, entries []oplog.Entry) ([]byte, error) {
	span := oplog.Span{Index: e.Index, Offset: e.Offset, Length: e.Stride*e.Count - queue.RecordGap}
	if n := len(entries); n > 0 && e.Index >= entries[0].Index && e.Index <= entries[n-1].Index {
		data := entries[e.Index-entries[0].Index].Data
		return data[span.Offset : span.Offset+span.Length : span.Offset+span.Length], nil
	}
	return g.log.Read(span)
}

// gone tells the metadata that a queue ended.
func (g *Group) gone(id queue.ID) {
	g.leaving++
	g.ended = true
	g.hooks.QueueGone(id, func() {
		_ = g.log.Do(func() { // a closed log has nobody left to answer
			if g.leaving--; g.leaving == 0 {
				g.letGo()
			}
		})
	})
}

// say gives an event to its session. The answer of a command that has ended a queue waits until the metadata knows, so
// that whoever is told that the last consumer is cancelled finds the auto-delete queue gone; what that session is told
// then of consumers and requests waits behind it.
func (g *Group) say(e Event) {
	if e.Kind == queue.Answer && g.ended {
		g.ended = false
		if g.leaving > 0 && g.held[e.To] == nil {
			g.held[e.To] = []Event{e}
			return
		}
	}
	if held := g.held[e.To]; held != nil && waits(e.Kind) {
		g.held[e.To] = append(held, e)
		return
	}
	g.outgo.add(e)
}

// waits tells what keeps its place behind an answer. Confirms do not: they are about something else.
func waits(kind queue.Kind) bool {
	return kind != queue.Confirm && kind != queue.Refuse && kind != queue.Applied
}

// letGo says what was held back.
func (g *Group) letGo() {
	for to, held := range g.held {
		delete(g.held, to)
		for _, e := range held {
			g.outgo.add(e)
		}
	}
	g.outgo.send(g.inboxes)
}

// wakeAt arms the timer for a Tick.
func (g *Group) wakeAt(at int64) {
	wait := time.Duration(max(at-g.hooks.Clock(), 0)) * time.Millisecond
	if g.timer != nil {
		g.timer.Stop()
	}
	g.timer = time.AfterFunc(wait, g.Tick)
}

// Tick lets the machine do what is due by now.
func (g *Group) Tick() {
	var b queue.Batch
	b.Add(&queue.Tick{})
	if err := g.Propose(oplog.Batch{Data: b.Bytes()}); err != nil {
		g.logger.Debug().Err(err).Msg("no tick")
	}
}

// unknown handles messages for a queue that the machine does not know: it is being declared, or it was deleted.
func (g *Group) unknown(e queue.Effect, entries []oplog.Entry) {
	q := g.hooks.Catalog().QueueByID(uint64(e.Queue))
	if q == nil || q.Group != g.ID {
		if e.Number != 0 {
			e.Kind = queue.Confirm
			g.outgo.add(Event{Effect: e, Group: g.ID})
		}
		return
	}
	data, err := g.bytes(&e, entries)
	if err != nil {
		g.logger.Error().Err(err).Uint64("entry", e.Index).Str("queue", q.Name).Msg("a message for a new queue cannot be read")
		return
	}
	var b queue.Batch
	b.Add(&queue.Declare{Queue: e.Queue, VHost: q.VHost, Name: q.Name, Config: q.Config})
	b.Repeat(e, data)
	batch := oplog.Batch{From: oplog.Origin{Node: e.To.Node, Session: e.To.Session}, Data: b.Bytes()}
	if err := g.Propose(batch); err != nil {
		g.logger.Warn().Err(err).Str("queue", q.Name).Msg("messages for a new queue were not taken")
	}
}
