package protocol

import (
	"encoding/binary"
	"math"
)

// ContentHeader is the payload of a content header frame (spec 4.2.6.1).
type ContentHeader struct {
	Class      uint16
	Weight     uint16 // has to be 0
	BodySize   uint64 // what the peer claims, not checked here
	Properties []byte // borrowed; for ParseProperties
}

// ParseContentHeader reads the payload of a header frame. One that [ParseFrame]
// let through is never refused.
func ParseContentHeader(payload []byte) (ContentHeader, error) {
	if len(payload) < contentHeaderHead {
		return ContentHeader{}, &Error{Code: CodeFrameError, Text: "content header is truncated"}
	}
	return ContentHeader{
		Class:      binary.BigEndian.Uint16(payload),
		Weight:     binary.BigEndian.Uint16(payload[2:]),
		BodySize:   binary.BigEndian.Uint64(payload[4:]),
		Properties: payload[contentHeaderHead:],
	}, nil
}

// classBasic is the only class with content.
const classBasic = uint16(BasicPublishID >> 16)

// noProperties is what a content header holds if no property is set.
const noProperties = "\x00\x00"

// AppendContentHeaderFrame appends the header frame of a basic content. Without
// properties, nil will do.
func AppendContentHeaderFrame(dst []byte, channel uint16, bodySize uint64, properties []byte) []byte {
	size := contentHeaderHead + max(len(properties), len(noProperties))
	dst = AppendFrameHead(dst, FrameHeader, channel, uint32(size))
	dst = binary.BigEndian.AppendUint32(dst, uint32(classBasic)<<16) // and weight 0
	dst = binary.BigEndian.AppendUint64(dst, bodySize)
	if len(properties) == 0 {
		dst = append(dst, noProperties...)
	}
	dst = append(dst, properties...)
	return append(dst, FrameEnd)
}

// AppendBodyFrames appends body in frames of at most frameMax octets each, and
// nothing for an empty one (spec 4.2.6.2). frameMax must leave room for a body.
func AppendBodyFrames(dst []byte, channel uint16, body []byte, frameMax uint32) []byte {
	chunkMax := bodyChunkMax(frameMax)
	for len(body) > 0 {
		chunk := body[:min(len(body), chunkMax)]
		dst = AppendFrameHead(dst, FrameBody, channel, uint32(len(chunk)))
		dst = append(dst, chunk...)
		dst = append(dst, FrameEnd)
		body = body[len(chunk):]
	}
	return dst
}

// bodyChunkMax is how much of a body a frame can carry.
func bodyChunkMax(frameMax uint32) int {
	if frameMax <= FrameOverhead {
		bug("a frame-max of %d", frameMax)
	}
	return int(min(frameMax-FrameOverhead, math.MaxInt32))
}

// AppendContent appends header and body of a basic content: what follows
// basic.publish, basic.return and basic.get-ok.
func AppendContent(dst []byte, channel uint16, properties, body []byte, frameMax uint32) []byte {
	dst = AppendContentHeaderFrame(dst, channel, uint64(len(body)), properties)
	return AppendBodyFrames(dst, channel, body, frameMax)
}
