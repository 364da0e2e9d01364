package transport

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// cable is a connection that can be cut so that neither end hears of it: what is written is swallowed, nothing comes.
type cable struct {
	net.Conn
	cut    chan struct{} // closed by Cut
	closed chan struct{}
	once   sync.Once
	got    chan []byte
	rest   bytes.Buffer
}

func newCable(conn net.Conn, cut chan struct{}) *cable {
	c := &cable{Conn: conn, cut: cut, closed: make(chan struct{}), got: make(chan []byte)}
	go func() {
		for {
			data := make([]byte, 64<<10)
			n, err := conn.Read(data)
			if err != nil {
				return // the reader finds out by itself, by its deadline
			}
			select {
			case c.got <- data[:n]:
			case <-c.closed:
				return
			}
		}
	}()
	return c
}

func (c *cable) Write(data []byte) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	case <-c.cut:
		return len(data), nil
	default:
		return c.Conn.Write(data)
	}
}

// deadlined is a cable that knows of deadlines for reading.
type deadlined struct {
	*cable
	mu       sync.Mutex
	deadline time.Time
}

func (d *deadlined) SetReadDeadline(at time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deadline = at
	return nil
}

func (d *deadlined) Read(data []byte) (int, error) {
	if d.rest.Len() > 0 {
		return d.rest.Read(data)
	}
	d.mu.Lock()
	timer := time.NewTimer(time.Until(d.deadline))
	d.mu.Unlock()
	defer timer.Stop()
	got := d.got
	select {
	case <-d.cut:
		got = nil
	default:
	}
	for {
		select {
		case part := <-got:
			d.rest.Write(part)
			return d.rest.Read(data)
		case <-d.cut:
			select {
			case <-timer.C:
				return 0, context.DeadlineExceeded
			case <-d.closed:
				return 0, net.ErrClosed
			}
		case <-timer.C:
			return 0, context.DeadlineExceeded
		case <-d.closed:
			return 0, net.ErrClosed
		}
	}
}

// Close closes this end; the other hears nothing of it once the cable is cut.
func (c *cable) Close() error {
	c.once.Do(func() { close(c.closed) })
	select {
	case <-c.cut:
		return nil
	default:
		return c.Conn.Close()
	}
}

// TestAPeerThatVanishesIsLost on both sides, though no connection was closed.
func TestAPeerThatVanishesIsLost(t *testing.T) {
	cut := make(chan struct{})
	var mu sync.Mutex
	var sockets []net.Conn
	h := &handler{t: t, heard: make(chan noted, 1<<20)}
	a := New(Options{Node: 1, Cluster: "c", Handler: h, Logger: zerolog.Nop(), Silence: 2 * time.Second,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			sockets = append(sockets, conn)
			if len(sockets) > 1 {
				return conn, nil // the next one is whole
			}
			return &deadlined{cable: newCable(conn, cut)}, nil
		}})
	t.Cleanup(a.Close)
	b := newSilent(t, 2*time.Second)
	a.Peer(2, b.address)
	h.wait("found", Raft)
	if err := a.Send(2, Raft, []byte("x")); err != nil {
		t.Fatal(err)
	}
	b.wait("received", Raft)
	close(cut)
	h.wait("lost", Raft)
	b.gone(t)
	h.wait("found", Raft) // over a connection that is whole
	mu.Lock()
	defer mu.Unlock()
	for _, conn := range sockets {
		conn.Close()
	}
}

// silent is a node that tells when a connection to it has ended.
type silent struct {
	*node
	ended chan struct{}
}

func newSilent(t *testing.T, silence time.Duration) *silent {
	t.Helper()
	h := &handler{t: t, heard: make(chan noted, 1<<20)}
	s := &silent{&node{handler: h}, make(chan struct{}, 16)}
	s.Transport = New(Options{Node: 2, Cluster: "c", Handler: h, Logger: zerolog.Nop(), Silence: silence})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	s.Listen(&watchedListener{l, s.ended})
	t.Cleanup(s.Transport.Close)
	return s
}

func (s *silent) gone(t *testing.T) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		t.Fatal("the side that was dialed keeps the connection of a peer that vanished")
	}
}

// watchedListener tells of connections that this side closes.
type watchedListener struct {
	net.Listener
	ended chan struct{}
}

func (l *watchedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &watchedConn{Conn: conn, ended: l.ended}, err
}

type watchedConn struct {
	net.Conn
	ended chan struct{}
	once  sync.Once
}

func (c *watchedConn) Close() error {
	c.once.Do(func() { c.ended <- struct{}{} })
	return c.Conn.Close()
}

// TestAPeerWithNothingToSayIsNotLost: beats are heard.
func TestAPeerWithNothingToSayIsNotLost(t *testing.T) {
	beaten := make(chan struct{}, 1<<10)
	h := &handler{t: t, heard: make(chan noted, 1<<20)}
	a := New(Options{Node: 1, Cluster: "c", Handler: h, Logger: zerolog.Nop(), Silence: time.Second,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return &countedConn{conn, beaten}, err
		}})
	t.Cleanup(a.Close)
	b := newSilent(t, time.Second)
	a.Peer(2, b.address)
	h.wait("found", Raft)
	for range 12 * int(lanes) / 2 { // more than one silence
		select {
		case <-beaten:
		case n := <-h.heard:
			if n.what == "lost" {
				t.Fatal("a peer that lives is lost")
			}
		case <-time.After(patience):
			t.Fatal("nothing comes from a peer that lives")
		}
	}
	var out bytes.Buffer
	b.stream = func(_ uint64, r io.Reader) error { _, err := io.Copy(&out, r); return err }
	if err := a.Stream(2, func(w io.Writer) error { _, err := w.Write([]byte("long")); return err }); err != nil || out.String() != "long" {
		t.Errorf("%v, %q", err, out.String())
	}
}

// countedConn tells of reads that brought something.
type countedConn struct {
	net.Conn
	read chan struct{}
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.read <- struct{}{}
	}
	return n, err
}
