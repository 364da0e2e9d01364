package protocol

import "encoding/binary"

// Frame is one frame of a connection (spec 4.2.3).
type Frame struct {
	Type    byte
	Channel uint16
	Payload []byte // borrowed from the buffer it was parsed from
}

// The frame types (spec 4.2.3) and the octet that ends every frame.
const (
	FrameMethod    = 1
	FrameHeader    = 2
	FrameBody      = 3
	FrameHeartbeat = 8
	FrameEnd       = 0xCE
)

const (
	// FrameOverhead is what a frame has around its payload: type, channel,
	// size and end octet. A body frame carries frame-max less this.
	FrameOverhead = frameHead + 1
	// FrameMinSize is the smallest frame-max a peer may ask for, and the limit
	// for frames before it is tuned (RabbitMQ's value; spec 4.2.3 has 4096).
	FrameMinSize = 8192

	frameHead         = 7
	contentHeaderHead = 12 // class, weight and body size
)

// ParseFrame cuts the first frame from buf. n is its length in buf; n == 0
// without an error means that buf does not hold it all yet. Nothing is allocated
// for a frame, and nothing waited for once its head shows that it is too large.
//
// frameMax is the limit in force. A payload may be as long as that, which is 8
// octets more than spec 4.2.3 allows: clients get it wrong, and RabbitMQ lets
// them. 0 has no special meaning: who agrees to "no limit" passes the limit it
// can bear.
//
// An error with n == 0 means that the stream is out of step: say why, and stop
// reading. An error with n > 0 is for a whole frame, returned too, that makes no
// sense: of unknown type, a method without id, a content header without size, a
// heartbeat with payload. Who is closing already may skip it.
func ParseFrame(buf []byte, frameMax uint32) (f Frame, n int, err error) {
	if len(buf) < frameHead {
		return Frame{}, 0, nil
	}
	f.Type = buf[0]
	f.Channel = binary.BigEndian.Uint16(buf[1:])
	size := binary.BigEndian.Uint32(buf[3:])
	if size > frameMax {
		return Frame{}, 0, frameTooLarge(f, size, frameMax)
	}
	if uint64(len(buf)) < uint64(size)+FrameOverhead {
		return Frame{}, 0, nil
	}
	end := frameHead + int(size)
	f.Payload = buf[frameHead:end:end]
	if buf[end] != FrameEnd {
		return Frame{}, 0, invalidEnd(f, buf[end])
	}
	if !f.wellFormed() {
		return f, end + 1, unknownFrame(f)
	}
	return f, end + 1, nil
}

// wellFormed says whether the payload can be one of the frame's type.
func (f Frame) wellFormed() bool {
	switch f.Type {
	case FrameMethod:
		return len(f.Payload) >= methodHead
	case FrameHeader:
		return len(f.Payload) >= contentHeaderHead
	case FrameBody:
		return true
	case FrameHeartbeat:
		return len(f.Payload) == 0
	}
	return false
}

// AppendFrameHead appends the 7 octets before a payload of size octets, for a
// caller that brings payload and FrameEnd itself.
func AppendFrameHead(dst []byte, frameType byte, channel uint16, size uint32) []byte {
	dst = append(dst, frameType)
	dst = binary.BigEndian.AppendUint16(dst, channel)
	return binary.BigEndian.AppendUint32(dst, size)
}

// AppendFrame appends a whole frame.
func AppendFrame(dst []byte, f Frame) []byte {
	dst = AppendFrameHead(dst, f.Type, f.Channel, uint32(len(f.Payload)))
	dst = append(dst, f.Payload...)
	return append(dst, FrameEnd)
}

// AppendHeartbeat appends a heartbeat frame (spec 4.2.7).
func AppendHeartbeat(dst []byte) []byte {
	return AppendFrame(dst, Frame{Type: FrameHeartbeat})
}

// ProtocolHeaderSize is the length of what a client sends first (spec 4.2.2).
const ProtocolHeaderSize = 8

// ProtocolHeader is the header of AMQP 0-9-1, what a client sends first.
const ProtocolHeader = "AMQP\x00\x00\x09\x01"

// saslHeader is what RabbitMQ 4 answers to a header it knows nothing better for:
// that of AMQP 1.0 with SASL.
const saslHeader = "AMQP\x03\x01\x00\x00"

// Version is a protocol version, for instance 0-9-1.
type Version struct{ Major, Minor, Revision uint8 }

// ParseProtocolHeader judges the first octets of a connection (spec 4.2.2). It
// returns the version they ask for, or else the header to answer before closing.
// Both versions that are accepted are spoken as 0-9-1, and connection.start says
// 0-9 in either. AMQP 1.0 over SASL is told that 0-9-1 is what there is.
func ParseProtocolHeader(head [ProtocolHeaderSize]byte) (v Version, refusal string) {
	switch string(head[:]) {
	case ProtocolHeader:
		return Version{0, 9, 1}, ""
	case "AMQP\x01\x01\x00\x09":
		return Version{0, 9, 0}, ""
	case saslHeader:
		return Version{}, ProtocolHeader
	}
	if string(head[:6]) == "AMQP\x00\x00" && head[6] >= 9 {
		return Version{}, ProtocolHeader
	}
	return Version{}, saslHeader
}
