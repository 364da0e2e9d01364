package session

import (
	"sync/atomic"

	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/protocol"
)

// channel is a channel as its reader sees it. owner: reader, but for failed
type channel struct {
	number  uint16
	content content
	confirm bool
	tx      *transaction
	base    uint64 // what the numbers of its messages begin above
	next    uint64 // number of the next message, with confirms or transactions
	queue   string // the last one declared
	named   bool   // queue is set

	prefetch       uint16 // for consumers that start from now on
	globalPrefetch uint16
	replies        bool   // a consumer waits for direct replies
	replyName      string // made up for the channel's direct replies, "": none yet
	replyTag       string // of that consumer

	parked bool   // waits for an answer
	frames []byte // that came meanwhile

	tally   *tally
	counts  stats.Counts // since the last burst
	counted bool

	failed atomic.Bool // channel.close was sent; either half sets it
}

// newChannel handles a frame for a channel that is not open.
func (r *reader) newChannel(f protocol.Frame) error {
	if f.Type != protocol.FrameMethod {
		r.refuse(protocol.Errorf(protocol.CodeChannelError, "expected 'channel.open'"), 0)
		return nil
	}
	id, args := protocol.SplitMethod(f.Payload)
	if id != protocol.ChannelOpenID {
		if !id.Known() {
			r.refuse(protocol.Errorf(protocol.CodeCommandInvalid, "unknown method"), 0)
			return nil
		}
		r.refuse(protocol.Errorf(protocol.CodeChannelError, "expected 'channel.open'"), id)
		return nil
	}
	var open protocol.ChannelOpen
	if err := open.Decode(args); err != nil {
		r.refuse(asRefusal(err), id)
		return nil
	}
	if refusal := r.allowChannel(); refusal != nil {
		r.refuse(refusal, 0)
		return nil
	}
	c := &channel{number: f.Channel, base: r.lives << livesShift, tally: r.openTally(f.Channel)}
	c.next = c.base + 1
	r.lives++
	r.channels[c.number] = c
	r.tellChannel("channel.created", c.number)
	r.order(func(w *writer) {
		w.openOutlet(c)
		w.reply(c.number, &protocol.ChannelOpenOk{})
	})
	return nil
}

// livesShift makes the numbers of messages of one channel lie apart from those of the next: a confirm that comes after
// its channel was closed must not be taken for one of the channel that has the same number now.
const livesShift = 40

func (r *reader) allowChannel() *protocol.Error {
	open := len(r.channels)
	if limit := int(r.channelMax); open >= limit {
		return protocol.Errorf(protocol.CodeNotAllowed, "number of channels opened (%d) has reached the negotiated channel_max (%d)", open, limit)
	}
	return r.env.Registry.openChannel(r.env.Editor.Catalog(), r.Session)
}

// keptMax bounds the frames kept for parked channels; then the reader waits.
const keptMax = 1 << 20

// park lets a channel wait for an answer: its frames are kept until resume is called for it.
func (r *reader) park(c *channel) { c.parked = true }

// keep copies a frame of a parked channel.
func (r *reader) keep(c *channel, f protocol.Frame) {
	before := len(c.frames)
	c.frames = protocol.AppendFrame(c.frames, f)
	r.kept += len(c.frames) - before
	r.Session.parked.Store(true)
}

// resumeChannels lets the channels go on whose answers have come. It tells whether there were any.
func (r *reader) resumeChannels() bool {
	numbers := r.takeResumed()
	for _, number := range numbers {
		if c := r.channels[number]; c != nil && c.parked {
			r.unpark(c)
		}
	}
	return len(numbers) > 0
}

// unpark handles the frames that were kept, until one of them parks the channel again.
func (r *reader) unpark(c *channel) {
	c.parked = false
	for len(c.frames) > 0 && !c.parked {
		f, n, err := protocol.ParseFrame(c.frames, r.frameMax)
		if err != nil || n == 0 || r.channelFrame(c, f) != nil {
			break // what was kept was whole
		}
		c.frames = c.frames[n:]
		r.kept -= n
		if r.channels[c.number] != c { // closed meanwhile: what follows is not for it
			r.kept -= len(c.frames)
			c.frames = nil
		}
	}
	if len(c.frames) == 0 {
		c.frames = nil
	}
	if r.kept == 0 {
		r.Session.parked.Store(false)
	}
}

// waitResumed blocks until some channel may go on, when too much is kept to read on.
func (r *reader) waitResumed() bool {
	r.mu.Lock()
	for len(r.resumed) == 0 && !r.over {
		r.room.Wait()
	}
	over := r.over
	r.mu.Unlock()
	r.resumeChannels()
	if err := r.handIn(); err != nil {
		return false
	}
	return !over
}
