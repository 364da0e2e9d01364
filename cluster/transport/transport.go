// Package transport owns the connections between nodes: streams of messages, and files of any length, over gRPC with a codec
// that leaves bytes alone.
//
//  1. Listen accepts what other nodes send; Peer names a node to send to and where it is.
//  2. Send queues a message on a lane. What is sent to one peer on one lane arrives in order, and complete as long as the
//     connection lives. When it breaks, Lost is called, and whoever needs an answer asks again once Found is called.
//  3. Stream sends something long, such as a snapshot, beside the lanes.
//
// Each node dials every other: a connection carries messages one way, and beats the other.
package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// Lane is a sequence of messages to a peer.
type Lane uint8

// The lanes: consensus does not wait behind what queues have to say.
const (
	Raft Lane = iota
	Calls
	Notes // what is short and must not wait behind what queues have to say
	Asks  // questions of operators, and answers that may be long: no message waits behind them
	lanes
)

// Handler takes what other nodes send. Its methods may be called from several goroutines.
type Handler interface {
	// Receive takes a message. The calls for one peer and lane come one after another; data is the handler's to keep, but on
	// the lane Raft, where it is borrowed until Receive returns.
	Receive(from uint64, lane Lane, data []byte)
	// Found tells that a lane to a peer is open: what is sent from now on may arrive.
	Found(peer uint64, lane Lane)
	// Lost tells that a lane to a peer is closed: of what was sent the end may be missing.
	Lost(peer uint64, lane Lane)
	// Stream takes what a peer sends with Stream. Its error is told to the sender.
	Stream(from uint64, r io.Reader) error
}

// Options are what a Transport is told.
type Options struct {
	Node    uint64 // id of this node
	Cluster string // nodes of different clusters do not talk
	Handler Handler
	// TLS is used to listen and to dial; nil: in the clear. Verifying that a peer belongs to the cluster is its part.
	TLS *tls.Config
	// Doors take connections to the listener that are not for messages, by the names of their protocols. They need TLS.
	Doors map[string]Door
	// Silence is after how long a peer that says nothing is taken for gone. Default 5 s.
	Silence time.Duration
	// Dial connects to an address; nil: as net.Dialer does.
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Logger zerolog.Logger
}

// Transport is this node's end of all connections. It is safe for concurrent use.
type Transport struct {
	Options
	ctx      context.Context
	stop     context.CancelFunc
	server   *grpc.Server
	protocol string // that it speaks

	mu    sync.RWMutex
	peers map[uint64]*peer
	runs  sync.WaitGroup

	refusing sync.Mutex           // guards what follows
	refused  map[uint64]complaint // nodes that speak another protocol
}

// ErrUnknownPeer is returned for a node that was not named with Peer.
var ErrUnknownPeer = errors.New("transport: no such peer")

// New makes a transport that neither listens nor dials yet.
func New(o Options) *Transport {
	t := &Transport{Options: o, protocol: spoken, peers: map[uint64]*peer{}, refused: map[uint64]complaint{}}
	if t.Silence == 0 {
		t.Silence = defaultSilence
	}
	t.ctx, t.stop = context.WithCancel(context.Background())
	secure := insecure.NewCredentials()
	if o.TLS != nil {
		secure = newSecured(t)
	}
	t.server = grpc.NewServer(
		grpc.Creds(secure), grpc.ForceServerCodecV2(codec{}), grpc.MaxRecvMsgSize(receiveMax), grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window), grpc.ReadBufferSize(socketBuffer), grpc.WriteBufferSize(socketBuffer),
		grpc.ConnectionTimeout(handshakeTime), grpc.KeepaliveParams(keepalive.ServerParameters{Time: t.Silence / 2, Timeout: t.Silence / 2}),
	)
	t.server.RegisterService(&grpc.ServiceDesc{
		ServiceName: service, HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{
			{StreamName: "Messages", ClientStreams: true, Handler: t.serveMessages},
			{StreamName: "Long", ClientStreams: true, Handler: t.serveStream},
		},
	}, t)
	return t
}

const (
	service      = "warren.Node"
	receiveMax   = 1 << 30 // what sends is a node of the cluster
	window       = 4 << 20
	socketBuffer = 128 << 10
)

// Listen accepts connections until Close.
func (t *Transport) Listen(l net.Listener) {
	eager(l)
	t.runs.Go(func() {
		if err := t.server.Serve(l); err != nil && t.ctx.Err() == nil {
			t.Logger.Error().Err(err).Msg("the listener for other nodes ended")
		}
	})
}

// Peer names a node and where it listens; a changed address takes effect with the next connection.
func (t *Transport) Peer(node uint64, address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[node]; p != nil {
		if p.address == address {
			return
		}
		p.close()
	}
	p := newPeer(t, node, address)
	t.peers[node] = p
	for lane := range lanes {
		t.runs.Go(func() { p.run(lane) })
	}
}

// Keep ends the connections to nodes other than these.
func (t *Transport) Keep(nodes func(node uint64) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for node, p := range t.peers {
		if !nodes(node) {
			p.close()
			delete(t.peers, node)
		}
	}
}

func (t *Transport) peer(node uint64) (*peer, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p := t.peers[node]
	if p == nil {
		return nil, fmt.Errorf("%w: %d", ErrUnknownPeer, node)
	}
	return p, nil
}

// Send queues a message; the bytes of its parts are given away. It never blocks: a message that finds no open lane is dropped,
// and the error says so.
func (t *Transport) Send(node uint64, lane Lane, parts ...[]byte) error {
	p, err := t.peer(node)
	if err != nil {
		return err
	}
	return p.lanes[lane].push(parts)
}

// Close ends all connections.
func (t *Transport) Close() {
	t.stop()
	t.mu.Lock()
	for _, p := range t.peers {
		p.close()
	}
	t.mu.Unlock()
	t.server.Stop()
	t.runs.Wait()
}
