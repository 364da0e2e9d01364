package broker_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol"
)

// heap is how much memory is in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// frameHead is the octets before a payload, of whatever size.
func frameHead(kind byte, channel uint16, size uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{kind, byte(channel >> 8), byte(channel)}, size)
}

// TestFramesThatClaimTooMuch: a length is believed only as far as octets have come.
func TestFramesThatClaimTooMuch(t *testing.T) {
	b := start(t)
	other := connect(t, b)
	other.channel(1)
	before := heap()
	for _, size := range []uint32{131072 + 1, 1 << 30, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		for _, kind := range []byte{protocol.FrameMethod, protocol.FrameHeader, protocol.FrameBody, protocol.FrameHeartbeat} {
			c := connect(t, b)
			c.channel(1)
			c.write(append(frameHead(kind, 1, size), "some octets of it"...))
			m := expect[*protocol.ConnectionClose](c, 0)
			want := fmt.Sprintf("FRAME_ERROR - type %d, all octets = <<>>: {frame_too_large,%d,%d}", kind, size, 131072-8)
			if m.ReplyCode != protocol.CodeFrameError || m.ReplyText != want || m.ClassID != 0 {
				t.Errorf("%d octets: %+v, want %s", size, m, want)
			}
			c.conn.Close()
		}
	}
	for _, size := range []uint32{8192 + 1, 1 << 30, 1<<32 - 1} { // before anybody has logged in
		c := dial(t, b)
		c.write([]byte(protocol.ProtocolHeader))
		expect[*protocol.ConnectionStart](c, 0)
		c.write(append(frameHead(protocol.FrameMethod, 0, size), "some octets of it"...))
		c.wantEnd()
	}
	if after := heap(); after > before+16<<20 {
		t.Errorf("%d MiB more are in use", (after-before)>>20)
	}
	other.quiet(1)
}

// TestBodiesThatClaimTooMuch: no memory is taken for a body that has not come.
func TestBodiesThatClaimTooMuch(t *testing.T) {
	b := start(t)
	before := heap()
	begin := func(size uint64) *client {
		c := connect(t, b)
		c.channel(1)
		c.send(1, &protocol.BasicPublish{})
		c.write(protocol.AppendContentHeaderFrame(nil, 1, size, nil))
		return c
	}
	for _, size := range []uint64{512<<20 + 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		begin(size).wantClose(0, protocol.CodeFrameError,
			fmt.Sprintf("FRAME_ERROR - content body size %d exceeds maximum allowed size 536870912", size))
	}
	for _, size := range []uint64{16<<20 + 1, 512 << 20} {
		begin(size).wantClose(1, protocol.CodePreconditionFailed,
			fmt.Sprintf("PRECONDITION_FAILED - message size %d is larger than configured max size 16777216", size))
	}
	var waiting []*client
	for range 40 {
		c := begin(16 << 20)
		c.write(protocol.AppendBodyFrames(nil, 1, []byte("the beginning"), 131072))
		waiting = append(waiting, c)
	}
	for _, c := range waiting {
		c.channel(2) // so the beginning was read
	}
	if after := heap(); after > before+16<<20 {
		t.Errorf("%d MiB more are in use", (after-before)>>20)
	}
}

// TestANameThatIsNotUTF8 ends the connection without saying which method it was in, as RabbitMQ does.
func TestANameThatIsNotUTF8(t *testing.T) {
	client := connect(t, start(t))
	client.channel(1)
	client.send(1, &protocol.QueueDeclare{Queue: "q\xff"})
	m := expect[*protocol.ConnectionClose](client, 0)
	if string(m.ReplyText) != "FRAME_ERROR - Malformed UTF-8 in shortstr" || m.ClassID != 0 || m.MethodID != 0 {
		t.Errorf("%+v", m)
	}
}

func TestFramesThatAreNone(t *testing.T) {
	b := start(t)
	method := protocol.AppendMethodFrame(nil, 1, &protocol.BasicQos{})
	badEnd := bytes.Clone(method)
	badEnd[len(badEnd)-1] = 0
	badArguments := protocol.AppendFrame(nil, protocol.Frame{Type: protocol.FrameMethod, Channel: 1, Payload: method[7 : len(method)-2]})
	unknown := protocol.AppendFrame(nil, protocol.Frame{Type: protocol.FrameMethod, Channel: 1, Payload: []byte{0, 99, 0, 99}})
	for _, c := range []struct {
		what   string
		octets []byte
		code   uint16
		text   string
	}{
		{"a bad end", badEnd, 501, "FRAME_ERROR - type 1, all octets = <<0,60,0,10,0,0,0,0,0,0,0>>: {invalid_frame_end_marker,0}"},
		{"an unknown type", protocol.AppendFrame(nil, protocol.Frame{Type: 5, Channel: 1, Payload: []byte("ab")}), 501,
			`FRAME_ERROR - type 5, all octets = <<"ab">>: unknown_frame`},
		{"a short method", protocol.AppendFrame(nil, protocol.Frame{Type: 1, Channel: 1, Payload: []byte{0, 60}}), 501,
			"FRAME_ERROR - type 1, all octets = <<0,60>>: unknown_frame"},
		{"bad arguments", badArguments, 501, "FRAME_ERROR - cannot decode <<0,0,0,0,0,0>>"},
		{"an unknown method", unknown, 503, "COMMAND_INVALID - unknown method"},
		{"a heartbeat with a payload", protocol.AppendFrame(nil, protocol.Frame{Type: 8, Payload: []byte("a")}), 501,
			`FRAME_ERROR - type 8, all octets = <<"a">>: unknown_frame`},
		{"a heartbeat on a channel", protocol.AppendFrame(nil, protocol.Frame{Type: 8, Channel: 1}), 505,
			"UNEXPECTED_FRAME - type 8, all octets = <<>>"},
		{"a body on channel 0", protocol.AppendFrame(nil, protocol.Frame{Type: 3, Payload: []byte("ab")}), 505,
			`UNEXPECTED_FRAME - type 3, all octets = <<"ab">>`},
		{"a body without a method", protocol.AppendFrame(nil, protocol.Frame{Type: 3, Channel: 1, Payload: []byte("ab")}), 505,
			"UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
		{"a header without a method", protocol.AppendContentHeaderFrame(nil, 1, 0, nil), 505,
			"UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
		{"a channel that is not open", protocol.AppendMethodFrame(nil, 2, &protocol.BasicQos{}), 504, "CHANNEL_ERROR - expected 'channel.open'"},
		{"a body on a channel that is not open", protocol.AppendFrame(nil, protocol.Frame{Type: 3, Channel: 2}), 504,
			"CHANNEL_ERROR - expected 'channel.open'"},
	} {
		t.Run(c.what, func(t *testing.T) {
			client := connect(t, b)
			client.channel(1)
			client.write(c.octets)
			client.wantClose(0, c.code, c.text)
			client.wantEnd()
		})
	}
	connect(t, b).close()
}

func TestContentsOutOfStep(t *testing.T) {
	b := start(t)
	publish := protocol.AppendMethodFrame(nil, 1, &protocol.BasicPublish{})
	header := func(size uint64) []byte { return protocol.AppendContentHeaderFrame(nil, 1, size, nil) }
	body := func(s string) []byte {
		return protocol.AppendFrame(nil, protocol.Frame{Type: 3, Channel: 1, Payload: []byte(s)})
	}
	weight := header(1)
	weight[7+3] = 1
	class := header(1)
	class[7+1] = 61
	for _, c := range []struct {
		what   string
		frames [][]byte
		code   uint16
		text   string
	}{
		{"a body instead of the header", [][]byte{publish, body("a")}, 505,
			"UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"},
		{"a method instead of the header", [][]byte{publish, publish}, 505,
			"UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"},
		{"another class", [][]byte{publish, class}, 505,
			"UNEXPECTED_FRAME - expected content header for class 60, got one for class 61 instead"},
		{"a weight", [][]byte{publish, weight}, 505,
			"UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"},
		{"a header instead of the body", [][]byte{publish, header(2), header(2)}, 505,
			"UNEXPECTED_FRAME - expected content body, got non content body frame instead"},
		{"a method instead of the body", [][]byte{publish, header(2), body("a"), publish}, 505,
			"UNEXPECTED_FRAME - expected content body, got non content body frame instead"},
		{"a body that is longer", [][]byte{publish, header(2), body("abc")}, 501,
			"FRAME_ERROR - content body frame exceeds remaining content size"},
		{"a body that is longer at last", [][]byte{publish, header(2), body("a"), body("bc")}, 501,
			"FRAME_ERROR - content body frame exceeds remaining content size"},
		{"a body behind an empty one", [][]byte{publish, header(0), body("")}, 505,
			"UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
		{"a body behind a whole one", [][]byte{publish, header(1), body("a"), body("")}, 505,
			"UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
	} {
		t.Run(c.what, func(t *testing.T) {
			client := connect(t, b)
			client.channel(1)
			client.write(bytes.Join(c.frames, nil))
			client.wantClose(0, c.code, c.text)
			client.wantEnd()
		})
	}
}

// TestContentsInPieces sends a message frame by frame, and octet by octet, with other things in between: what belongs to
// it must not change while it waits.
func TestContentsInPieces(t *testing.T) {
	b := start(t)
	c := connect(t, b)
	c.channel(1)
	c.channel(2)
	q := c.queue(1, protocol.QueueDeclare{Exclusive: true}).Queue
	properties := protocol.PropertyList{
		Present: protocol.FlagContentType | protocol.FlagHeaders, ContentType: "text/plain",
		Headers: protocol.Table{{Key: "key", Value: strings.Repeat("value", 20)}}.Raw(),
	}
	body := strings.Repeat("0123456789", 5)
	pieces := [][]byte{
		protocol.AppendMethodFrame(nil, 1, &protocol.BasicPublish{RoutingKey: []byte(q)}),
		protocol.AppendContentHeaderFrame(nil, 1, uint64(len(body)), properties.Append(nil)),
		protocol.AppendFrame(nil, protocol.Frame{Type: 3, Channel: 1, Payload: []byte(body[:7])}),
		protocol.AppendFrame(nil, protocol.Frame{Type: 3, Channel: 1}),
		protocol.AppendFrame(nil, protocol.Frame{Type: 3, Channel: 1, Payload: []byte(body[7:])}),
	}
	other := message{key: "nobody", body: strings.Repeat("#", 3000), properties: persistent}
	for _, size := range []int{1 << 20, 100, 16, 1} {
		for _, piece := range pieces {
			for ; len(piece) > size; piece = piece[size:] {
				c.write(piece[:size])
			}
			c.write(piece)
			c.publish(2, other, other)
			c.quiet(2) // what was sent so far was handled, and the buffer is another
		}
		c.send(1, &protocol.BasicGet{Queue: q, NoAck: true})
		got := expect[*protocol.BasicGetOk](c, 1)
		props, octets := c.content(1)
		if string(octets) != body || string(got.RoutingKey) != q || string(props) != string(properties.Append(nil)) {
			t.Fatalf("pieces of %d: got %q with %q", size, octets, props)
		}
	}
}

// TestFrameMaxHoldsForBothSides: a frame as large as agreed is fine, one octet more is not; what the broker sends fits.
func TestFrameMaxHoldsForBothSides(t *testing.T) {
	b := start(t)
	for _, frameMax := range []uint32{8192, 10_000, 131072} {
		how := guest
		how.frameMax = frameMax
		c := connectAs(t, b, how)
		c.channel(1)
		q := c.queue(1, protocol.QueueDeclare{Exclusive: true}).Queue
		for _, size := range []int{0, 1, int(frameMax) - 8, int(frameMax) - 7, 3 * int(frameMax), 300_001} {
			c.publish(1, message{key: q, body: strings.Repeat("x", size)})
			c.send(1, &protocol.BasicGet{Queue: q, NoAck: true})
			expect[*protocol.BasicGetOk](c, 1)
			f, err := c.next()
			if err != nil || f.Type != protocol.FrameHeader {
				t.Fatal(f, err)
			}
			for got := 0; got < size; got += len(f.Payload) {
				if f, err = c.next(); err != nil || f.Type != protocol.FrameBody || len(f.Payload)+8 > int(frameMax) {
					t.Fatalf("frame_max %d: a frame of %d octets (%v)", frameMax, len(f.Payload), err)
				}
			}
		}
		c.send(1, &protocol.BasicPublish{})
		c.write(protocol.AppendContentHeaderFrame(nil, 1, uint64(frameMax)+1, nil))
		c.write(protocol.AppendFrame(nil, protocol.Frame{Type: 3, Channel: 1, Payload: make([]byte, frameMax+1)}))
		c.wantClose(0, protocol.CodeFrameError, fmt.Sprintf("FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,%d,%d}", frameMax+1, frameMax-8))
	}
}

func TestMessagesMayBeAsLargeAsIsConfigured(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.Session.MaxMessageSize = 1000 })
	c := connect(t, b)
	c.channel(1)
	c.publish(1, message{body: strings.Repeat("x", 1000)})
	c.quiet(1)
	c.publish(1, message{body: strings.Repeat("x", 1001)})
	c.wantClose(1, protocol.CodePreconditionFailed, "PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000")
}
