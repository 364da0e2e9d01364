package transport

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// peer is a node that is sent to.
type peer struct {
	transport *Transport
	node      uint64
	address   string
	ctx       context.Context
	stop      context.CancelFunc
	conn      *grpc.ClientConn
	lanes     [lanes]laneOut
}

// retryPause is how long a lane rests after a connection that failed.
const retryPause = 20 * time.Millisecond

func newPeer(t *Transport, node uint64, address string) *peer {
	p := &peer{transport: t, node: node, address: address}
	p.ctx, p.stop = context.WithCancel(metadata.NewOutgoingContext(t.ctx, metadata.Pairs(
		headerNode, strconv.FormatUint(t.Node, 10), headerCluster, t.Cluster, headerTo, strconv.FormatUint(node, 10), headerProtocol, t.protocol,
	)))
	for i := range p.lanes {
		p.lanes[i].init()
	}
	secure := insecure.NewCredentials()
	if t.TLS != nil {
		secure = credentials.NewTLS(t.TLS)
	}
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(secure),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}), grpc.MaxCallSendMsgSize(receiveMax)),
		grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window),
		grpc.WithContextDialer(t.dial), grpc.WithReadBufferSize(socketBuffer), grpc.WithWriteBufferSize(socketBuffer),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: retryPause, Multiplier: 1.5, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
	)
	if err != nil {
		bug("a client for %q: %v", address, err)
	}
	p.conn = conn
	return p
}

func (p *peer) close() {
	p.stop()
	for i := range p.lanes {
		p.lanes[i].end()
	}
	_ = p.conn.Close()
}

// Headers of every stream.
const (
	headerNode    = "warren-node"
	headerCluster = "warren-cluster"
	headerLane    = "warren-lane"
	headerTo      = "warren-to" // the node that is meant: another may have its address by now
)

// run keeps a lane open until the peer is closed.
func (p *peer) run(lane Lane) {
	var said complaint
	for p.ctx.Err() == nil {
		if err := p.send(lane); err != nil && p.ctx.Err() == nil {
			level := zerolog.DebugLevel
			if lane == Raft && said.news(err, time.Now()) {
				level = zerolog.WarnLevel
			}
			p.transport.Logger.WithLevel(level).Err(err).Uint64("peer", p.node).Str("address", p.address).Msg("there is no connection to a node")
			p.rest()
		}
	}
}

// complaint is what was said last of why there is no connection.
type complaint struct {
	why string
	at  time.Time
}

// complainEvery is how often the same is said.
const complainEvery = time.Minute

// news tells whether an error is worth a line. What it ends with is what it is about: before that are ports of the moment.
func (c *complaint) news(err error, now time.Time) bool {
	text := status.Convert(err).Message()
	why := strings.TrimRight(text[strings.LastIndex(text, ": ")+1:], `"`)
	if why == c.why && now.Sub(c.at) < complainEvery {
		return false
	}
	c.why, c.at = why, now
	return true
}

// rest waits until it is worth trying again: a connection that fails has a pause of its own.
func (p *peer) rest() {
	if p.conn.GetState() == connectivity.TransientFailure {
		p.conn.WaitForStateChange(p.ctx, connectivity.TransientFailure)
		return
	}
	timer := time.NewTimer(retryPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.ctx.Done():
	}
}

// send opens a lane and sends what is queued until it breaks.
func (p *peer) send(lane Lane) error {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(p.ctx, headerLane, strconv.Itoa(int(lane))))
	defer cancel()
	stream, err := p.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/"+service+"/Messages")
	if err != nil {
		return err
	}
	taken, err := stream.Header()
	if err != nil {
		return err
	}
	if taken == nil { // the other side has refused the stream, and says why
		return stream.RecvMsg(&[]byte{})
	}
	if err := p.transport.understands(p.node, taken); err != nil {
		return err
	}
	out := &p.lanes[lane]
	out.set(true)
	p.transport.Handler.Found(p.node, lane)
	broken := make(chan error, 1)
	go func() { // the peer sends nothing but beats on a lane
		var err error
		for err == nil {
			var nothing []byte
			err = stream.RecvMsg(&nothing)
		}
		broken <- err
		out.set(false)
	}()
	for {
		list := out.take()
		if list == nil {
			break
		}
		if err := stream.SendMsg(framed(list)); err != nil {
			break
		}
	}
	cancel()
	err = <-broken
	p.transport.Handler.Lost(p.node, lane)
	return err
}

// framed puts the length before each message.
func framed(list [][][]byte) [][]byte {
	parts := make([][]byte, 0, 3*len(list))
	heads := make([]byte, 4*len(list))
	for i, message := range list {
		head := heads[4*i : 4*i+4 : 4*i+4]
		binary.LittleEndian.PutUint32(head, uint32(length(message)))
		parts = append(append(parts, head), message...)
	}
	return parts
}

func bug(format string, values ...any) { panic("transport: " + fmt.Sprintf(format, values...)) }
