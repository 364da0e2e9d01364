package protocol

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Properties is a view of the property octets of a basic content header: the
// flags and the values that are set (spec 4.2.6.1). They are borrowed. Octets
// that [ParseProperties] accepted before, and that were stored since, become a
// view again by conversion. Empty octets have no property.
type Properties []byte

// PropertyFlags is the set of properties that are present.
type PropertyFlags uint16

// The properties of class basic in the order of the wire (spec 1.8.2).
const (
	FlagContentType PropertyFlags = 1 << (15 - iota)
	FlagContentEncoding
	FlagHeaders
	FlagDeliveryMode
	FlagPriority
	FlagCorrelationID
	FlagReplyTo
	FlagExpiration
	FlagMessageID
	FlagTimestamp
	FlagType
	FlagUserID
	FlagAppID
	FlagClusterID
)

const (
	flagsOctet     = FlagDeliveryMode | FlagPriority
	flagsUndefined = FlagClusterID - 1
	flagsShortstr  = ^(FlagHeaders | FlagDeliveryMode | FlagPriority | FlagTimestamp | flagsUndefined)
	flagsSize      = 2
)

// ParseProperties checks everything about the property octets of a content
// header: that they end where the values do, and that the headers are a valid
// table. Strings are any octets, as in RabbitMQ. Nothing is copied, and only an
// error allocates.
//
// The two flag bits without a property are refused. The lowest announces a second
// word of flags, which class basic never has: RabbitMQ ignores it, but as these
// octets are forwarded as they are, a consumer that does not would lose step.
func ParseProperties(raw []byte) (Properties, error) {
	if len(raw) < flagsSize {
		return nil, Errorf(CodeSyntaxError, "content properties: no property flags")
	}
	p := Properties(raw)
	flags := p.Flags()
	if flags&flagsUndefined != 0 {
		return nil, Errorf(CodeSyntaxError, "content properties: undefined property flags %#04x", uint16(flags))
	}
	pos := flagsSize
	for flags != 0 {
		flag := flags.first()
		flags &^= flag
		end := p.end(pos, flag)
		if end > len(p) {
			return nil, Errorf(CodeSyntaxError, "content properties: a value ends beyond the header frame")
		}
		if flag == FlagHeaders {
			if err := RawTable(raw[pos+4 : end]).Validate(); err != nil {
				return nil, err
			}
		}
		pos = end
	}
	if pos != len(raw) {
		return nil, Errorf(CodeSyntaxError, "content properties: %d octets too many", len(raw)-pos)
	}
	return p, nil
}

// first returns the property that comes first on the wire.
func (f PropertyFlags) first() PropertyFlags {
	return FlagContentType >> (bits.LeadingZeros16(uint16(f)) & 15)
}

// Flags returns which properties are present.
func (p Properties) Flags() PropertyFlags {
	if len(p) < flagsSize {
		return 0
	}
	return PropertyFlags(binary.BigEndian.Uint16(p))
}

// end returns where the property that starts at pos ends; that is beyond p if
// the property does not lie in p.
func (p Properties) end(pos int, flag PropertyFlags) int {
	switch {
	case flag&flagsShortstr != 0 && pos < len(p):
		return pos + 1 + int(p[pos])
	case flag&flagsOctet != 0:
		return pos + 1
	case flag == FlagTimestamp:
		return pos + 8
	case flag == FlagHeaders && pos+4 <= len(p):
		return pos + 4 + int(min(binary.BigEndian.Uint32(p[pos:]), math.MaxInt32/2))
	}
	return len(p) + 1
}

// find returns where the property is; both ends are the same if it is absent,
// where it would be.
func (p Properties) find(flag PropertyFlags) (start, end int) {
	flags := p.Flags()
	start = min(flagsSize, len(p))
	for before := flags &^ (flag<<1 - 1); before != 0; {
		first := before.first()
		before &^= first
		start = p.end(start, first)
	}
	if flags&flag == 0 {
		return start, start
	}
	return start, p.end(start, flag)
}

func (p Properties) shortstr(flag PropertyFlags) ([]byte, bool) {
	if p.Flags()&flag == 0 {
		return nil, false
	}
	start, end := p.find(flag)
	return p[start+1 : end], true
}

func (p Properties) octet(flag PropertyFlags) (uint8, bool) {
	if p.Flags()&flag == 0 {
		return 0, false
	}
	start, _ := p.find(flag)
	return p[start], true
}

// ContentType returns the MIME content type.
func (p Properties) ContentType() ([]byte, bool) { return p.shortstr(FlagContentType) }

// ContentEncoding returns the MIME content encoding.
func (p Properties) ContentEncoding() ([]byte, bool) { return p.shortstr(FlagContentEncoding) }

// Headers returns the table of headers.
func (p Properties) Headers() (RawTable, bool) {
	if p.Flags()&FlagHeaders == 0 {
		return nil, false
	}
	start, end := p.find(FlagHeaders)
	return RawTable(p[start+4 : end]), true
}

// DeliveryMode returns the delivery mode; 2 is persistent.
func (p Properties) DeliveryMode() (uint8, bool) { return p.octet(FlagDeliveryMode) }

// Priority returns the priority.
func (p Properties) Priority() (uint8, bool) { return p.octet(FlagPriority) }

// CorrelationID returns the correlation identifier.
func (p Properties) CorrelationID() ([]byte, bool) { return p.shortstr(FlagCorrelationID) }

// ReplyTo returns the address to reply to.
func (p Properties) ReplyTo() ([]byte, bool) { return p.shortstr(FlagReplyTo) }

// Expiration returns the time to live as its decimal text, in milliseconds.
func (p Properties) Expiration() ([]byte, bool) { return p.shortstr(FlagExpiration) }

// MessageID returns the application's message identifier.
func (p Properties) MessageID() ([]byte, bool) { return p.shortstr(FlagMessageID) }

// Timestamp returns the message's timestamp in seconds since 1970.
func (p Properties) Timestamp() (uint64, bool) {
	if p.Flags()&FlagTimestamp == 0 {
		return 0, false
	}
	start, _ := p.find(FlagTimestamp)
	return binary.BigEndian.Uint64(p[start:]), true
}

// Type returns the application's message type name.
func (p Properties) Type() ([]byte, bool) { return p.shortstr(FlagType) }

// UserID returns the user that the publisher claims to be.
func (p Properties) UserID() ([]byte, bool) { return p.shortstr(FlagUserID) }

// AppID returns the application identifier.
func (p Properties) AppID() ([]byte, bool) { return p.shortstr(FlagAppID) }

// ClusterID returns the reserved last property.
func (p Properties) ClusterID() ([]byte, bool) { return p.shortstr(FlagClusterID) }
