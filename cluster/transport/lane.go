package transport

import (
	"errors"
	"sync"
)

// ErrDropped is returned for a message that finds no open lane, or a full one.
var ErrDropped = errors.New("transport: the peer cannot be reached")

// laneMax is how many bytes may wait on a lane. More means that the peer takes nothing: the connection is given up.
const laneMax = 256 << 20

// sendMax is how many bytes of messages, or how large a one, are sent as one piece.
const sendMax = 4 << 20

// laneOut is the messages that wait to be sent on a lane.
type laneOut struct {
	mu      sync.Mutex
	arrived *sync.Cond
	waiting [][][]byte // of each message the parts
	bytes   int
	open    bool
	full    bool
	closed  bool
}

func (l *laneOut) init() { l.arrived = sync.NewCond(&l.mu) }

// length is that of a message.
func length(parts [][]byte) (n int) {
	for _, part := range parts {
		n += len(part)
	}
	return n
}

func (l *laneOut) push(message [][]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open || l.full {
		return ErrDropped
	}
	if l.bytes += length(message); l.bytes > laneMax {
		l.full = true
	}
	l.waiting = append(l.waiting, message)
	l.arrived.Signal()
	return nil
}

// take gives the oldest of what waits, as soon as something does; nil when the lane is closed or was given up.
func (l *laneOut) take() [][][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) == 0 && l.open && !l.closed {
		l.arrived.Wait()
	}
	if l.closed || !l.open || l.full {
		return nil
	}
	n, size := 0, 0
	for n < len(l.waiting) {
		next := length(l.waiting[n])
		if n > 0 && size+next > sendMax {
			break
		}
		n, size = n+1, size+next
	}
	taken := l.waiting[:n:n]
	l.waiting, l.bytes = l.waiting[n:], l.bytes-size
	if len(l.waiting) == 0 {
		l.waiting = nil
	}
	return taken
}

// set opens the lane, or closes it until the next connection and drops what waits.
func (l *laneOut) set(open bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open, l.full, l.waiting, l.bytes = open, false, nil, 0
	l.arrived.Broadcast()
}

func (l *laneOut) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.arrived.Broadcast()
}
