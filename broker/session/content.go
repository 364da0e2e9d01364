package session

import (
	"bytes"
	"time"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/routing"
	"github.com/warrenmq/warren/protocol"
)

// stage is how far a content has come.
type stage uint8

const (
	idle stage = iota
	wantsHeader
	wantsBody
)

// content is a message on its way in. Its slices are borrowed from the buffer until detach.
type content struct {
	stage stage
	protocol.BasicPublish
	properties protocol.Properties
	body       []byte
	owned      bool // body is this content's own
	listed     bool // among the reader's partial ones
	size       uint64
}

func (c *content) method() protocol.MethodID {
	if c.stage == wantsHeader || c.stage == wantsBody {
		return protocol.BasicPublishID
	}
	return 0
}

// bodyMax is the largest body there can be, whatever is configured.
const bodyMax = 512 << 20

const classBasic = 60

// basicPublish begins a content.
func (r *reader) basicPublish(c *channel, args []byte) error {
	if err := c.content.Decode(args); err != nil {
		r.refuse(asRefusal(err), protocol.BasicPublishID)
		return nil
	}
	c.content.stage = wantsHeader
	r.borrow(c)
	return nil
}

// borrow notes that the channel's content borrows from the buffer, once a burst.
func (r *reader) borrow(c *channel) {
	if !c.content.listed {
		c.content.listed = true
		r.partial = append(r.partial, c)
	}
}

func unexpectedInContent(c *channel) *protocol.Error {
	text := "expected content body, got non content body frame instead"
	if c.content.stage == wantsHeader {
		text = "expected content header for class 60, got non content header frame instead"
	}
	return &protocol.Error{Code: protocol.CodeUnexpectedFrame, Text: text}
}

func (r *reader) contentHeader(c *channel, f protocol.Frame) {
	ct := &c.content
	switch ct.stage {
	case idle:
		r.refuse(&protocol.Error{Code: protocol.CodeUnexpectedFrame, Text: "expected method frame, got non method frame instead"}, 0)
		return
	case wantsBody:
		r.refuse(unexpectedInContent(c), ct.method())
		return
	}
	if r.env.Alarms.Active() {
		r.waitForRoom()
	}
	h, err := protocol.ParseContentHeader(f.Payload)
	if err == nil {
		err = r.checkHeader(&h)
	}
	if err != nil {
		r.refuse(asRefusal(err), ct.method())
		return
	}
	if h.BodySize > r.env.MaxMessageSize && !ct.Immediate { // which is refused first
		r.fail(c, tooLarge(h.BodySize, r.env.MaxMessageSize), protocol.BasicPublishID)
		return
	}
	if ct.properties, err = protocol.ParseProperties(h.Properties); err != nil {
		r.refuse(asRefusal(err), ct.method())
		return
	}
	ct.stage, ct.size, ct.body, ct.owned = wantsBody, h.BodySize, nil, false
	r.borrow(c)
	if h.BodySize == 0 {
		r.publish(c)
	}
}

// waitForRoom holds the connection back while memory or disk are low: nothing is read from it. A client that understands
// it is told, now that it has tried to publish.
func (r *reader) waitForRoom() {
	cleared, reason := r.env.Alarms.Cleared()
	if cleared == nil {
		return
	}
	if r.client.blocked {
		r.order(func(w *writer) { w.replyRaw(0, &protocol.ConnectionBlocked{Reason: reason}) })
	}
	r.blocked.Store(true)
	if err := r.handIn(); err != nil {
		return
	}
	select {
	case <-cleared:
	case <-r.Session.torn:
	}
	r.blocked.Store(false)
	r.armed = false // what was not read meanwhile is not the client's silence
	if r.client.blocked {
		r.order(func(w *writer) { w.replyRaw(0, &protocol.ConnectionUnblocked{}) })
	}
}

func (r *reader) checkHeader(h *protocol.ContentHeader) error {
	switch {
	case h.Class != classBasic:
		return protocol.Errorf(protocol.CodeUnexpectedFrame, "expected content header for class 60, got one for class %d instead", h.Class)
	case h.Weight != 0:
		return protocol.Errorf(protocol.CodeUnexpectedFrame, "expected content header for class 60, got non content header frame instead")
	case h.BodySize > bodyMax:
		return protocol.Errorf(protocol.CodeFrameError, "content body size %d exceeds maximum allowed size %d", h.BodySize, bodyMax)
	}
	return nil
}

func tooLarge(size, limit uint64) *protocol.Error {
	if limit >= bodyMax {
		return protocol.PreconditionFailed("message size %d is larger than max size %d", size, limit)
	}
	return protocol.PreconditionFailed("message size %d is larger than configured max size %d", size, limit)
}

func (r *reader) contentBody(c *channel, f protocol.Frame) {
	ct := &c.content
	switch ct.stage {
	case idle:
		r.refuse(&protocol.Error{Code: protocol.CodeUnexpectedFrame, Text: "expected method frame, got non method frame instead"}, 0)
		return
	case wantsHeader:
		r.refuse(unexpectedInContent(c), ct.method())
		return
	}
	if uint64(len(ct.body))+uint64(len(f.Payload)) > ct.size {
		r.refuse(protocol.Errorf(protocol.CodeFrameError, "content body frame exceeds remaining content size"), ct.method())
		return
	}
	if ct.body == nil && uint64(len(f.Payload)) == ct.size {
		ct.body = f.Payload // the whole body: no copy
	} else {
		if !ct.owned {
			ct.body, ct.owned = bytes.Clone(ct.body), true
		}
		ct.body = append(ct.body, f.Payload...) // grows with what comes, not with what was claimed
	}
	if uint64(len(ct.body)) == ct.size {
		r.publish(c)
	}
}

// detach copies what unfinished contents borrow, before the buffer is read into again.
func (r *reader) detach() {
	for _, c := range r.partial {
		ct := &c.content
		ct.listed = false
		if ct.stage == idle {
			continue
		}
		ct.Exchange, ct.RoutingKey = bytes.Clone(ct.Exchange), bytes.Clone(ct.RoutingKey)
		ct.properties = bytes.Clone(ct.properties)
		if !ct.owned && ct.body != nil {
			ct.body, ct.owned = bytes.Clone(ct.body), true
		}
	}
	clear(r.partial)
	r.partial = r.partial[:0]
}

// publish is a whole message: checked, routed, and added to the batch of each group it goes to.
func (r *reader) publish(c *channel) {
	ct := &c.content
	ct.stage = idle
	m := &r.message
	*m = message.Message{
		Head:     message.Head{Priority: message.NoPriority},
		Exchange: ct.Exchange, RoutingKey: ct.RoutingKey, Props: ct.properties, Body: ct.body,
	}
	var began, routed time.Time
	if r.env.Tracer != nil {
		began = time.Now()
	}
	route, refusal := r.resolve(c, m)
	if refusal != nil {
		r.fail(c, refusal, protocol.BasicPublishID)
		return
	}
	if r.directReply(c, m) && route.Empty() {
		if c.confirm {
			r.confirmUnrouted(c.number, c.next)
			c.next++
		}
		ct.body = nil
		return
	}
	r.count(c, route)
	if r.env.Tracer != nil {
		routed = time.Now()
	}
	if r.publisher.Traced() {
		r.tracePublished(c, route, m)
	}
	if c.tx != nil {
		c.tx.publish(r, c, route, m)
	} else {
		r.send(c, route, m)
	}
	if r.env.Tracer != nil {
		r.spanPublished(route, m, began, routed)
	}
	ct.body = nil
}

// send hands a message on, and answers for one that goes nowhere.
func (r *reader) send(c *channel, route *routing.Route, m *message.Message) {
	number := uint64(0)
	if c.confirm {
		number = c.next
		c.next++
		if r.env.Nack != nil && r.env.Nack() {
			r.order(func(w *writer) { w.refusedPublish(c.number, number, 1) })
			return
		}
	}
	if route.Unroutable && c.content.Mandatory {
		r.giveBack(c, m)
	}
	if route.Empty() {
		if c.confirm {
			r.confirmUnrouted(c.number, number)
		}
		return
	}
	answers, err := r.publisher.Publish(c.number, number, route, m)
	if err != nil {
		r.refuse(asRefusal(err), protocol.BasicPublishID)
		return
	}
	if answers > 1 && c.confirm {
		r.order(func(w *writer) { w.expect(c.number, number, answers) })
	}
}

// giveBack returns a mandatory message that no queue takes.
func (r *reader) giveBack(c *channel, m *message.Message) {
	frames := protocol.AppendMethodFrame(nil, c.number, &protocol.BasicReturn{
		ReplyCode: protocol.CodeNoRoute, ReplyText: []byte("NO_ROUTE"), Exchange: m.Exchange, RoutingKey: m.RoutingKey,
	})
	frames = protocol.AppendContent(frames, c.number, m.Props, m.Body, r.frameMax)
	r.order(func(w *writer) { w.raw(c.number, frames) })
	r.orders[len(r.orders)-1].bytes = len(frames)
}

// confirmUnrouted notes a message whose confirm waits for nobody; neighbours share an order.
func (r *reader) confirmUnrouted(channel uint16, number uint64) {
	r.closeAcks()
	if n := len(r.orders); n > 0 {
		if last := &r.orders[n-1].sure; last.count > 0 && last.channel == channel && last.first+uint64(last.count) == number {
			last.count++
			return
		}
	}
	r.orders = append(r.orders, order{sure: certain{channel: channel, first: number, count: 1}})
}
