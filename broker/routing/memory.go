package routing

import (
	"crypto/sha256"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/broker/matching"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// Headers that exchanges with a memory look at.
const (
	headerDelay   = "x-delay"
	headerKey     = "x-deduplication-header"
	headerTTL     = "x-cache-ttl"
	headerNoStore = "x-recent-history-no-store"
)

// hold gives a message to the memory of an exchange, and tells whether it is held there: then nobody else gets it now.
func (w *walk) hold(x *topology.Exchange) bool {
	w.route.Kept, w.route.Held = false, true
	switch x.Remembering() {
	case matching.Delays:
		if _, delayed := Delay(w.m.Headers); !delayed {
			return false
		}
	case matching.Deduplicates: // what has no key passes too: it must not overtake what has one
		w.route.Unroutable = w.route.Unroutable && x.Unbound() && x.Alternate == ""
	case matching.Remembers:
		if value, ok := w.m.Headers.Lookup(headerNoStore); ok {
			if noStore, _ := value.Bool(); noStore {
				return false
			}
		}
		w.route.add(x.Memory.Target, &w.queues)
		return false
	}
	w.route.add(x.Memory.Target, &w.queues)
	return true
}

// delayMax is the longest x-delay, in milliseconds: a hundred years.
const delayMax = 100 * 365 * 24 * 3600 * 1000

// Delay reads a message's x-delay, in milliseconds. ok is false if it asks for none.
func Delay(headers protocol.RawTable) (ms uint64, ok bool) {
	value, given := headers.Lookup(headerDelay)
	if !given {
		return 0, false
	}
	n, ok := number(value)
	if !ok || n <= 0 || n > delayMax {
		return 0, false
	}
	return uint64(n), true
}

// CacheTTL reads for how many milliseconds a message's key is to be remembered; 0: as the exchange says.
func CacheTTL(headers protocol.RawTable) uint64 {
	value, _ := headers.Lookup(headerTTL)
	n, _ := number(value)
	return uint64(max(n, 0))
}

// number reads an integer, however it is written.
func number(value protocol.RawValue) (int64, bool) {
	if n, ok := value.Int(); ok {
		return n, true
	}
	if f, ok := value.Float(); ok {
		return int64(f), f > -1<<62 && f < 1<<62
	}
	text, _ := value.Bytes()
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

// keyMax is the longest key that is kept as it is.
const keyMax = 64

// Key reads what a message is recognised by, nil if it has nothing of that kind. Values of different types differ, but
// integers of all widths are one type.
func Key(headers protocol.RawTable) []byte {
	value, given := headers.Lookup(headerKey)
	if !given {
		return nil
	}
	var key []byte
	switch n, isInteger := value.Int(); {
	case isInteger:
		key = strconv.AppendInt([]byte{'l'}, n, 10)
	case value.Tag == 'A' || value.Tag == 'F':
		return nil
	default:
		key = append([]byte{value.Tag}, value.Data...)
	}
	if len(key) > keyMax {
		sum := sha256.Sum256(key)
		return append([]byte{'#'}, sum[:]...)
	}
	return key
}
