package protocol

import (
	"encoding/binary"
	"slices"
)

// DeliverPrefix is the encoded beginning that all deliveries to a consumer have
// in common: frame head, method id and consumer tag.
type DeliverPrefix struct {
	channel uint16
	encoded []byte
}

// Delivery is what differs between the deliveries to one consumer. The slices
// are only read.
type Delivery struct {
	Tag         uint64
	Redelivered bool
	Exchange    []byte
	RoutingKey  []byte
	Properties  []byte // as in ContentHeader
	Body        []byte
}

// NewDeliverPrefix encodes the prefix for a consumer.
func NewDeliverPrefix(channel uint16, consumerTag string) DeliverPrefix {
	encoded := AppendFrameHead(nil, FrameMethod, channel, 0)
	encoded = binary.BigEndian.AppendUint32(encoded, uint32(BasicDeliverID))
	return DeliverPrefix{channel, appendShortstr(encoded, consumerTag)}
}

// Append appends basic.deliver with its content: all frames of a delivery. The
// result is what [AppendMethodFrame] and [AppendContent] append.
func (p DeliverPrefix) Append(dst []byte, d *Delivery, frameMax uint32) []byte {
	const fixed = 64 // more than the other octets, if one frame holds the body
	size := len(p.encoded) + len(d.Exchange) + len(d.RoutingKey) + len(d.Properties) + len(d.Body)
	dst = slices.Grow(dst, size+fixed)
	start := len(dst)
	dst = append(dst, p.encoded...)
	dst = binary.BigEndian.AppendUint64(dst, d.Tag)
	dst = append(dst, bit(d.Redelivered))
	dst = appendShortstr(dst, d.Exchange)
	dst = appendShortstr(dst, d.RoutingKey)
	binary.BigEndian.PutUint32(dst[start+3:], uint32(len(dst)-start-frameHead))
	dst = append(dst, FrameEnd)
	return AppendContent(dst, p.channel, d.Properties, d.Body, frameMax)
}
