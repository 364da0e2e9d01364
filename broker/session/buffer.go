package session

import "io"

// buffer is the octets that were read and not handled yet. It grows while reads fill it and shrinks when they no longer do.
type buffer struct {
	data  []byte
	r, w  int
	small int // reads in a row that used little of it
}

const (
	bufferMin   = 4 << 10
	bufferMax   = 256 << 10
	bufferSmall = 64 // reads after which a buffer that is too large shrinks
)

// bytes is what is there, borrowed until the next fill.
func (b *buffer) bytes() []byte { return b.data[b.r:b.w] }

func (b *buffer) skip(n int) { b.r += n }

// fill reads once.
func (b *buffer) fill(from io.Reader) error {
	b.makeRoom()
	n, err := from.Read(b.data[b.w:])
	b.w += n
	if n > 0 {
		b.note(n)
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// makeRoom moves what is left to the front and sees to it that there is something to read into.
func (b *buffer) makeRoom() {
	left := b.w - b.r
	switch {
	case b.data == nil:
		b.data = make([]byte, bufferMin)
	case left == len(b.data): // one frame is larger than the buffer
		b.resize(2 * len(b.data))
	case left == 0 && b.small >= bufferSmall && len(b.data) > bufferMin:
		b.resize(len(b.data) / 2)
	case b.r > 0:
		copy(b.data, b.data[b.r:b.w])
		b.r, b.w = 0, left
	}
}

func (b *buffer) resize(size int) {
	grown := make([]byte, size)
	left := copy(grown, b.data[b.r:b.w])
	b.data, b.r, b.w, b.small = grown, 0, left, 0
}

// note adapts the size to what came in one read.
func (b *buffer) note(n int) {
	switch {
	case b.w == len(b.data) && len(b.data) < bufferMax && b.r == 0 && n > len(b.data)/2:
		b.resize(2 * len(b.data))
	case n < len(b.data)/8:
		b.small++
	default:
		b.small = 0
	}
}
