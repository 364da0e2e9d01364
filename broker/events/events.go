// Package events owns what the broker says about itself through exchanges: what happens to amq.rabbitmq.event, what it logs
// to amq.rabbitmq.log, and of vhosts that are traced every message that passes to their amq.rabbitmq.trace.
//
//  1. Whoever knows of something calls Tell, Log or Trace. Nothing is made of it while nobody has bound a queue.
//  2. One goroutine publishes what was said, in order, as the broker itself.
//
// Tell and Log never wait: what comes too fast is dropped, and counted in the log. Trace waits, as the firehose must not
// leave anything out.
package events

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"

	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// Names of the exchanges. Those of events and of the log are in one vhost, those of traces in every one.
const (
	eventExchange = "amq.rabbitmq.event"
	logExchange   = "amq.rabbitmq.log"
	traceExchange = "amq.rabbitmq.trace"
)

// Exchanges are the exchanges of events and of the log, which have to be made in the vhost of Env.
var Exchanges = []string{eventExchange, logExchange}

// Env is what an Announcer needs.
type Env struct {
	Node    uint64
	Session uint64 // a session number that is nobody else's
	Name    string // of the node, as clients see it
	VHost   string // of the exchanges for events and for the log
	Catalog func() *topology.Catalog
	Groups  dispatch.Groups
	Inboxes *group.Inboxes
	Clock   func() int64 // milliseconds since the epoch
	Logger  zerolog.Logger
}

// Announcer publishes what the broker says about itself. A nil Announcer says nothing.
type Announcer struct {
	Env
	door    *dispatch.Door
	said    chan announcement
	room    *semaphore.Weighted // octets of what waits
	dropped atomic.Int64
	ctx     context.Context
	stop    context.CancelFunc
	done    chan struct{}

	publishers map[string]*dispatch.Publisher // by vhost; owner: run
	once       sync.Once
}

// announcement is one message.
type announcement struct {
	vhost, exchange, key string
	props                protocol.Properties
	body                 []byte
}

// Announcements wait until they are published: so many, and so many octets of them.
const (
	waitingMax = 4096
	octetsMax  = 8 << 20
)

// size is how many octets of the room an announcement takes: a larger one than all of it waits alone.
func (a *announcement) size() int64 {
	return int64(min(len(a.key)+len(a.props)+len(a.body), octetsMax))
}

// New starts an Announcer.
func New(env Env) *Announcer {
	a := &Announcer{
		Env: env, said: make(chan announcement, waitingMax), room: semaphore.NewWeighted(octetsMax), done: make(chan struct{}), publishers: map[string]*dispatch.Publisher{},
	}
	key := queue.SessionKey{Node: env.Node, Session: env.Session}
	a.door = dispatch.NewDoor(key, env.Groups)
	a.ctx, a.stop = context.WithCancel(context.Background())
	env.Inboxes.AddFor(key, a)
	go a.run()
	return a
}

// Close ends the Announcer; what was not published yet is lost.
func (a *Announcer) Close() {
	if a == nil {
		return
	}
	a.once.Do(func() {
		a.stop()
		a.door.Close()
		<-a.done
	})
}

// Post implements group.Inbox.
func (a *Announcer) Post(events []group.Event) {
	for i := range events {
		switch events[i].Kind {
		case queue.Applied:
			a.door.Answered(events[i].Group, events[i].Number)
		case queue.Adrift:
			a.door.LetGo(events[i].Group)
		}
	}
}

// Room implements group.Inbox: nothing is delivered to an Announcer.
func (a *Announcer) Room(queue.SessionKey, group.Waker) bool { return true }

// heard tells whether somebody has bound something to an exchange.
func (a *Announcer) heard(vhost, exchange string) bool {
	v := a.Catalog().VHost(vhost)
	if v == nil {
		return false
	}
	x := v.Exchange(exchange)
	return x != nil && !x.Unbound()
}

// Tell says that something has happened, if anybody listens. fields makes the headers of the event.
func (a *Announcer) Tell(name, user string, fields func() protocol.Table) {
	if a == nil || !a.heard(a.VHost, eventExchange) {
		return
	}
	now := a.Clock()
	headers := fields()
	if user != "" {
		headers = append(headers, protocol.Field{Key: "user_who_performed_action", Value: user})
	}
	headers = append(headers, protocol.Field{Key: "timestamp_in_ms", Value: now})
	list := protocol.PropertyList{
		Present: protocol.FlagHeaders | protocol.FlagDeliveryMode | protocol.FlagTimestamp, Headers: headers.Raw(), DeliveryMode: 2,
		Timestamp: uint64(now / 1000),
	}
	a.offer(announcement{vhost: a.VHost, exchange: eventExchange, key: name, props: list.Append(nil)})
}

// Done says what a change of the metadata has brought about.
func (a *Announcer) Done(by string, before *topology.Catalog, done func() []topology.Deed) {
	if a == nil || !a.heard(a.VHost, eventExchange) {
		return
	}
	for _, d := range done() {
		a.Tell(d.Name, by, func() protocol.Table {
			if d.Name == "queue.created" {
				members := protocol.Array{a.Name}
				return append(d.Fields, protocol.Field{Key: "leader", Value: a.Name}, protocol.Field{Key: "members", Value: members})
			}
			return d.Fields
		})
	}
}

// Run implements zerolog.Hook: lines of the log go to the log's exchange.
func (a *Announcer) Run(_ *zerolog.Event, level zerolog.Level, text string) {
	key, known := levels[level]
	if a == nil || !known || !a.heard(a.VHost, logExchange) {
		return
	}
	now := time.UnixMilli(a.Clock())
	line := now.Format("2006-01-02 15:04:05.000000-07:00") + " [" + key + "] " + text
	list := protocol.PropertyList{
		Present:     protocol.FlagContentType | protocol.FlagTimestamp | protocol.FlagHeaders,
		ContentType: "text/plain", Timestamp: uint64(now.Unix()), Headers: protocol.Table{{Key: "node", Value: a.Name}}.Raw(),
	}
	a.offer(announcement{vhost: a.VHost, exchange: logExchange, key: key, props: list.Append(nil), body: []byte(line)})
}

// levels are RabbitMQ's names.
var levels = map[zerolog.Level]string{
	zerolog.DebugLevel: "debug", zerolog.InfoLevel: "info", zerolog.WarnLevel: "warning", zerolog.ErrorLevel: "error",
	zerolog.FatalLevel: "critical", zerolog.PanicLevel: "critical",
}

// offer hands an announcement in, or drops it.
func (a *Announcer) offer(one announcement) {
	if !a.room.TryAcquire(one.size()) {
		a.dropped.Add(1)
		return
	}
	select {
	case a.said <- one:
	default:
		a.room.Release(one.size())
		a.dropped.Add(1)
	}
}

func (a *Announcer) run() {
	defer close(a.done)
	for {
		select {
		case one := <-a.said:
			taken := one.size()
			a.publish(&one)
			for n := len(a.said); n > 0; n-- {
				one = <-a.said
				taken += one.size()
				a.publish(&one)
			}
			if err := a.door.Flush(); err != nil {
				a.Logger.Error().Err(err).Msg("an announcement was not taken")
			}
			if n := a.dropped.Swap(0); n > 0 {
				a.Logger.Warn().Int64("announcements", n).Msg("more happened than could be told")
			}
			a.door.Wait()
			a.room.Release(taken)
		case <-a.ctx.Done():
			return
		}
	}
}

func (a *Announcer) publish(one *announcement) {
	p := a.publishers[one.vhost]
	if p == nil {
		p = dispatch.NewPublisher(a.door, auth.System, one.vhost, a.Catalog)
		p.Own = true
		a.publishers[one.vhost] = p
	}
	if _, refusal := p.Exchange([]byte(one.exchange)); refusal != nil {
		return // the vhost is gone
	}
	m := message.Message{
		Head:     message.Head{Priority: message.NoPriority},
		Exchange: []byte(one.exchange), RoutingKey: []byte(one.key), Props: one.props, Body: one.body,
	}
	if mode, _ := one.props.DeliveryMode(); mode == 2 {
		m.Flags |= message.FlagPersistent
	}
	route, refusal := p.Route(m.RoutingKey, nil, one.props)
	if refusal != nil || route.Empty() {
		return
	}
	if _, err := p.Publish(0, 0, route, &m); err != nil {
		a.Logger.Error().Err(err).Str("exchange", one.exchange).Msg("an announcement was not taken")
	}
}
