package protocol

import (
	"encoding/binary"
	"fmt"
)

//go:generate go run ./internal/gen

// Method is a method with its arguments (spec 4.2.4): one of the generated types.
type Method interface {
	ID() MethodID
	// AppendArgs appends the arguments to dst. A shortstr of more than 255
	// octets panics: who makes a method sees to its lengths.
	AppendArgs(dst []byte) []byte
	// Decode replaces all fields by those in args, which must hold them and
	// nothing else. It refuses with an *Error that names the method. Tables,
	// and the strings of the hot methods, borrow from args.
	Decode(args []byte) error
}

// MethodID is the class id and the method id of a method, class<<16 | method.
type MethodID uint32

const methodHead = 4

// Class returns the class-id, for a close.
func (id MethodID) Class() uint16 { return uint16(id >> 16) }

// Method returns the method-id, for a close.
func (id MethodID) Method() uint16 { return uint16(id) }

// Known tells whether AMQP, with RabbitMQ's extensions, has such a method.
func (id MethodID) Known() bool { return methodName(id) != "" }

// String returns the specification's name, such as "basic.publish".
func (id MethodID) String() string {
	if name := methodName(id); name != "" {
		return name
	}
	return fmt.Sprintf("method %d.%d", id.Class(), id.Method())
}

// SplitMethod cuts the payload of a method frame into id and arguments. It is 0
// for a payload too short for an id, which [ParseFrame] does not let through.
func SplitMethod(payload []byte) (id MethodID, args []byte) {
	if len(payload) < methodHead {
		return 0, nil
	}
	return MethodID(binary.BigEndian.Uint32(payload)), payload[methodHead:]
}

// DecodeMethod decodes the payload of a method frame into a new value. The error
// is [ErrUnknownMethod] if there is no such method, or else the one of its
// Decode.
func DecodeMethod(payload []byte) (Method, error) {
	id, args := SplitMethod(payload)
	m, err := NewMethod(id)
	if err != nil {
		return nil, err
	}
	if err := m.Decode(args); err != nil {
		return nil, err
	}
	return m, nil
}

// NewMethod makes an empty method, or gives [ErrUnknownMethod].
func NewMethod(id MethodID) (Method, error) {
	if m := newMethod(id); m != nil {
		return m, nil
	}
	return nil, &Error{Code: ErrUnknownMethod.Code, Text: ErrUnknownMethod.Text, Method: id}
}

// AppendMethodFrame appends a frame with the method.
func AppendMethodFrame(dst []byte, channel uint16, m Method) []byte {
	start := len(dst)
	dst = AppendFrameHead(dst, FrameMethod, channel, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(m.ID()))
	dst = m.AppendArgs(dst)
	binary.BigEndian.PutUint32(dst[start+3:], uint32(len(dst)-start-frameHead))
	return append(dst, FrameEnd)
}
