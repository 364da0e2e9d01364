package transport

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// codec leaves bytes as they are: it sends a [][]byte and receives a *[]byte, or a *mem.Buffer, which is to be freed.
type codec struct{}

// Name implements encoding.CodecV2.
func (codec) Name() string { return "bytes" }

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	parts, ok := v.([][]byte)
	if !ok {
		return nil, fmt.Errorf("transport: %T cannot be sent", v)
	}
	out := make(mem.BufferSlice, len(parts))
	for i, part := range parts {
		out[i] = mem.SliceBuffer(part)
	}
	return out, nil
}

// Unmarshal implements encoding.CodecV2.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch into := v.(type) {
	case *[]byte:
		*into = data.Materialize()
	case *mem.Buffer:
		*into = data.MaterializeToBuffer(mem.DefaultBufferPool())
	default:
		return fmt.Errorf("transport: bytes cannot be received as %T", v)
	}
	return nil
}
