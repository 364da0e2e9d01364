package transport

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// codec leaves bytes as they are: it sends a [][]byte and receives a *[]byte.
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
	into, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("transport: bytes cannot be received as %T", v)
	}
	*into = data.Materialize()
	return nil
}
