package queue

import "math/bits"

// lanes is a queue's messages that were never delivered: a lane for each priority, made when it is first needed.
type lanes struct {
	list   []*lane
	filled [4]uint64 // bit p: the lane of priority p holds something
}

func newLanes(priorities int) lanes { return lanes{list: make([]*lane, priorities)} }

// lane gives the lane of a priority.
func (l *lanes) lane(priority int) *lane {
	if l.list[priority] == nil {
		l.list[priority] = &lane{}
	}
	return l.list[priority]
}

func (l *lanes) push(r run) {
	p := r.priority
	l.lane(int(p)).push(r)
	l.filled[p>>6] |= 1 << (p & 63)
}

// take removes the n oldest messages of a priority, which all belong to its front run.
func (l *lanes) take(priority int, n uint32) run {
	lane := l.list[priority]
	r := lane.take(n)
	if lane.count == 0 {
		l.filled[priority>>6] &^= 1 << (priority & 63)
	}
	return r
}

// below gives the highest priority under the given one that has messages, -1 if there is none.
func (l *lanes) below(priority int) int {
	word := (priority - 1) >> 6
	mask := ^uint64(0) >> (63 - uint(priority-1)&63)
	for ; word >= 0; word-- {
		if here := l.filled[word] & mask; here != 0 {
			return word<<6 + 63 - bits.LeadingZeros64(here)
		}
		mask = ^uint64(0)
	}
	return -1
}

// top gives the highest priority that has messages, -1 if none has.
func (l *lanes) top() int { return l.below(len(l.list)) }

// within visits the runs in the entries from <= index < to.
func (l *lanes) within(from, to uint64, visit func(*run)) {
	for p := l.top(); p >= 0; p = l.below(p) {
		l.list[p].within(from, to, visit)
	}
}
