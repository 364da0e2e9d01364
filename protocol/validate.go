package protocol

import (
	"encoding/binary"
	"math"
)

const (
	// TableDepthMax is how deep tables and arrays may lie in each other; the
	// outermost table counts.
	TableDepthMax = 64
	// TableEntriesMax is how many fields and array elements a table may hold,
	// those of the tables and arrays in it included.
	TableEntriesMax = 8192
)

// fieldTag is what a tag octet stands for; without a name it is unknown.
type fieldTag struct {
	name string // RabbitMQ's name of the type
	size int8   // octets of the value, or sizedByLength
}

const sizedByLength = -1

// fieldTags are the types RabbitMQ reads. They are not those of spec 4.2.1: s is
// an int16 and there is no U, both l and L are an int64, x is RabbitMQ's own.
var fieldTags = [256]fieldTag{
	't': {"bool", 1},
	'b': {"byte", 1},
	'B': {"unsignedbyte", 1},
	's': {"short", 2},
	'u': {"unsignedshort", 2},
	'I': {"signedint", 4},
	'i': {"unsignedint", 4},
	'l': {"long", 8},
	'L': {"long", 8},
	'f': {"float", 4},
	'd': {"double", 8},
	'D': {"decimal", 5},
	'T': {"timestamp", 8},
	'V': {"void", 0},
	'S': {"longstr", sizedByLength},
	'x': {"binary", sizedByLength},
	'A': {"array", sizedByLength},
	'F': {"table", sizedByLength},
}

// Validate refuses, with an *Error, a table that does not end where its values
// do, that has an unknown type in it, that is deeper than TableDepthMax or longer
// than TableEntriesMax, or that holds a number that is none: Erlang has no NaN
// and no infinity, JSON has neither, and NaN is not even equal to itself. Twice
// the same key is allowed; the first counts. Keys and strings are any octets.
//
// Whatever the table holds, it does not recurse, and only an error allocates.
func (t RawTable) Validate() error {
	var (
		ends    [TableDepthMax]int // where the containers around the innermost end
		arrays  uint64             // bit n: the container at depth n is an array
		depth   int                // of the innermost container; the table itself is 0
		end     = len(t)           // of the innermost container
		entries int
	)
	for pos := 0; ; {
		for pos == end {
			if depth == 0 {
				return nil
			}
			depth--
			end = ends[depth]
		}
		if entries++; entries > TableEntriesMax {
			return Errorf(CodeSyntaxError, "field table: more than %d entries", TableEntriesMax)
		}
		if arrays>>depth&1 == 0 {
			pos += 1 + int(t[pos]) // the key
		}
		tag, start, next, err := checkValue(t[:end], pos)
		if err != nil {
			return err
		}
		pos = next
		if tag != 'A' && tag != 'F' {
			continue
		}
		if depth+1 == TableDepthMax {
			return Errorf(CodeSyntaxError, "field table: deeper than %d", TableDepthMax)
		}
		ends[depth], end, pos = end, next, start
		depth++
		arrays &^= 1 << depth
		if tag == 'A' {
			arrays |= 1 << depth
		}
	}
}

// checkValue checks the value with its tag at pos, but not what a table or an
// array has in it, and says from where to where that is.
func checkValue(b []byte, pos int) (tag byte, start, end int, err error) {
	if pos >= len(b) {
		return 0, 0, 0, tableTruncated()
	}
	tag = b[pos]
	start = pos + 1
	size := int(fieldTags[tag].size)
	if size == sizedByLength {
		if len(b)-start < 4 {
			return 0, 0, 0, tableTruncated()
		}
		length := binary.BigEndian.Uint32(b[start:])
		start += 4
		if uint64(length) > uint64(len(b)-start) {
			return 0, 0, 0, tableTruncated()
		}
		return tag, start, start + int(length), nil
	}
	if fieldTags[tag].name == "" {
		return 0, 0, 0, Errorf(CodeSyntaxError, "field table: unknown field type %q", tag)
	}
	if size > len(b)-start {
		return 0, 0, 0, tableTruncated()
	}
	if tag == 'f' || tag == 'd' {
		if v, _ := (RawValue{tag, b[start:]}).Float(); math.IsNaN(v) || math.IsInf(v, 0) {
			return 0, 0, 0, Errorf(CodeSyntaxError, "field table: %v is not a number", v)
		}
	}
	return tag, start, start + size, nil
}

func tableTruncated() *Error {
	return Errorf(CodeSyntaxError, "field table: a value ends beyond the table")
}
