package transport

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
)

// A peer that vanishes without a word (its power is gone, a cable is) leaves connections that look open. So on every lane
// something comes back while the peer lives: a beat, from whom the lane leads to. Whoever hears nothing closes the connection.
// In the other direction gRPC's own pings do that; those of its clients are too rare.

// defaultSilence is Options.Silence where nobody says it.
const defaultSilence = 5 * time.Second

// beats are how many beats a peer sends in the time in which it has to be heard once.
const beats = 4

// heard is a connection that ends when nothing comes for too long.
type heard struct {
	net.Conn
	silence time.Duration
}

// Read implements net.Conn.
func (h *heard) Read(p []byte) (int, error) {
	if err := h.SetReadDeadline(time.Now().Add(h.silence)); err != nil {
		return 0, err
	}
	return h.Conn.Read(p)
}

// dial connects to a peer.
func (t *Transport) dial(ctx context.Context, address string) (net.Conn, error) {
	dial := t.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	eager(conn)
	return &heard{conn, t.Silence}, nil
}

// beat sends beats on a lane that a peer has opened, until ctx ends.
func (t *Transport) beat(ctx context.Context, stream grpc.ServerStream) {
	every := time.NewTicker(t.Silence / beats)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			if stream.SendMsg([][]byte{}) != nil {
				return
			}
		}
	}
}
