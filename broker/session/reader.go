package session

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/protocol"
)

// reader is the half that reads the socket. owner: reader.run
type reader struct {
	*Session
	in       buffer
	channels map[uint16]*channel
	lives    uint64   // channels opened so far
	last     *channel // the channel of the frame before
	orders   []order  // for the writer, posted at the end of the burst
	acks     []ack    // of the order being gathered
	settled  bool     // the groups have been told of all acks before
	partial  []*channel
	counted  []*channel  // published in this burst
	sizes    stats.Sizes // of what was published in this burst
	kept     int         // bytes kept for parked channels
	deadline time.Time   // for the next octets; zero: none
	armed    bool        // the socket knows deadline

	door      *dispatch.Door // of the publisher half
	publisher *dispatch.Publisher
	producer  uint64          // what the client calls itself as a publisher, hashed; 0: it does not
	message   message.Message // scratch, as are these
	ack       protocol.BasicAck
	nack      protocol.BasicNack
	reject    protocol.BasicReject
}

// errOver ends the reading without anything being wrong.
var errOver = errors.New("session: over")

func (r *reader) init(s *Session) {
	r.Session = s
	r.channels, r.settled = map[uint16]*channel{}, true
	r.door = dispatch.NewDoor(s.publisherKey(), s.env.Groups)
}

// run reads until the connection ends.
func (r *reader) run() {
	err := r.handshake()
	if err == nil {
		err = r.loop()
	}
	if err != nil && !errors.Is(err, errOver) && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		r.logger.Warn().Err(err).Msg("connection lost")
	}
	r.door.Close()
	r.forgetAllReplies()
	r.conn.Close()
}

// loop handles burst after burst.
func (r *reader) loop() error {
	for {
		if err := r.burst(); err != nil {
			return err
		}
		if err := r.more(); err != nil {
			return err
		}
	}
}

// burst handles every whole frame that the buffer holds.
func (r *reader) burst() error {
	r.resumeChannels()
	for {
		f, n, err := protocol.ParseFrame(r.in.bytes(), r.frameMax)
		if err != nil {
			if err := r.unreadable(n, err); err != nil {
				return err
			}
			continue
		}
		if n == 0 {
			break
		}
		if err := r.frame(f); err != nil {
			return err
		}
		r.in.skip(n)
	}
	r.detach()
	r.flushCounts()
	return r.handIn()
}

// unreadable refuses the connection for a frame that is none. A frame that was at least whole is stepped over, so that
// the client's answer can still be read.
func (r *reader) unreadable(n int, err error) error {
	if n == 0 {
		r.refuse(asRefusal(err), 0)
		r.endBurst()
		return r.linger()
	}
	if !r.closing.Load() {
		r.refuse(asRefusal(err), 0)
	}
	r.in.skip(n)
	return nil
}

// lingerTime is how long a connection that is out of step is kept, for the client to read why.
const lingerTime = 3 * time.Second

// linger swallows what comes, until the client closes or the time is over.
func (r *reader) linger() error {
	_ = r.conn.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.Copy(io.Discard, r.conn)
	return errOver
}

// handIn ends a burst: what the writer must know first, then the batches, then a pause if too much is under way.
func (r *reader) handIn() error {
	r.endBurst()
	if err := r.door.Flush(); err != nil {
		r.logger.Error().Err(err).Msg("a batch was not taken")
		return err
	}
	if !r.door.Wait() {
		return errOver
	}
	return nil
}

// endBurst posts the orders gathered so far.
func (r *reader) endBurst() {
	r.closeAcks()
	r.writer.box.post(r.orders)
	clear(r.orders)
	r.orders = r.orders[:0]
}

// order gathers an order for the writer, behind those before it.
func (r *reader) order(do func(*writer)) {
	r.closeAcks()
	r.orders = append(r.orders, order{do: do})
}

func (r *reader) closeAcks() {
	if len(r.acks) > 0 {
		r.orders = append(r.orders, order{acks: r.acks})
		r.acks, r.settled = nil, false
	}
}

// settle waits until the groups have been told of every acknowledgement so far, for a message whose fate depends on it.
func (r *reader) settle() {
	r.closeAcks()
	if r.settled {
		return
	}
	r.settled = true
	done := make(chan struct{})
	r.order(func(w *writer) { w.flush(); close(done) })
	r.endBurst()
	select {
	case <-done:
	case <-r.torn:
	}
}

// before hands in what was published so far, so that a command given now comes behind it.
func (r *reader) before(do func(*writer)) {
	r.endBurst()
	if err := r.door.Flush(); err != nil {
		r.logger.Error().Err(err).Msg("a batch was not taken")
	}
	r.order(do)
}

// more reads further octets. A deadline that was only moved to wake the reader is no error.
func (r *reader) more() error {
	for {
		for r.kept > keptMax {
			if !r.waitResumed() {
				return errOver
			}
		}
		r.armDeadline()
		if r.parked.Load() && r.resumeChannels() {
			return nil
		}
		err := r.in.fill(r.conn)
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		silent := !r.deadline.IsZero() && !time.Now().Before(r.deadline)
		r.armed = false // the deadline has passed, or was moved to wake us: it must be set anew
		if r.resumeChannels() {
			return nil
		}
		if silent {
			r.logger.Warn().Dur("heartbeat", r.heartbeat).Msg("missed heartbeats from client")
			return errOver
		}
	}
}

// armDeadline says until when something must come: two heartbeats and a half, from now on.
func (r *reader) armDeadline() {
	due := time.Time{}
	if r.heartbeat > 0 {
		due = time.Now().Add(2*r.heartbeat + r.heartbeat/2)
	}
	if r.armed && due.Sub(r.deadline) <= r.heartbeat/4 {
		return
	}
	r.armed, r.deadline = true, due
	_ = r.conn.SetReadDeadline(due)
}

// frame handles one frame.
func (r *reader) frame(f protocol.Frame) error {
	if f.Channel == 0 {
		return r.controlFrame(f)
	}
	if r.closing.Load() {
		return nil
	}
	c := r.last
	if c == nil || c.number != f.Channel {
		if c = r.channels[f.Channel]; c == nil {
			return r.newChannel(f)
		}
		r.last = c
	}
	if c.parked {
		r.keep(c, f)
		return nil
	}
	return r.channelFrame(c, f)
}

// channelFrame handles a frame of an open channel.
func (r *reader) channelFrame(c *channel, f protocol.Frame) error {
	if c.failed.Load() {
		r.afterFailure(c, f)
		return nil
	}
	switch f.Type {
	case protocol.FrameMethod:
		id, args := protocol.SplitMethod(f.Payload)
		if c.content.stage != idle {
			r.refuse(unexpectedInContent(c), c.content.method())
			return nil
		}
		return r.method(c, id, args)
	case protocol.FrameHeader:
		r.contentHeader(c, f)
	case protocol.FrameBody:
		r.contentBody(c, f)
	default:
		r.refuse(protocol.UnexpectedFrame(f), 0)
	}
	return nil
}

// afterFailure ignores everything on a channel that was closed for an error, but what ends the closing.
func (r *reader) afterFailure(c *channel, f protocol.Frame) {
	c.content = content{}
	if f.Type != protocol.FrameMethod {
		return
	}
	switch id, _ := protocol.SplitMethod(f.Payload); id {
	case protocol.ChannelCloseOkID:
		r.dropChannel(c)
		r.order(func(w *writer) { w.freeOutlet(c) })
	case protocol.ChannelCloseID:
		r.order(func(w *writer) { w.replyRaw(c.number, &protocol.ChannelCloseOk{}) })
	}
}

func (r *reader) dropChannel(c *channel) {
	r.forgetReplies(c)
	delete(r.channels, c.number)
	r.closeTally(c.number, c.tally)
	r.tellChannel("channel.closed", c.number)
	r.env.Registry.closeChannels(r.Session, 1)
	if r.last == c {
		r.last = nil
	}
}

// refuse ends the connection with a refusal that is about a method, 0 if about none.
func (r *reader) refuse(refusal *protocol.Error, method protocol.MethodID) {
	if refusal.Method == 0 {
		refusal.Method = method
	}
	r.closing.Store(true)
	r.order(func(w *writer) { w.refuse(refusal) })
}

// fail ends a channel, or if the refusal's code demands it the connection.
func (r *reader) fail(c *channel, refusal *protocol.Error, method protocol.MethodID) {
	if refusal.Hard() {
		r.refuse(refusal, method)
		return
	}
	if refusal.Method == 0 {
		refusal.Method = method
	}
	c.failed.Store(true)
	r.order(func(w *writer) { w.failOutlet(c, refusal) })
}

// asRefusal makes any error one that can go to the client.
func asRefusal(err error) *protocol.Error {
	var refusal *protocol.Error
	if errors.As(err, &refusal) {
		return refusal
	}
	return &protocol.Error{Code: protocol.CodeInternalError, Text: err.Error()}
}

// publisherKey and consumerKey are the two identities of a session towards the groups.
func (s *Session) publisherKey() queue.SessionKey {
	return queue.SessionKey{Node: s.env.Node, Session: s.id + 1}
}

// Owns tells whether key is one of the session's two.
func (s *Session) Owns(key queue.SessionKey) bool {
	return key == s.publisherKey() || key == s.consumerKey()
}

func (s *Session) consumerKey() queue.SessionKey {
	return queue.SessionKey{Node: s.env.Node, Session: s.id}
}
