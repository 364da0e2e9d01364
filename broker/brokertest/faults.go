package brokertest

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// faults is what may go wrong with connections.
type faults struct {
	refuse atomic.Bool
	delay  atomic.Int64 // nanoseconds

	mu   sync.Mutex // guards what follows
	open map[*faulty]struct{}
}

func newFaults() *faults { return &faults{open: map[*faulty]struct{}{}} }

// faulty is a connection that may be delayed or cut.
type faulty struct {
	net.Conn
	faults *faults
	closed chan struct{}
	once   sync.Once
}

func (f *faults) wrap(conn net.Conn) net.Conn {
	if f.refuse.Load() {
		return nil
	}
	c := &faulty{Conn: conn, faults: f, closed: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[c] = struct{}{}
	return c
}

// Write implements net.Conn.
func (c *faulty) Write(b []byte) (int, error) {
	if d := c.faults.delay.Load(); d > 0 {
		select {
		case <-time.After(time.Duration(d)):
		case <-c.closed: // whoever closes does not wait for the delay
		}
	}
	return c.Conn.Write(b)
}

// Close implements net.Conn.
func (c *faulty) Close() error {
	c.faults.mu.Lock()
	delete(c.faults.open, c)
	c.faults.mu.Unlock()
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// drop closes the connections that one wants closed, without a word to the client.
func (f *faults) drop(wanted func(net.Conn) bool) (n int) {
	f.mu.Lock()
	var list []*faulty
	for c := range f.open {
		if wanted(c.Conn) {
			list = append(list, c)
		}
	}
	f.mu.Unlock()
	for _, c := range list {
		_ = c.Close() // it may have ended by itself
	}
	return len(list)
}

// DropConnections cuts all connections, as a network does that fails. It gives their number.
func (f *faults) DropConnections() int { return f.drop(func(net.Conn) bool { return true }) }

// DropConnection cuts the connection that comes from an address, which is the client's LocalAddr. It tells whether there
// was one.
func (f *faults) DropConnection(from net.Addr) bool {
	return f.drop(func(c net.Conn) bool { return c.RemoteAddr().String() == from.String() }) > 0
}

// Connections is how many connections there are.
func (f *faults) Connections() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.open)
}

// Refuse makes the broker close every new connection at once, or accept them again. Connections that are there stay.
func (f *faults) Refuse(refuse bool) { f.refuse.Store(refuse) }

// Delay makes the broker wait before everything it writes to a client. 0 is no delay.
func (f *faults) Delay(d time.Duration) { f.delay.Store(int64(d)) }
