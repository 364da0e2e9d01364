package matching

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/protocol"
)

// weightMax is the largest weight of a binding to a consistent-hash exchange.
const weightMax = 10000

// hashSource is what a consistent-hash exchange hashes: the routing key, a header, or a property.
type hashSource struct {
	header   string
	property string
}

// Arguments of a consistent-hash exchange.
const (
	argHashHeader   = "hash-header"
	argHashProperty = "hash-property"
)

func newConsistentHash(arguments protocol.RawTable) (Index, *protocol.Error) {
	var s hashSource
	header, byHeader := arguments.Lookup(argHashHeader)
	property, byProperty := arguments.Lookup(argHashProperty)
	if byHeader && byProperty {
		return nil, protocol.PreconditionFailed("hash-header and hash-property are mutually exclusive")
	}
	if byHeader {
		name, ok := header.Bytes()
		if !ok {
			return nil, protocol.PreconditionFailed("hash-header must be a string, got %s", header.TypeName())
		}
		s.header = string(name)
	}
	if byProperty {
		name, ok := property.Bytes()
		if !ok {
			return nil, protocol.PreconditionFailed("hash-property must be a string, got %s", property.TypeName())
		}
		s.property = string(name)
		if !slices.Contains([]string{"correlation_id", "message_id", "timestamp"}, s.property) {
			return nil, protocol.PreconditionFailed("Unsupported property: %s", s.property)
		}
	}
	return &consistentHash{source: s}, nil
}

// bindWeight reads the binding key, which is the weight.
func bindWeight(b *Binding) *protocol.Error {
	n, err := strconv.ParseInt(b.Key, 10, 64)
	if errors.Is(err, strconv.ErrRange) { // n is the nearest
		err = nil
	}
	switch {
	case err != nil:
		return protocol.PreconditionFailed("The binding key must be an integer: %s", protocol.ErlangBinary([]byte(b.Key)))
	case n <= 0:
		return protocol.PreconditionFailed("The binding key must be greater than 0")
	case n > weightMax:
		return protocol.PreconditionFailed("The binding key must not exceed %d", weightMax)
	}
	b.weight = int(n)
	return nil
}

// consistentHash gives each destination as many buckets as the weight of its first binding, in the order of these
// bindings, and selects one bucket by the jump consistent hash.
type consistentHash struct {
	source   hashSource
	bindings []*Binding
	ring     []share
}

// share is a destination's buckets: those up to end, from where the share before ends.
type share struct {
	end    int
	target *Target
}

// With implements Index.
func (x *consistentHash) With(b *Binding) Index {
	return x.rebuild(append(slices.Clip(x.bindings), b))
}

// Without implements Index.
func (x *consistentHash) Without(b *Binding) Index {
	return x.rebuild(slices.DeleteFunc(slices.Clone(x.bindings), func(have *Binding) bool { return have == b }))
}

func (x *consistentHash) rebuild(bindings []*Binding) Index {
	next := &consistentHash{source: x.source, bindings: bindings}
	seen := map[*Target]bool{}
	end := 0
	for _, b := range bindings {
		if !seen[b.Target] {
			seen[b.Target] = true
			end += b.weight
			next.ring = append(next.ring, share{end: end, target: b.Target})
		}
	}
	return next
}

// ByKey implements Index.
func (x *consistentHash) ByKey() bool { return x.source == hashSource{} }

// Match implements Index.
func (x *consistentHash) Match(m *Message, visit func(*Target)) {
	if len(x.ring) == 0 {
		return
	}
	bucket := jump(hash64(x.source.of(m)), x.ring[len(x.ring)-1].end)
	visit(x.ring[sort.Search(len(x.ring), func(i int) bool { return bucket < x.ring[i].end })].target)
}

// of gives the bytes to be hashed. What is missing hashes the same for all.
func (s *hashSource) of(m *Message) []byte {
	switch {
	case s.header != "":
		if value, ok := m.Headers.Lookup(s.header); ok {
			return value.Data
		}
		return nil
	case s.property == "correlation_id":
		value, _ := m.Properties.CorrelationID()
		return value
	case s.property == "message_id":
		value, _ := m.Properties.MessageID()
		return value
	case s.property == "timestamp":
		if t, ok := m.Properties.Timestamp(); ok {
			return binary.BigEndian.AppendUint64(nil, t)
		}
		return nil
	}
	return []byte(m.Key)
}

func hash64(b []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(b) // it never fails
	n := h.Sum64()
	n ^= n >> 33 // keys that differ in their last letter alone must not end up side by side
	n *= 0xff51afd7ed558ccd
	n ^= n >> 33
	return n
}

// jump is the jump consistent hash of Lamping and Veach: when a bucket is added, only what goes there moves.
func jump(key uint64, buckets int) int {
	b, j := int64(-1), int64(0)
	for j < int64(buckets) {
		b = j
		key = key*2862933555777941757 + 1
		j = int64(float64(b+1) * (float64(int64(1)<<31) / float64((key>>33)+1)))
	}
	return int(b)
}

// modulusHash spreads messages over all destinations, ordered by name, by the hash of their routing key.
type modulusHash struct {
	all  list
	ring []*Target
}

// With implements Index.
func (x *modulusHash) With(b *Binding) Index { return newModulus(x.all.with(b)) }

// Without implements Index.
func (x *modulusHash) Without(b *Binding) Index { return newModulus(x.all.without(b)) }

// ByKey implements Index.
func (x *modulusHash) ByKey() bool { return true }

func newModulus(all list) *modulusHash {
	x := &modulusHash{all: all}
	all.each(func(t *Target) {
		if !slices.Contains(x.ring, t) {
			x.ring = append(x.ring, t)
		}
	})
	slices.SortFunc(x.ring, func(a, b *Target) int { return strings.Compare(a.Name, b.Name) })
	return x
}

// Match implements Index.
func (x *modulusHash) Match(m *Message, visit func(*Target)) {
	if len(x.ring) > 0 {
		visit(x.ring[hash64([]byte(m.Key))%uint64(len(x.ring))])
	}
}
