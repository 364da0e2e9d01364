package management

import (
	"errors"
	"net"
	"time"

	"github.com/warrenmq/warren/protocol"
)

// client is an AMQP connection to the broker itself, as the user who asks, with one channel. What the user may not do
// there, this API does not do for it either. owner: the request
type client struct {
	conn net.Conn
	in   []byte // octets read and not used yet
	size uint32 // of frames
}

// clientTime is how long all of a request's AMQP may take.
const clientTime = 30 * time.Second

// clientFrame is the largest frame asked for.
const clientFrame = 131072

// errVHost is what the broker's refusal to let the user into the vhost comes to.
var errVHost = errRefused

// dial opens a connection to a vhost, and a channel.
func (q *request) dial(vhost string) (*client, error) {
	c := &client{conn: q.server.Dial(q.peer()), size: protocol.FrameMinSize}
	if err := c.open(q.principal.Name(), q.password, vhost); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *client) open(user, password, vhost string) error {
	if err := c.conn.SetDeadline(time.Now().Add(clientTime)); err != nil {
		return err
	}
	if _, err := c.conn.Write([]byte(protocolHeader)); err != nil {
		return err
	}
	if _, err := c.next(); err != nil { // connection.start
		return err
	}
	tune, err := c.call(0, &protocol.ConnectionStartOk{
		Mechanism: "PLAIN", Response: "\x00" + user + "\x00" + password, Locale: "en_US",
	})
	if err != nil {
		return err
	}
	t, is := tune.(*protocol.ConnectionTune)
	if !is {
		return errors.New("the broker does not tune")
	}
	frame := min(t.FrameMax, clientFrame)
	if err := c.send(0, &protocol.ConnectionTuneOk{ChannelMax: t.ChannelMax, FrameMax: frame}); err != nil {
		return err
	}
	c.size = frame
	if _, err = c.call(0, &protocol.ConnectionOpen{VirtualHost: vhost}); err != nil {
		var refusal *protocol.Error
		if errors.As(err, &refusal) {
			return errVHost
		}
		return err
	}
	_, err = c.call(1, &protocol.ChannelOpen{})
	return err
}

// protocolHeader begins every connection (spec 4.2.2).
const protocolHeader = "AMQP\x00\x00\x09\x01"

// close ends the connection in order, unless it has ended by itself.
func (c *client) close() {
	_, _ = c.call(0, &protocol.ConnectionClose{ReplyCode: protocol.CodeReplySuccess}) // nothing depends on the answer
	_ = c.conn.Close()
}

func (c *client) send(channel uint16, m protocol.Method) error {
	_, err := c.conn.Write(protocol.AppendMethodFrame(nil, channel, m))
	return err
}

// call sends a method and gives the next one that comes.
func (c *client) call(channel uint16, m protocol.Method) (protocol.Method, error) {
	if err := c.send(channel, m); err != nil {
		return nil, err
	}
	return c.next()
}

// next reads the next method. One that ends the channel or the connection is an error, a *protocol.Error whose text is as
// the broker sent it.
func (c *client) next() (protocol.Method, error) {
	f, err := c.frame()
	if err != nil {
		return nil, err
	}
	if f.Type != protocol.FrameMethod {
		return nil, errors.New("a frame that is no method")
	}
	m, err := protocol.DecodeMethod(f.Payload)
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *protocol.ChannelClose:
		return nil, &protocol.Error{Code: m.ReplyCode, Text: m.ReplyText}
	case *protocol.ConnectionClose:
		_ = c.send(0, &protocol.ConnectionCloseOk{}) // it is over anyway
		return nil, &protocol.Error{Code: m.ReplyCode, Text: m.ReplyText}
	}
	return m, nil
}

// frame reads the next frame but heartbeats. It is the caller's own.
func (c *client) frame() (protocol.Frame, error) {
	for {
		f, n, err := protocol.ParseFrame(c.in, c.size)
		if err != nil {
			return f, err
		}
		if n > 0 {
			f.Payload = append([]byte(nil), f.Payload...)
			c.in = c.in[n:]
			if f.Type == protocol.FrameHeartbeat {
				continue
			}
			return f, nil
		}
		buffer := make([]byte, clientFrame)
		read, err := c.conn.Read(buffer)
		if err != nil {
			return f, err
		}
		c.in = append(c.in, buffer[:read]...)
	}
}

// content reads a message behind the method that announced it.
func (c *client) content() (protocol.Properties, []byte, error) {
	f, err := c.frame()
	if err != nil {
		return nil, nil, err
	}
	h, err := protocol.ParseContentHeader(f.Payload)
	if err != nil {
		return nil, nil, err
	}
	body := []byte{}
	for uint64(len(body)) < h.BodySize {
		if f, err = c.frame(); err != nil {
			return nil, nil, err
		}
		body = append(body, f.Payload...)
	}
	return protocol.Properties(h.Properties), body, nil
}
