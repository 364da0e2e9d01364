package session

import (
	"crypto/sha256"
	"slices"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// streamWish is what a consumer of a stream asks for.
type streamWish struct {
	from       queue.StreamOffset
	filters    []uint32
	unfiltered bool
}

// checkStream reads what only consumers of streams may ask for, and demands what they must.
func (w *consumerWish) checkStream(q *topology.Queue, where string) *protocol.Error {
	if q.Type != "stream" {
		return nil
	}
	if value, ok := w.Arguments.Lookup("x-stream-offset"); ok {
		if w.stream.from, ok = streamOffset(value); !ok {
			return protocol.PreconditionFailed("invalid arg 'x-stream-offset' for %s: {invalid_stream_offset_arg,{%s,%s}}",
				where, value.TypeName(), protocol.ErlangTerm(value.Decode()))
		}
	}
	if value, ok := w.Arguments.Lookup("x-stream-match-unfiltered"); ok {
		w.stream.unfiltered, _ = value.Bool()
	}
	if value, ok := w.Arguments.Lookup("x-stream-filter"); ok {
		w.stream.filters = streamFilters(value)
		// An empty value is none: to ask for it is to ask for messages without one.
		w.stream.unfiltered = w.stream.unfiltered || slices.Contains(w.stream.filters, queue.FilterHash(nil))
	}
	switch {
	case w.prefetch == 0:
		return protocol.PreconditionFailed("consumer prefetch count is not set for stream %s", where)
	case w.NoAck:
		return protocol.Errorf(protocol.CodeNotImplemented, "automatic acknowledgement not supported by stream %s", where)
	}
	return nil
}

// streamOffset reads x-stream-offset: a word, an offset, a time, or how long ago.
func streamOffset(value protocol.RawValue) (queue.StreamOffset, bool) {
	if n, ok := value.Int(); ok {
		return queue.StreamOffset{Kind: queue.OffsetAbsolute, Value: n}, true
	}
	if value.Tag == 'T' {
		seconds, _ := value.Decode().(protocol.Timestamp)
		return queue.StreamOffset{Kind: queue.OffsetTime, Value: int64(seconds) * 1000}, true
	}
	text, _ := value.Bytes()
	switch string(text) {
	case "first":
		return queue.StreamOffset{Kind: queue.OffsetFirst}, true
	case "last":
		return queue.StreamOffset{Kind: queue.OffsetLast}, true
	case "next":
		return queue.StreamOffset{Kind: queue.OffsetNext}, true
	}
	ago, ok := topology.ParseAge(string(text))
	return queue.StreamOffset{Kind: queue.OffsetAgo, Value: ago}, ok
}

// streamFilters reads x-stream-filter: one value or several.
func streamFilters(value protocol.RawValue) (hashes []uint32) {
	if text, ok := value.Bytes(); ok {
		return []uint32{queue.FilterHash(filterValue(text))}
	}
	list, _ := value.Array()
	for element := range list.Each {
		if text, ok := element.Bytes(); ok {
			hashes = append(hashes, queue.FilterHash(filterValue(text)))
		}
	}
	return hashes
}

// filterValue is what stands for a filter value: itself, or a digest if it is too long for a record.
func filterValue(text []byte) []byte {
	if len(text) <= shortstrMax {
		return text
	}
	digest := sha256.Sum256(text)
	return digest[:]
}

// streamed gives a message's properties as a stream's reader gets them: with its offset, always with a delivery mode, and
// without what a stream of RabbitMQ does not keep (tables and arrays but CC and a dead letter's x-death, the cluster id).
func streamed(props []byte, offset uint64, deadLetter bool) []byte {
	p := protocol.Properties(props)
	headers, _ := p.Headers()
	kept := protocol.RawTable{}
	for key, value := range headers.Each {
		switch {
		case value.Tag == 'A' && string(key) == "x-death" && deadLetter:
			kept = protocol.AppendField(kept, string(key), value.Decode())
		case value.Tag == 'F', value.Tag == 'A' && string(key) != "CC", string(key) == "x-stream-offset":
		case value.Tag == 'x':
			octets, _ := value.Bytes()
			kept = protocol.AppendField(kept, string(key), string(octets))
		default:
			kept = protocol.AppendField(kept, string(key), value.Decode())
		}
	}
	kept = protocol.AppendField(kept, "x-stream-offset", int64(offset))
	out := protocol.Properties(protocol.AppendWithHeaders(nil, p, kept))
	if _, ok := out.DeliveryMode(); !ok {
		out = protocol.AppendWithDeliveryMode(nil, out, 1)
	}
	if _, ok := out.ClusterID(); ok {
		out = protocol.AppendWithout(nil, out, protocol.FlagClusterID)
	}
	return out
}
