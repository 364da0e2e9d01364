// Package session owns AMQP connections: one Session each, from the first octet to the last.
//
// A session is two goroutines that share nothing but a mailbox. The reader owns the read side of the socket and what
// publishers see of channels; the writer owns the write side, consumers, delivery tags and pending confirms.
//
//  1. Serve starts both. The reader leads the handshake.
//  2. For each burst of the socket the reader decodes frame after frame. A publish goes through the dispatch.Publisher
//     into the batch of its group; everything else becomes an order for the writer.
//  3. At the end of the burst the reader posts its orders and hands the batches in.
//  4. The writer takes orders and the events of groups from its mailbox, encodes what goes to the client, settles what the
//     client acknowledged, and writes.
//  5. When either half ends, the writer takes the session apart: Down to every group that knows it, exclusive queues
//     deleted.
package session

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"

	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/events"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// Groups is what sessions need of the groups.
type Groups interface {
	dispatch.Groups
	// Counts asks a queue's machine; done is called once, from any goroutine. ok is false if the group has no leader to ask.
	Counts(group uint64, id queue.ID, done func(c queue.Counts, ok bool))
}

// Env is what all sessions of a node share.
type Env struct {
	Settings
	Node      uint64
	Editor    *topology.Editor
	Authority *auth.Authority
	Groups    Groups
	Inboxes   *group.Inboxes
	Logger    zerolog.Logger // of connections, as the next two are of what they say
	Channels  zerolog.Logger
	Logins    zerolog.Logger
	Registry  *Registry
	Alarms    *limits.Alarms
	Replies   *Replies
	Events    *events.Announcer // nil: nothing is told
	Tracer    trace.Tracer      // of spans; nil: there are none
	Numbers   *atomic.Uint64    // of sessions; a session takes two
	Nack      func() bool       // a message that wants a confirm is refused instead; nil is never, as it is outside of tests
}

// Settings are what a connection is offered and bounded by.
type Settings struct {
	FrameMax         uint32        // bytes; offered in connection.tune
	ChannelMax       uint16        // offered in connection.tune
	Heartbeat        uint16        // seconds; offered in connection.tune
	MaxMessageSize   uint64        // bytes of a body
	HandshakeTimeout time.Duration // from accept to connection.open-ok
	RefusalDelay     time.Duration // before a refused login's socket is closed without a word
	Product, Version string        // in connection.start
	Platform         string
	ClusterName      string
	GlobalQoS        bool // basic.qos with global is honoured
}

// A consumer's window is how many bytes of deliveries may be on their way to its socket. The consumers of a connection
// share windowsSum, but each has at least windowLeast and at most windowMost.
const (
	windowMost  = 1 << 20
	windowLeast = 16 << 10
	windowsSum  = 4 << 20
)

// Session is one connection.
type Session struct {
	env    *Env
	conn   *traffic
	name   string // both its addresses
	local  bool   // the broker itself is the client: nobody counts it
	id     uint64 // of the consumer half; the publisher half is id+1
	logger zerolog.Logger
	reader reader
	writer writer

	principal  auth.Principal
	vhost      string
	entered    string // vhost that counts the connection; guarded by the registry, as is
	opened     int    // channels that the user's limit counts
	client     clientProperties
	mechanism  string // it logged in with
	began      time.Time
	totals     *stats.Shared // of the vhost
	frameMax   uint32
	channelMax uint16
	heartbeat  time.Duration // as the reader has it

	blocked atomic.Bool   // held back by an alarm
	closing atomic.Bool   // connection.close was sent or came: nothing but closes counts
	torn    chan struct{} // closed when the session is cut, or begins to be taken apart
	written chan struct{} // closed when the writer has ended
	ended   chan struct{}

	mu      sync.Mutex
	resumed []uint16 // channels whose answer has come
	tallies map[uint16]*tally
	over    bool        // the session ends: nobody waits any more
	parked  atomic.Bool // the reader keeps frames of some channel
	room    *sync.Cond  // with mu: something was resumed
}

// New makes a session for an accepted connection. Serve runs it.
func New(env *Env, conn net.Conn) *Session {
	id := env.Numbers.Add(2)
	s := &Session{
		env: env, conn: &traffic{Conn: conn}, id: id, began: time.Now(), name: conn.RemoteAddr().String() + " -> " + conn.LocalAddr().String(), tallies: map[uint16]*tally{},
		torn: make(chan struct{}), written: make(chan struct{}), ended: make(chan struct{}),
	}
	s.room = sync.NewCond(&s.mu)
	s.logger = env.Logger.With().Uint64("conn", id).Str("peer", conn.RemoteAddr().String()).Logger()
	s.frameMax = protocol.FrameMinSize
	s.reader.init(s)
	s.writer.init(s)
	return s
}

// NewLocal is New for a connection from within the broker, which counts towards no limit and is not shown.
func NewLocal(env *Env, conn net.Conn) *Session {
	s := New(env, conn)
	s.local = true
	return s
}

// Serve runs the session until the connection has ended.
func (s *Session) Serve() {
	defer close(s.ended)
	defer s.conn.Close()
	if !s.env.Registry.arrive(s) {
		return
	}
	s.env.Inboxes.Add(s.id, &s.writer)
	s.env.Inboxes.Add(s.id+1, &s.writer)
	go func() {
		defer close(s.written)
		s.guard(s.writer.run)
	}()
	s.guard(s.reader.run)
	s.writer.box.order(func(w *writer) { w.teardown(nil) })
	<-s.written
	if !s.writer.over {
		s.salvage()
	}
	s.env.Registry.leave(s)
	s.closeTallies()
	s.tellClosed()
	s.env.Inboxes.Remove(s.id)
	s.env.Inboxes.Remove(s.id + 1)
	if !s.local {
		level := zerolog.InfoLevel
		if s.entered == "" {
			level = zerolog.DebugLevel // it never was open: why has been said, or it was a look whether somebody is here
		}
		s.logger.WithLevel(level).Str("user", s.principal.Name()).Msg("connection closed")
	}
}

// guard runs one half. A bug in it ends this connection and no other.
func (s *Session) guard(half func()) {
	defer func() {
		if p := recover(); p != nil {
			s.logger.Error().Str("bug", fmt.Sprint(p)).Bytes("stack", debug.Stack()).Msg("connection ended by a bug")
			s.apologise()
		}
	}()
	half()
}

// apologise tells the client that a bug ends its connection, and gives it a moment to read it.
func (s *Session) apologise() {
	s.closing.Store(true)
	_ = s.conn.SetWriteDeadline(time.Now().Add(lingerTime))
	_, _ = s.conn.Write(protocol.AppendMethodFrame(nil, 0, &protocol.ConnectionClose{
		ReplyCode: protocol.CodeInternalError, ReplyText: protocol.Name(protocol.CodeInternalError),
	}))
	time.AfterFunc(lingerTime, s.Abort)
}

// salvage does what the writer, which a bug has ended, did not: what the session holds goes back, its queues go.
func (s *Session) salvage() {
	door := dispatch.NewDoor(queue.SessionKey{Node: s.env.Node, Session: s.env.Numbers.Add(2)}, s.env.Groups)
	for _, id := range s.writer.visited() {
		if b, err := door.Batch(id); err == nil {
			b.Add(&queue.Down{Node: s.env.Node, First: s.id, Last: s.id + 1})
		}
	}
	err := door.Flush()
	if ids := slices.Collect(maps.Keys(s.writer.exclusive)); len(ids) > 0 {
		failed := s.env.Editor.DeleteQueues(s.acting(), s.vhost, ids, nil)
		if failed != nil {
			s.env.Editor.Owe(s.vhost, ids)
		}
		err = errors.Join(err, failed)
	}
	if err != nil {
		s.logger.Error().Err(err).Msg("what the connection held is not given back")
	}
}

// Close ends the connection in order, with a code and text for the client. It does not wait: Ended tells when it is over.
func (s *Session) Close(refusal *protocol.Error) {
	s.writer.box.order(func(w *writer) { w.refuse(refusal) })
}

// Ended is closed once the session is over.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// owner is how an exclusive queue names this connection.
func (s *Session) owner() topology.Owner { return topology.Owner{Node: s.env.Node, Session: s.id} }

// resume lets a parked channel go on.
func (s *Session) resume(channel uint16) {
	s.mu.Lock()
	s.resumed = append(s.resumed, channel)
	s.room.Broadcast()
	s.mu.Unlock()
	if s.parked.Load() {
		_ = s.conn.SetReadDeadline(longAgo) // wakes the reader; a closed socket needs no waking
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// takeResumed gives the channels that may go on.
func (s *Session) takeResumed() []uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.resumed
	s.resumed = nil
	return list
}

// clientProperties is what the client says of itself.
type clientProperties struct {
	cancelNotify     bool // consumer_cancel_notify
	blocked          bool // connection.blocked
	authFailureClose bool // authentication_failure_close
	name             string
	producer         string // x-producer-id: it numbers its messages, so that they may come twice
	table            protocol.Table
}

func readClientProperties(raw protocol.RawTable) clientProperties {
	p := clientProperties{table: raw.Decode()}
	if value, ok := p.table.Get("connection_name"); ok {
		p.name, _ = value.(string)
	}
	if value, ok := p.table.Get("x-producer-id"); ok {
		p.producer, _ = value.(string)
	}
	value, _ := p.table.Get("capabilities")
	capabilities, _ := value.(protocol.Table)
	for name, into := range map[string]*bool{
		"consumer_cancel_notify":       &p.cancelNotify,
		"connection.blocked":           &p.blocked,
		"authentication_failure_close": &p.authFailureClose,
	} {
		value, _ := capabilities.Get(name)
		*into, _ = value.(bool)
	}
	return p
}

// Abort cuts the connection, whatever its halves wait for.
func (s *Session) Abort() {
	s.conn.Close()
	s.reader.door.Close()
	s.unblock()
}

// unblock lets the reader wait for nobody any more.
func (s *Session) unblock() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over = true
		close(s.torn)
		s.room.Broadcast()
	}
}
