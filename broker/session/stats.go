package session

import (
	"cmp"
	"crypto/tls"
	"maps"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/broker/routing"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/protocol"
)

// traffic is a connection that counts its octets.
type traffic struct {
	net.Conn
	in, out       atomic.Uint64 // octets
	reads, writes atomic.Uint64
}

// Read implements net.Conn.
func (t *traffic) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.in.Add(uint64(n))
	t.reads.Add(1)
	return n, err
}

// Write implements net.Conn.
func (t *traffic) Write(b []byte) (int, error) {
	n, err := t.Conn.Write(b)
	t.out.Add(uint64(n))
	t.writes.Add(1)
	return n, err
}

// tally is what others may see of a channel. Each half adds its counts at the end of a round.
type tally struct {
	stats.Shared
	confirm, transactional atomic.Bool
	prefetch, global       atomic.Uint32
	numbered, answered     atomic.Uint64 // messages to be confirmed, and those that were
	unacked, consumers     atomic.Int64
	uncommitted            atomic.Int64 // acknowledgements
}

// openTally lets a new channel be seen.
func (s *Session) openTally(number uint16) *tally {
	t := &tally{}
	s.mu.Lock()
	s.tallies[number] = t
	s.mu.Unlock()
	s.env.Registry.Board.Churn.ChannelsCreated.Add(1)
	return t
}

func (s *Session) closeTally(number uint16, t *tally) {
	s.mu.Lock()
	if s.tallies[number] == t {
		delete(s.tallies, number)
	}
	s.mu.Unlock()
	s.env.Registry.Board.Churn.ChannelsClosed.Add(1)
}

// closeTallies forgets the channels of a connection that has ended, and remembers its octets.
func (s *Session) closeTallies() {
	s.mu.Lock()
	open := slices.Collect(maps.Keys(s.tallies))
	clear(s.tallies)
	s.mu.Unlock()
	for _, number := range open {
		s.tellChannel("channel.closed", number)
	}
	s.env.Registry.Board.Churn.ChannelsClosed.Add(uint64(len(open)))
	if s.totals != nil && !s.local {
		s.totals.Add(&stats.Counts{stats.OctetsIn: s.conn.in.Load(), stats.OctetsOut: s.conn.out.Load()})
	}
}

// count notes a message that a channel published.
func (r *reader) count(c *channel, route *routing.Route) {
	if !c.counted {
		c.counted = true
		r.counted = append(r.counted, c)
	}
	c.counts[stats.Publish]++
	r.sizes.Note(len(c.content.body))
	if route.Unroutable {
		if c.content.Mandatory {
			c.counts[stats.ReturnUnroutable]++
		} else {
			c.counts[stats.DropUnroutable]++
		}
	}
	r.publisher.Count(route)
}

// flushCounts shows what this burst counted.
func (r *reader) flushCounts() {
	for _, c := range r.counted {
		c.counted = false
		c.tally.Add(&c.counts)
		r.totals.Add(&c.counts)
		if c.confirm {
			r.env.Registry.Board.Flow.WantConfirm.Add(c.counts[stats.Publish])
			c.tally.numbered.Store(c.next - c.base - 1)
		}
		c.counts = stats.Counts{}
	}
	if len(r.counted) > 0 {
		r.publisher.FlushCounts()
		r.env.Registry.Board.Flow.Sizes.Take(&r.sizes)
	}
	clear(r.counted)
	r.counted = r.counted[:0]
}

// count notes messages of a channel.
func (w *writer) count(o *outlet, kind stats.Kind, n int) {
	w.mark(o)
	o.counts[kind] += uint64(n)
}

// countOf notes messages of a consumer, by the type of its queue too.
func (w *writer) countOf(c *consumer, kind stats.Kind, n int) {
	w.count(c.outlet, kind, n)
	w.byType[c.queueType][kind] += uint64(n)
	w.typed |= 1 << c.queueType
}

// mark notes that a channel has something new to show.
func (w *writer) mark(o *outlet) {
	if !o.counted {
		o.counted = true
		w.counted = append(w.counted, o)
	}
}

// flushCounts shows what this round counted.
func (w *writer) flushCounts() {
	for _, o := range w.counted {
		o.counted = false
		t := o.channel.tally
		t.Add(&o.counts)
		w.totals.Add(&o.counts)
		t.answered.Add(o.counts[stats.Confirm] + o.nacked)
		o.counts, o.nacked = stats.Counts{}, 0
		t.unacked.Store(int64(o.unacked.Len()))
		t.consumers.Store(int64(len(o.consumers)))
		if o.tx != nil {
			t.uncommitted.Store(int64(len(o.tx.acks)))
		}
	}
	clear(w.counted)
	w.counted = w.counted[:0]
	for t := range stats.QueueTypes {
		if w.typed&(1<<t) != 0 {
			w.env.Registry.Board.Flow.ByType[t].Add(&w.byType[t])
			w.byType[t] = stats.Counts{}
		}
	}
	w.typed = 0
}

// handedOver is the kind of delivery that a consumer gets.
func (c *consumer) handedOver(noAck bool) stats.Kind {
	switch {
	case c.getter && noAck:
		return stats.GetNoAck
	case c.getter:
		return stats.Get
	case noAck:
		return stats.DeliverNoAck
	}
	return stats.Deliver
}

// Info is what there is to know of a connection.
type Info struct {
	ID                    uint64 // that consumers and exclusive queues name it by
	Name                  string // both its addresses
	User, VHost           string
	Mechanism             string // it logged in with
	Client                protocol.Table
	Local, Peer           net.Addr
	TLS                   *tls.ConnectionState // nil without TLS
	FrameMax              uint32
	ChannelMax            uint16
	Heartbeat             time.Duration
	ConnectedAt           time.Time
	Blocked, Closing      bool
	Channels              int
	OctetsIn, OctetsOut   uint64
	PacketsIn, PacketsOut uint64
}

// Info describes an open connection, one that Registry.Each visits.
func (s *Session) Info() Info {
	local, peer := s.conn.LocalAddr(), s.conn.RemoteAddr()
	i := Info{
		ID: s.id, Name: s.Name(), User: s.principal.Name(), VHost: s.entered,
		Mechanism: s.mechanism, Client: s.client.table, Local: local, Peer: peer,
		FrameMax: s.frameMax, ChannelMax: s.channelMax, Heartbeat: s.heartbeat, ConnectedAt: s.began,
		Blocked: s.blocked.Load(), Closing: s.closing.Load(),
		OctetsIn: s.conn.in.Load(), OctetsOut: s.conn.out.Load(),
		PacketsIn: s.conn.reads.Load(), PacketsOut: s.conn.writes.Load(),
	}
	i.TLS = s.secure()
	s.mu.Lock()
	i.Channels = len(s.tallies)
	s.mu.Unlock()
	return i
}

// secure is the state of a TLS connection, nil for others.
func (s *Session) secure() *tls.ConnectionState {
	conn, ok := s.conn.Conn.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil
	}
	state := conn.ConnectionState()
	return &state
}

// Name is how a connection is called: both its addresses.
func (s *Session) Name() string { return s.name }

// ChannelInfo is what there is to know of a channel.
type ChannelInfo struct {
	Number                 uint16
	Confirm, Transactional bool
	Prefetch, Global       uint32
	Unconfirmed, Unacked   int64
	Consumers              int64
	UncommittedAcks        int64
	Counts                 stats.Counts
}

// Channels describes the open channels, by number.
func (s *Session) Channels() []ChannelInfo {
	s.mu.Lock()
	tallies := maps.Clone(s.tallies)
	s.mu.Unlock()
	list := make([]ChannelInfo, 0, len(tallies))
	for number, t := range tallies {
		answered := t.answered.Load() // first: it must not get ahead
		list = append(list, ChannelInfo{
			Number: number, Confirm: t.confirm.Load(), Transactional: t.transactional.Load(), Prefetch: t.prefetch.Load(),
			Global: t.global.Load(), Unconfirmed: max(int64(t.numbered.Load()-answered), 0), Unacked: t.unacked.Load(),
			Consumers: t.consumers.Load(), UncommittedAcks: t.uncommitted.Load(), Counts: t.Load(),
		})
	}
	slices.SortFunc(list, func(a, b ChannelInfo) int { return cmp.Compare(a.Number, b.Number) })
	return list
}
