package matching

import (
	"strconv"

	"github.com/warrenmq/warren/protocol"
)

// Memory says what an exchange remembers beyond its bindings. What it remembers is in a queue behind it.
type Memory uint8

// Kinds of memory.
const (
	NoMemory     Memory = iota
	Delays              // holds messages back until their time has come
	Deduplicates        // lets a message through only if it has not seen its key
	Remembers           // keeps the latest messages for whoever binds later
)

// Arguments of exchanges with a memory.
const (
	argDelayedType      = "x-delayed-type"
	argCacheSize        = "x-cache-size"
	argCacheTTL         = "x-cache-ttl"
	argCachePersistence = "x-cache-persistence"
	argHistoryLength    = "x-recent-history-length"
)

// historyDefault is how many messages a recent-history exchange keeps if it does not say.
const historyDefault = 20

// inner gives the type that routes what an x-delayed-message exchange lets go.
func inner(arguments protocol.RawTable) (Kind, *protocol.Error) {
	value, _ := arguments.Lookup(argDelayedType)
	name, isText := value.Bytes()
	if string(name) == "x-delayed-message" {
		return Kind{}, protocol.PreconditionFailed("Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'")
	}
	kind, known := Lookup(string(name))
	if !isText || !known || kind.Memory != NoMemory {
		return Kind{}, protocol.PreconditionFailed("Invalid argument, 'x-delayed-type' must be an existing exchange type")
	}
	return kind, nil
}

// Routing gives the kind whose bindings an exchange with these arguments has: its own, or the one it says.
func (k Kind) Routing(arguments protocol.RawTable) Kind {
	if k.Memory == Delays {
		if kind, refusal := inner(arguments); refusal == nil {
			return kind
		}
	}
	return k
}

// Cache is what a deduplicating exchange remembers: at most so many keys, each for so many milliseconds (0: for ever).
type Cache struct{ Size, TTLMs int64 }

func newDeduplicating(arguments protocol.RawTable) (Index, *protocol.Error) {
	_, refusal := ReadCache(arguments)
	return &fanout{}, refusal
}

// ReadCache reads the arguments of a deduplicating exchange.
func ReadCache(arguments protocol.RawTable) (Cache, *protocol.Error) {
	var c Cache
	var ok bool
	if c.Size, ok = positive(arguments, argCacheSize); !ok {
		return c, protocol.PreconditionFailed("Missing or invalid argument, 'x-cache-size' must be an integer greater than 0")
	}
	if _, given := arguments.Lookup(argCacheTTL); given {
		if c.TTLMs, ok = positive(arguments, argCacheTTL); !ok {
			return c, protocol.PreconditionFailed("Invalid argument, 'x-cache-ttl' must be an integer greater than 0")
		}
	}
	if value, given := arguments.Lookup(argCachePersistence); given {
		if text, _ := value.Bytes(); string(text) != "disk" && string(text) != "memory" {
			return c, protocol.PreconditionFailed("Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'")
		}
	}
	return c, nil
}

// positive reads a number above 0, which may be written as text.
func positive(arguments protocol.RawTable, name string) (int64, bool) {
	value, given := arguments.Lookup(name)
	if !given {
		return 0, false
	}
	n, ok := value.Int()
	if text, isText := value.Bytes(); isText {
		parsed, err := strconv.ParseInt(string(text), 10, 64)
		n, ok = parsed, err == nil
	}
	return n, ok && n > 0
}

func newHistory(arguments protocol.RawTable) (Index, *protocol.Error) {
	_, refusal := HistoryLength(arguments)
	return &fanout{}, refusal
}

// HistoryLength is how many messages a recent-history exchange keeps.
func HistoryLength(arguments protocol.RawTable) (int64, *protocol.Error) {
	value, given := arguments.Lookup(argHistoryLength)
	if !given {
		return historyDefault, nil
	}
	n, ok := value.Int()
	if !ok || n <= 0 {
		return 0, protocol.PreconditionFailed("Invalid argument %s, 'x-recent-history-length' must be a positive integer", protocol.ErlangTerm(value.Decode()))
	}
	return n, nil
}
