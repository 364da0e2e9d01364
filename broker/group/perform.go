package group

import (
	"time"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// perform carries out the effects of a round. Those whose bytes are needed find them in the entries, or in the log.
func (g *Group) perform(entries []oplog.Entry) {
	for i := range g.effects {
		e := &g.effects[i]
		switch e.Kind {
		case queue.DeadLetters:
			g.hooks.DeadLetters(g, e.Queue)
		case queue.Gone:
			g.gone(e.Queue)
		case queue.Unknown:
			g.unknown(e.Queue)
		case queue.WakeAt:
			g.wakeAt(int64(e.Number))
		case queue.Buried:
			if gate := g.inboxes.gate; gate != nil {
				gate.Buried(g.ID, e.Number)
			}
		default:
			g.say(Event{Effect: *e, Group: g.ID}, entries)
		}
	}
	g.ended = false
	g.outgo.send(g.inboxes)
}

// near gives the records that an effect names, if they are in memory.
func (g *Group) near(e *queue.Effect, entries []oplog.Entry) ([]byte, bool) {
	at := records(e)
	if data, ok := dataOf(entries, e.Index); ok {
		return data[at.Offset : at.Offset+at.Length : at.Offset+at.Length], true
	}
	return g.log.Near(at)
}

// dataOf finds an entry. Its place is that of its index, or before: entries that change the members are not among them.
func dataOf(entries []oplog.Entry, index uint64) ([]byte, bool) {
	if len(entries) == 0 || index < entries[0].Index || index > entries[len(entries)-1].Index {
		return nil, false
	}
	at := min(index-entries[0].Index, uint64(len(entries)-1))
	for entries[at].Index > index {
		at--
	}
	return entries[at].Data, entries[at].Index == index
}

// records is where the records lie that an effect names.
func records(e *queue.Effect) oplog.Span {
	return oplog.Span{Index: e.Index, Offset: e.Offset, Length: e.Stride*e.Count - queue.RecordGap}
}

func (g *Group) unreadable(e *queue.Effect, err error) {
	g.logger.Error().Err(err).Uint64("entry", e.Index).Uint64("queue", uint64(e.Queue)).Msg("a message cannot be read")
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

// say gives an event to its session, or lets it wait behind what it must not overtake.
//
// The answer of a command that has ended a queue waits until the metadata knows, so that whoever is told that the last
// consumer is cancelled finds the auto-delete queue gone; what that session is told then of consumers and requests waits
// behind it. And deliveries wait for their bytes.
func (g *Group) say(e Event, entries []oplog.Entry) {
	if e.Kind == queue.Answer && g.ended {
		g.ended = false
		if g.leaving > 0 && g.held[e.To] == nil {
			g.held[e.To] = []Event{e}
			return
		}
	}
	if waits(e.Kind) {
		if held := g.held[e.To]; held != nil {
			g.held[e.To] = append(held, g.pin(e))
			return
		}
		if l := g.backlog.line(&e); l != nil {
			g.pin(e)
			l.rest.push(&e.Effect)
			return
		}
	}
	if carries(e.Kind) {
		data, near := g.near(&e.Effect, entries)
		if !near || !g.outgo.room(e.To, g) {
			g.wait(g.pin(e))
			return
		}
		e.Data = data
		g.delivered()
	}
	g.outgo.add(e)
}

// delivered notes that bytes are on their way to a session.
func (g *Group) delivered() {
	if g.found {
		g.found = false
		g.hooks.Delivered()
	}
}

// waits tells what keeps its place behind an answer. Confirms do not: they are about something else.
func waits(kind queue.Kind) bool {
	return kind != queue.Confirm && kind != queue.Refuse && kind != queue.Applied
}

// letGo says what was held back.
func (g *Group) letGo() {
	for to, held := range g.held {
		delete(g.held, to)
		for i := range held {
			g.unpin(&held[i].Effect)
			g.say(held[i], nil)
		}
	}
	g.outgo.send(g.inboxes)
}

// wakeAt arms the timer for a Tick at a moment of the log's time.
func (g *Group) wakeAt(at int64) {
	wait := time.Duration(max(at-g.log.Now(), 0)) * time.Millisecond
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
