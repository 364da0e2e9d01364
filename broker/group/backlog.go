package group

import (
	"bytes"
	"container/heap"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// Deliveries whose bytes are not in memory, or whose session has enough to do, wait in the backlog. Of these only the
// effect is kept, and its bytes stay live in the log: the log is the buffer, whatever consumers were promised.
//
//  1. say puts a delivery into its consumer's line, and whatever else that consumer is told behind it.
//  2. fetch reads the bytes in the order in which they lie in the log, so that an entry which serves many consumers is read
//     once, a little at a time: between two rounds the log goes on.
//  3. A session without room is parked until its inbox wakes it.

const (
	// roomBytes is how many bytes a session may be sent in one round.
	roomBytes = 1 << 20
	// fetchReads and fetchBytes bound a round of fetch.
	fetchReads = 64
	fetchBytes = 1 << 20
	// copyBelow: what is read is copied if it is shorter, so that it does not hold a whole entry in memory.
	copyBelow = 64 << 10
)

// backlog is the sessions that wait for bytes. owner: the log's goroutine
type backlog struct {
	sessions map[queue.SessionKey]*behind
	lines    lines // of sessions that are not parked
	fetching bool  // a round of fetch is on its way
}

// behind is a session that waits for bytes.
type behind struct {
	to     queue.SessionKey
	lines  map[uint32]*line // by consumer
	parked bool             // it has no room; its lines leave the heap
}

// line is what a consumer waits for, in order.
type line struct {
	of       *behind
	consumer uint32
	front    queue.Effect // the bytes of this one are to be read next
	rest     waiting
	listed   bool // it is in the heap
}

// lines is a heap of lines: the one whose bytes lie first in the log is on top.
type lines []*line

// The methods of heap.Interface.
func (h lines) Len() int      { return len(h) }
func (h lines) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h lines) Less(i, j int) bool {
	a, b := &h[i].front, &h[j].front
	return a.Index < b.Index || a.Index == b.Index && a.Offset < b.Offset
}
func (h *lines) Push(x any) {
	l := x.(*line)
	l.listed = true
	*h = append(*h, l)
}

func (h *lines) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	l.listed = false
	return l
}

// carries tells whether an event of that kind has bytes.
func carries(kind queue.Kind) bool { return kind == queue.Deliver || kind == queue.Got }

// span is where the records of a delivery lie, as the machine counts them.
func span(e *queue.Effect) oplog.Span {
	return oplog.Span{Index: e.Index, Offset: e.Offset - queue.RecordGap, Length: e.Stride * e.Count}
}

// pin keeps the bytes of an event that waits live in the log, and gives the event.
func (g *Group) pin(e Event) Event {
	if carries(e.Kind) {
		g.log.Account(e.Index, int64(e.Stride)*int64(e.Count))
	}
	return e
}

func (g *Group) unpin(e *queue.Effect) {
	if carries(e.Kind) {
		g.log.Account(e.Index, -int64(e.Stride)*int64(e.Count))
	}
}

// line gives the line that an event has to stand in, nil if there is none.
func (b *backlog) line(e *Event) *line {
	if e.Consumer == 0 {
		return nil
	}
	if s := b.sessions[e.To]; s != nil {
		return s.lines[e.Consumer]
	}
	return nil
}

// wait makes the consumer of a pinned delivery wait for its bytes.
func (g *Group) wait(e Event) {
	b := &g.backlog
	s := b.sessions[e.To]
	if s == nil {
		s = &behind{to: e.To, lines: map[uint32]*line{}}
		if b.sessions == nil {
			b.sessions = map[queue.SessionKey]*behind{}
		}
		b.sessions[e.To] = s
	}
	l := &line{of: s, consumer: e.Consumer, front: e.Effect}
	s.lines[e.Consumer] = l
	if !s.parked {
		heap.Push(&b.lines, l)
		g.fetchSoon()
	}
}

func (g *Group) fetchSoon() {
	if b := &g.backlog; !b.fetching && len(b.lines) > 0 {
		b.fetching = g.log.Do(g.fetch) == nil
	}
}

// fetch reads for sessions that have room, and sends what it has read.
func (g *Group) fetch() {
	b := &g.backlog
	b.fetching = false
	for reads, size := 0, 0; len(b.lines) > 0 && reads < fetchReads && size < fetchBytes; reads++ {
		l := b.lines[0]
		if l.of.parked || !g.outgo.welcome(l.of.to, g) {
			l.of.parked = true
			heap.Pop(&b.lines)
			continue
		}
		if !g.outgo.room(l.of.to, g) {
			break // until the next round
		}
		e := &l.front
		data, err := g.log.Read(records(e))
		if err != nil {
			g.unreadable(e, err)
		} else {
			g.outgo.add(Event{Effect: *e, Group: g.ID, Data: bytesOf(data)})
			size += len(data)
			g.delivered()
		}
		g.unpin(e)
		g.advance(l)
	}
	g.outgo.send(g.inboxes)
	g.fetchSoon()
}

// bytesOf gives bytes that hold no more memory than they need.
func bytesOf(data []byte) []byte {
	if len(data) < copyBelow {
		return bytes.Clone(data)
	}
	return data
}

// advance goes on from the front of the line on top of the heap: what needs no bytes is said, up to the next that does.
func (g *Group) advance(l *line) {
	for !l.rest.empty() {
		l.front = l.rest.pop()
		if carries(l.front.Kind) {
			heap.Fix(&g.backlog.lines, 0)
			return
		}
		g.outgo.add(Event{Effect: l.front, Group: g.ID})
	}
	heap.Pop(&g.backlog.lines)
	s := l.of
	delete(s.lines, l.consumer)
	if len(s.lines) == 0 {
		delete(g.backlog.sessions, s.to)
	}
}

// HasRoom implements Waker.
func (g *Group) HasRoom(to queue.SessionKey) {
	_ = g.log.Do(func() { // a closed log has nothing to send
		s := g.backlog.sessions[to]
		if s == nil || !s.parked {
			return
		}
		s.parked = false
		for _, l := range s.lines {
			if !l.listed {
				heap.Push(&g.backlog.lines, l)
			}
		}
		g.fetchSoon()
	})
}

// forget drops what waits: another member leads now, and sessions ask it for what they lack.
func (g *Group) forget() {
	g.waiting(g.unpin)
	g.backlog = backlog{fetching: g.backlog.fetching}
	g.held = map[queue.SessionKey][]Event{}
}

// waiting visits everything that is pinned, and some that need not be.
func (g *Group) waiting(visit func(*queue.Effect)) {
	for _, s := range g.backlog.sessions {
		for _, l := range s.lines {
			visit(&l.front)
			l.rest.each(visit)
		}
	}
	for _, held := range g.held {
		for i := range held {
			visit(&held[i].Effect)
		}
	}
}

// live visits the spans that are live because somebody waits for them.
func (g *Group) live(from, to uint64, visit func(oplog.Span)) {
	g.waiting(func(e *queue.Effect) {
		if carries(e.Kind) && e.Index >= from && e.Index < to {
			visit(span(e))
		}
	})
}
