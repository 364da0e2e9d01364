package session

import (
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/ledger"
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/protocol"
)

// heldBack is deliveries that wait because the channel's common limit is reached.
type heldBack struct {
	consumer *consumer
	event    group.Event
}

// deliver sends messages to a consumer.
func (w *writer) deliver(e *group.Event) {
	if c := w.consumers[e.Consumer]; c != nil && !c.gone {
		w.deliverTo(c, e)
	}
}

func (w *writer) deliverTo(c *consumer, e *group.Event) {
	if c.outlet.left {
		return // what it was given went back
	}
	if c.held {
		c.early = append(c.early, *e)
		return
	}
	o := c.outlet
	if o.limit > 0 && !c.noAck && c.share(1) > 0 && (len(o.waiting) > 0 || o.sent+int(e.Count) > int(o.limit)) {
		o.waiting = append(o.waiting, heldBack{consumer: c, event: *e})
		w.release(o)
		return
	}
	w.send(c, e)
}

// holdBack keeps the deliveries to a new consumer while its consume-ok waits behind answers that were promised before.
func (w *writer) holdBack(o *outlet, c *consumer) {
	if len(o.slots) == 0 {
		return
	}
	c.held = true
	o.slots[len(o.slots)-1].then = func(w *writer) {
		early := c.early
		c.held, c.early = false, nil
		for i := range early {
			w.deliverTo(c, &early[i])
		}
	}
}

// release sends what the channel's common limit held back and now allows.
func (w *writer) release(o *outlet) {
	for len(o.waiting) > 0 {
		h := &o.waiting[0]
		room := int64(h.event.Count)
		if o.limit > 0 {
			room = int64(o.limit) - int64(o.sent)
		}
		if room <= 0 {
			return
		}
		if room >= int64(h.event.Count) {
			w.send(h.consumer, &h.event)
			o.waiting = o.waiting[1:]
			continue
		}
		part := h.event
		part.Count = uint32(room)
		w.send(h.consumer, &part)
		h.event.Count -= uint32(room)
		h.event.Number += uint64(room)
		if h.event.Stream {
			h.event.Ready += uint64(room)
		}
		h.event.Data = h.event.Data[uint32(room)*h.event.Stride:]
	}
	o.waiting = nil
}

// send encodes the messages of one event, one behind the other.
func (w *writer) send(c *consumer, e *group.Event) {
	o := c.outlet
	d := protocol.Delivery{Redelivered: e.Redelivered}
	var m message.Message
	data, traced := e.Data, w.traced()
	for i := range e.Count {
		if err := message.Parse(data, &m); err != nil {
			w.logger.Error().Err(err).Uint64("entry", e.Index).Msg("a message cannot be read")
			break
		}
		d.Tag, d.Exchange, d.RoutingKey, d.Properties, d.Body = o.next+uint64(i), m.Exchange, m.RoutingKey, m.Props, m.Body
		if m.Flags&message.FlagRedelivered != 0 && !e.Stream {
			d.Redelivered = true
		}
		switch {
		case e.Stream:
			d.Properties = streamed(m.Props, e.Ready+uint64(i), m.Flags&message.FlagCounts != 0)
		case e.Acquired > 0 || e.Deliveries > 0:
			d.Properties = withCounts(m.Props, e)
		}
		if traced {
			w.env.Events.Delivered(w.passing(o.number, &m), c.name, d.Redelivered)
		}
		if w.env.Tracer != nil {
			w.spanDelivered(c, &m, d.Tag, e.NoAck)
		}
		w.out = c.prefix.Append(w.out, &d, w.frameMax)
		if len(w.out) >= outMax {
			w.write()
		}
		if i+1 < e.Count {
			data = data[e.Stride:]
		}
	}
	w.hand(c, e)
	w.drain(c, costOf(e))
}

// hand notes messages that are in the client's hands now.
func (w *writer) hand(c *consumer, e *group.Event) {
	o := c.outlet
	first := o.next
	o.next += uint64(e.Count)
	c.seen = e.Number + uint64(e.Count) - 1
	w.countOf(c, c.handedOver(e.NoAck), int(e.Count))
	if e.Redelivered {
		w.countOf(c, stats.Redeliver, int(e.Count))
	}
	if e.NoAck {
		return
	}
	c.unacked += int(e.Count)
	o.sent += c.share(int(e.Count))
	for done := uint64(0); done < uint64(e.Count); done += ledger.Width {
		n := min(uint64(e.Count)-done, ledger.Width)
		o.unacked.Push(first+done, int(n), delivered{consumer: c, number: e.Number + done})
	}
}

// drain notes that a consumer's bytes went to the socket.
func (w *writer) drain(c *consumer, bytes int64) {
	c.drained += bytes
	if !c.thirsty && c.drained >= int64(c.window)/2 {
		c.thirsty = true
		w.thirsty = append(w.thirsty, c)
	}
}

// renew gives the consumers whose bytes left back their window.
func (w *writer) renew() {
	for _, c := range w.thirsty {
		c.thirsty = false
		if !c.gone && !c.getter {
			w.propose(c.group, &queue.Credit{Consumer: c.id, Bytes: uint32(c.drained)})
		}
		c.drained = 0
	}
	clear(w.thirsty)
	w.thirsty = w.thirsty[:0]
}

// withCounts adds what a quorum queue tells of earlier deliveries.
func withCounts(props []byte, e *group.Event) []byte {
	properties := protocol.Properties(props)
	headers, _ := properties.Headers()
	counted := protocol.RawTable{}
	for key, value := range headers.Each {
		if k := string(key); k != "x-delivery-count" && k != "x-acquired-count" {
			counted = protocol.AppendField(counted, k, value.Decode())
		}
	}
	counted = protocol.AppendField(counted, "x-acquired-count", int64(max(e.Acquired, e.Deliveries)))
	if e.Deliveries > 0 {
		counted = protocol.AppendField(counted, "x-delivery-count", int64(e.Deliveries))
	}
	return protocol.AppendWithHeaders(nil, properties, counted)
}

// got answers basic.get with the message that was there.
func (w *writer) got(o *outlet, c *consumer, e *group.Event) {
	var m message.Message
	if err := message.Parse(e.Data, &m); err != nil {
		w.logger.Error().Err(err).Uint64("entry", e.Index).Msg("a message cannot be read")
		return
	}
	props := m.Props
	if e.Acquired > 0 || e.Deliveries > 0 {
		props = withCounts(props, e)
	}
	redelivered := e.Redelivered || m.Flags&message.FlagRedelivered != 0
	if w.traced() {
		w.env.Events.Delivered(w.passing(o.number, &m), c.name, redelivered)
	}
	frames := protocol.AppendMethodFrame(nil, o.number, &protocol.BasicGetOk{
		DeliveryTag: o.next, Redelivered: redelivered,
		Exchange: m.Exchange, RoutingKey: m.RoutingKey, MessageCount: uint32(e.Ready),
	})
	frames = protocol.AppendContent(frames, o.number, props, m.Body, w.frameMax)
	w.answer(o, frames)
	w.hand(c, e)
}

// answer sends the frames of an answer, behind those that were promised before.
func (w *writer) answer(o *outlet, frames []byte) {
	if len(o.slots) > 0 {
		w.owe(o, &slot{channel: o.number, frames: frames, kept: true})
		return
	}
	w.out = append(w.out, frames...)
}

// cancelled tells the client that a consumer has lost its queue, if the client understands that.
func (w *writer) cancelled(e *group.Event) {
	c := w.consumers[e.Consumer]
	if c == nil {
		return
	}
	if c.gone || c.getter {
		if e.Outcome == queue.TimedOut && !c.outlet.closed { // no consumer to cancel
			w.failOutlet(c.outlet.channel, tooSlow(c, int64(e.Number), w.env.Editor.ConsumerTimeoutMs))
		}
		return
	}
	w.tellConsumerGone(c)
	w.dropConsumer(c)
	switch {
	case c.outlet.closed:
	case w.client.cancelNotify:
		w.out = protocol.AppendMethodFrame(w.out, c.outlet.number, &protocol.BasicCancel{ConsumerTag: c.tag, NoWait: true})
	case e.Outcome == queue.TimedOut:
		w.failOutlet(c.outlet.channel, tooSlow(c, int64(e.Number), w.env.Editor.ConsumerTimeoutMs))
	}
}

// tooSlow is the refusal for a channel whose consumer did not acknowledge in time. RabbitMQ names the time only if the
// consumer or nobody set it.
func tooSlow(c *consumer, ms, fallback int64) *protocol.Error {
	if c.timeoutMs == 0 && ms != fallback {
		ms = -1
	}
	return protocol.PreconditionFailed("delivery acknowledgement on channel %d timed out. Timeout value used: %d ms. This timeout value can be configured, see consumers doc guide to learn more", c.outlet.number, ms)
}

func (w *writer) dropConsumer(c *consumer) {
	c.gone = true
	w.mark(c.outlet)
	if c.outlet.consumers[c.tag] == c {
		delete(c.outlet.consumers, c.tag)
	}
	if c.unacked == 0 {
		delete(w.consumers, c.id)
	}
}
