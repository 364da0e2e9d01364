// Package message owns the stored form of a message: the record.
//
// A record is what a session writes into a publish command, what the log keeps, and what a delivery is encoded from; it
// is never re-encoded on the way. All integers are little endian.
//
//	0  flags        2 bytes, see the Flag constants
//	2  priority     1 byte, NoPriority if the property is absent
//	3  exchange     1 byte, length
//	4  routing key  1 byte, length
//	5  properties   4 bytes, length
//	9  body         4 bytes, length
//	13 extras, each only if its flag is set, in the order of the flags:
//	     expiration 8 bytes (milliseconds), delay 8 bytes (milliseconds), counts 2 x 4 bytes,
//	     deduplication key 1 byte length + bytes, producer 2 x 8 bytes,
//	     hidden keys 1 byte count, each 1 byte length + bytes, filter value 1 byte length + bytes,
//	     letter 3 x 8 bytes (source, number, floor)
//	   exchange, routing key, properties (AMQP's flag words and values, as they came), body
//
// The package never interprets properties; that is protocol's business.
//
// In use:
//  1. a session fills a Message with borrowed slices and appends it with Append;
//  2. the queue machine reads the head alone, with ParseHead;
//  3. a session that delivers reads everything, with Parse.
package message

import (
	"encoding/binary"
	"errors"
)

// Flags of a record.
const (
	FlagPersistent  = 1 << iota // delivery-mode 2
	FlagExpiration              // carries its own expiration
	FlagDelay                   // is to be held back before it is routed
	FlagCounts                  // was dead-lettered: carries delivery counts of its life before, and our own x-death
	FlagDedup                   // carries a deduplication key
	FlagProducer                // carries a producer identity and sequence number
	FlagRedelivered             // its first delivery already says redelivered
	FlagHidden                  // carries routing keys that nobody is shown (BCC)
	FlagFilter                  // carries a value that stream consumers may filter by
	FlagLetter                  // comes out of a queue's outbox: carries which letter of which queue it is
)

// NoPriority stands for an absent priority property.
const NoPriority = 255

// headSize is the fixed part of a record.
const headSize = 13

// ErrTruncated is returned for bytes that are not a whole record.
var ErrTruncated = errors.New("message: truncated record")

// Head is what the queue machine asks of a record.
type Head struct {
	Flags      uint16
	Priority   uint8
	Size       uint32 // body bytes
	Properties uint32 // property bytes
	Expiration uint64 // milliseconds, if FlagExpiration
	Delay      uint64 // milliseconds, if FlagDelay
	Deliveries uint32 // failed deliveries of an earlier life, if FlagCounts
	Acquired   uint32 // acquisitions of an earlier life, if FlagCounts
	Dedup      []byte // borrowed, if FlagDedup
	Producer   uint64 // identity, if FlagProducer
	Sequence   uint64 // its number of the message, if FlagProducer
	Hidden     []byte // encoded hidden keys, if FlagHidden; see HiddenKeys
	Filter     []byte // borrowed, if FlagFilter; at most 255 bytes
	Letter     Letter // if FlagLetter
}

// Letter says which letter out of an outbox a message is.
type Letter struct {
	Source uint64 // the queue it comes from
	Number uint64 // in that queue's outbox
	Floor  uint64 // letters of the source with lower numbers are settled: none of them comes again
}

// Message is a record opened up. All slices are borrowed.
type Message struct {
	Head
	Exchange   []byte
	RoutingKey []byte
	Props      []byte // raw content properties: flag words, then values
	Body       []byte
}

// Length is the number of bytes Append will write for m.
func (m *Message) Length() int {
	n := headSize + len(m.Exchange) + len(m.RoutingKey) + len(m.Props) + len(m.Body)
	if m.Flags&extraFlags == 0 {
		return n
	}
	if m.Flags&FlagExpiration != 0 {
		n += 8
	}
	if m.Flags&FlagDelay != 0 {
		n += 8
	}
	if m.Flags&FlagCounts != 0 {
		n += 8
	}
	if m.Flags&FlagDedup != 0 {
		n += 1 + len(m.Dedup)
	}
	if m.Flags&FlagProducer != 0 {
		n += 16
	}
	if m.Flags&FlagHidden != 0 {
		n += len(m.Hidden)
	}
	if m.Flags&FlagFilter != 0 {
		n += 1 + len(m.Filter)
	}
	if m.Flags&FlagLetter != 0 {
		n += 24
	}
	return n
}

// extraFlags are the flags that announce extras.
const extraFlags = FlagExpiration | FlagDelay | FlagCounts | FlagDedup | FlagProducer | FlagHidden | FlagFilter | FlagLetter

// AppendHidden encodes routing keys, of at most 255 bytes each and at most 255, for Head.Hidden.
func AppendHidden(dst []byte, keys []string) []byte {
	keys = keys[:min(len(keys), 255)]
	dst = append(dst, byte(len(keys)))
	for _, key := range keys {
		dst = append(append(dst, byte(len(key))), key...)
	}
	return dst
}

// HiddenKeys decodes Head.Hidden.
func (h *Head) HiddenKeys() []string {
	if len(h.Hidden) == 0 {
		return nil
	}
	keys := make([]string, 0, h.Hidden[0])
	for rest := h.Hidden[1:]; len(rest) > 0; {
		n := int(rest[0])
		keys = append(keys, string(rest[1:1+n]))
		rest = rest[1+n:]
	}
	return keys
}

// Append appends the record of m to dst. Exchange, routing key and deduplication key are at most 255 bytes.
func Append(dst []byte, m *Message) []byte {
	dst = append(dst, byte(m.Flags), byte(m.Flags>>8), m.Priority, byte(len(m.Exchange)), byte(len(m.RoutingKey)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(m.Props)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(m.Body)))
	if m.Flags&extraFlags != 0 {
		dst = appendExtras(dst, m)
	}
	dst = append(dst, m.Exchange...)
	dst = append(dst, m.RoutingKey...)
	dst = append(dst, m.Props...)
	return append(dst, m.Body...)
}

func appendExtras(dst []byte, m *Message) []byte {
	if m.Flags&FlagExpiration != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, m.Expiration)
	}
	if m.Flags&FlagDelay != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, m.Delay)
	}
	if m.Flags&FlagCounts != 0 {
		dst = binary.LittleEndian.AppendUint32(dst, m.Deliveries)
		dst = binary.LittleEndian.AppendUint32(dst, m.Acquired)
	}
	if m.Flags&FlagDedup != 0 {
		dst = append(dst, byte(len(m.Dedup)))
		dst = append(dst, m.Dedup...)
	}
	if m.Flags&FlagProducer != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, m.Producer)
		dst = binary.LittleEndian.AppendUint64(dst, m.Sequence)
	}
	if m.Flags&FlagHidden != 0 {
		dst = append(dst, m.Hidden...)
	}
	if m.Flags&FlagFilter != 0 {
		dst = append(append(dst, byte(len(m.Filter))), m.Filter...)
	}
	if m.Flags&FlagLetter != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, m.Letter.Source)
		dst = binary.LittleEndian.AppendUint64(dst, m.Letter.Number)
		dst = binary.LittleEndian.AppendUint64(dst, m.Letter.Floor)
	}
	return dst
}

// HeadOf gives the bytes that ParseHead reads of a record, borrowed.
func HeadOf(rec []byte) ([]byte, error) {
	var h Head
	at, err := parseHead(rec, &h)
	return rec[:at:at], err
}

// ParseHead reads the head and extras of a record. h.Dedup is borrowed from rec.
func ParseHead(rec []byte, h *Head) error {
	_, err := parseHead(rec, h)
	return err
}

// parseHead also says where the exchange name begins.
func parseHead(rec []byte, h *Head) (at int, err error) {
	if len(rec) < headSize {
		return 0, ErrTruncated
	}
	*h = Head{
		Flags:      binary.LittleEndian.Uint16(rec),
		Priority:   rec[2],
		Properties: binary.LittleEndian.Uint32(rec[5:]),
		Size:       binary.LittleEndian.Uint32(rec[9:]),
	}
	if h.Flags&extraFlags == 0 {
		return headSize, nil
	}
	return parseExtras(rec, h)
}

func parseExtras(rec []byte, h *Head) (at int, err error) {
	r := extras{rec: rec, at: headSize}
	if h.Flags&FlagExpiration != 0 {
		h.Expiration = r.uint64()
	}
	if h.Flags&FlagDelay != 0 {
		h.Delay = r.uint64()
	}
	if h.Flags&FlagCounts != 0 {
		both := r.uint64()
		h.Deliveries, h.Acquired = uint32(both), uint32(both>>32)
	}
	if h.Flags&FlagDedup != 0 {
		h.Dedup = r.short()
	}
	if h.Flags&FlagProducer != 0 {
		h.Producer = r.uint64()
		h.Sequence = r.uint64()
	}
	if h.Flags&FlagHidden != 0 {
		h.Hidden = r.keys()
	}
	if h.Flags&FlagFilter != 0 {
		h.Filter = r.short()
	}
	if h.Flags&FlagLetter != 0 {
		h.Letter = Letter{Source: r.uint64(), Number: r.uint64(), Floor: r.uint64()}
	}
	if r.missing {
		return 0, ErrTruncated
	}
	return r.at, nil
}

// extras reads the optional fields one after another; missing is set once bytes were missing.
type extras struct {
	rec     []byte
	at      int
	missing bool
}

func (r *extras) take(n int) []byte {
	if r.missing || len(r.rec)-r.at < n {
		r.missing = true
		return nil
	}
	b := r.rec[r.at : r.at+n]
	r.at += n
	return b
}

func (r *extras) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// keys takes an encoded list of keys whole.
func (r *extras) keys() []byte {
	from := r.at
	count := r.take(1)
	if count == nil {
		return nil
	}
	for range count[0] {
		r.short()
	}
	if r.missing {
		return nil
	}
	return r.rec[from:r.at:r.at]
}

func (r *extras) short() []byte {
	if b := r.take(1); b != nil {
		return r.take(int(b[0]))
	}
	return nil
}

// Parse opens a record up. The slices of m are borrowed from rec.
func Parse(rec []byte, m *Message) error {
	at, err := parseHead(rec, &m.Head)
	if err != nil {
		return err
	}
	xlen, klen := int(rec[3]), int(rec[4])
	plen, blen := int(m.Properties), int(m.Size)
	rest := rec[at:]
	if len(rest) < xlen+klen+plen+blen {
		return ErrTruncated
	}
	m.Exchange, rest = rest[:xlen:xlen], rest[xlen:]
	m.RoutingKey, rest = rest[:klen:klen], rest[klen:]
	m.Props, rest = rest[:plen:plen], rest[plen:]
	m.Body = rest[:blen:blen]
	return nil
}
