// Package compat asks a broker, over AMQP 0-9-1 alone, for what users of RabbitMQ rely on: one test per behaviour, one
// file per feature. The broker's address comes from AMQP_URL; nothing here knows which broker answers.
//
// Every test uses names of its own and removes what it declared, so tests run side by side and against a broker that is
// in use. A wait is a bounded poll for a condition.
package compat

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

// quietTime is how long nothing may happen before a test believes that nothing will.
const quietTime = 100 * time.Millisecond

// askAgain is how often a test looks again at what can only be asked.
const askAgain = 5 * time.Millisecond

var brokerURL = os.Getenv("AMQP_URL")

func TestMain(m *testing.M) {
	if brokerURL == "" {
		fmt.Fprintln(os.Stderr, "AMQP_URL is not set: give the address of a broker, amqp://user:password@host:port/vhost")
		os.Exit(2)
	}
	os.Exit(m.Run())
}

// client is a connection and one channel of it. Its methods end the test with the broker's words when a call fails;
// the embedded channel's own methods return the error.
type client struct {
	*amqp.Channel
	t    *testing.T
	conn *amqp.Connection
}

// connect opens a connection of its own for the test, closed with it.
func connect(t *testing.T) *client {
	t.Helper()
	return connectWith(t, amqp.Config{})
}

func connectWith(t *testing.T, config amqp.Config) *client {
	t.Helper()
	conn, err := amqp.DialConfig(brokerURL, config)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return channelOf(t, conn)
}

func channelOf(t *testing.T, conn *amqp.Connection) *client {
	t.Helper()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatalf("channel.open: %v", err)
	}
	return &client{Channel: ch, t: t, conn: conn}
}

// channel opens another channel of the same connection.
func (c *client) channel() *client {
	c.t.Helper()
	return channelOf(c.t, c.conn)
}

func (c *client) must(err error, what string, args ...any) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("%s: %v", fmt.Sprintf(what, args...), err)
	}
}

// since4 skips what RabbitMQ does in this way only since version 4, on one that is older.
func (c *client) since4() {
	c.t.Helper()
	if version, _ := c.conn.Properties["version"].(string); strings.HasPrefix(version, "3.") {
		c.t.Skipf("RabbitMQ %s does this in another way than RabbitMQ 4", version)
	}
}

var names atomic.Uint64

// unique returns a name that no other test, and no other run, uses.
func unique(kind string) string {
	return fmt.Sprintf("compat.%s.%d.%x", kind, names.Add(1), rand.Uint64())
}

// cleanUp runs a deletion at the end of the test on a connection of its own: the test's may be closed by then.
func (c *client) cleanUp(deletion func(ch *amqp.Channel) error) {
	c.t.Cleanup(func() {
		conn, err := amqp.Dial(brokerURL)
		if err != nil {
			c.t.Errorf("connect to clean up: %v", err)
			return
		}
		defer conn.Close()
		ch, err := conn.Channel()
		if err == nil {
			err = deletion(ch)
		}
		if err != nil {
			c.t.Errorf("clean up: %v", err)
		}
	})
}

// queue declares a durable queue that the test's end deletes.
func (c *client) queue(args amqp.Table) string {
	c.t.Helper()
	q, err := c.QueueDeclare(unique("queue"), true, false, false, false, args)
	c.must(err, "queue.declare %v", args)
	c.cleanUp(func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(q.Name, false, false, false)
		return err
	})
	return q.Name
}

// exclusiveQueue declares a queue that lives as long as the connection.
func (c *client) exclusiveQueue() string {
	c.t.Helper()
	q, err := c.QueueDeclare("", false, false, true, false, nil)
	c.must(err, "queue.declare exclusive")
	return q.Name
}

// exchange declares a durable exchange that the test's end deletes.
func (c *client) exchange(kind string, args amqp.Table) string {
	c.t.Helper()
	name := unique(kind)
	c.must(c.ExchangeDeclare(name, kind, true, false, false, false, args), "exchange.declare %s %v", kind, args)
	c.cleanUp(func(ch *amqp.Channel) error { return ch.ExchangeDelete(name, false, false) })
	return name
}

func (c *client) bind(queue, key, exchange string, args amqp.Table) {
	c.t.Helper()
	c.must(c.QueueBind(queue, key, exchange, false, args), "queue.bind %q %v", key, args)
}

// boundQueue declares a queue bound to the exchange with each of the keys.
func (c *client) boundQueue(exchange string, keys ...string) string {
	c.t.Helper()
	q := c.queue(nil)
	for _, key := range keys {
		c.bind(q, key, exchange, nil)
	}
	return q
}

// publish sends a message of a body alone.
func (c *client) publish(exchange, key, body string) {
	c.t.Helper()
	c.send(exchange, key, amqp.Publishing{Body: []byte(body)})
}

func (c *client) send(exchange, key string, p amqp.Publishing) {
	c.t.Helper()
	c.must(c.PublishWithContext(context.Background(), exchange, key, false, false, p), "basic.publish")
}

// confirm sends a message in confirm mode and returns whether the broker took it.
func (c *client) confirm(exchange, key string, p amqp.Publishing) bool {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pending, err := c.PublishWithDeferredConfirmWithContext(ctx, exchange, key, false, false, p)
	c.must(err, "basic.publish")
	acked, err := pending.WaitContext(ctx)
	c.must(err, "wait for the confirm")
	return acked
}

// fill publishes the bodies to the queue, confirmed, so that what follows finds them there.
func (c *client) fill(queue string, bodies ...string) {
	c.t.Helper()
	other := c.channel()
	defer other.Close()
	c.must(other.Confirm(false), "confirm.select")
	for _, body := range bodies {
		if !other.confirm("", queue, amqp.Publishing{Body: []byte(body)}) {
			c.t.Fatalf("the broker refused message %q", body)
		}
	}
}

// consume starts a consumer with manual acknowledgement.
func (c *client) consume(queue string) <-chan amqp.Delivery {
	c.t.Helper()
	return c.consumeWith(queue, "", false, nil)
}

func (c *client) consumeWith(queue, tag string, autoAck bool, args amqp.Table) <-chan amqp.Delivery {
	c.t.Helper()
	ds, err := c.Consume(queue, tag, autoAck, false, false, false, args)
	c.must(err, "basic.consume")
	return ds
}

func (c *client) prefetch(count int) {
	c.t.Helper()
	c.must(c.Qos(count, 0, false), "basic.qos")
}

// next waits for one delivery.
func (c *client) next(ds <-chan amqp.Delivery) amqp.Delivery {
	c.t.Helper()
	select {
	case d, open := <-ds:
		if !open {
			c.t.Fatal("the consumer ended, a delivery was expected")
		}
		return d
	case <-time.After(patience):
		c.t.Fatal("no delivery came")
	}
	panic("unreachable")
}

// nextBodies waits for n deliveries and returns their bodies in order.
func (c *client) nextBodies(ds <-chan amqp.Delivery, n int) []string {
	c.t.Helper()
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = string(c.next(ds).Body)
	}
	return bodies
}

// quiet checks that nothing more is delivered.
func (c *client) quiet(ds <-chan amqp.Delivery) {
	c.t.Helper()
	select {
	case d, open := <-ds:
		if open {
			c.t.Fatalf("unexpected delivery %q", d.Body)
		}
	case <-time.After(quietTime):
	}
}

// staysEmpty checks that the queue holds no ready message for as long as quietTime.
func (c *client) staysEmpty(queue string) {
	c.t.Helper()
	over := time.After(quietTime)
	for again := time.NewTicker(askAgain); ; {
		if messages, _ := c.counts(queue); messages > 0 {
			c.t.Fatalf("%d messages in %s, where none should come", messages, queue)
		}
		select {
		case <-again.C:
		case <-over:
			again.Stop()
			return
		}
	}
}

// get takes one message off the queue, waiting until there is one; it stays unacknowledged.
func (c *client) get(queue string) amqp.Delivery {
	c.t.Helper()
	var got amqp.Delivery
	c.eventually("a message in the queue", func() bool {
		d, ok, err := c.Get(queue, false)
		c.must(err, "basic.get")
		got = d
		return ok
	})
	return got
}

// drain takes all messages that are ready and returns their bodies in order.
func (c *client) drain(queue string) []string {
	c.t.Helper()
	bodies := []string{}
	for {
		d, ok, err := c.Get(queue, true)
		c.must(err, "basic.get")
		if !ok {
			return bodies
		}
		bodies = append(bodies, string(d.Body))
	}
}

// counts returns how many messages of the queue are ready, and how many consumers it has.
func (c *client) counts(queue string) (messages, consumers int) {
	c.t.Helper()
	ch := c.channel()
	defer ch.Close()
	q, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)
	c.must(err, "queue.declare passive %s", queue)
	return q.Messages, q.Consumers
}

// waitReady waits until the queue has n messages ready.
func (c *client) waitReady(queue string, n int) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("%d ready messages", n), func() bool {
		messages, _ := c.counts(queue)
		return messages == n
	})
}

// waitGone waits until the queue does not exist.
func (c *client) waitGone(queue string) {
	c.t.Helper()
	c.eventually("the queue to be gone", func() bool { return !c.exists(queue) })
}

// exists asks, from a channel of its own, whether there is such a queue.
func (c *client) exists(queue string) bool {
	c.t.Helper()
	ch := c.channel()
	defer ch.Close()
	_, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)
	var refusal *amqp.Error
	if errors.As(err, &refusal) && refusal.Code == amqp.NotFound {
		return false
	}
	c.must(err, "queue.declare passive %s", queue)
	return true
}

// eventually polls until the condition holds.
func (c *client) eventually(what string, holds func() bool) {
	c.t.Helper()
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for over := time.After(patience); !holds(); {
		select {
		case <-again.C:
		case <-over:
			c.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// closed registers for the channel's end; refused waits for it.
func (c *client) closed() chan *amqp.Error { return c.NotifyClose(make(chan *amqp.Error, 1)) }

// refused waits until the broker closes the channel or connection and checks the code and words it gives.
func (c *client) refused(closed chan *amqp.Error, code int, words ...string) {
	c.t.Helper()
	select {
	case err := <-closed:
		if err == nil {
			c.t.Fatalf("closed without an error, want %d", code)
		}
		wantRefusal(c.t, err, code, words...)
	case <-time.After(patience):
		c.t.Fatalf("nothing was closed, want %d", code)
	}
}

// wantRefusal checks that err is the broker's refusal with this code, and that its text has the words.
func wantRefusal(t *testing.T, err error, code int, words ...string) {
	t.Helper()
	var refusal *amqp.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("got error %v, want a refusal with code %d", err, code)
	}
	if refusal.Code != code {
		t.Fatalf("refused with %d %q, want code %d", refusal.Code, refusal.Reason, code)
	}
	for _, word := range words {
		if !strings.Contains(refusal.Reason, word) {
			t.Fatalf("refused with %q, want the words %q", refusal.Reason, word)
		}
	}
}

// equal checks a value and says what it is.
func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want); g != w {
		t.Fatalf("%s: got %s, want %s", what, g, w)
	}
}

// numbered returns n bodies "0", "1", ...
func numbered(n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprint(i)
	}
	return bodies
}
