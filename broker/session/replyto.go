package session

import (
	"bytes"
	"strconv"
	"strings"
	"sync"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// Replies is the channels of a node that wait for direct replies, by the name that was made up for each. A name has 128
// random bits: who has not seen it cannot guess it.
type Replies struct {
	// Send gives a reply to the node that a name belongs to, and tells whether it is on its way; nil: there is no other node.
	Send func(node uint64, name, props, body []byte) bool
	// Ask asks the node that a name belongs to whether somebody waits there, and waits for the answer; nil: as Send.
	Ask  func(node uint64, name []byte) bool
	node uint64

	mu   sync.RWMutex
	list map[string]replyChannel
}

// replyChannel is where a direct reply goes.
type replyChannel struct {
	session *Session
	channel *channel
	deaf    bool // its consumer was cancelled: what comes is dropped
}

// NewReplies makes the empty list of a node.
func NewReplies(node uint64) *Replies { return &Replies{node: node, list: map[string]replyChannel{}} }

// newName makes up a name that says which node it belongs to.
func (p *Replies) newName() string {
	return topology.RandomName(replyPrefix) + "." + strconv.FormatUint(p.node, 10)
}

// elsewhere gives the node that a name belongs to, if that is another one.
func (p *Replies) elsewhere(name []byte) (node uint64, ok bool) {
	if p.Send == nil {
		return 0, false
	}
	node, err := strconv.ParseUint(string(name[bytes.LastIndexByte(name, '.')+1:]), 10, 64)
	return node, err == nil && node != p.node
}

// Take delivers a reply that came from another node; what nobody waits for is dropped.
func (p *Replies) Take(name, props, body []byte) {
	if to, ok := p.find(name); ok {
		to.deliver(&protocol.Delivery{RoutingKey: name, Properties: props, Body: body})
	}
}

func (p *Replies) add(name string, to replyChannel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list[name] = to
}

func (p *Replies) remove(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.list, name)
}

func (p *Replies) find(name []byte) (replyChannel, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	to, ok := p.list[string(name)]
	return to, ok
}

// replyPrefix begins the names of channels that wait for direct replies.
const replyPrefix = topology.DirectReplyTo + "."

// isReplyName tells whether a queue name is direct reply-to's, made up or bare.
func isReplyName(name string) bool { return strings.HasPrefix(name, topology.DirectReplyTo) }

// Waits tells whether a name is of a channel of this node that waits for direct replies.
func (p *Replies) Waits(name []byte) bool {
	to, live := p.find(name)
	return live && !to.deaf
}

// repliesTo tells whether a queue name is that of a channel which waits for direct replies. Of one on another node only that
// node knows.
func (r *reader) repliesTo(name string) bool {
	if !strings.HasPrefix(name, replyPrefix) {
		return false
	}
	if node, elsewhere := r.env.Replies.elsewhere([]byte(name)); elsewhere {
		return r.env.Replies.Ask(node, []byte(name))
	}
	return r.env.Replies.Waits([]byte(name))
}

// rewriteReplyTo replaces the name of the direct reply-to pseudo-queue by the one made up for the channel.
func (r *reader) rewriteReplyTo(c *channel, m *message.Message, to []byte) *protocol.Error {
	if string(to) != topology.DirectReplyTo {
		return nil
	}
	if !c.replies {
		return protocol.PreconditionFailed("fast reply consumer does not exist")
	}
	m.Props = protocol.AppendWithShortstr(nil, protocol.Properties(m.Props), protocol.FlagReplyTo, []byte(c.replyName))
	return nil
}

// repliesMax and replyBytesMax bound the replies that wait for one session; more are dropped, as a reply may be at any
// time.
const (
	repliesMax    = 1 << 16
	replyBytesMax = 64 << 20
)

// directReply hands a message straight to the channel that waits for it, in a transaction with the commit. It gives false
// if there is none.
func (r *reader) directReply(c *channel, m *message.Message) bool {
	switch {
	case len(m.Exchange) > 0:
		return false
	case c.tx == nil:
		return r.env.Replies.Reply(m)
	}
	live := bytes.HasPrefix(m.RoutingKey, []byte(replyPrefix)) && r.env.Replies.knows(m.RoutingKey)
	if live {
		c.tx.reply(m)
	}
	return live
}

// knows tells whether a name is of a channel of this node, or may be of one of another.
func (p *Replies) knows(name []byte) bool {
	if _, ok := p.find(name); ok {
		return true
	}
	_, elsewhere := p.elsewhere(name)
	return elsewhere
}

// Reply delivers a message, which it borrows, to the channel that its routing key names. It gives false if there is none.
func (p *Replies) Reply(m *message.Message) bool {
	if !bytes.HasPrefix(m.RoutingKey, []byte(replyPrefix)) {
		return false
	}
	to, ok := p.find(m.RoutingKey)
	if !ok {
		node, elsewhere := p.elsewhere(m.RoutingKey)
		return elsewhere && p.Send(node, m.RoutingKey, m.Props, m.Body)
	}
	to.deliver(&protocol.Delivery{
		RoutingKey: bytes.Clone(m.RoutingKey), Properties: bytes.Clone(m.Props), Body: bytes.Clone(m.Body),
	})
	return true
}

// deliver hands a reply to the channel, unless too much waits there.
func (to replyChannel) deliver(d *protocol.Delivery) {
	box := &to.session.writer.box
	if count, bytes := box.waiting(); count < repliesMax && bytes < replyBytesMax {
		box.orderWith(func(w *writer) { w.deliverReply(to.channel, d) }, len(d.Properties)+len(d.Body))
	}
}

// deliverReply sends a direct reply, if somebody still waits for it.
func (w *writer) deliverReply(ch *channel, d *protocol.Delivery) {
	o := w.outlets[ch.number]
	if o == nil || o.channel != ch || o.closed || o.reply == "" {
		return
	}
	d.Tag = o.next
	o.next++
	w.out = protocol.NewDeliverPrefix(o.number, o.reply).Append(w.out, d, w.frameMax)
}

// consumeReplies makes the channel wait for direct replies.
func (r *reader) consumeReplies(c *channel, m *protocol.BasicConsume) {
	switch {
	case !m.NoAck:
		r.refuseConsumer(c, m, protocol.PreconditionFailed("reply consumer cannot acknowledge"))
		return
	case c.replies:
		r.refuseConsumer(c, m, protocol.PreconditionFailed("reply consumer already set"))
		return
	}
	c.replies = true
	if c.replyName == "" {
		c.replyName = r.env.Replies.newName()
	}
	r.env.Replies.add(c.replyName, replyChannel{session: r.Session, channel: c})
	tag, noWait := m.ConsumerTag, m.NoWait
	if tag == "" {
		tag = topology.RandomName("amq.ctag-")
	}
	c.replyTag = tag
	r.order(func(w *writer) {
		o := w.outlet(c.number)
		if o == nil || o.closed {
			return
		}
		if o.consumers[tag] != nil {
			w.refuseMethod(o, reusedTag(tag), protocol.BasicConsumeID)
			return
		}
		o.reply = tag
		if !noWait {
			w.reply(c.number, &protocol.BasicConsumeOk{ConsumerTag: tag})
		}
	})
}

// cancelReplies ends the wait for direct replies, if tag is its consumer's.
func (r *reader) cancelReplies(c *channel, m *protocol.BasicCancel) bool {
	if !c.replies || m.ConsumerTag != c.replyTag {
		return false
	}
	c.replies = false
	r.env.Replies.add(c.replyName, replyChannel{session: r.Session, channel: c, deaf: true})
	tag, noWait := m.ConsumerTag, m.NoWait
	r.order(func(w *writer) {
		if o := w.outlet(c.number); o != nil {
			o.reply = ""
		}
		if !noWait {
			w.reply(c.number, &protocol.BasicCancelOk{ConsumerTag: tag})
		}
	})
	return true
}

// declareReplies answers a declaration of a direct reply-to name: it tells whether somebody waits there.
func (r *reader) declareReplies(c *channel, m *protocol.QueueDeclare) {
	if m.Queue != topology.DirectReplyTo {
		if !r.repliesTo(m.Queue) {
			r.fail(c, protocol.NotFound("no queue '%s' in vhost '%s'", m.Queue, r.vhost), m.ID())
			return
		}
	}
	c.queue, c.named = m.Queue, true
	if !m.NoWait {
		r.reply(c, &protocol.QueueDeclareOk{Queue: m.Queue, ConsumerCount: 1})
	}
}

func (r *reader) forgetAllReplies() {
	for _, c := range r.channels {
		r.forgetReplies(c)
	}
}

// forgetReplies drops the channel's made-up name.
func (r *reader) forgetReplies(c *channel) {
	if c.replyName != "" {
		r.env.Replies.remove(c.replyName)
	}
}
