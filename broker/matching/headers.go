package matching

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/warrenmq/warren/protocol"
)

// headers selects the bindings whose arguments agree with the message's headers (spec 3.1.3.4).
type headers struct{ all list }

func (x *headers) With(b *Binding) Index    { return &headers{x.all.with(b)} }
func (x *headers) Without(b *Binding) Index { return &headers{x.all.without(b)} }
func (x *headers) ByKey() bool              { return false }

func (x *headers) Match(m *Message, visit func(*Target)) {
	for _, chunk := range x.all.chunks {
		for _, b := range chunk {
			if b.headers.matches(m.Headers) {
				visit(b.Target)
			}
		}
	}
}

// headerMatch is a binding's arguments, prepared.
type headerMatch struct {
	any    bool
	wanted []wantedHeader
}

type wantedHeader struct {
	key      string
	value    protocol.RawValue
	anyValue bool // a void argument asks for presence alone
}

// bindHeaders reads x-match and the wanted headers.
func bindHeaders(b *Binding) *protocol.Error {
	mode := "all"
	if v, ok := b.Arguments.Lookup("x-match"); ok {
		if v.Tag != 'S' {
			return protocol.PreconditionFailed("Invalid x-match field type %s (value %s); expected longstr", v.TypeName(), protocol.ErlangTerm(v.Decode()))
		}
		s, _ := v.Bytes()
		mode = string(s)
	}
	if !slices.Contains([]string{"all", "any", "all-with-x", "any-with-x"}, mode) {
		return protocol.PreconditionFailed("Invalid x-match field value %s; expected all, any, all-with-x, or any-with-x", protocol.ErlangBinary([]byte(mode)))
	}
	withX := strings.HasSuffix(mode, "-with-x")
	match := &headerMatch{any: strings.HasPrefix(mode, "any")}
	for key, v := range b.Arguments.Each {
		if k := string(key); k != "x-match" && (withX || !strings.HasPrefix(k, "x-")) {
			match.wanted = append(match.wanted, wantedHeader{key: k, value: v, anyValue: v.Tag == 'V'})
		}
	}
	b.headers = match
	return nil
}

func (h *headerMatch) matches(headers protocol.RawTable) bool {
	for i := range h.wanted {
		if h.wanted[i].found(headers) == h.any {
			return h.any
		}
	}
	return !h.any
}

func (w *wantedHeader) found(headers protocol.RawTable) bool {
	v, ok := headers.Lookup(w.key)
	return ok && (w.anyValue || sameValue(w.value, v))
}

// sameValue compares as RabbitMQ does: integers by value whatever their width, strings and byte arrays by their bytes.
// Timestamps are integers too, those of bindings in seconds, and those of messages in milliseconds.
func sameValue(want, have protocol.RawValue) bool {
	if a, ok := whole(want, 1); ok {
		b, ok := whole(have, millisecondsPerSecond)
		return ok && a == b
	}
	if a, ok := want.Bytes(); ok {
		b, ok := have.Bytes()
		return ok && string(a) == string(b)
	}
	if a, ok := want.Float(); ok {
		b, ok := have.Float()
		return ok && a == b
	}
	return want.Equal(have)
}

const millisecondsPerSecond = 1000

// whole gives an integer, or a timestamp in so many parts of a second.
func whole(v protocol.RawValue, parts int64) (int64, bool) {
	if v.Tag == 'T' {
		return int64(binary.BigEndian.Uint64(v.Data)) * parts, true
	}
	return v.Int()
}
