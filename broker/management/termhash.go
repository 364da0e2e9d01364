package management

import (
	"encoding/binary"
	"math"

	"github.com/warrenmq/warren/protocol"
)

// termHash hashes a field table as Erlang's phash2 hashes RabbitMQ's form of it, a list of {key, type, value}: clients keep
// the names of bindings that are made of it.
func termHash(t protocol.Table) uint32 {
	var h termHasher
	h.table(t)
	return uint32(h)
}

// termHasher is the hash of all terms so far.
type termHasher uint32

// hashConst begins every mixing; the n-th of its multiples tells kinds of terms apart.
const hashConst = 0x9e3779b9

func multiple(n uint32) uint32 {
	c := uint32(hashConst) // wraps around on purpose
	return c * n
}

// mix is the mixing step of Jenkins' hash.
func mix(a, b, c uint32) uint32 {
	_, _, c = mixAll(a, b, c)
	return c
}

func mixAll(a, b, c uint32) (uint32, uint32, uint32) {
	a = (a - b - c) ^ (c >> 13)
	b = (b - c - a) ^ (a << 8)
	c = (c - a - b) ^ (b >> 13)
	a = (a - b - c) ^ (c >> 12)
	b = (b - c - a) ^ (a << 16)
	c = (c - a - b) ^ (b >> 5)
	a = (a - b - c) ^ (c >> 3)
	b = (b - c - a) ^ (a << 10)
	c = (c - a - b) ^ (b >> 15)
	return a, b, c
}

func (h *termHasher) two(x, y, kind uint32) {
	k := multiple(kind)
	*h = termHasher(mix(k+x, k+y, uint32(*h)))
}

func (h *termHasher) one(x, kind uint32) { h.two(x, 0, kind) }

// smallBits is the size of the integers that are hashed as 32 bits.
const smallBits = 28

func (h *termHasher) integer(n int64) {
	if n >= -1<<(smallBits-1) && n < 1<<(smallBits-1) {
		if n < 0 {
			h.one(uint32(-n), 1)
		}
		h.one(uint32(n), 1)
		return
	}
	kind, size := uint32(11), uint64(n)
	if n < 0 {
		kind, size = 10, uint64(-n)
	}
	h.two(uint32(size), uint32(size>>32), kind)
}

func (h *termHasher) atom(name string) {
	sum := uint64(0)
	for i := range len(name) {
		sum = sum<<4 + uint64(name[i])
		if top := sum & 0xf0000000; top != 0 {
			sum ^= top >> 24
			sum ^= top
		}
	}
	if *h == 0 {
		*h = termHasher(sum)
		return
	}
	h.one(uint32(sum), 3)
}

// nilTag and nilAlone are what the empty list hashes as, behind something and alone.
const (
	nilTag   = 2
	nilAlone = 3468870702
)

func (h *termHasher) empty() {
	if *h == 0 {
		*h = nilAlone
		return
	}
	h.one(nilTag, 2)
}

func (h *termHasher) tuple(arity uint32) { h.one(arity, 9) }

func (h *termHasher) octets(b []byte) {
	x, y := uint32(hashConst), uint32(hashConst)
	z := multiple(13) + uint32(*h)
	if len(b) == 0 {
		*h = termHasher(z)
		return
	}
	rest := b
	for ; len(rest) >= 12; rest = rest[12:] {
		x += binary.LittleEndian.Uint32(rest)
		y += binary.LittleEndian.Uint32(rest[4:])
		z += binary.LittleEndian.Uint32(rest[8:])
		x, y, z = mixAll(x, y, z)
	}
	z += uint32(len(b))
	for i, c := range rest {
		switch shift := i % 4 * 8; {
		case i < 4:
			x += uint32(c) << shift
		case i < 8:
			y += uint32(c) << shift
		default: // the lowest octet is the length's
			z += uint32(c) << (shift + 8)
		}
	}
	*h = termHasher(mix(x, y, z))
}

func (h *termHasher) float(f float64) {
	bits := math.Float64bits(f + 0) // there is one zero
	h.two(uint32(bits>>32), uint32(bits), 12)
}

func (h *termHasher) table(t protocol.Table) {
	for _, f := range t {
		h.tuple(3)
		h.octets([]byte(f.Key))
		h.atom(protocol.TypeName(f.Value))
		h.value(f.Value)
	}
	h.empty()
}

func (h *termHasher) value(value any) {
	switch v := value.(type) {
	case nil:
		h.atom("undefined")
	case bool:
		h.atom(map[bool]string{true: "true", false: "false"}[v])
	case string:
		h.octets([]byte(v))
	case []byte:
		h.octets(v)
	case protocol.Table:
		h.table(v)
	case protocol.Array:
		for _, element := range v {
			h.tuple(2)
			h.atom(protocol.TypeName(element))
			h.value(element)
		}
		h.empty()
	case protocol.Decimal:
		h.tuple(2)
		h.integer(int64(v.Scale))
		h.integer(int64(v.Value))
	case protocol.Timestamp:
		h.integer(int64(v))
	case float32:
		h.float(float64(v))
	case float64:
		h.float(v)
	default:
		h.integer(wide(v))
	}
}

// wide is an integer of any width.
func wide(value any) int64 {
	switch v := value.(type) {
	case int8:
		return int64(v)
	case uint8:
		return int64(v)
	case int16:
		return int64(v)
	case uint16:
		return int64(v)
	case int32:
		return int64(v)
	case uint32:
		return int64(v)
	case int64:
		return v
	}
	bug("a field of type %T", value)
	return 0
}
