package link

import (
	"errors"
	"slices"
	"sync"
)

// network is connections between nodes that a test can cut.
type network struct {
	mu    sync.Mutex
	lines map[[2]uint64]*line
	links map[uint64]*Links
	deaf  map[[2]uint64]bool // what the first sends to the second is lost
	over  bool
	done  sync.WaitGroup
}

// line is one direction.
type line struct {
	mu     sync.Mutex
	some   *sync.Cond
	queue  []func()
	closed bool
}

var errCut = errors.New("the connection is cut")

func newNetwork() *network {
	return &network{lines: map[[2]uint64]*line{}, links: map[uint64]*Links{}, deaf: map[[2]uint64]bool{}}
}

// port is the network as a node's Peers.
type port struct {
	*network
	node uint64
}

func (n *network) line(from, to uint64) *line {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.lines[[2]uint64{from, to}]
	if l == nil {
		l = &line{closed: n.over}
		l.some = sync.NewCond(&l.mu)
		if n.over {
			return l
		}
		n.lines[[2]uint64{from, to}] = l
		n.done.Go(l.run)
	}
	return l
}

func (l *line) run() {
	for {
		l.mu.Lock()
		for len(l.queue) == 0 && !l.closed {
			l.some.Wait()
		}
		if len(l.queue) == 0 {
			l.mu.Unlock()
			return
		}
		f := l.queue[0]
		l.queue = l.queue[1:]
		l.mu.Unlock()
		f()
	}
}

func (l *line) push(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.queue = append(l.queue, f)
	l.some.Signal()
	return true
}

// Send implements Peers.
func (p port) Send(to uint64, parts ...[]byte) error {
	data := slices.Concat(parts...)
	n := p.network
	n.mu.Lock()
	receiver, lost := n.links[to], n.deaf[[2]uint64{p.node, to}]
	n.mu.Unlock()
	if lost {
		return nil
	}
	if receiver == nil || !n.line(p.node, to).push(func() { receiver.Receive(p.node, data) }) {
		return errCut
	}
	return nil
}

// silence loses what one node sends to another, and nobody is told, until it is over.
func (n *network) silence(from, to uint64, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deaf[[2]uint64{from, to}] = on
}

// cut loses what is on its way between two nodes; both are told.
func (n *network) cut(a, b uint64) {
	for _, pair := range [][2]uint64{{a, b}, {b, a}} {
		l := n.line(pair[0], pair[1])
		n.mu.Lock()
		receiver := n.links[pair[1]]
		n.mu.Unlock()
		l.mu.Lock()
		l.queue = []func(){func() { receiver.Lost(pair[0]) }}
		l.some.Signal()
		l.mu.Unlock()
	}
}

func (n *network) close() {
	n.mu.Lock()
	n.over = true
	lines := n.lines // nobody adds any more
	n.mu.Unlock()
	for _, l := range lines {
		l.mu.Lock()
		l.closed = true
		l.queue = nil
		l.some.Signal()
		l.mu.Unlock()
	}
	n.done.Wait()
}
