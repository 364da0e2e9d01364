package protocol

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// Table is a decoded field table, in the order of the wire.
type Table []Field

// Field is a key of up to 255 octets and a value. The Go type of Value says the
// type on the wire, one for one:
//
//	bool t      int8 b      uint8 B     int16 s     uint16 u
//	int32 I     uint32 i    int64 l     float32 f   float64 d
//	Decimal D   Timestamp T string S    []byte x    Array A
//	Table F     nil V
type Field struct {
	Key   string
	Value any
}

// Array is a decoded field array; its elements have the types [Field] lists.
type Array []any

// Timestamp is in seconds since 1970 (spec 4.2.5.4).
type Timestamp uint64

// Decimal is Value / 10^Scale; RabbitMQ reads Value without a sign.
type Decimal struct {
	Scale uint8
	Value uint32
}

// Get returns the first value with the key.
func (t Table) Get(key string) (any, bool) {
	for _, f := range t {
		if f.Key == key {
			return f.Value, true
		}
	}
	return nil, false
}

// Sorted returns a copy in the order of the keys. Equal keys keep their order,
// and tables in the table keep theirs: so RabbitMQ tells bindings apart.
func (t Table) Sorted() Table {
	t = slices.Clone(t)
	slices.SortStableFunc(t, func(a, b Field) int { return cmp.Compare(a.Key, b.Key) })
	return t
}

// Raw returns the encoded table.
func (t Table) Raw() RawTable { return AppendTable(nil, t) }

// AppendTable appends the fields of t, without a length in front.
func AppendTable(dst []byte, t Table) []byte {
	for _, f := range t {
		dst = AppendField(dst, f.Key, f.Value)
	}
	return dst
}

// AppendField appends one field to the octets of a [RawTable].
func AppendField(dst []byte, key string, value any) []byte {
	dst = appendShortstr(dst, key)
	return AppendValue(dst, value)
}

// AppendValue appends a value with its tag: one element of a [RawArray]. A Go
// type that [Field] does not list panics.
func AppendValue(dst []byte, value any) []byte {
	dst = append(dst, tagOf(value))
	switch v := value.(type) {
	case nil:
	case bool:
		dst = append(dst, bit(v))
	case int8:
		dst = append(dst, byte(v))
	case uint8:
		dst = append(dst, v)
	case int16:
		dst = binary.BigEndian.AppendUint16(dst, uint16(v))
	case uint16:
		dst = binary.BigEndian.AppendUint16(dst, v)
	case int32:
		dst = binary.BigEndian.AppendUint32(dst, uint32(v))
	case uint32:
		dst = binary.BigEndian.AppendUint32(dst, v)
	case int64:
		dst = binary.BigEndian.AppendUint64(dst, uint64(v))
	case float32:
		dst = binary.BigEndian.AppendUint32(dst, math.Float32bits(v))
	case float64:
		dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(v))
	case Decimal:
		dst = binary.BigEndian.AppendUint32(append(dst, v.Scale), v.Value)
	case Timestamp:
		dst = binary.BigEndian.AppendUint64(dst, uint64(v))
	case string:
		dst = appendLongstr(dst, v)
	case []byte:
		dst = appendLongstr(dst, v)
	case Array:
		start := len(dst) + 4
		dst = appendLongstr(dst, "")
		for _, element := range v {
			dst = AppendValue(dst, element)
		}
		binary.BigEndian.PutUint32(dst[start-4:], uint32(len(dst)-start))
	case Table:
		start := len(dst) + 4
		dst = AppendTable(appendLongstr(dst, ""), v)
		binary.BigEndian.PutUint32(dst[start-4:], uint32(len(dst)-start))
	}
	return dst
}

// TypeName returns RabbitMQ's name for the type of a value, such as "longstr"
// for a string, as its reply texts say it.
func TypeName(value any) string { return fieldTags[tagOf(value)].name }

// tagOf returns the tag for a Go type; L is read, but never written.
func tagOf(value any) byte {
	switch value.(type) {
	case nil:
		return 'V'
	case bool:
		return 't'
	case int8:
		return 'b'
	case uint8:
		return 'B'
	case int16:
		return 's'
	case uint16:
		return 'u'
	case int32:
		return 'I'
	case uint32:
		return 'i'
	case int64:
		return 'l'
	case float32:
		return 'f'
	case float64:
		return 'd'
	case Decimal:
		return 'D'
	case Timestamp:
		return 'T'
	case string:
		return 'S'
	case []byte:
		return 'x'
	case Array:
		return 'A'
	case Table:
		return 'F'
	}
	bug("a field value of type %T", value)
	return 0
}
