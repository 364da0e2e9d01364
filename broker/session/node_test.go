package session

import (
	"bytes"
	"context"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/store/meta"
	"github.com/warrenmq/warren/store/oplog"
)

const patience = 20 * time.Second

// node is what sessions need around them: metadata and one group in memory, and a socket to arrive at.
type node struct {
	t        *testing.T
	env      *Env
	editor   *topology.Editor
	group    *group.Group
	listener net.Listener
	bugs     atomic.Int64 // that were logged
	away     atomic.Bool  // the metadata store takes nothing
	damaged  atomic.Bool  // there is no way to the group

	onHandle atomic.Pointer[func()] // called when a session asks for its way to the group
}

// store is metadata that is away at times.
type store struct {
	*meta.Memory
	away *atomic.Bool
}

// Commit implements meta.Store.
func (s store) Commit(ctx context.Context, t meta.Txn, durable func(error)) (int64, error) {
	if s.away.Load() {
		return 0, meta.ErrUnavailable
	}
	return s.Memory.Commit(ctx, t, durable)
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{t: t}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	editor, err := topology.Open(context.Background(), store{meta.NewMemory(nil, 0), &n.away}, topology.Options{
		Node: 1, Place: func(*topology.Catalog, *topology.Queue) uint64 { return 1 },
	})
	must(err)
	n.editor = editor
	hash, err := auth.Hash(auth.SHA256, "guest")
	must(err)
	must(editor.Bootstrap(context.Background(), topology.Defaults{
		VHost: "/", User: "guest", Record: topology.UserRecord{PasswordHash: hash, Algorithm: auth.SHA256},
		Configure: ".*", Write: ".*", Read: ".*",
	}))
	inboxes := group.NewInboxes(1)
	clock := func() int64 { return time.Now().UnixMilli() }
	n.group, err = group.Open(1, oplog.DirectHost{Clock: clock}, []uint64{1}, inboxes, group.Hooks{
		Catalog: editor.Catalog, Fatal: func(err error) { t.Error(err) }, FirstSession: 1,
		QueueGone: func(_ queue.ID, done func()) { done() }, DeadLetters: func(*group.Group, queue.ID) {},
	}, zerolog.Nop())
	must(err)
	editor.Listen(func(c topology.Change) { n.group.Follow(c.Queues) })
	n.env = &Env{
		Settings: Settings{
			FrameMax: 131072, ChannelMax: 2047, Heartbeat: 60, MaxMessageSize: 16 << 20, HandshakeTimeout: patience,
			Product: "RabbitMQ", Version: "4.3.6",
		},
		Node: 1, Editor: editor, Authority: &auth.Authority{Catalog: editor.Catalog}, Groups: n, Inboxes: inboxes,
		Logger: zerolog.New(n), Registry: NewRegistry(0), Numbers: &atomic.Uint64{}, Alarms: &limits.Alarms{}, Replies: NewReplies(1),
	}
	n.listen()
	return n
}

// listen serves connections until the test ends.
func (n *node) listen() {
	n.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	n.listener = l
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go New(n.env, conn).Serve()
		}
	}()
	n.t.Cleanup(func() {
		l.Close()
		<-done
		n.env.Registry.Each(func(s *Session) { s.Abort(); <-s.Ended() })
		n.group.Close()
	})
}

// Write takes the log and counts bugs in it.
func (n *node) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(`"bug"`)) {
		n.bugs.Add(1)
	}
	return len(line), nil
}

// Handle implements Groups.
func (n *node) Handle(uint64) (dispatch.Handle, error) {
	if f := n.onHandle.Load(); f != nil {
		(*f)()
	}
	if n.damaged.Load() {
		return nil, errors.New("the group is damaged")
	}
	return dispatch.Whole{Group: n.group}, nil
}

// Counts implements Groups.
func (n *node) Counts(_ uint64, id queue.ID, done func(queue.Counts, bool)) {
	if n.group.Do(func(s *queue.Set) { c, _ := s.Counts(id); done(c, true) }) != nil {
		done(queue.Counts{}, false)
	}
}

// dial connects as an application does.
func (n *node) dial() *amqp.Connection {
	n.t.Helper()
	conn, err := amqp.Dial("amqp://guest:guest@" + n.listener.Addr().String())
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	return conn
}

// channel opens a channel on a connection of its own.
func (n *node) channel() *amqp.Channel {
	n.t.Helper()
	ch, err := n.dial().Channel()
	if err != nil {
		n.t.Fatal(err)
	}
	return ch
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("does not happen: %s", what)
		}
	}
}
