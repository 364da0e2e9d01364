// Package broker owns the wiring: a Broker is the metadata, the groups, and the listeners that sessions come from.
//
//  1. Start validates the Config, loads the metadata, opens the groups and listens.
//  2. Every accepted connection becomes a session.Session.
//  3. Close ends the sessions, then the groups, then the metadata.
package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/forward"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
	"github.com/warrenmq/warren/store/oplog"
)

// Broker is a running broker.
type Broker struct {
	config   Config
	editor   *topology.Editor
	groups   groups
	env      *session.Env
	registry *session.Registry
	alarms   limits.Alarms
	stop     context.CancelFunc
	listener net.Listener
	sessions sync.WaitGroup
	closing  atomic.Bool
}

// Start starts a broker. When it returns, connections are accepted.
func Start(ctx context.Context, config Config) (*Broker, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	b := &Broker{config: config, registry: session.NewRegistry(config.MaxConnections)}
	if err := b.start(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Broker) start(ctx context.Context) error {
	c := &b.config
	if c.Meta == nil {
		c.Meta = meta.NewMemory(nil, 0)
	}
	b.groups = groups{
		durable: c.Groups, transient: c.TransientGroups, node: c.Node, forwarders: map[uint64]*forward.Forwarder{},
	}
	editor, err := topology.Open(ctx, c.Meta, topology.Options{
		Node: c.Node, Place: b.groups.place, DefaultQueueType: c.DefaultQueueType, Forbidden: topology.Forbidden(c.Permit),
	})
	if err != nil {
		return err
	}
	b.editor = editor
	if err := b.startGroups(); err != nil {
		return err
	}
	editor.Listen(b.groups.follow)
	editor.Listen(b.registry.Follow)
	if err := editor.Bootstrap(ctx, c.Defaults); err != nil {
		return fmt.Errorf("making the first vhost and user: %w", err)
	}
	b.watch()
	return b.listen(ctx)
}

// watch raises and clears alarms while the broker runs.
func (b *Broker) watch() {
	c := &b.config
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	monitor := &limits.Monitor{
		Alarms: &b.alarms, Memory: limits.ResidentMemory, MemoryLimit: c.MemoryLimit, DiskLimit: c.DiskFreeLimit,
		DiskFree: func() (uint64, error) {
			free, _, err := limits.DiskSpace(c.DataDir)
			return free, err
		},
		Logger: *c.Logger,
	}
	b.sessions.Go(func() { monitor.Run(ctx) })
}

func (b *Broker) startGroups() error {
	c := &b.config
	inboxes := group.NewInboxes(c.Node)
	numbers := firstNumber(c.Clock())
	first := numbers.Load()
	b.env = &session.Env{
		Settings: c.Session, Node: c.Node, Editor: b.editor, Groups: &b.groups, Inboxes: inboxes, Registry: b.registry, Alarms: &b.alarms, Replies: session.NewReplies(),
		Logger: *c.Logger, Numbers: numbers, Authority: &auth.Authority{
			Catalog: b.editor.Catalog, LoopbackOnly: map[string]bool{}, Anonymous: c.Anonymous,
		},
	}
	b.env.GlobalQoS = !b.editor.Forbidden["global_qos"]
	for _, user := range c.LoopbackOnly {
		b.env.Authority.LoopbackOnly[user] = true
	}
	b.groups.env = &forward.Env{
		Catalog: b.editor.Catalog, Groups: &b.groups, Inboxes: inboxes, Clock: c.Clock, Logger: *c.Logger,
	}
	direct := oplog.DirectHost{Clock: c.Clock}
	durable := c.Log
	if durable == nil {
		durable = direct
	}
	return b.groups.start(durable, direct, inboxes, group.Hooks{
		Catalog: b.editor.Catalog, Clock: c.Clock, Fatal: c.Fatal, QueueGone: b.queueGone, FirstSession: first,
		DeadLetters: b.groups.deadLetters,
	}, c)
}

// firstNumber makes session numbers that no earlier life of this node has used: they begin at its start time.
func firstNumber(nowMs int64) *atomic.Uint64 {
	var n atomic.Uint64
	n.Store(uint64(nowMs) << 20)
	return &n
}

// queueGone removes the metadata of a queue that ended by itself.
func (b *Broker) queueGone(id queue.ID, done func()) {
	q := b.editor.Catalog().QueueByID(uint64(id))
	if q == nil {
		done()
		return
	}
	go func() {
		if err := b.editor.DeleteQueue(context.Background(), q.VHost, q.Name, q.ID, nil); err != nil {
			b.config.Logger.Error().Err(err).Str("vhost", q.VHost).Str("queue", q.Name).Msg("a queue that ended is still in the metadata")
		}
		done()
	}()
}

func (b *Broker) listen(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", b.config.Listen)
	if err != nil {
		return err
	}
	b.listener = l
	b.config.Logger.Info().Msgf("started TCP listener on %s", l.Addr())
	b.sessions.Go(b.accept)
	return nil
}

// acceptPause is how long the listener rests when there are no file descriptors left.
const acceptPause = 50 * time.Millisecond

func (b *Broker) accept() {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			b.config.Logger.Warn().Err(err).Msg("accepting a connection failed")
			time.Sleep(acceptPause)
			continue
		}
		s := session.New(b.env, conn)
		b.sessions.Go(s.Serve)
	}
}

// Addr is the address that AMQP connections are accepted on.
func (b *Broker) Addr() net.Addr { return b.listener.Addr() }

// closeTime is how long sessions have to say goodbye.
const closeTime = 5 * time.Second

// Close ends the broker: clients are told, what was accepted is flushed.
func (b *Broker) Close() error {
	if b.closing.Swap(true) {
		return nil
	}
	if b.stop != nil {
		b.stop()
	}
	if b.listener != nil {
		_ = b.listener.Close()
	}
	b.registry.Close(protocol.Errorf(protocol.CodeConnectionForced, "broker forced connection closure with reason 'shutdown'"))
	b.waitForSessions()
	err := b.groups.close()
	if b.config.Meta != nil {
		err = errors.Join(err, b.config.Meta.Close())
	}
	return err
}

func (b *Broker) waitForSessions() {
	done := make(chan struct{})
	go func() {
		b.sessions.Wait()
		close(done)
	}()
	select {
	case <-done:
		return
	case <-time.After(closeTime):
	}
	b.registry.Each(func(s *session.Session) { s.Abort() })
	select {
	case <-done:
	case <-time.After(closeTime):
		b.config.Logger.Warn().Msg("some connections did not end in time")
	}
}

func bug(format string, values ...any) { panic("broker: " + fmt.Sprintf(format, values...)) }
