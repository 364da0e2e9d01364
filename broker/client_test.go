package broker_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol"
)

// client speaks AMQP frame by frame.
type client struct {
	t        testing.TB
	conn     net.Conn
	in       []byte
	frameMax uint32
}

// dial connects and says nothing.
func dial(t testing.TB, b *broker.Broker) *client {
	t.Helper()
	conn, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, conn: conn, frameMax: 1 << 30}
	t.Cleanup(func() { c.conn.Close() })
	c.wait(patience)
	return c
}

// wait bounds everything that the client does from now on.
func (c *client) wait(d time.Duration) {
	c.t.Helper()
	if err := c.conn.SetDeadline(time.Now().Add(d)); err != nil {
		c.t.Fatal(err)
	}
}

// tuned is what a client asks for in its handshake.
type tuned struct {
	user, password, vhost string
	channelMax            uint16
	frameMax              uint32
	heartbeat             uint16
	capabilities          []string
}

// guest is the handshake of a usual client, without heartbeats.
var guest = tuned{
	user: "guest", password: "guest", vhost: "/", channelMax: 2047, frameMax: 131072,
	capabilities: []string{"consumer_cancel_notify", "connection.blocked", "authentication_failure_close", "basic.nack", "publisher_confirms"},
}

// connect opens a connection as guest.
func connect(t testing.TB, b *broker.Broker) *client { return connectAs(t, b, guest) }

// connectAs opens a connection.
func connectAs(t testing.TB, b *broker.Broker, how tuned) *client {
	t.Helper()
	c := dial(t, b)
	c.login(how)
	expect[*protocol.ConnectionTune](c, 0)
	c.tune(how)
	expect[*protocol.ConnectionOpenOk](c, 0)
	return c
}

// login sends the protocol header and answers connection.start.
func (c *client) login(how tuned) {
	c.t.Helper()
	c.write([]byte(protocol.ProtocolHeader))
	expect[*protocol.ConnectionStart](c, 0)
	capabilities := protocol.Table{}
	for _, name := range how.capabilities {
		capabilities = append(capabilities, protocol.Field{Key: name, Value: true})
	}
	c.send(0, &protocol.ConnectionStartOk{
		ClientProperties: protocol.Table{{Key: "capabilities", Value: capabilities}}.Raw(),
		Mechanism:        "PLAIN", Response: "\x00" + how.user + "\x00" + how.password, Locale: "en_US",
	})
}

// tune answers connection.tune and opens the vhost.
func (c *client) tune(how tuned) {
	c.t.Helper()
	c.send(0, &protocol.ConnectionTuneOk{ChannelMax: how.channelMax, FrameMax: how.frameMax, Heartbeat: how.heartbeat},
		&protocol.ConnectionOpen{VirtualHost: how.vhost})
	c.frameMax = how.frameMax
}

// channel opens a channel.
func (c *client) channel(number uint16) {
	c.t.Helper()
	c.send(number, &protocol.ChannelOpen{})
	expect[*protocol.ChannelOpenOk](c, number)
}

func (c *client) write(octets []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(octets); err != nil {
		c.t.Fatalf("writing: %v", err)
	}
}

// send sends methods in one piece.
func (c *client) send(channel uint16, methods ...protocol.Method) {
	c.t.Helper()
	var out []byte
	for _, m := range methods {
		out = protocol.AppendMethodFrame(out, channel, m)
	}
	c.write(out)
}

// message is a publish to be.
type message struct {
	exchange, key string
	mandatory     bool
	properties    protocol.PropertyList
	body          string
}

func (c *client) appendPublish(out []byte, channel uint16, m message) []byte {
	out = protocol.AppendMethodFrame(out, channel, &protocol.BasicPublish{
		Exchange: []byte(m.exchange), RoutingKey: []byte(m.key), Mandatory: m.mandatory,
	})
	return protocol.AppendContent(out, channel, m.properties.Append(nil), []byte(m.body), c.frameMax)
}

// publish sends messages in one piece.
func (c *client) publish(channel uint16, messages ...message) {
	c.t.Helper()
	var out []byte
	for _, m := range messages {
		out = c.appendPublish(out, channel, m)
	}
	c.write(out)
}

// next reads one frame; its payload is the caller's. Heartbeats are stepped over.
func (c *client) next() (protocol.Frame, error) {
	for {
		f, n, err := protocol.ParseFrame(c.in, 1<<30)
		if err != nil {
			return f, err
		}
		if n > 0 {
			f.Payload = bytes.Clone(f.Payload)
			c.in = c.in[n:]
			if f.Type == protocol.FrameHeartbeat {
				continue
			}
			return f, nil
		}
		var chunk [64 << 10]byte
		n, err = c.conn.Read(chunk[:])
		c.in = append(c.in, chunk[:n]...)
		if err != nil && n == 0 {
			return f, err
		}
	}
}

// method reads the next method, on any channel.
func (c *client) method() (uint16, protocol.Method, error) {
	f, err := c.next()
	if err != nil {
		return 0, nil, err
	}
	if f.Type != protocol.FrameMethod {
		return f.Channel, nil, fmt.Errorf("a frame of type %d on channel %d", f.Type, f.Channel)
	}
	m, err := protocol.DecodeMethod(f.Payload)
	return f.Channel, m, err
}

// expect reads a method, which has to be the one that is wanted.
func expect[T protocol.Method](c *client, channel uint16) T {
	c.t.Helper()
	on, m, err := c.method()
	want, is := m.(T)
	if err != nil || !is || on != channel {
		c.t.Fatalf("on channel %d: got %T %+v (%v), want %T on channel %d", on, m, m, err, want, channel)
	}
	return want
}

// content reads the header and body that follow a method.
func (c *client) content(channel uint16) (protocol.Properties, []byte) {
	c.t.Helper()
	f, err := c.next()
	if err != nil || f.Type != protocol.FrameHeader || f.Channel != channel {
		c.t.Fatalf("no content header: %+v (%v)", f, err)
	}
	h, err := protocol.ParseContentHeader(f.Payload)
	if err != nil {
		c.t.Fatal(err)
	}
	var body []byte
	for uint64(len(body)) < h.BodySize {
		f, err := c.next()
		if err != nil || f.Type != protocol.FrameBody || f.Channel != channel {
			c.t.Fatalf("no content body: type %d (%v)", f.Type, err)
		}
		body = append(body, f.Payload...)
	}
	return protocol.Properties(h.Properties), body
}

// delivery reads a basic.deliver with its content.
func (c *client) delivery(channel uint16) (*protocol.BasicDeliver, string) {
	c.t.Helper()
	d := expect[*protocol.BasicDeliver](c, channel)
	_, body := c.content(channel)
	return d, string(body)
}

// wantClose reads connection.close with that code and text, on the connection's own channel or, if channel is not 0,
// channel.close. It is answered.
func (c *client) wantClose(channel uint16, code uint16, text string) {
	c.t.Helper()
	if channel == 0 {
		m := expect[*protocol.ConnectionClose](c, 0)
		if m.ReplyCode != code || m.ReplyText != text {
			c.t.Fatalf("closed with %d %q, want %d %q", m.ReplyCode, m.ReplyText, code, text)
		}
		c.send(0, &protocol.ConnectionCloseOk{})
		return
	}
	m := expect[*protocol.ChannelClose](c, channel)
	if m.ReplyCode != code || m.ReplyText != text {
		c.t.Fatalf("closed with %d %q, want %d %q", m.ReplyCode, m.ReplyText, code, text)
	}
	c.send(channel, &protocol.ChannelCloseOk{})
}

// wantEnd reads until the broker has closed the socket, and gives the methods that came before.
func (c *client) wantEnd() (last []protocol.Method) {
	c.t.Helper()
	for {
		f, err := c.next()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.t.Fatalf("the socket stays open")
			}
			if !errors.Is(err, io.EOF) && !isReset(err) {
				c.t.Fatalf("reading: %v", err)
			}
			return last
		}
		if f.Type == protocol.FrameMethod {
			if m, err := protocol.DecodeMethod(f.Payload); err == nil {
				last = append(last, m)
			}
		}
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

// until reads frames until a method of that id has come.
func (c *client) until(id protocol.MethodID) {
	c.t.Helper()
	for {
		f, err := c.next()
		if err != nil {
			c.t.Fatal(err)
		}
		if f.Type == protocol.FrameMethod {
			if got, _ := protocol.SplitMethod(f.Payload); got == id {
				return
			}
		}
	}
}

// close ends the connection in order.
func (c *client) close() {
	c.t.Helper()
	c.send(0, &protocol.ConnectionClose{ReplyCode: 200})
	c.until(protocol.ConnectionCloseOkID)
}

// queue declares a queue and gives its name and count.
func (c *client) queue(channel uint16, m protocol.QueueDeclare) *protocol.QueueDeclareOk {
	c.t.Helper()
	c.send(channel, &m)
	return expect[*protocol.QueueDeclareOk](c, channel)
}

// count asks a queue for its ready messages and consumers.
func (c *client) count(channel uint16, queue string) (ready, consumers uint32) {
	c.t.Helper()
	ok := c.queue(channel, protocol.QueueDeclare{Queue: queue, Passive: true})
	return ok.MessageCount, ok.ConsumerCount
}

// get takes a message; ok is false if there is none.
func (c *client) get(channel uint16, queue string, noAck bool) (m *protocol.BasicGetOk, body string, ok bool) {
	c.t.Helper()
	c.send(channel, &protocol.BasicGet{Queue: queue, NoAck: noAck})
	_, answer, err := c.method()
	switch m := answer.(type) {
	case *protocol.BasicGetOk:
		_, octets := c.content(channel)
		return m, string(octets), true
	case *protocol.BasicGetEmpty:
		return nil, "", false
	}
	c.t.Fatalf("basic.get: %T %+v (%v)", answer, answer, err)
	return nil, "", false
}

// persistent are the properties of a message that is to last.
var persistent = protocol.PropertyList{Present: protocol.FlagDeliveryMode, DeliveryMode: 2}
