package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// whose tells who opened a stream, and whether it belongs here.
func (t *Transport) whose(stream grpc.ServerStream) (node uint64, lane Lane, err error) {
	headers, _ := metadata.FromIncomingContext(stream.Context())
	get := func(name string) string {
		if values := headers.Get(name); len(values) == 1 {
			return values[0]
		}
		return ""
	}
	if cluster := get(headerCluster); cluster != t.Cluster {
		return 0, 0, status.Errorf(codes.FailedPrecondition, "this node is of cluster %q, not of %q", t.Cluster, cluster)
	}
	if to := get(headerTo); to != strconv.FormatUint(t.Node, 10) {
		return 0, 0, status.Errorf(codes.FailedPrecondition, "this is node %d, not %s", t.Node, to)
	}
	if node, err = strconv.ParseUint(get(headerNode), 10, 64); err != nil {
		return 0, 0, status.Error(codes.InvalidArgument, "the stream does not say which node it is of")
	}
	if err := t.understands(node, headers); err != nil {
		t.refuse(node, err)
		return 0, 0, err
	}
	if number := get(headerLane); number != "" {
		n, err := strconv.ParseUint(number, 10, 8)
		if err != nil || Lane(n) >= lanes {
			return 0, 0, status.Errorf(codes.InvalidArgument, "there is no lane %s", number)
		}
		lane = Lane(n)
	}
	return node, lane, nil
}

// serveMessages takes the messages of a peer on one lane.
func (t *Transport) serveMessages(_ any, stream grpc.ServerStream) error {
	from, lane, err := t.whose(stream)
	if err != nil {
		return err
	}
	if err := stream.SendHeader(metadata.Pairs(headerProtocol, t.protocol)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	var beating sync.WaitGroup
	beating.Go(func() { t.beat(ctx, stream) })
	defer beating.Wait() // nothing is sent once the stream is over
	defer cancel()
	return t.receive(from, lane, stream)
}

// receive gives the handler what comes on a lane, until it ends.
func (t *Transport) receive(from uint64, lane Lane, stream grpc.ServerStream) error {
	for {
		data, free, err := receiveSome(lane, stream)
		if err == nil {
			err = t.unframe(from, lane, data)
			free()
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// receiveSome gives bytes that came on a lane, until they are freed.
func receiveSome(lane Lane, stream grpc.ServerStream) (data []byte, free func(), err error) {
	if lane != Raft {
		err = stream.RecvMsg(&data)
		return data, func() {}, err
	}
	var buffer mem.Buffer
	if err := stream.RecvMsg(&buffer); err != nil {
		return nil, nil, err
	}
	return buffer.ReadOnlyData(), buffer.Free, nil
}

// unframe gives the handler the messages that came together.
func (t *Transport) unframe(from uint64, lane Lane, data []byte) error {
	for len(data) > 0 {
		if len(data) < 4 {
			return status.Error(codes.DataLoss, "a message without its length")
		}
		n := binary.LittleEndian.Uint32(data)
		if uint64(n) > uint64(len(data)-4) {
			return status.Error(codes.DataLoss, "a message is cut off")
		}
		t.Handler.Receive(from, lane, data[4:4+n:4+n])
		data = data[4+n:]
	}
	return nil
}

// streamPart is how long the pieces of a Stream are.
const streamPart = 256 << 10

// Stream sends what write writes to a peer, and waits for its verdict.
func (t *Transport) Stream(node uint64, write func(io.Writer) error) error {
	p, err := t.peer(node)
	if err != nil {
		return err
	}
	stream, err := p.conn.NewStream(p.ctx, &grpc.StreamDesc{ClientStreams: true}, "/"+service+"/Long")
	if err != nil {
		return fmt.Errorf("a stream to node %d: %w", node, err)
	}
	w := &streamWriter{stream: stream}
	if err := write(w); err != nil {
		return errors.Join(err, abort(stream))
	}
	if err := w.flush(true); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("a stream to node %d: %w", node, err)
	}
	_ = stream.CloseSend()
	var verdict []byte
	if err := stream.RecvMsg(&verdict); err != nil {
		return fmt.Errorf("a stream to node %d: %w", node, err)
	}
	return nil
}

// abort ends a stream so that the peer does not take what it has for the whole.
func abort(stream grpc.ClientStream) error {
	_ = stream.CloseSend()
	var verdict []byte
	if err := stream.RecvMsg(&verdict); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// streamWriter sends pieces; the first byte of each says whether it is the last.
type streamWriter struct {
	stream grpc.ClientStream
	part   []byte
}

// Write implements io.Writer.
func (w *streamWriter) Write(data []byte) (int, error) {
	if len(w.part)+len(data) > streamPart {
		if err := w.flush(false); err != nil {
			return 0, err
		}
	}
	w.part = append(w.part, data...)
	return len(data), nil
}

func (w *streamWriter) flush(last bool) error {
	mark := byte(0)
	if last {
		mark = 1
	}
	part := w.part
	w.part = nil
	return w.stream.SendMsg([][]byte{{mark}, part})
}

// serveStream takes what a peer sends with Stream.
func (t *Transport) serveStream(_ any, stream grpc.ServerStream) error {
	from, _, err := t.whose(stream)
	if err != nil {
		return err
	}
	r := &streamReader{stream: stream}
	if err := t.Handler.Stream(from, r); err != nil {
		return status.Error(codes.Aborted, err.Error())
	}
	if !r.whole {
		return status.Error(codes.DataLoss, "the stream was not read to its end")
	}
	return stream.SendMsg([][]byte{{1}})
}

// streamReader reads the pieces of a stream. io.EOF comes only behind the last one.
type streamReader struct {
	stream grpc.ServerStream
	part   []byte
	whole  bool
}

// Read implements io.Reader.
func (r *streamReader) Read(p []byte) (int, error) {
	for len(r.part) == 0 {
		if r.whole {
			return 0, io.EOF
		}
		var data []byte
		if err := r.stream.RecvMsg(&data); err != nil {
			return 0, fmt.Errorf("transport: a stream was cut off: %w", io.ErrUnexpectedEOF)
		}
		if len(data) == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		r.whole, r.part = data[0] == 1, data[1:]
	}
	n := copy(p, r.part)
	r.part = r.part[n:]
	return n, nil
}
