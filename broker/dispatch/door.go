package dispatch

import (
	"bytes"
	"errors"
	"math"
	"sync"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// Handle is where batches for a group are handed in.
type Handle interface {
	// Propose takes a batch. After ErrRefused it has taken nothing.
	Propose(b oplog.Batch) error
	// Share is how many bytes one session may have under way there before it waits: Window at most, or Unbounded if nobody is
	// to wait. It may change.
	Share() int
}

// Whole is a Handle that no session shares with others: each has its whole Window.
type Whole struct {
	// Group takes the batches.
	Group interface{ Propose(b oplog.Batch) error }
}

// Propose implements Handle.
func (w Whole) Propose(b oplog.Batch) error { return w.Group.Propose(b) }

// Share implements Handle.
func (Whole) Share() int { return Window }

// ErrRefused is returned for a batch that a group does not get: nothing of it takes effect, ever, and those who wait for its
// answers are told otherwise. Its number is free for the next.
var ErrRefused = errors.New("the group takes nothing at the moment")

// Groups finds the groups. It is safe for concurrent use.
type Groups interface {
	// Handle gives the way to a group; an error names what is in the way.
	Handle(group uint64) (Handle, error)
}

// Door gathers the commands of one session for each group and hands them in, numbered, a burst at a time. It is owned by
// one goroutine, but for Answered, LetGo, Behind, Visited and Close.
type Door struct {
	key    queue.SessionKey
	groups Groups
	links  map[uint64]*link
	list   []*link // the same
	open   []*link // with commands in their batch

	mu     sync.Mutex // guards what follows
	room   *sync.Cond
	used   int // bytes handed in that are not applied yet, and that the session waits for
	closed bool
}

// link is the way to one group.
type link struct {
	group  uint64
	handle Handle
	batch  queue.Batch
	open   bool
	seq    uint64
	sizes  []int // of the batches seq-len(sizes)+1..seq, which are not applied yet; 0 if the session does not wait for one
	used   int   // their sum
	adrift bool  // nobody waits for them
	behind []behind
}

// behind is what waits until a batch is applied.
type behind struct {
	seq uint64
	do  func()
}

// spare is memory that large bursts took, for the next ones.
var spare sync.Pool

// Window is how many bytes a session may have under way before it waits: what bounds the batches that wait in the logs. Where
// many sessions share a group, their shares of it are smaller.
const Window = 4 << 20

// Unbounded is the Share of a group that has had no leader for too long: sessions do not wait for what it still takes.
const Unbounded = math.MaxInt

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
		d.list = append(d.list, l)
		d.mu.Unlock()
	}
	if !l.open {
		l.open = true
		if l.batch.Bare() {
			if memory, ok := spare.Get().(*[]byte); ok {
				l.batch.Lend(*memory)
			}
		}
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
	if memory := l.batch.Trim(); memory != nil && cap(memory) <= Window {
		spare.Put(&memory)
	}
	size := len(data)
	if l.handle.Share() == Unbounded {
		size = 0
	}
	d.mu.Lock()
	l.seq++
	l.sizes = append(l.sizes, size)
	l.used += size
	d.used += size
	d.mu.Unlock()
	err := l.handle.Propose(oplog.Batch{From: oplog.Origin{Node: d.key.Node, Session: d.key.Session, Seq: l.seq}, Data: data})
	if errors.Is(err, ErrRefused) {
		for _, b := range d.takeBack(l) {
			b.do()
		}
		return nil
	}
	return err
}

// takeBack forgets the last batch, which was refused. It gives what waited for nothing else.
func (d *Door) takeBack(l *link) (ready []behind) {
	d.mu.Lock()
	defer d.mu.Unlock()
	last := len(l.sizes) - 1
	d.used -= l.sizes[last]
	l.used -= l.sizes[last]
	l.sizes = l.sizes[:last]
	l.seq--
	for i := range l.behind {
		l.behind[i].seq = min(l.behind[i].seq, l.seq)
	}
	if last == 0 {
		ready, l.behind = l.behind, nil
	}
	return ready
}

// Wait blocks while too much is under way. It gives false once the door is closed.
func (d *Door) Wait() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.crowded() && !d.closed {
		d.room.Wait()
	}
	return !d.closed
}

// crowded tells whether too much is under way, to all groups together or to one.
func (d *Door) crowded() bool {
	if d.used == 0 || d.used > Window {
		return d.used > Window
	}
	for _, l := range d.list {
		if l.used > 0 && l.used > l.handle.Share() {
			return true
		}
	}
	return false
}

// LetGo lets the session go on without what a group has not applied: nobody knows when it will be.
func (d *Door) LetGo(group uint64) {
	d.mu.Lock()
	l := d.links[group]
	if l == nil {
		d.mu.Unlock()
		return
	}
	ready := l.behind
	l.behind, l.adrift = nil, true
	clear(l.sizes)
	d.used -= l.used
	l.used = 0
	d.room.Broadcast()
	d.mu.Unlock()
	for _, b := range ready {
		b.do()
	}
}

// Behind calls do once the group has applied all that was handed in to it so far: at once, or from the goroutine that
// calls Answered. If the session was let go, it does not wait. It may be called from any goroutine.
func (d *Door) Behind(group uint64, do func()) {
	d.mu.Lock()
	if l := d.links[group]; l != nil && len(l.sizes) > 0 && !l.adrift {
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
		l.used -= l.sizes[0]
		l.sizes = l.sizes[1:]
		l.adrift = false
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
