package session

import (
	"time"

	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// writer is the half that writes the socket. owner: writer.run, but for box
type writer struct {
	*Session
	box       mailbox
	out       []byte
	outlets   map[uint16]*outlet
	lastOut   *outlet
	door      *dispatch.Door // of the consumer half
	consumers map[uint32]*consumer
	numbers   uint32 // consumers and requests given out
	requests  map[uint32]func(group.Event)
	touched   []*outlet // with confirms to be sent
	counted   []*outlet // with counts to be shown
	byType    [stats.QueueTypes]stats.Counts
	typed     uint8             // the types of byType with counts to be shown, a bit each
	seen      *topology.Catalog // what tracing is true of
	tracing   bool
	thirsty   []*consumer // whose window is to be renewed
	exclusive map[uint64]struct{}
	settling  settling
	owed      int // answers that wait behind one that cannot be given yet, by weight

	heartbeat time.Duration // 0: none, or not yet
	wrote     time.Time
	broken    bool // the socket takes nothing more
	refused   bool // connection.close was sent
	farewell  *time.Timer
	torn      bool
	over      bool
}

// outMax is how much is gathered before it is written.
const outMax = 64 << 10

// outKept is the memory the output keeps when it is idle.
const outKept = 128 << 10

func (w *writer) init(s *Session) {
	w.Session = s
	w.box.init()
	w.outlets = map[uint16]*outlet{}
	w.consumers = map[uint32]*consumer{}
	w.requests = map[uint32]func(group.Event){}
	w.exclusive = map[uint64]struct{}{}
	w.door = dispatch.NewDoor(s.consumerKey(), s.env.Groups)
}

// Post implements group.Inbox. That a batch was applied, or need not be waited for, is told to its door at once: a client that
// reads nothing must not hold back what it publishes.
func (w *writer) Post(events []group.Event) {
	n := len(events)
	for n > 0 && (events[n-1].Kind == queue.Applied || events[n-1].Kind == queue.Adrift) {
		n--
		e := &events[n]
		door := w.reader.door
		if e.To == w.consumerKey() {
			door = w.door
		}
		if e.Kind == queue.Adrift {
			door.LetGo(e.Group)
			continue
		}
		door.Answered(e.Group, e.Number)
	}
	if n > 0 {
		w.box.postEvents(events[:n])
	}
}

// Room implements group.Inbox.
func (w *writer) Room(to queue.SessionKey, by group.Waker) bool { return w.box.room(sleeper{by, to}) }

// run does what comes until the session is over.
func (w *writer) run() {
	defer w.end()
	var orders []order
	var events []group.Event
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for !w.over {
		orders, events = w.box.take(orders, events, w.owed)
		if len(orders) == 0 && len(events) == 0 {
			w.idle(timer)
			continue
		}
		for i := range orders {
			w.carryOut(&orders[i])
			orders[i] = order{}
		}
		for i := range events {
			w.event(&events[i])
			if len(w.out) >= outMax {
				w.write()
			}
		}
		clear(events)
		w.finish()
	}
}

// end lets nobody wait for the writer any more.
func (w *writer) end() {
	w.box.close()
	if w.farewell != nil {
		w.farewell.Stop()
	}
}

// idle waits for something to do, and sends a heartbeat when nothing was written for half of one.
func (w *writer) idle(timer *time.Timer) {
	interval := w.heartbeat / 2
	if interval == 0 {
		<-w.box.wake
		return
	}
	timer.Reset(max(time.Until(w.wrote.Add(interval)), 0))
	select {
	case <-w.box.wake:
		timer.Stop()
	case <-timer.C:
		w.out = protocol.AppendHeartbeat(w.out)
		w.write()
	}
}

func (w *writer) carryOut(o *order) {
	switch {
	case o.do != nil:
		w.closeSettling()
		o.do(w)
	case o.sure.count > 0:
		w.confirmed(o.sure.channel, o.sure.first, o.sure.count)
	}
	for i := range o.acks {
		w.acknowledge(&o.acks[i])
	}
	if len(w.out) >= outMax {
		w.write()
	}
}

// event handles what a group says.
func (w *writer) event(e *group.Event) {
	switch e.Kind {
	case queue.Deliver:
		w.deliver(e)
	case queue.Confirm:
		w.confirmed(e.Channel, e.Number, e.Count)
	case queue.Refuse:
		w.refusedPublish(e.Channel, e.Number, e.Count)
	case queue.Answer, queue.Got:
		if answer := w.requests[e.Request]; answer != nil {
			delete(w.requests, e.Request)
			answer(*e)
		}
	case queue.Cancelled:
		w.cancelled(e)
	case queue.Resumed:
		w.resumed(e)
	case queue.Applied, queue.Adrift: // among others; see Post
		w.Post([]group.Event{*e})
	}
}

// finish ends a round: confirms, settlements and credit go out, then the octets.
func (w *writer) finish() {
	w.closeSettling()
	for _, o := range w.touched {
		w.flushConfirms(o)
	}
	w.touched = w.touched[:0]
	w.flushCounts()
	w.write()
	w.renew()
	w.flush()
}

// flush hands in the batches of the consumer half.
func (w *writer) flush() {
	if err := w.door.Flush(); err != nil {
		w.logger.Error().Err(err).Msg("a batch was not taken")
	}
}

// write writes what was gathered.
func (w *writer) write() {
	if len(w.out) == 0 {
		return
	}
	if !w.broken {
		if _, err := w.conn.Write(w.out); err != nil {
			w.broken = true
			w.Abort() // ends the reader, which ends the session
		}
		w.wrote = time.Now()
	}
	w.out = w.out[:0]
	if cap(w.out) > outKept {
		w.out = nil
	}
}

// request notes what to do with the answer to a command, and gives its number.
func (w *writer) request(answer func(group.Event)) uint32 {
	w.numbers++
	if w.numbers == 0 { // 0 stands for "no answer wanted"
		w.numbers++
	}
	w.requests[w.numbers] = answer
	return w.numbers
}

// propose adds a command to the batch of a group.
func (w *writer) propose(group uint64, c queue.Command) bool {
	b, err := w.door.Batch(group)
	if err != nil {
		w.logger.Error().Err(err).Uint64("group", group).Msg("a command has nowhere to go")
		return false
	}
	b.Add(c)
	return true
}

// refuse sends connection.close. The client's close-ok, or the end of its patience, ends the session.
func (w *writer) refuse(refusal *protocol.Error) {
	if w.refused || w.torn {
		return
	}
	w.refused = true
	w.closing.Store(true)
	w.logger.Warn().Uint16("code", refusal.Code).Str("reason", refusal.Text).Stringer("method", refusal.Method).Msg("connection refused")
	w.out = protocol.AppendMethodFrame(w.out, 0, &protocol.ConnectionClose{
		ReplyCode: refusal.Code, ReplyText: refusal.ReplyText(), ClassID: refusal.Method.Class(), MethodID: refusal.Method.Method(),
	})
	w.write()
	patience := closePatience
	if w.heartbeat > 0 {
		patience = min(patience, w.heartbeat)
	}
	w.farewell = time.AfterFunc(patience, w.Abort)
}

// closePatience is how long a client has to answer connection.close.
const closePatience = 30 * time.Second
