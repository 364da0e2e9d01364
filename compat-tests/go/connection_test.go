package compat

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestServerAnnouncesWhatClientsLookFor(t *testing.T) {
	t.Parallel()
	c := connect(t)
	capabilities, _ := c.conn.Properties["capabilities"].(amqp.Table)
	for _, name := range []string{
		"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify", "connection.blocked",
		"consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to",
	} {
		equal(t, "capability "+name, capabilities[name], any(true))
	}
	version, _ := c.conn.Properties["version"].(string)
	if !regexp.MustCompile(`^\d+\.\d+\.\d+`).MatchString(version) {
		t.Fatalf("version %q: clients parse three numbers", version)
	}
	equal(t, "version", [2]int{c.conn.Major, c.conn.Minor}, [2]int{0, 9})
}

func TestWrongPasswordIsRefused(t *testing.T) {
	t.Parallel()
	address, err := url.Parse(brokerURL)
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword(address.User.Username(), "not the password")
	_, err = amqp.Dial(address.String())
	// This client does not announce authentication_failure_close, so the broker may just hang up; either is a 403 here.
	wantRefusal(t, err, amqp.AccessRefused)
}

func TestUnknownVhostIsRefused(t *testing.T) {
	t.Parallel()
	_, err := amqp.DialConfig(brokerURL, amqp.Config{Vhost: unique("vhost")})
	wantRefusal(t, err, amqp.NotAllowed, "vhost", "not found")
}

func TestAMQPlainLogin(t *testing.T) {
	t.Parallel()
	uri, err := amqp.ParseURI(brokerURL)
	if err != nil {
		t.Fatal(err)
	}
	c := connectWith(t, amqp.Config{SASL: []amqp.Authentication{uri.AMQPlainAuth()}})
	c.exclusiveQueue()
}

func TestClientChoosesSmallerFramesAndFewerChannels(t *testing.T) {
	t.Parallel()
	c := connectWith(t, amqp.Config{FrameSize: 8192, ChannelMax: 3, Heartbeat: 7 * time.Second})
	equal(t, "frame_max", c.conn.Config.FrameSize, 8192)
	equal(t, "channel_max", c.conn.Config.ChannelMax, uint16(3))
	equal(t, "heartbeat", c.conn.Config.Heartbeat, 7*time.Second)
	q := c.exclusiveQueue()
	body := pattern(100_000)
	c.send("", q, amqp.Publishing{Body: body})
	sameBytes(t, c.get(q).Body, body)
	c.channel()
	c.channel()
	if _, err := c.conn.Channel(); !errors.Is(err, amqp.ErrChannelMax) {
		t.Fatalf("a fourth channel: %v, want %v", err, amqp.ErrChannelMax)
	}
}

func TestChannelErrorLeavesTheConnectionOpen(t *testing.T) {
	t.Parallel()
	c := connect(t)
	neighbour, q := c.channel(), c.exclusiveQueue()
	_, err := c.QueueDeclarePassive(unique("missing"), false, false, false, false, nil)
	wantRefusal(t, err, amqp.NotFound)
	if _, err := c.QueueDeclare("", false, false, true, false, nil); !errors.Is(err, amqp.ErrClosed) {
		t.Fatalf("a call on the closed channel: %v, want %v", err, amqp.ErrClosed)
	}
	neighbour.publish("", q, "still here")
	equal(t, "body", string(neighbour.get(q).Body), "still here")
	c.channel().publish("", q, "a new channel too")
	equal(t, "body", string(neighbour.get(q).Body), "a new channel too")
}

func TestConnectionErrorClosesEveryChannel(t *testing.T) {
	t.Parallel()
	c := connect(t)
	connClosed, otherClosed := c.conn.NotifyClose(make(chan *amqp.Error, 1)), c.channel().closed()
	c.must(c.Publish("", "k", false, true, amqp.Publishing{}), "basic.publish immediate")
	c.refused(connClosed, amqp.NotImplemented, "immediate=true")
	c.refused(otherClosed, amqp.NotImplemented, "immediate=true")
	if !c.conn.IsClosed() {
		t.Fatal("the connection is open after a connection error")
	}
}

func TestChannelNumbersAreUsedAgain(t *testing.T) {
	t.Parallel()
	c := connectWith(t, amqp.Config{ChannelMax: 2})
	for i := range 200 {
		ch := c.channel()
		if i%2 == 0 {
			c.must(ch.Close(), "channel.close")
			continue
		}
		_, err := ch.QueueDeclarePassive(unique("missing"), false, false, false, false, nil)
		wantRefusal(t, err, amqp.NotFound)
	}
}

func TestManyChannelsOnOneConnection(t *testing.T) {
	t.Parallel()
	const channels = 500
	c := connect(t)
	q := c.exclusiveQueue()
	all := make([]*client, channels)
	for i := range all {
		all[i] = c.channel()
	}
	for i, ch := range all {
		ch.publish("", q, fmt.Sprint(i))
	}
	// Channels are served side by side, so the queue's order between them is free: every body comes once.
	seen := map[string]int{}
	for _, ch := range all {
		d := ch.get(q)
		seen[string(d.Body)]++
		ch.must(d.Ack(false), "basic.ack")
	}
	equal(t, "different messages", len(seen), channels)
}

func TestConcurrentChannelsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	const channels, messages = 16, 300
	c := connect(t)
	var wg sync.WaitGroup
	errs := make(chan error, channels)
	for range channels {
		ch := c.channel()
		q := ch.exclusiveQueue()
		ds := ch.consumeWith(q, "", true, nil)
		wg.Go(func() {
			for i := range messages {
				if err := ch.Publish("", q, false, false, amqp.Publishing{Body: fmt.Append(nil, i)}); err != nil {
					errs <- err
					return
				}
			}
			for i := range messages {
				select {
				case d := <-ds:
					if string(d.Body) != fmt.Sprint(i) {
						errs <- fmt.Errorf("message %d has body %q", i, d.Body)
						return
					}
				case <-time.After(patience):
					errs <- fmt.Errorf("message %d did not come", i)
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

func TestHeartbeatsKeepAnIdleConnection(t *testing.T) {
	t.Parallel()
	c := connectWith(t, amqp.Config{Heartbeat: time.Second})
	q := c.exclusiveQueue()
	closed := c.conn.NotifyClose(make(chan *amqp.Error, 1))
	select {
	case err := <-closed:
		t.Fatalf("closed while idle: %v", err)
	case <-time.After(3500 * time.Millisecond):
	}
	c.publish("", q, "awake")
	equal(t, "body", string(c.get(q).Body), "awake")
}

// muteConn is a connection whose writes vanish once mute is set: to the broker a peer that fell silent.
type muteConn struct {
	net.Conn
	mute atomic.Bool
}

func (m *muteConn) Write(p []byte) (int, error) {
	if m.mute.Load() {
		return len(p), nil
	}
	return m.Conn.Write(p)
}

func TestSilentPeerIsDroppedAndItsMessagesReturn(t *testing.T) {
	t.Parallel()
	var socket *muteConn
	silent := connectWith(t, amqp.Config{Heartbeat: time.Second, Dial: func(network, address string) (net.Conn, error) {
		conn, err := amqp.DefaultDial(patience)(network, address)
		socket = &muteConn{Conn: conn}
		return socket, err
	}})
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, "held")
	silent.next(silent.consume(q))
	closed := silent.conn.NotifyClose(make(chan *amqp.Error, 1))
	socket.mute.Store(true)
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("the broker kept a connection that sent nothing for many heartbeats")
	}
	if d := c.get(q); !d.Redelivered {
		t.Fatal("the returned message is not marked redelivered")
	}
}

func TestClosingTheConnectionReturnsUnacknowledged(t *testing.T) {
	t.Parallel()
	c, gone := connect(t), connect(t)
	q := c.queue(nil)
	c.fill(q, numbered(5)...)
	equal(t, "delivered", gone.nextBodies(gone.consume(q), 5), numbered(5))
	c.must(gone.conn.Close(), "connection.close")
	c.waitReady(q, 5)
	for _, want := range numbered(5) {
		d := c.get(q)
		equal(t, "body", string(d.Body), want)
		equal(t, "redelivered", d.Redelivered, true)
	}
}
