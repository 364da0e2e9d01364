package protocol

import (
	"encoding/binary"
	"unicode/utf8"
)

// shortstrMax is the longest shortstr (spec 4.2.5.3).
const shortstrMax = 255

// arguments reads the fields of a method one after another (spec 4.2.1). It
// remembers what was wrong and goes on with zeros, so that the generated
// decoders need to ask only once, at the end.
type arguments struct {
	rest      []byte
	truncated bool
	notUTF8   bool
	badTable  error
}

func (a *arguments) octet() uint8 {
	if b := a.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (a *arguments) short() uint16 {
	if b := a.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (a *arguments) long() uint32 {
	if b := a.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (a *arguments) longlong() uint64 {
	if b := a.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// shortstr reads a string of up to 255 octets of UTF-8 (spec 4.2.5.3).
func (a *arguments) shortstr() string {
	v := string(a.shortstrBytes())
	if !utf8.ValidString(v) {
		a.notUTF8 = true
	}
	return v
}

// shortstrBytes borrows a string, of any octets: RabbitMQ does not check those of
// methods with content, and there are publishers with binary routing keys.
func (a *arguments) shortstrBytes() []byte { return a.take(uint32(a.octet())) }

// longstr reads a string of any octets.
func (a *arguments) longstr() string { return string(a.longstrBytes()) }

func (a *arguments) longstrBytes() []byte { return a.take(a.long()) }

// table borrows a field table that is valid.
func (a *arguments) table() RawTable {
	t := RawTable(a.longstrBytes())
	if err := t.Validate(); err != nil && a.badTable == nil {
		a.badTable = err
	}
	return t
}

// take cuts off the next octets, or returns nil if there are not so many; then
// all that follows is zero.
func (a *arguments) take(size uint32) []byte {
	if uint64(size) > uint64(len(a.rest)) {
		a.truncated, a.rest = true, nil
		return nil
	}
	v := a.rest[:size:size]
	a.rest = a.rest[size:]
	return v
}

// finish says what was wrong with args, the arguments of the method.
func (a *arguments) finish(id MethodID, args []byte) error {
	if len(a.rest) == 0 && !a.truncated && !a.notUTF8 && a.badTable == nil {
		return nil
	}
	return a.refuse(id, args)
}

// refuse words the error as RabbitMQ does, which looks for these in this order.
func (a *arguments) refuse(id MethodID, args []byte) error {
	switch {
	case a.truncated || len(a.rest) > 0:
		return undecodable(id, args)
	case a.notUTF8:
		return &Error{Code: CodeFrameError, Text: "Malformed UTF-8 in shortstr"}
	}
	refusal := a.badTable.(*Error)
	refusal.Method = id
	return refusal
}

// bit is the value of a bit in the octet it shares (spec 4.2.5.2).
func bit(set bool) byte {
	if set {
		return 1
	}
	return 0
}

func appendShortstr[S string | []byte](dst []byte, s S) []byte {
	if len(s) > shortstrMax {
		bug("a shortstr of %d octets", len(s))
	}
	dst = append(dst, byte(len(s)))
	return append(dst, s...)
}

func appendLongstr[S string | RawTable | []byte](dst []byte, s S) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}
