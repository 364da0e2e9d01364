// Package brokertest gives a test a broker of its own: in the process of the test, in a few milliseconds, with nothing on
// the disk. Hundreds of them run side by side.
//
//		func TestOrders(t *testing.T) {
//			b := brokertest.Start(t)
//			conn, err := amqp.Dial(b.URL())
//			...
//		}
//
//	 1. Start listens on a free port of 127.0.0.1 and returns when clients are accepted. The test's cleanup ends the broker.
//	 2. The test talks to it with any AMQP 0-9-1 client. What it makes durable lasts as long as the broker.
//	 3. Faults are asked for by methods: DropConnections, NackNext, Refuse, Delay, Block.
//	 4. With a Clock the broker's time stands still until Clock.Advance moves it: message TTLs, queue expiry, delays and
//	    consumer timeouts come when the test says so.
package brokertest

import (
	"context"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/listen"
)

// Broker is a broker for one test.
type Broker struct {
	*faults
	t        testing.TB
	broker   *broker.Broker
	user     *url.Userinfo
	vhost    string
	closed   atomic.Bool
	nackNext atomic.Int64
}

// Option is a wish about the broker.
type Option func(*wishes)

// wishes are what the options ask for.
type wishes struct {
	config         broker.Config
	user, password string
	clock          *Clock
}

// WithUser makes the first user another one than guest with password guest. The user is an administrator with all
// permissions.
func WithUser(name, password string) Option {
	return func(w *wishes) { w.user, w.password = name, password }
}

// WithVHost makes the first vhost another one than /.
func WithVHost(name string) Option {
	return func(w *wishes) { w.config.Defaults.VHost = name }
}

// WithClock gives the broker a clock that stands still until it is moved.
func WithClock(c *Clock) Option {
	return func(w *wishes) { w.clock = c }
}

// WithAPI lets the broker have its HTTP API, at APIURL.
func WithAPI() Option {
	return func(w *wishes) { w.config.Management = []listen.Spec{{Address: "127.0.0.1:0"}} }
}

// WithConfig changes whatever else can be configured.
func WithConfig(change func(*broker.Config)) Option {
	return func(w *wishes) { change(&w.config) }
}

// Start starts a broker that the test's cleanup ends. It fails the test if that is impossible.
func Start(t testing.TB, options ...Option) *Broker {
	t.Helper()
	w := wishes{user: "guest", password: "guest"}
	w.config.Listen = "127.0.0.1:0"
	for _, option := range options {
		option(&w)
	}
	b := &Broker{faults: newFaults(), t: t, user: url.UserPassword(w.user, w.password), vhost: w.config.Defaults.VHost}
	c := &w.config
	if w.user != "guest" || w.password != "guest" {
		c.Defaults.User, c.DefaultPassword = w.user, w.password
		c.Defaults.Record.Tags = []string{"administrator"}
	}
	c.Wrap, c.Nack = b.wrap, b.nack
	c.Fatal = func(err error) { t.Errorf("the broker cannot go on: %v", err) }
	if w.clock != nil {
		c.Clock = w.clock.milliseconds
	}
	started, err := broker.Start(context.Background(), *c)
	if err != nil {
		t.Fatalf("starting a broker: %v", err)
	}
	b.broker = started
	if w.clock != nil {
		w.clock.follow(b)
	}
	t.Cleanup(b.cleanUp)
	return b
}

// Addr is the broker's address, such as 127.0.0.1:41231.
func (b *Broker) Addr() string { return b.broker.Addr().String() }

// URL is what a client library connects to: amqp://guest:guest@127.0.0.1:41231/%2F.
func (b *Broker) URL() string {
	vhost := b.vhost
	if vhost == "" {
		vhost = "/"
	}
	return "amqp://" + b.user.String() + "@" + b.Addr() + "/" + url.PathEscape(vhost)
}

// APIURL is where the HTTP API is, with the first user's credentials: http://guest:guest@127.0.0.1:41232. It is "" without
// WithAPI.
func (b *Broker) APIURL() string {
	for _, l := range b.broker.Listeners() {
		if l.Protocol == "http" {
			return "http://" + b.user.String() + "@" + l.Addr.String()
		}
	}
	return ""
}

// Close ends the broker before the test ends: clients are told 320 CONNECTION_FORCED, as by a broker that is shut down.
func (b *Broker) Close() {
	if b.closed.Swap(true) {
		return
	}
	if err := b.broker.Close(); err != nil {
		b.t.Errorf("closing the broker: %v", err)
	}
}

// cleanUp ends the broker without waiting for clients.
func (b *Broker) cleanUp() {
	if !b.closed.Load() {
		b.Refuse(true)
		b.DropConnections()
	}
	b.Close()
}

// NackNext makes the broker answer the next n messages that are published in confirm mode with basic.nack, whatever
// connection they come on. They go to no queue. NackNext(0) takes back what is left.
func (b *Broker) NackNext(n int) { b.nackNext.Store(int64(n)) }

func (b *Broker) nack() bool {
	for {
		n := b.nackNext.Load()
		if n <= 0 {
			return false
		}
		if b.nackNext.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// Block raises the memory alarm, or clears it: publishers are told connection.blocked when they publish, and wait.
func (b *Broker) Block(blocked bool) { b.broker.Alarms().Set(limits.Memory, blocked) }
