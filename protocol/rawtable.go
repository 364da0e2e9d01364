package protocol

import (
	"bytes"
	"encoding/binary"
	"math"
)

// RawTable is a field table as it is on the wire (spec 4.2.5.5), without the
// four octets of its length. [RawTable.Validate] has to have accepted it before
// anything else is asked of it; what this package decodes has been. It is
// borrowed from where it was decoded, and so is all that it hands out.
type RawTable []byte

// RawArray is the elements of a field array, like [RawTable].
type RawArray []byte

// RawValue is one value of a table or an array. Data is what follows the tag:
// for S, x, A and F without the length.
type RawValue struct {
	Tag  byte
	Data []byte
}

// Lookup returns the first value with the key.
func (t RawTable) Lookup(key string) (RawValue, bool) {
	for len(t) > 0 {
		name, v, rest := t.next()
		if string(name) == key {
			return v, true
		}
		t = rest
	}
	return RawValue{}, false
}

// Each calls yield for every field in the order of the wire, until yield returns
// false. It can be ranged over: for key, value := range t.Each.
func (t RawTable) Each(yield func(key []byte, v RawValue) bool) {
	for len(t) > 0 {
		name, v, rest := t.next()
		if !yield(name, v) {
			return
		}
		t = rest
	}
}

// next cuts the first field off.
func (t RawTable) next() (key []byte, v RawValue, rest RawTable) {
	end := 1 + int(t[0])
	v, r := nextValue(t[end:])
	return t[1:end], v, r
}

// Each calls yield for every element in order, until yield returns false. It can
// be ranged over: for value := range a.Each.
func (a RawArray) Each(yield func(v RawValue) bool) {
	for len(a) > 0 {
		v, rest := nextValue(a)
		if !yield(v) {
			return
		}
		a = rest
	}
}

// nextValue cuts the value with its tag off the front.
func nextValue(b []byte) (v RawValue, rest []byte) {
	tag, b := b[0], b[1:]
	size := int(fieldTags[tag].size)
	if size == sizedByLength {
		size = int(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	return RawValue{tag, b[:size:size]}, b[size:]
}

// TypeName returns RabbitMQ's name of the type, such as "longstr" for S.
func (v RawValue) TypeName() string { return fieldTags[v.Tag].name }

// Equal says whether both are of the same type and have the same value. Tables
// and arrays are the same if their octets are.
func (v RawValue) Equal(w RawValue) bool {
	if v.Tag == 't' && w.Tag == 't' {
		return (v.Data[0] != 0) == (w.Data[0] != 0)
	}
	return v.TypeName() == w.TypeName() && bytes.Equal(v.Data, w.Data) // l and L are one type
}

// Int returns the value of any integer type.
func (v RawValue) Int() (int64, bool) {
	switch v.Tag {
	case 'b':
		return int64(int8(v.Data[0])), true
	case 'B':
		return int64(v.Data[0]), true
	case 's':
		return int64(int16(binary.BigEndian.Uint16(v.Data))), true
	case 'u':
		return int64(binary.BigEndian.Uint16(v.Data)), true
	case 'I':
		return int64(int32(binary.BigEndian.Uint32(v.Data))), true
	case 'i':
		return int64(binary.BigEndian.Uint32(v.Data)), true
	case 'l', 'L':
		return int64(binary.BigEndian.Uint64(v.Data)), true
	}
	return 0, false
}

// Float returns the value of an f or d.
func (v RawValue) Float() (float64, bool) {
	switch v.Tag {
	case 'f':
		return float64(math.Float32frombits(binary.BigEndian.Uint32(v.Data))), true
	case 'd':
		return math.Float64frombits(binary.BigEndian.Uint64(v.Data)), true
	}
	return 0, false
}

// Bool returns the value of a t; any octet but 0 is true.
func (v RawValue) Bool() (value, ok bool) {
	if v.Tag != 't' {
		return false, false
	}
	return v.Data[0] != 0, true
}

// Bytes returns the octets of an S or x.
func (v RawValue) Bytes() ([]byte, bool) { return v.Data, v.Tag == 'S' || v.Tag == 'x' }

// Table returns the table of an F.
func (v RawValue) Table() (RawTable, bool) { return v.Data, v.Tag == 'F' }

// Array returns the array of an A.
func (v RawValue) Array() (RawArray, bool) { return v.Data, v.Tag == 'A' }

// Decode returns a copy of the value, with the Go type that [Field] lists.
func (v RawValue) Decode() any {
	switch v.Tag {
	case 't':
		return v.Data[0] != 0
	case 'b':
		return int8(v.Data[0])
	case 'B':
		return v.Data[0]
	case 's':
		return int16(binary.BigEndian.Uint16(v.Data))
	case 'u':
		return binary.BigEndian.Uint16(v.Data)
	case 'I':
		return int32(binary.BigEndian.Uint32(v.Data))
	case 'i':
		return binary.BigEndian.Uint32(v.Data)
	case 'l', 'L':
		return int64(binary.BigEndian.Uint64(v.Data))
	case 'f':
		return math.Float32frombits(binary.BigEndian.Uint32(v.Data))
	case 'd':
		return math.Float64frombits(binary.BigEndian.Uint64(v.Data))
	case 'T':
		return Timestamp(binary.BigEndian.Uint64(v.Data))
	case 'D':
		return Decimal{v.Data[0], binary.BigEndian.Uint32(v.Data[1:])}
	case 'S':
		return string(v.Data)
	case 'x':
		return append([]byte{}, v.Data...)
	case 'A':
		return RawArray(v.Data).Decode()
	case 'F':
		return RawTable(v.Data).Decode()
	}
	return nil
}

// Decode returns a copy of all elements.
func (a RawArray) Decode() Array {
	array := Array{}
	for v := range a.Each {
		array = append(array, v.Decode())
	}
	return array
}

// Decode returns a copy of all fields. It goes as deep as the table does, which
// Validate has limited.
func (t RawTable) Decode() Table {
	table := Table{}
	for key, v := range t.Each {
		table = append(table, Field{string(key), v.Decode()})
	}
	return table
}

// Canonical returns a copy that has one form for one meaning: fields sorted by
// key as [Table.Sorted] does, L written as l, true as 1. Bindings are the same
// if the canonical forms of their arguments are the same octets.
func (t RawTable) Canonical() RawTable { return t.Decode().Sorted().Raw() }
