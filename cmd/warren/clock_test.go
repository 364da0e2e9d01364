package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/cluster/raftlog"
	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/metadb"
)

// timed is a broker with a data directory whose clock is moved by hand, over its lives.
type timed struct {
	t      *testing.T
	dir    string
	now    atomic.Int64
	store  *store.Store
	broker *broker.Broker
	ch     *amqp.Channel
	stop   func()
}

func startTimed(t *testing.T) *timed {
	b := &timed{t: t, dir: t.TempDir()}
	b.now.Store(time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC).UnixMilli())
	b.start()
	t.Cleanup(func() { b.stop() })
	return b
}

func (b *timed) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *timed) start() {
	b.t.Helper()
	fatal := func(err error) { b.t.Error(err) }
	opened, err := store.Open(b.dir, store.Options{Fatal: fatal})
	b.must(err)
	b.store = opened
	metadata, err := metadb.Open(context.Background(), opened)
	b.must(err)
	first, err := opened.BeginLife(broker.SessionsOf(b.now.Load()), lifeSessions)
	b.must(err)
	host := raftlog.NewHost(raftlog.Options{Node: 1, Store: opened, Clock: b.now.Load, Fatal: fatal, Logger: zerolog.Nop()})
	b.broker, err = broker.Start(context.Background(), broker.Config{
		Listen: "127.0.0.1:0", Log: host, Meta: metadata, Clock: b.now.Load, Fatal: fatal, FirstSession: first,
	})
	b.must(err)
	b.stop = func() {
		for _, end := range []func() error{b.broker.Close, host.Close, opened.Close} {
			if err := end(); err != nil {
				b.t.Error(err)
			}
		}
	}
	conn, err := amqp.Dial("amqp://guest:guest@" + b.broker.Listeners()[0].Addr.String())
	b.must(err)
	b.t.Cleanup(func() { conn.Close() })
	b.ch, err = conn.Channel()
	b.must(err)
	b.must(b.ch.Confirm(false))
}

// restart ends the broker as a power cut does, moves the clock, and begins its next life.
func (b *timed) restart(jump time.Duration) {
	b.t.Helper()
	left := filepath.Join(b.t.TempDir(), "left")
	b.must(b.store.Checkpoint(left))
	b.stop()
	b.dir = left
	b.now.Add(jump.Milliseconds())
	b.start()
}

// pass lets time pass.
func (b *timed) pass(d time.Duration) {
	b.now.Add(d.Milliseconds())
	b.broker.Tick()
}

func (b *timed) declare(name string, arguments amqp.Table) {
	b.t.Helper()
	_, err := b.ch.QueueDeclare(name, true, false, false, false, arguments)
	b.must(err)
}

func (b *timed) publish(exchange, key string, p amqp.Publishing) {
	b.t.Helper()
	p.DeliveryMode = amqp.Persistent
	c, err := b.ch.PublishWithDeferredConfirm(exchange, key, false, false, p)
	b.must(err)
	if !c.Wait() {
		b.t.Fatalf("%s is refused", key)
	}
}

// has waits until a queue has so many ready messages; -1: until it is gone.
func (b *timed) has(name string, want int) {
	b.t.Helper()
	eventually(b.t, fmt.Sprintf("%s has %d", name, want), func() bool { return b.count(name) == want })
}

func (b *timed) count(name string) int {
	b.t.Helper()
	conn, err := amqp.Dial("amqp://guest:guest@" + b.broker.Listeners()[0].Addr.String())
	b.must(err)
	defer conn.Close()
	other, err := conn.Channel()
	b.must(err)
	q, err := other.QueueDeclarePassive(name, true, false, false, false, nil)
	if err != nil {
		return -1
	}
	return q.Messages
}

// waiting is everything that waits for its time, two hours long.
func (b *timed) waiting() {
	const hours = int64(2 * time.Hour / time.Millisecond)
	b.policy("policies", "by policy", fmt.Sprintf(`{"message-ttl": %d}`, hours))
	b.policy("policies", "by operator", fmt.Sprintf(`{"message-ttl": %d}`, 3*hours))
	b.policy("operator-policies", "by operator", fmt.Sprintf(`{"message-ttl": %d}`, hours))
	b.declare("dead", nil)
	b.must(b.ch.ExchangeDeclare("delayed", "x-delayed-message", true, false, false, false, amqp.Table{"x-delayed-type": "fanout"}))
	b.declare("later", nil)
	b.must(b.ch.QueueBind("later", "", "delayed", false, nil))
	toDead := func(kind string, more amqp.Table) amqp.Table {
		t := amqp.Table{"x-queue-type": kind, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
		for key, value := range more {
			t[key] = value
		}
		return t
	}
	for _, kind := range []string{"classic", "quorum"} {
		b.declare("by message "+kind, toDead(kind, nil))
		b.declare("by queue "+kind, toDead(kind, amqp.Table{"x-message-ttl": hours}))
		b.publish("", "by message "+kind, amqp.Publishing{Expiration: fmt.Sprint(hours)})
		b.publish("", "by queue "+kind, amqp.Publishing{})
		b.declare("by policy "+kind, toDead(kind, nil))
		b.declare("by operator "+kind, toDead(kind, amqp.Table{"x-message-ttl": 2 * hours}))
		b.publish("", "by policy "+kind, amqp.Publishing{})
		b.publish("", "by operator "+kind, amqp.Publishing{Expiration: fmt.Sprint(3 * hours)})
		b.declare("expires "+kind, amqp.Table{"x-queue-type": kind, "x-expires": hours})
	}
	b.publish("delayed", "", amqp.Publishing{Headers: amqp.Table{"x-delay": hours}})
	b.declare("retried", amqp.Table{"x-queue-type": "quorum", "x-delayed-retry-type": "all", "x-delayed-retry-min": hours})
	b.publish("", "retried", amqp.Publishing{})
	m, ok, err := b.ch.Get("retried", false)
	b.must(err)
	if !ok {
		b.t.Fatal("nothing to be retried")
	}
	b.must(m.Reject(true))
	b.declare("stream", amqp.Table{"x-queue-type": "stream", "x-max-age": "2h"})
	b.publish("", "stream", amqp.Publishing{})
	b.declare("held", nil)
	b.publish("", "held", amqp.Publishing{})
	if _, ok, err := b.ch.Get("held", false); err != nil || !ok {
		b.t.Fatal(ok, err)
	}
}

// early demands that nothing has struck yet, and that what was in a session's hands came back.
func (b *timed) early() {
	b.t.Helper()
	for _, by := range []string{"by message", "by queue", "by policy", "by operator"} {
		b.has(by+" classic", 1)
		b.has(by+" quorum", 1)
	}
	b.has("held", 1)
	b.has("stream", 1)
	if n := b.count("later"); n != 0 {
		b.t.Errorf("%d of the delayed are there", n)
	}
	if _, ok, err := b.ch.Get("retried", true); ok || err != nil {
		b.t.Errorf("the retried is there: %v", err)
	}
}

// struck demands that everything has, and nothing is lost.
func (b *timed) struck() {
	b.t.Helper()
	b.has("dead", 8)
	b.has("later", 1)
	b.has("held", 1)
	for _, name := range []string{"expires classic", "expires quorum"} {
		b.has(name, -1)
	}
	eventually(b.t, "the retried comes back", func() bool {
		_, ok, err := b.ch.Get("retried", true)
		b.must(err)
		return ok
	})
}

// TestAClockThatWasSetBack by an hour or a day while the broker was down: what waits goes on from where it was.
func TestAClockThatWasSetBack(t *testing.T) {
	for _, back := range []time.Duration{time.Hour, 24 * time.Hour} {
		b := startTimed(t)
		b.waiting()
		b.pass(30 * time.Minute)
		b.restart(-back)
		b.early()
		b.pass(time.Hour + 29*time.Minute)
		b.early()
		b.restart(-back)
		b.early()
		b.pass(2 * time.Minute)
		b.pass(2 * time.Hour) // of the queues that nobody uses a new time begins with each life, and with each question
		b.struck()
	}
}

// TestAClockThatWasSetForward while the broker was down is taken for the time it was down: what had longer to wait waits on.
func TestAClockThatWasSetForward(t *testing.T) {
	b := startTimed(t)
	b.waiting()
	b.restart(time.Hour)
	b.early()
	b.pass(59 * time.Minute)
	b.early()
	b.pass(2 * time.Minute)
	b.pass(2 * time.Hour)
	b.struck()
}
