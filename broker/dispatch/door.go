package dispatch

import (
	"bytes"
	"sync"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// Handle is where batches for a group are handed in.
type Handle interface {
	Propose(b oplog.Batch) error
}

// Groups finds the groups. It is safe for concurrent use.
type Groups interface {
	// Handle gives the way to a group; an error names what is in the way.
	Handle(group uint64) (Handle, error)
}

// Door gathers the commands of one session for each group and hands them in, numbered, a burst at a time. It is owned by
// one goroutine, but for Answered, Behind, Visited and Close.
type Door struct {
	key    queue.SessionKey
	groups Groups
	links  map[uint64]*link
	open   []*link // with commands in their batch

	mu     sync.Mutex // guards what follows
	room   *sync.Cond
	used   int // bytes handed in that are not applied yet
	closed bool
}

// link is the way to one group.
type link struct {
	group  uint64
	handle Handle
	batch  queue.Batch
	open   bool
	seq    uint64
	sizes  []int // of the batches seq-len(sizes)+1..seq, which are not applied yet
	behind []behind
}

// behind is what waits until a batch is applied.
type behind struct {
	seq uint64
	do  func()
}

// Window is how many bytes a session may have under way before it waits: what bounds the batches that wait in the logs.
const Window = 4 << 20

// NewDoor makes a door for a session.
func NewDoor(key queue.SessionKey, groups Groups) *Door {
	d := &Door{key: key, groups: groups, links: map[uint64]*link{}}
	d.room = sync.NewCond(&d.mu)
	return d
}

// Key is the session whose commands these are.
func (d *Door) Key() queue.SessionKey { return d.key }

// Batch gives the open batch for a group, to add commands to.
func (d *Door) Batch(group uint64) (*queue.Batch, error) {
	l := d.links[group]
	if l == nil {
		handle, err := d.groups.Handle(group)
		if err != nil {
			return nil, err
		}
		l = &link{group: group, handle: handle}
		d.mu.Lock() // Answered looks here too
		d.links[group] = l
		d.mu.Unlock()
	}
	if !l.open {
		l.open = true
		d.open = append(d.open, l)
	}
	return &l.batch, nil
}

// Flush hands in all open batches.
func (d *Door) Flush() error {
	var failed error
	for _, l := range d.open {
		l.open = false
		if err := d.handIn(l); err != nil {
			failed = err
		}
	}
	d.open = d.open[:0]
	return failed
}

func (d *Door) handIn(l *link) error {
	if l.batch.Len() == 0 {
		return nil
	}
	data := bytes.Clone(l.batch.Bytes())
	l.batch.Reset()
	l.batch.Trim()
	d.mu.Lock()
	l.seq++
	l.sizes = append(l.sizes, len(data))
	d.used += len(data)
	d.mu.Unlock()
	return l.handle.Propose(oplog.Batch{From: oplog.Origin{Node: d.key.Node, Session: d.key.Session, Seq: l.seq}, Data: data})
}

// Wait blocks while too much is under way. It gives false once the door is closed.
func (d *Door) Wait() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.used > Window && !d.closed {
		d.room.Wait()
	}
	return !d.closed
}

// Behind calls do once the group has applied all that was handed in to it so far: at once, or from the goroutine that
// calls Answered. It may be called from any goroutine.
func (d *Door) Behind(group uint64, do func()) {
	d.mu.Lock()
	if l := d.links[group]; l != nil && len(l.sizes) > 0 {
		l.behind = append(l.behind, behind{l.seq, do})
		d.mu.Unlock()
		return
	}
	d.mu.Unlock()
	do()
}

// Answered notes that a group has applied the session's batches up to seq.
func (d *Door) Answered(group, seq uint64) {
	for _, b := range d.answered(group, seq) {
		b.do()
	}
}

func (d *Door) answered(group, seq uint64) (ready []behind) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.links[group]
	if l == nil {
		return nil
	}
	for len(l.sizes) > 0 && l.seq-uint64(len(l.sizes))+1 <= seq {
		d.used -= l.sizes[0]
		l.sizes = l.sizes[1:]
	}
	if d.used <= Window {
		d.room.Broadcast()
	}
	n := 0
	for n < len(l.behind) && l.behind[n].seq <= seq {
		n++
	}
	ready, l.behind = l.behind[:n:n], l.behind[n:]
	return ready
}

// Visited gives the groups that may hold something of the session. It may be called from any goroutine.
func (d *Door) Visited() []uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]uint64, 0, len(d.links))
	for group := range d.links {
		list = append(list, group)
	}
	return list
}

// Close ends all waiting.
func (d *Door) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.room.Broadcast()
}
