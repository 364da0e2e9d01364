package topology

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/protocol"
)

// Queue types by their names in x-queue-type, with the name that RabbitMQ's refusals give them.
var queueTypes = map[string]string{
	"classic": "rabbit_classic_queue",
	"quorum":  "rabbit_quorum_queue",
	"stream":  "rabbit_stream_queue",
}

// argument is a queue argument: which types know it, and what is wrong with a value. The order is that of the checks.
type argument struct {
	name  string
	types string // initials of the types
	wrong func(value any, all protocol.Table) string
}

const (
	onClassic = "c"
	onQuorum  = "q"
	onStream  = "s"
)

// durationMax is the longest time RabbitMQ takes, ten years in milliseconds.
const durationMax = 315360000000

var queueArguments = []argument{
	{"x-expires", onClassic + onQuorum, wrongExpires},
	{"x-message-ttl", onClassic + onQuorum, wrongDuration},
	{"x-dead-letter-exchange", onClassic + onQuorum, wrongText},
	{"x-dead-letter-routing-key", onClassic + onQuorum, wrongDeadLetterKey},
	{"x-dead-letter-strategy", onQuorum, oneOf("invalid_dlx_strategy", "at-most-once", "at-least-once")},
	{"x-max-length", onClassic + onQuorum, wrongCount},
	{"x-max-length-bytes", onClassic + onQuorum + onStream, wrongCount},
	{"x-max-in-memory-length", onQuorum, wrongCount},
	{"x-max-in-memory-bytes", onQuorum, wrongCount},
	{"x-max-priority", onClassic, wrongPriority},
	{"x-overflow", onClassic + onQuorum, oneOf("invalid_overflow", "drop-head", "reject-publish", "reject-publish-dlx")},
	{"x-queue-mode", onClassic, nil},
	{"x-queue-version", onClassic, wrongVersion},
	{"x-single-active-consumer", onClassic + onQuorum, wrongFlag},
	{"x-queue-type", onClassic + onQuorum + onStream, nil},
	{"x-quorum-initial-group-size", onQuorum, wrongSize},
	{"x-max-age", onStream, wrongAge},
	{"x-stream-max-segment-size-bytes", onStream, wrongCount},
	{"x-stream-filter-size-bytes", onStream, wrongCount},
	{"x-initial-cluster-size", onStream, wrongSize},
	{"x-queue-leader-locator", onClassic + onQuorum + onStream, oneOf("invalid_queue_locator_arg", "client-local", "balanced", "random", "least-leaders")},
	{"x-delivery-limit", onQuorum, nil},
	{"x-consumer-timeout", onQuorum, wrongCount},
	{"x-consumer-disconnected-timeout", onQuorum, wrongCount},
	{"x-delayed-retry-type", onQuorum, nil},
	{"x-delayed-retry-min", onQuorum, nil},
	{"x-delayed-retry-max", onQuorum, nil},
}

// checkArguments refuses what a queue of that type cannot have: first bad values, in the order below, then arguments of
// other types, in the order they were given.
func checkArguments(queueType, where string, table protocol.Table) *protocol.Error {
	initial := queueType[:1]
	for _, a := range queueArguments {
		value, ok := table.Get(a.name)
		if !ok || a.wrong == nil || !strings.Contains(a.types, initial) {
			continue
		}
		if text := a.wrong(value, table); text != "" {
			return protocol.PreconditionFailed("invalid arg '%s' for %s: %s", a.name, where, text)
		}
	}
	for _, f := range table {
		i := slices.IndexFunc(queueArguments, func(a argument) bool { return a.name == f.Key })
		if i >= 0 && !strings.Contains(queueArguments[i].types, initial) {
			return protocol.PreconditionFailed("invalid arg '%s' for %s of queue type %s", f.Key, where, queueTypes[queueType])
		}
	}
	return checkStream(queueType, table)
}

// Limits of a stream's arguments.
const (
	segmentMax             = 3_000_000_000
	filterMin, filterMax   = 16, 255
	argSegment, argFilters = "x-stream-max-segment-size-bytes", "x-stream-filter-size-bytes"
)

func checkStream(queueType string, table protocol.Table) *protocol.Error {
	if queueType != "stream" {
		return nil
	}
	if n, ok := argumentInteger(table, argSegment); ok && n > segmentMax {
		return protocol.PreconditionFailed("Exceeded max value for x-stream-max-segment-size-bytes")
	}
	if n, ok := argumentInteger(table, argFilters); ok && (n < filterMin || n > filterMax) {
		return protocol.PreconditionFailed("Invalid value for x-stream-filter-size-bytes")
	}
	return nil
}

func argumentInteger(table protocol.Table, name string) (int64, bool) {
	value, ok := table.Get(name)
	if !ok {
		return 0, false
	}
	return integer(value)
}

// integer gives the value of any integer type.
func integer(value any) (int64, bool) {
	switch v := value.(type) {
	case int8:
		return int64(v), true
	case uint8:
		return int64(v), true
	case int16:
		return int64(v), true
	case uint16:
		return int64(v), true
	case int32:
		return int64(v), true
	case uint32:
		return int64(v), true
	case int64:
		return v, true
	}
	return 0, false
}

func wrongInteger(value any, _ protocol.Table) string {
	if _, ok := integer(value); !ok {
		return fmt.Sprintf(`"expected integer, got %s"`, protocol.TypeName(value))
	}
	return ""
}

func wrongCount(value any, all protocol.Table) string {
	if text := wrongInteger(value, all); text != "" {
		return text
	}
	if n, _ := integer(value); n < 0 {
		return fmt.Sprintf("{value_negative,%d}", n)
	}
	return ""
}

func wrongSize(value any, all protocol.Table) string {
	if text := wrongCount(value, all); text != "" {
		return text
	}
	if n, _ := integer(value); n == 0 {
		return "{value_zero,0}"
	}
	return ""
}

func wrongDuration(value any, all protocol.Table) string {
	if text := wrongCount(value, all); text != "" {
		return text
	}
	if n, _ := integer(value); n > durationMax {
		return fmt.Sprintf("{value_too_large,%d}", n)
	}
	return ""
}

func wrongExpires(value any, all protocol.Table) string {
	if n, ok := integer(value); ok && n == 0 {
		return "{value_zero,0}"
	}
	return wrongDuration(value, all)
}

func wrongPriority(value any, all protocol.Table) string {
	if text := wrongCount(value, all); text != "" {
		return text
	}
	if n, _ := integer(value); n > math.MaxUint8 {
		return fmt.Sprintf("{max_value_exceeded,%d}", n)
	}
	return ""
}

func wrongVersion(value any, all protocol.Table) string {
	if text := wrongCount(value, all); text != "" {
		return text
	}
	if n, _ := integer(value); n != 2 {
		return fmt.Sprintf(`"unsupported queue version '%d'"`, n)
	}
	return ""
}

func wrongText(value any, _ protocol.Table) string {
	if _, ok := value.(string); !ok {
		return fmt.Sprintf("{unacceptable_type,%s}", protocol.TypeName(value))
	}
	return ""
}

func wrongFlag(value any, _ protocol.Table) string {
	if _, ok := value.(bool); !ok {
		return fmt.Sprintf("{unacceptable_type,%s}", protocol.TypeName(value))
	}
	return ""
}

func wrongDeadLetterKey(value any, all protocol.Table) string {
	if text := wrongText(value, all); text != "" {
		return text
	}
	if _, ok := all.Get("x-dead-letter-exchange"); !ok {
		return "routing_key_but_no_dlx_defined"
	}
	return ""
}

func wrongAge(value any, all protocol.Table) string {
	if text := wrongText(value, all); text != "" {
		return text
	}
	if _, ok := ParseAge(value.(string)); !ok {
		return "invalid_max_age"
	}
	return ""
}

// oneOf demands one of some words.
func oneOf(term string, words ...string) func(any, protocol.Table) string {
	return func(value any, all protocol.Table) string {
		if text := wrongText(value, all); text != "" {
			return text
		}
		if !slices.Contains(words, value.(string)) {
			return term
		}
		return ""
	}
}

// ageUnits are the units of x-max-age, in milliseconds.
var ageUnits = map[byte]int64{
	's': 1000, 'm': 60_000, 'h': 3_600_000, 'D': 86_400_000, 'M': 30 * 86_400_000, 'Y': 365 * 86_400_000,
}

// ageMax bounds the number of a duration: beyond it nothing gets so old, and a product fits.
const ageMax = math.MaxInt64 / (365 * 86_400_000)

// ParseAge reads a duration such as 7D and gives milliseconds.
func ParseAge(text string) (ms int64, ok bool) {
	if len(text) < 2 {
		return 0, false
	}
	unit, known := ageUnits[text[len(text)-1]]
	n, err := strconv.ParseInt(text[:len(text)-1], 10, 64)
	if !known || err != nil && !errors.Is(err, strconv.ErrRange) || n <= 0 || text[0] == '+' {
		return 0, false
	}
	return min(n, ageMax) * unit, true
}
