package broker_test

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol"
)

// flood writes octets again and again until the socket is closed, and counts how often.
func (c *client) flood(octets []byte) *atomic.Int64 {
	var count atomic.Int64
	conn := c.conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := conn.Write(octets); err != nil {
				return
			}
			count.Add(1)
		}
	}()
	c.t.Cleanup(func() { conn.Close(); <-done })
	return &count
}

// stalls waits until a count has not risen for a while, and gives the memory that is in use then.
func stalls(t *testing.T, count *atomic.Int64) (used uint64) {
	t.Helper()
	last, still := int64(-1), 0
	eventually(t, "the flood is held back", func() bool {
		used = heap()
		if now := count.Load(); now != last {
			last, still = now, 0
		} else {
			still++
		}
		return still >= 30
	})
	return used
}

// narrow makes the client's receive buffer small, so that what the broker sends does not vanish in it.
func (c *client) narrow() {
	c.t.Helper()
	if err := c.conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		c.t.Fatal(err)
	}
}

// narrowed makes the broker's send buffer small, for the same reason.
func narrowed(conn net.Conn) net.Conn {
	if tcp, ok := conn.(*net.TCPConn); !ok || tcp.SetWriteBuffer(4096) != nil {
		return nil
	}
	return conn
}

// TestAClientThatNeverReads asks and asks, in different ways, and does not read the answers: it is held back, memory stays
// where it was, and others are served.
func TestAClientThatNeverReads(t *testing.T) {
	for _, f := range []struct {
		what   string
		octets func(c *client) []byte
	}{
		{"requests", func(c *client) []byte {
			var out []byte
			for range 1000 {
				out = protocol.AppendMethodFrame(out, 1, &protocol.QueueDeclare{Queue: "q", Passive: true})
			}
			return out
		}},
		{"gets", func(c *client) []byte {
			var out []byte
			for range 1000 {
				out = protocol.AppendMethodFrame(out, 1, &protocol.BasicGet{Queue: "q"})
			}
			return out
		}},
		{"declarations", func(c *client) []byte {
			var out []byte
			for range 200 {
				out = protocol.AppendMethodFrame(out, 1, &protocol.QueueDeclare{Queue: "q"})
				out = protocol.AppendMethodFrame(out, 1, &protocol.QueueBind{Queue: "q", Exchange: "amq.topic", RoutingKey: "a.b"})
			}
			return out
		}},
		{"returned messages", func(c *client) []byte {
			return c.appendPublish(nil, 1, message{key: "nobody", mandatory: true, body: strings.Repeat("x", 4<<20)})
		}},
		{"confirms", func(c *client) []byte {
			var out []byte
			for range 500 { // taken and refused in turn, so that every message wants an answer of its own
				out = c.appendPublish(out, 1, message{exchange: "full", key: "k"})
				out = c.appendPublish(out, 1, message{key: "refuses"})
			}
			return out
		}},
		{"confirms of nothing", func(c *client) []byte {
			var out []byte
			for range 500 {
				out = c.appendPublish(out, 1, message{key: "nobody"})
				out = c.appendPublish(out, 1, message{key: "refuses"})
			}
			return out
		}},
	} {
		t.Run(f.what, func(t *testing.T) {
			b := start(t, func(c *broker.Config) { c.Wrap = narrowed })
			c, other := connect(t, b), connect(t, b)
			other.channel(1)
			other.queue(1, protocol.QueueDeclare{Queue: "q"})
			other.queue(1, protocol.QueueDeclare{Queue: "full", Arguments: protocol.Table{{Key: "x-max-length", Value: int32(10)}}.Raw()})
			other.queue(1, protocol.QueueDeclare{Queue: "refuses", Arguments: protocol.Table{
				{Key: "x-max-length", Value: int32(0)}, {Key: "x-overflow", Value: "reject-publish"},
			}.Raw()})
			other.send(1, &protocol.ExchangeDeclare{Exchange: "full", Type: "fanout"}, &protocol.QueueBind{Queue: "full", Exchange: "full"})
			expect[*protocol.ExchangeDeclareOk](other, 1)
			expect[*protocol.QueueBindOk](other, 1)
			c.confirming(1)
			c.confirming(2)
			c.narrow()
			before := heap()
			used := stalls(t, c.flood(f.octets(c)))
			grown := int64(used) - int64(before)
			t.Logf("%d KiB more in use", grown>>10)
			if grown > 32<<20 {
				t.Errorf("%d MiB more are in use", grown>>20)
			}
			other.quiet(1)
			if _, _, ok := other.get(1, "q", true); ok {
				t.Error("there is a message in q")
			}
			c.conn.Close()
		})
	}
}

// TestDeliveriesToAClientThatDoesNotRead stay in the queue but for a window; others get theirs.
func TestDeliveriesToAClientThatDoesNotRead(t *testing.T) {
	b := start(t)
	deaf, p, other := connect(t, b), connect(t, b), connect(t, b)
	for _, c := range []*client{deaf, p, other} {
		c.channel(1)
	}
	p.queue(1, protocol.QueueDeclare{Queue: "q"})
	deaf.send(1, &protocol.BasicConsume{Queue: "q", NoAck: true})
	expect[*protocol.BasicConsumeOk](deaf, 1)
	const count, size = 400, 256 << 10
	body := strings.Repeat("x", size)
	for range count {
		p.publish(1, message{key: "q", body: body})
	}
	var ready uint32
	last, still := uint32(0), 0
	eventually(t, "the consumer's window is used up", func() bool {
		if ready, _ = p.count(1, "q"); ready == last {
			still++
		} else {
			last, still = ready, 0
		}
		return still > 200
	})
	t.Logf("%d of %d messages were taken out of the queue", count-ready, count)
	if ready < count/2 {
		t.Errorf("only %d of %d messages stay in the queue", ready, count)
	}
	other.send(1, &protocol.BasicConsume{Queue: "q", NoAck: true})
	expect[*protocol.BasicConsumeOk](other, 1)
	for range ready {
		other.delivery(1)
	}
	for range count - ready { // and the deaf one gets its own, when it reads at last
		deaf.delivery(1)
	}
}

// TestFloodOfAcks settles many messages one by one, backwards, in small and large groups, mixed with refusals.
func TestFloodOfAcks(t *testing.T) {
	b := start(t)
	c := connect(t, b)
	c.channel(1)
	q := c.queue(1, protocol.QueueDeclare{Exclusive: true}).Queue
	c.send(1, &protocol.BasicConsume{Queue: q})
	expect[*protocol.BasicConsumeOk](c, 1)
	const count = 6000
	var out []byte
	for range count {
		out = c.appendPublish(out, 1, message{key: q, body: "m"})
	}
	c.write(out)
	for i := range count {
		if d, _ := c.delivery(1); d.DeliveryTag != uint64(i+1) {
			t.Fatalf("delivery tag %d, want %d", d.DeliveryTag, i+1)
		}
	}
	out = out[:0]
	for tag := uint64(1000); tag >= 1; tag-- { // backwards
		out = protocol.AppendMethodFrame(out, 1, &protocol.BasicAck{DeliveryTag: tag})
	}
	for tag := uint64(1001); tag <= 3000; tag += 2 { // every second
		out = protocol.AppendMethodFrame(out, 1, &protocol.BasicReject{DeliveryTag: tag})
	}
	for tag := uint64(1002); tag <= 3000; tag += 100 { // what is between, a hundred at a time
		out = protocol.AppendMethodFrame(out, 1, &protocol.BasicAck{DeliveryTag: tag + 98, Multiple: true})
	}
	out = protocol.AppendMethodFrame(out, 1, &protocol.BasicNack{DeliveryTag: 5000, Multiple: true})
	out = protocol.AppendMethodFrame(out, 1, &protocol.BasicAck{Multiple: true})
	c.write(out)
	c.quiet(1)
	c.send(1, &protocol.BasicAck{DeliveryTag: 42})
	c.wantClose(1, protocol.CodePreconditionFailed, "PRECONDITION_FAILED - unknown delivery tag 42")
	c.channel(2)
	if ready, _ := c.count(2, q); ready != 0 {
		t.Errorf("%d messages came back", ready)
	}
}
