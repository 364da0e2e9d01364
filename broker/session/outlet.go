package session

import (
	"go.opentelemetry.io/otel/trace"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/ledger"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/protocol"
)

// outlet is a channel as its writer sees it. owner: writer
type outlet struct {
	number    uint16
	channel   *channel // only failed and tally may be touched here
	consumers map[string]*consumer
	unacked   ledger.Ledger[delivered]
	base      uint64 // see channel
	next      uint64 // delivery tag
	slots     []*slot
	confirms  confirms
	tx        *txAcks
	limit     uint16 // unacked messages of all consumers together; 0: none
	waiting   []heldBack
	sent      int          // unacked messages that count toward limit
	reply     string       // tag of the consumer that waits for direct replies
	counts    stats.Counts // since the last round
	nacked    uint64       // the same, of publishes that were refused
	counted   bool
	spans     map[uint64]trace.Span // of deliveries that are to be settled, by tag
	left      bool                  // what it held was given back: nothing is delivered any more
	closed    bool
}

// delivered is messages in the client's hands: tags and the consumer's numbers rise side by side.
type delivered struct {
	consumer *consumer
	number   uint64 // of the chunk's first tag
}

// consumer is a consumer, or what a channel gets from one queue. owner: writer
type consumer struct {
	id        uint32
	tag       string
	outlet    *outlet
	queue     uint64
	name      string // of the queue
	queueType stats.QueueType
	group     uint64
	prefix    protocol.DeliverPrefix
	noAck     bool
	getter    bool
	prefetch  int
	unacked   int
	timeoutMs int64  // for an acknowledgement, as it asked; 0: it did not
	window    uint32 // bytes that may be on their way
	drained   int64  // bytes that left for the socket and are not credited yet
	thirsty   bool
	seen      uint64 // number of the last message that was sent to the client
	gone      bool

	early []group.Event // deliveries that wait until the client knows of the consumer
	held  bool
}

// share is how many of n messages count toward the limit of the channel: what consumers of classic queues get.
func (c *consumer) share(n int) int {
	if c.getter || c.queueType != stats.Classic {
		return 0
	}
	return n
}

func (w *writer) openOutlet(c *channel) {
	w.outlets[c.number] = &outlet{
		number: c.number, channel: c, consumers: map[string]*consumer{}, base: c.base, next: 1, confirms: confirms{lowest: c.base + 1},
	}
	w.lastOut = nil
}

// outlet finds a channel that is open, nil if it is not.
func (w *writer) outlet(number uint16) *outlet {
	if w.lastOut != nil && w.lastOut.number == number {
		return w.lastOut
	}
	o := w.outlets[number]
	w.lastOut = o
	return o
}

// freeOutlet forgets a channel: the client knows that it is closed.
func (w *writer) freeOutlet(c *channel) {
	if o := w.outlets[c.number]; o != nil && o.channel == c {
		delete(w.outlets, c.number)
		w.lastOut = nil
		for _, s := range o.slots {
			w.owed -= s.weight
		}
		o.slots = nil
	}
}

// slot is an answer that was promised but cannot be given yet; answers behind it wait.
type slot struct {
	channel uint16
	frames  []byte
	kept    bool
	weight  int // one, and one for each KiB
	then    func(*writer)
}

func newSlot(channel uint16) *slot { return &slot{channel: channel} }

// promise keeps the place of an answer.
func (w *writer) promise(s *slot) {
	if o := w.outlet(s.channel); o != nil && !o.closed {
		w.owe(o, s)
	}
}

// owe puts an answer behind those of its channel that were promised before.
func (w *writer) owe(o *outlet, s *slot) {
	o.slots = append(o.slots, s)
	s.weight = 1 + len(s.frames)>>10
	w.owed += s.weight
}

// keep gives the answer that was promised; a nil one will never come.
func (w *writer) keep(s *slot, m protocol.Method) {
	if m != nil {
		s.frames = protocol.AppendMethodFrame(s.frames, s.channel, m)
	}
	s.kept = true
	o := w.outlet(s.channel)
	if o == nil {
		return
	}
	for len(o.slots) > 0 && o.slots[0].kept {
		first := o.slots[0]
		o.slots = o.slots[1:]
		w.owed -= first.weight
		w.out = append(w.out, first.frames...)
		if first.then != nil {
			first.then(w)
		}
	}
	if len(o.slots) == 0 {
		o.slots = nil
	}
}

// reply answers, behind the answers that were promised before.
func (w *writer) reply(number uint16, m protocol.Method) {
	o := w.outlet(number)
	switch {
	case o == nil || o.closed:
	case len(o.slots) > 0:
		w.owe(o, &slot{channel: number, frames: protocol.AppendMethodFrame(nil, number, m), kept: true})
	default:
		w.out = protocol.AppendMethodFrame(w.out, number, m)
	}
}

// replyRaw answers on a channel that is closed already.
func (w *writer) replyRaw(number uint16, m protocol.Method) {
	w.out = protocol.AppendMethodFrame(w.out, number, m)
}

// raw sends frames of an open channel.
func (w *writer) raw(number uint16, frames []byte) {
	if o := w.outlet(number); o != nil && !o.closed {
		w.out = append(w.out, frames...)
	}
}

// failOutlet ends a channel for an error: its consumers go, what they hold goes back, and the client is told, behind the
// answers that were promised before.
func (w *writer) failOutlet(c *channel, refusal *protocol.Error) {
	o := w.outlets[c.number]
	if o == nil || o.closed || w.refused {
		return
	}
	c.failed.Store(true) // what was half read is the reader's
	w.env.Channels.Warn().Uint64("conn", w.id).Str("peer", w.conn.RemoteAddr().String()).Uint16("channel", c.number).Uint16("code", refusal.Code).Str("reason", refusal.Text).Stringer("method", refusal.Method).Msg("channel closed")
	w.abandon(o, nil)
	last := newSlot(c.number)
	w.owe(o, last)
	o.closed = true
	w.keep(last, &protocol.ChannelClose{
		ReplyCode: refusal.Code, ReplyText: refusal.ReplyText(), ClassID: refusal.Method.Class(), MethodID: refusal.Method.Method(),
	})
	w.resume(c.number)
}

// refuseMethod ends the channel, or the connection if the refusal's code demands it, from this half.
func (w *writer) refuseMethod(o *outlet, refusal *protocol.Error, method protocol.MethodID) {
	if refusal.Method == 0 {
		refusal.Method = method
	}
	if refusal.Hard() {
		w.refuse(refusal)
		return
	}
	w.failOutlet(o.channel, refusal)
}

// closeOutlet ends a channel because the client wants it so. close-ok comes once nothing of it is left.
func (w *writer) closeOutlet(c *channel) {
	o := w.outlets[c.number]
	if o == nil {
		return
	}
	if o.closed { // both sides close at the same time
		w.replyRaw(c.number, &protocol.ChannelCloseOk{})
		w.freeOutlet(c)
		return
	}
	last := newSlot(c.number)
	last.then = func(w *writer) { w.freeOutlet(c) }
	w.owe(o, last)
	w.abandon(o, func() { w.keep(last, &protocol.ChannelCloseOk{}) })
}

// abandon gives back everything the channel holds and detaches its consumers; then is called once that has happened.
func (w *writer) abandon(o *outlet, then func()) {
	w.closeSettling()
	o.left = true
	open := 1
	done := func() {
		if open--; open == 0 && then != nil {
			then()
		}
	}
	leave := map[uint64]*queue.Leave{} // by group
	for _, c := range w.consumers {
		if c.outlet != o {
			continue
		}
		l := leave[c.group]
		if l == nil {
			l = &queue.Leave{Channel: o.number}
			leave[c.group] = l
		}
		l.Seen = append(l.Seen, queue.Seen{Consumer: c.id, Number: c.seen})
		c.gone = true
		delete(w.consumers, c.id)
	}
	for id, l := range leave {
		l.Request = w.request(func(group.Event) { done() })
		if w.propose(id, l) {
			open++
		}
	}
	for _, c := range o.consumers {
		w.tellConsumerGone(c)
	}
	clear(o.consumers)
	w.mark(o)
	o.unacked, o.waiting, o.sent = ledger.Ledger[delivered]{}, nil, 0
	o.confirms = confirms{}
	done()
}
