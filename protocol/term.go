package protocol

import (
	"math"
	"strconv"
	"strings"
)

// ErlangTerm renders a table value as RabbitMQ's reply texts show it: a string as <<"abc">>, a float as 6.0e4, a nested
// table as a list of tuples.
func ErlangTerm(value any) string {
	switch v := value.(type) {
	case nil:
		return "undefined"
	case bool:
		return strconv.FormatBool(v)
	case string:
		return ErlangBinary([]byte(v))
	case []byte:
		return ErlangBinary(v)
	case float32:
		return ErlangFloat(float64(v))
	case float64:
		return ErlangFloat(v)
	case Decimal:
		return "{" + strconv.Itoa(int(v.Scale)) + "," + strconv.FormatUint(uint64(v.Value), 10) + "}"
	case Timestamp:
		return strconv.FormatUint(uint64(v), 10)
	case Array:
		terms := make([]string, len(v))
		for i, element := range v {
			terms[i] = "{" + TypeName(element) + "," + ErlangTerm(element) + "}"
		}
		return "[" + strings.Join(terms, ",") + "]"
	case Table:
		terms := make([]string, len(v))
		for i, f := range v {
			terms[i] = "{" + ErlangBinary([]byte(f.Key)) + "," + TypeName(f.Value) + "," + ErlangTerm(f.Value) + "}"
		}
		return "[" + strings.Join(terms, ",") + "]"
	}
	return integerTerm(value)
}

func integerTerm(value any) string {
	switch v := value.(type) {
	case int8:
		return strconv.FormatInt(int64(v), 10)
	case int16:
		return strconv.FormatInt(int64(v), 10)
	case int32:
		return strconv.FormatInt(int64(v), 10)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint8:
		return strconv.FormatUint(uint64(v), 10)
	case uint16:
		return strconv.FormatUint(uint64(v), 10)
	case uint32:
		return strconv.FormatUint(uint64(v), 10)
	}
	return ""
}

// ErlangFloat renders a float as Erlang does: the shortest digits, always with a point, with an exponent where that is
// shorter, and where digits would stand for integers that a float cannot tell apart.
func ErlangFloat(f float64) string {
	plain := withPoint(strconv.FormatFloat(f, 'f', -1, 64))
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	power, _ := strconv.Atoi(exponent) // without the + and the leading zero
	scientific := withPoint(mantissa) + "e" + strconv.Itoa(power)
	if len(scientific) < len(plain) || math.Abs(f) >= 1<<53 {
		return scientific
	}
	return plain
}

func withPoint(digits string) string {
	if strings.Contains(digits, ".") {
		return digits
	}
	return digits + ".0"
}
