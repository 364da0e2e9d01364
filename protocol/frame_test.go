package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

func TestParseFrame(t *testing.T) {
	buf := []byte{3, 0x12, 0x34, 0, 0, 0, 2, 'h', 'i', FrameEnd, 8, 0, 0, 0, 0, 0, 0, FrameEnd, 1}
	f, n, err := ParseFrame(buf, FrameMinSize)
	if err != nil || n != 10 || f.Type != FrameBody || f.Channel != 0x1234 || string(f.Payload) != "hi" {
		t.Fatalf("got %+v, %d, %v", f, n, err)
	}
	if cap(f.Payload) != 2 {
		t.Error("the payload can be appended to: it would overwrite what follows")
	}
	buf = buf[n:]
	f, n, err = ParseFrame(buf, FrameMinSize)
	if err != nil || n != 8 || f.Type != FrameHeartbeat || len(f.Payload) != 0 {
		t.Fatalf("got %+v, %d, %v", f, n, err)
	}
	if _, n, err = ParseFrame(buf[n:], FrameMinSize); n != 0 || err != nil {
		t.Fatalf("got %d, %v for an incomplete frame", n, err)
	}
}

func TestParseFrameWaitsForAllOfIt(t *testing.T) {
	frame := AppendMethodFrame(nil, 1, &QueueDeclare{Queue: "q"})
	for n := range frame {
		if _, got, err := ParseFrame(frame[:n], FrameMinSize); got != 0 || err != nil {
			t.Fatalf("%d octets: got %d, %v", n, got, err)
		}
	}
}

func TestOversizeFrameIsRefusedByItsHead(t *testing.T) {
	for _, c := range []struct {
		size, frameMax uint32
		refused        bool
	}{
		{131064, 131072, false},
		{131072, 131072, false}, // the tolerance: frame-max itself
		{131073, 131072, true},
		{8192, FrameMinSize, false},
		{8193, FrameMinSize, true},
		{math.MaxUint32, 131072, true},
		{math.MaxUint32, math.MaxUint32, false},
		{0, 0, false},
		{1, 0, true},
		{2, 1, true},
	} {
		head := binary.BigEndian.AppendUint32([]byte{3, 0, 1}, c.size)
		if _, n, err := ParseFrame(head, c.frameMax); n != 0 || (err != nil) != c.refused {
			t.Errorf("size %d, frame-max %d: got %d, %v", c.size, c.frameMax, n, err)
		}
	}
}

// The texts are those of RabbitMQ.
func TestFrameRefusals(t *testing.T) {
	frame := func(frameType byte, payload string, end byte) []byte {
		b := AppendFrame(nil, Frame{Type: frameType, Channel: 1, Payload: []byte(payload)})
		b[len(b)-1] = end
		return b
	}
	publish := "\x00\x3c\x00\x28\x00\x00\x00\x01q\x00"
	for _, c := range []struct {
		frame   []byte
		skip    bool // the frame can be skipped
		text    string
		comment string
	}{
		{binary.BigEndian.AppendUint32([]byte{1, 0, 1}, 131073), false,
			"type 1, all octets = <<>>: {frame_too_large,131073,131064}", "too large"},
		{frame(8, "q", 'A'), false,
			`type 8, all octets = <<"q">>: {invalid_frame_end_marker,65}`, "wrong end"},
		{frame(1, publish, 'A'), false,
			"type 1, all octets = <<0,60,0,40,0,0,0,1,113,0>>: {invalid_frame_end_marker,\n" +
				"                                                   65}", "wrong end, a full line"},
		{frame(5, "abc", FrameEnd), true,
			`type 5, all octets = <<"abc">>: unknown_frame`, "unknown type"},
		{frame(0, "", FrameEnd), true,
			"type 0, all octets = <<>>: unknown_frame", "type 0"},
		{frame(1, "\x00\x32", FrameEnd), true,
			"type 1, all octets = <<0,50>>: unknown_frame", "a method without id"},
		{frame(2, "\x00\x3c", FrameEnd), true,
			"type 2, all octets = <<0,60>>: unknown_frame", "a header without size"},
		{frame(8, "x", FrameEnd), true,
			`type 8, all octets = <<"x">>: unknown_frame`, "a heartbeat with payload"},
		{frame(8, "a\"\\\t\x1b0123456789012", FrameEnd), true,
			`type 8, first 16 octets = <<"a\"\\\t\e01234567890">>: unknown_frame`, "quoted"},
		{frame(4, "\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f!", FrameEnd), true,
			"type 4, first 16 octets = <<128,129,130,131,132,133,134,135,136,137,138,139,\n" +
				"                            140,141,142,143>>: unknown_frame", "wrapped"},
	} {
		f, n, err := ParseFrame(c.frame, 131072)
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Code != CodeFrameError || refusal.Text != c.text || refusal.Method != 0 {
			t.Errorf("%s: got %v", c.comment, err)
		}
		if c.skip && (n != len(c.frame) || f.Channel != 1) || !c.skip && n != 0 {
			t.Errorf("%s: got %+v, %d", c.comment, f, n)
		}
	}
}

func TestUnexpectedFrame(t *testing.T) {
	err := UnexpectedFrame(Frame{Type: FrameMethod, Channel: 1, Payload: []byte{0, 20, 0, 10, 0}})
	if err.Code != CodeUnexpectedFrame || err.Text != "type 1, all octets = <<0,20,0,10,0>>" {
		t.Errorf("got %v", err)
	}
}

func TestAppendFrameRoundTrips(t *testing.T) {
	want := Frame{Type: FrameBody, Channel: 65535, Payload: bytes.Repeat([]byte("x"), 300)}
	got, n, err := ParseFrame(AppendFrame(nil, want), FrameMinSize)
	if err != nil || n != 308 || got.Channel != want.Channel || !bytes.Equal(got.Payload, want.Payload) {
		t.Errorf("got %+v, %d, %v", got, n, err)
	}
	if got := AppendHeartbeat(nil); !bytes.Equal(got, []byte{8, 0, 0, 0, 0, 0, 0, 0xCE}) {
		t.Errorf("heartbeat is %x", got)
	}
}

func TestParseProtocolHeader(t *testing.T) {
	const amqp10 = "AMQP\x03\x01\x00\x00"
	for head, want := range map[string]struct {
		version Version
		refusal string
	}{
		"AMQP\x00\x00\x09\x01":             {Version{0, 9, 1}, ""},
		"AMQP\x01\x01\x00\x09":             {Version{0, 9, 0}, ""},
		"AMQP\x00\x00\x09\x00":             {refusal: ProtocolHeader},
		"AMQP\x00\x00\x09\x02":             {refusal: ProtocolHeader},
		"AMQP\x00\x00\x0a\x00":             {refusal: ProtocolHeader},
		"AMQP\x03\x01\x00\x00":             {refusal: ProtocolHeader},
		"AMQP\x00\x00\x08\x00":             {refusal: amqp10},
		"AMQP\x01\x01\x08\x00":             {refusal: amqp10},
		"AMQP\x00\x01\x00\x00":             {refusal: amqp10},
		"AMQP\x02\x01\x00\x00":             {refusal: amqp10},
		"GET / HT":                         {refusal: amqp10},
		"\x16\x03\x01\x02\x00\x01\x00\x01": {refusal: amqp10},
		"\x00\x00\x00\x00\x00\x00\x00\x00": {refusal: amqp10},
	} {
		version, refusal := ParseProtocolHeader([8]byte([]byte(head)))
		if version != want.version || refusal != want.refusal {
			t.Errorf("%q: got %v, %q", head, version, refusal)
		}
	}
}
