package queue

import "slices"

// lane is a FIFO of runs that were never delivered: a decoded head, blocks of packed runs, a decoded tail.
//
// Only the head is looked at. A run that does not fit the head goes to the tail, and a full tail becomes a block; so a
// backlog of any length costs a few bytes a run.
type lane struct {
	head   []run
	at     int // head[:at] has been consumed
	blocks []block
	tail   []run

	count int64 // messages
	bytes int64
}

// block is packed runs.
type block struct {
	data        []byte
	runs        int
	first, last uint64 // lowest and highest entry index
}

const (
	laneHead = 128 // runs kept decoded at the front
	laneTail = 128 // runs that make a block
	runsKept = 32  // runs whose memory an empty lane keeps
)

// push appends r, joined to the last run where it goes on from it.
func (l *lane) push(r run) {
	l.count += int64(r.count)
	l.bytes += r.bytes()
	if len(l.blocks) == 0 && len(l.tail) == 0 {
		l.pushHead(r)
		return
	}
	if n := len(l.tail); n > 0 && l.tail[n-1].join(&r) {
		return
	}
	if len(l.tail) == laneTail {
		l.blocks = append(l.blocks, pack(l.tail))
		l.tail = l.tail[:0]
	}
	l.tail = extended(l.tail, r)
}

func (l *lane) pushHead(r run) {
	if n := len(l.head); n > l.at && l.head[n-1].join(&r) {
		return
	}
	if len(l.head) == cap(l.head) && l.at > len(l.head)/2 {
		l.head = append(l.head[:0], l.head[l.at:]...)
		l.at = 0
	}
	if len(l.head)-l.at >= laneHead {
		l.tail = extended(l.tail, r)
		return
	}
	l.head = extended(l.head, r)
}

// extended is append, but for growing in few steps: some runs, what an empty lane keeps, what a lane may need.
func extended(runs []run, r run) []run {
	switch n := len(runs); {
	case n < cap(runs):
	case n == 0:
		runs = slices.Grow(runs, runsKept/4)
	case n < runsKept:
		runs = slices.Grow(runs, runsKept-n)
	default:
		runs = slices.Grow(runs, laneHead)
	}
	return append(runs, r)
}

// front is the oldest run, nil if there is none. It may be looked at until the next push or drop.
func (l *lane) front() *run {
	if l.at == len(l.head) && !l.refill() {
		return nil
	}
	return &l.head[l.at]
}

// take removes the n oldest messages, which all belong to the front run.
func (l *lane) take(n uint32) run {
	r := &l.head[l.at]
	front := r.take(n)
	l.count -= int64(n)
	l.bytes -= front.bytes()
	if r.count > 0 {
		return front
	}
	l.at++
	if l.count == 0 {
		l.head, l.tail, l.at = emptied(l.head), emptied(l.tail), 0
	}
	return front
}

// emptied gives an empty list, with the memory of the old one unless that is large: many queues have had a backlog once.
func emptied(runs []run) []run {
	if cap(runs) > runsKept {
		return nil
	}
	return runs[:0]
}

func (l *lane) refill() bool {
	l.head, l.at = l.head[:0], 0
	switch {
	case len(l.blocks) > 0:
		l.head = unpack(l.blocks[0], l.head)
		l.blocks[0] = block{}
		l.blocks = l.blocks[1:]
		if len(l.blocks) == 0 {
			l.blocks = nil
		}
	case len(l.tail) > 0:
		l.head, l.tail = l.tail, l.head
	default:
		return false
	}
	return true
}

// each visits every run, oldest first.
func (l *lane) each(visit func(*run)) {
	for i := l.at; i < len(l.head); i++ {
		visit(&l.head[i])
	}
	var runs []run
	for i := range l.blocks {
		runs = unpack(l.blocks[i], runs[:0])
		for j := range runs {
			visit(&runs[j])
		}
	}
	for i := range l.tail {
		visit(&l.tail[i])
	}
}

// within visits the runs that lie in the entries from <= index < to.
func (l *lane) within(from, to uint64, visit func(*run)) {
	some := func(runs []run) {
		for i := range runs {
			if runs[i].index >= from && runs[i].index < to {
				visit(&runs[i])
			}
		}
	}
	some(l.head[l.at:])
	var runs []run
	for i := range l.blocks {
		if l.blocks[i].first < to && l.blocks[i].last >= from {
			runs = unpack(l.blocks[i], runs[:0])
			some(runs)
		}
	}
	some(l.tail)
}
