package protocol

import (
	"encoding/binary"
)

// PropertyList is the properties of a content as plain values, to build them or
// to look at all of them. A property counts only if its flag is in Present.
type PropertyList struct {
	Present         PropertyFlags
	ContentType     string
	ContentEncoding string
	Headers         RawTable // the only one that Decode borrows
	DeliveryMode    uint8
	Priority        uint8
	CorrelationID   string
	ReplyTo         string
	Expiration      string
	MessageID       string
	Timestamp       uint64 // in seconds since 1970
	Type            string
	UserID          string
	AppID           string
	ClusterID       string
}

// Decode returns all properties.
func (p Properties) Decode() PropertyList {
	l := PropertyList{Present: p.Flags()}
	l.Headers, _ = p.Headers()
	l.DeliveryMode, _ = p.DeliveryMode()
	l.Priority, _ = p.Priority()
	l.Timestamp, _ = p.Timestamp()
	for flags := l.Present & flagsShortstr; flags != 0; flags &^= flags.first() {
		flag := flags.first()
		value, _ := p.shortstr(flag)
		*l.shortstr(flag) = string(value)
	}
	return l
}

// Append appends the property octets of a content header.
func (l *PropertyList) Append(dst []byte) []byte {
	flags := l.Present &^ flagsUndefined
	dst = binary.BigEndian.AppendUint16(dst, uint16(flags))
	for ; flags != 0; flags &^= flags.first() {
		switch flag := flags.first(); flag {
		case FlagHeaders:
			dst = appendLongstr(dst, l.Headers)
		case FlagDeliveryMode:
			dst = append(dst, l.DeliveryMode)
		case FlagPriority:
			dst = append(dst, l.Priority)
		case FlagTimestamp:
			dst = binary.BigEndian.AppendUint64(dst, l.Timestamp)
		default:
			dst = appendShortstr(dst, *l.shortstr(flag))
		}
	}
	return dst
}

// shortstr returns the field for the flag of a string property.
func (l *PropertyList) shortstr(flag PropertyFlags) *string {
	switch flag {
	case FlagContentType:
		return &l.ContentType
	case FlagContentEncoding:
		return &l.ContentEncoding
	case FlagCorrelationID:
		return &l.CorrelationID
	case FlagReplyTo:
		return &l.ReplyTo
	case FlagExpiration:
		return &l.Expiration
	case FlagMessageID:
		return &l.MessageID
	case FlagType:
		return &l.Type
	case FlagUserID:
		return &l.UserID
	case FlagAppID:
		return &l.AppID
	case FlagClusterID:
		return &l.ClusterID
	}
	bug("%#04x is not the flag of a string property", uint16(flag))
	return nil
}
