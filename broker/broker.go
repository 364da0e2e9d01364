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
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/forward"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/listen"
	"github.com/warrenmq/warren/broker/management"
	"github.com/warrenmq/warren/broker/metrics"
	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
	"github.com/warrenmq/warren/store/oplog"
)

// Broker is a running broker.
type Broker struct {
	config     Config
	editor     *topology.Editor
	groups     groups
	env        atomic.Pointer[session.Env] // of connections to come
	registry   *session.Registry
	alarms     limits.Alarms
	bounds     atomic.Pointer[[2]uint64] // of memory and disk
	running    context.Context           // ends when the broker does
	stop       context.CancelFunc
	listeners  []*listen.Listener
	webs       []*listen.Listener // of the HTTP API
	meters     []*listen.Listener // for Prometheus
	management *management.Server
	metrics    *metrics.Server
	sessions   sync.WaitGroup
	closing    atomic.Bool
	operators  atomic.Pointer[http.Handler] // of other nodes

	mu        sync.Mutex // guards what follows
	stopWatch context.CancelFunc

	voice     voice
	ownLogger zerolog.Logger // does not go to the log's exchange
}

// Start starts a broker. When it returns, connections are accepted.
func Start(ctx context.Context, config Config) (*Broker, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	b := &Broker{config: config, registry: session.NewRegistry(config.MaxConnections)}
	b.running, b.stop = context.WithCancel(context.Background())
	if err := b.start(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Broker) start(ctx context.Context) error {
	b.hook()
	c := &b.config
	if c.Meta == nil {
		c.Meta = meta.NewMemory(nil, 0)
	}
	b.groups.transient, b.groups.node, b.groups.forwarders = c.TransientGroups, c.Node, map[uint64]*forward.Forwarder{}
	b.groups.cluster = c.Cluster
	b.groups.arranged(c.layout())
	b.groups.open.Store(&map[uint64]*group.Group{})
	editor, err := topology.Open(ctx, c.Meta, topology.Options{
		Node: c.Node, Place: b.groups.place, Prepare: b.groups.prepare, DefaultQueueType: c.DefaultQueueType, ConsumerTimeoutMs: c.consumerTimeoutMs(), Forbidden: topology.Forbidden(c.Permit),
		Shared:    c.Cluster != nil,
		Newcomers: c.Newcomers, VHostLimits: c.VHostLimits, VHostPolicies: c.VHostPolicies,
	})
	if err != nil {
		return err
	}
	b.editor = editor
	if err := b.startGroups(); err != nil {
		return err
	}
	editor.Listen(b.groups.follow)
	if links := b.groups.links; links != nil {
		editor.Listen(func(topology.Change) { links.Advanced() })
	}
	editor.Listen(b.registry.Follow)
	editor.Listen(b.countQueues)
	b.sessions.Go(func() { editor.Pay(b.running) })
	if err := b.bootstrap(ctx); err != nil {
		return fmt.Errorf("making the first vhost and user: %w", err)
	}
	if err := b.announcing(ctx); err != nil {
		return fmt.Errorf("making the exchanges for events: %w", err)
	}
	b.watch(c.MemoryLimit, c.DiskFreeLimit)
	b.makeHTTP()
	if err := b.importDefinitions(ctx); err != nil {
		return err
	}
	if err := b.listen(ctx); err != nil {
		return err
	}
	if err := b.startHTTP(ctx); err != nil {
		return err
	}
	return b.startMetrics(ctx)
}

// bootstrap gives an empty broker its first vhost and user. A password is hashed only then: that takes its time.
func (b *Broker) bootstrap(ctx context.Context) error {
	c := &b.config
	if c.WithoutDefaults || !empty(b.editor.Catalog()) {
		return nil
	}
	if err := c.hashDefaultPassword(); err != nil {
		return err
	}
	return b.editor.Bootstrap(ctx, c.Defaults)
}

// watch raises and clears alarms while the broker runs, with these limits in place of those before.
func (b *Broker) watch(memory, disk uint64) {
	c := &b.config
	b.bounds.Store(&[2]uint64{memory, disk})
	ctx, stop := context.WithCancel(b.running)
	b.mu.Lock()
	if b.stopWatch != nil {
		b.stopWatch()
	}
	b.stopWatch = stop
	b.mu.Unlock()
	monitor := &limits.Monitor{
		Alarms: &b.alarms, Memory: limits.ResidentMemory, MemoryLimit: memory, Relieve: debug.FreeOSMemory, DiskLimit: disk,
		DiskFree: func() (uint64, error) {
			free, _, err := limits.DiskSpace(c.DataDir)
			return free, err
		},
		Logger: *c.Logger,
	}
	if memory == 0 {
		b.alarms.Set(limits.Memory, false)
	}
	if disk == 0 {
		b.alarms.Set(limits.Disk, false)
	}
	if memory > 0 || disk > 0 {
		b.sessions.Go(func() { monitor.Run(ctx) })
	}
}

// limits gives the limits in force.
func (b *Broker) limits() (memory, disk uint64) {
	now := b.bounds.Load()
	return now[0], now[1]
}

func (b *Broker) startGroups() error {
	c := &b.config
	inboxes := group.NewInboxes(c.Node)
	first := c.FirstSession
	if c.Cluster != nil {
		first = c.Cluster.FirstSession
	}
	if first == 0 {
		first = SessionsOf(c.Clock())
	}
	numbers := &atomic.Uint64{}
	numbers.Store(first)
	authority := &auth.Authority{Catalog: b.editor.Catalog, Anonymous: c.Anonymous, Audit: c.Audit}
	authority.SetLoopbackOnly(c.LoopbackOnly)
	authority.SetLimits(c.LoginLimits)
	authority.SetAlgorithm(c.PasswordHash)
	env := &session.Env{
		Settings: c.Session, Node: c.Node, Editor: b.editor, Groups: &b.groups, Inboxes: inboxes, Registry: b.registry, Alarms: &b.alarms, Replies: session.NewReplies(c.Node),
		Logger: c.area("connection"), Channels: c.area("channel"), Logins: c.area("user"), Numbers: numbers, Authority: authority, Nack: c.Nack,
		Tracer: c.Tracer,
	}
	env.GlobalQoS = !b.editor.Forbidden["global_qos"]
	env.Events = b.announce(inboxes, numbers.Add(2))
	b.alarms.Changed = b.tellAlarm
	b.env.Store(env)
	b.groups.env = &forward.Env{
		Catalog: b.editor.Catalog, Groups: &b.groups, Inboxes: inboxes, Clock: c.Clock, Logger: c.area("queue"),
		Reply: env.Replies.Reply,
	}
	direct := oplog.DirectHost{Clock: c.Clock}
	durable := c.Log
	if durable == nil {
		durable = direct
	}
	var delivered func()
	if c.Delivered != nil {
		delivered = sync.OnceFunc(c.Delivered)
	}
	if c.Cluster != nil {
		b.groups.links = b.connect(inboxes, first)
		env.Replies.Send, env.Replies.Ask = b.groups.links.Reply, b.waits
		stirred := b.registry.Share(b.config.Cluster.FirstSession, b.groups.links.TellTallies)
		b.sessions.Go(func() { b.tellTallies(stirred) })
	}
	return b.groups.begin(opening{durable: durable, direct: direct, inboxes: inboxes, logger: c.area("queue"), hooks: group.Hooks{
		Catalog: b.editor.Catalog, Fatal: c.Fatal, QueueGone: b.queueGone, FirstSession: first,
		DeadLetters: b.groups.deadLetters, Delivered: delivered,
	}})
}

// SessionsOf gives the first session number of a life that begins at a time, in milliseconds: those of lives that began
// before are below.
func SessionsOf(nowMs int64) uint64 { return uint64(nowMs) << 20 }

func (b *Broker) listen(ctx context.Context) error {
	for _, spec := range b.config.Listeners {
		l, err := listen.Open(ctx, spec)
		if err != nil {
			return err
		}
		b.listeners = append(b.listeners, l)
		kind := "TCP"
		if l.Secure() {
			kind = "TLS (SSL)"
		}
		b.config.Logger.Info().Msgf("started %s listener on %s", kind, l.Addr())
	}
	for _, l := range b.listeners {
		b.sessions.Go(func() { b.accept(l) })
	}
	return nil
}

// acceptPause is how long the listener rests when there are no file descriptors left.
const acceptPause = 50 * time.Millisecond

func (b *Broker) accept(l *listen.Listener) {
	for {
		conn, err := b.acceptOne(l)
		if err != nil {
			return
		}
		if conn != nil {
			b.sessions.Go(func() { b.serve(l, conn) })
		}
	}
}

// acceptOne waits for a connection. It gives none, after a pause, if there was one and it could not be had; an error means
// that the listener is closed.
func (b *Broker) acceptOne(l *listen.Listener) (net.Conn, error) {
	conn, err := l.Accept()
	if err == nil || errors.Is(err, net.ErrClosed) {
		return conn, err
	}
	b.config.Logger.Warn().Err(err).Msg("accepting a connection failed")
	select {
	case <-time.After(acceptPause):
	case <-b.running.Done():
	}
	return nil, nil
}

// serve talks to a client until one of the two has enough.
func (b *Broker) serve(l *listen.Listener, conn net.Conn) {
	env := b.env.Load()
	if wrap := b.config.Wrap; wrap != nil {
		wrapped := wrap(conn)
		if wrapped == nil {
			_ = conn.Close()
			return
		}
		conn = wrapped
	}
	ready, err := l.Prepare(b.running, conn)
	if err != nil {
		env.Logger.Warn().Err(err).Str("peer", conn.RemoteAddr().String()).Msg("connection refused")
		return
	}
	session.New(env, ready).Serve()
}

// Addr is the address that AMQP connections are accepted on, the first if there are several.
func (b *Broker) Addr() net.Addr { return b.listeners[0].Addr() }

// Listener is an address that the broker listens on.
type Listener struct {
	Protocol string // amqp, amqp/ssl, http, https, http/prometheus or https/prometheus
	Addr     net.Addr
	Expiry   time.Time // of the first certificate to end; zero without TLS
}

// Listeners gives the addresses that the broker listens on, those for AMQP first, in the order of the Config.
func (b *Broker) Listeners() (list []Listener) {
	add := func(opened []*listen.Listener, plain, secure string) {
		for _, l := range opened {
			protocol := plain
			if l.Secure() {
				protocol = secure
			}
			list = append(list, Listener{protocol, l.Addr(), l.Expiry()})
		}
	}
	add(b.listeners, "amqp", "amqp/ssl")
	add(b.webs, "http", "https")
	add(b.meters, "http/prometheus", "https/prometheus")
	return list
}

// sockets are all that the broker listens on.
func (b *Broker) sockets() []*listen.Listener { return slices.Concat(b.listeners, b.webs, b.meters) }

// Tick lets all groups look at the clock. It is for clocks that are moved by hand: what is due is done before any command
// that comes later.
func (b *Broker) Tick() { b.groups.tick() }

// Alarms are the broker's: who raises one holds publishers back.
func (b *Broker) Alarms() *limits.Alarms { return &b.alarms }

// Reload takes what of a Config a running broker can take: Session for the connections to come, LoopbackOnly, LoginLimits,
// PasswordHash, MemoryLimit, DiskFreeLimit. Everything else stays.
func (b *Broker) Reload(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	env := *b.env.Load()
	globalQoS := env.GlobalQoS
	env.Settings = c.Session
	env.GlobalQoS, env.ClusterName = globalQoS, b.config.ClusterName
	env.Authority.SetLoopbackOnly(c.LoopbackOnly)
	env.Authority.SetLimits(c.LoginLimits)
	env.Authority.SetAlgorithm(c.PasswordHash)
	b.env.Store(&env)
	b.watch(c.MemoryLimit, c.DiskFreeLimit)
	return nil
}

// closeTime is how long sessions have to say goodbye.
const closeTime = 5 * time.Second

// Close ends the broker: clients are told, what was accepted is flushed.
func (b *Broker) Close() error {
	if b.closing.Swap(true) {
		return nil
	}
	b.stop()
	for _, l := range b.sockets() {
		_ = l.Close()
	}
	if b.metrics != nil {
		_ = b.metrics.Close()
	}
	if b.management != nil {
		_ = b.management.Close()
	}
	b.registry.Close(protocol.Errorf(protocol.CodeConnectionForced, "broker forced connection closure with reason 'shutdown'"))
	b.waitForSessions()
	b.voice.announcer.Load().Close()
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
