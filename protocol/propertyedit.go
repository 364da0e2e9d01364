package protocol

import "encoding/binary"

// The functions below append a copy of p to dst in which one property is another
// one. All others are copied as they are. dst must not share octets with p.

// AppendWithHeaders replaces the headers, or drops them if headers is nil.
func AppendWithHeaders(dst []byte, p Properties, headers RawTable) []byte {
	if headers == nil {
		return AppendWithout(dst, p, FlagHeaders)
	}
	dst, rest := appendUpTo(dst, p, FlagHeaders, true)
	dst = appendLongstr(dst, headers)
	return append(dst, rest...)
}

// AppendWithShortstr replaces or adds a string property, such as FlagReplyTo.
func AppendWithShortstr(dst []byte, p Properties, flag PropertyFlags, value []byte) []byte {
	new(PropertyList).shortstr(flag)
	dst, rest := appendUpTo(dst, p, flag, true)
	dst = appendShortstr(dst, value)
	return append(dst, rest...)
}

// AppendWithDeliveryMode replaces or adds the delivery mode.
func AppendWithDeliveryMode(dst []byte, p Properties, mode uint8) []byte {
	dst, rest := appendUpTo(dst, p, FlagDeliveryMode, true)
	return append(append(dst, mode), rest...)
}

// AppendWithout drops a property, such as FlagExpiration.
func AppendWithout(dst []byte, p Properties, flag PropertyFlags) []byte {
	dst, rest := appendUpTo(dst, p, flag, false)
	return append(dst, rest...)
}

// appendUpTo appends the flags, with or without flag, and the properties before
// it, and returns the octets of those after it.
func appendUpTo(dst []byte, p Properties, flag PropertyFlags, present bool) (out, rest []byte) {
	flags := p.Flags() &^ flag
	if present {
		flags |= flag
	}
	start, end := p.find(flag)
	dst = binary.BigEndian.AppendUint16(dst, uint16(flags))
	if len(p) > 0 {
		dst = append(dst, p[flagsSize:start]...)
	}
	return dst, p[end:]
}
