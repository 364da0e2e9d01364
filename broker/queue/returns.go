package queue

import "sort"

// returns is the messages that came back, in the order in which they are delivered again. Like a lane it is consumed at
// the front; unlike a lane a run may be put anywhere.
type returns struct {
	runs  []run
	at    int // runs[:at] is free
	count int64
	bytes int64
}

// front is the next run, nil if there is none.
func (t *returns) front() *run {
	if t.at == len(t.runs) {
		return nil
	}
	return &t.runs[t.at]
}

// take removes the first n messages, which all belong to the front run.
func (t *returns) take(n uint32) run {
	r := &t.runs[t.at]
	front := r.take(n)
	t.count -= int64(n)
	t.bytes -= front.bytes()
	if r.count == 0 {
		t.at++
		if t.at == len(t.runs) {
			t.runs, t.at = emptied(t.runs), 0
		}
	}
	return front
}

// append puts r behind everything else: quorum queues deliver in the order of return.
func (t *returns) append(r run) {
	t.count += int64(r.count)
	t.bytes += r.bytes()
	if n := len(t.runs); n > t.at && t.runs[n-1].join(&r) {
		return
	}
	t.runs = append(t.runs, r)
}

// insert puts r at its place in the log, messages of higher priority first: classic queues deliver in the first order.
func (t *returns) insert(r run) {
	t.count += int64(r.count)
	t.bytes += r.bytes()
	live := t.runs[t.at:]
	i := sort.Search(len(live), func(i int) bool {
		if live[i].priority != r.priority {
			return live[i].priority < r.priority
		}
		return r.before(&live[i])
	})
	if i > 0 && live[i-1].join(&r) {
		if i < len(live) && live[i-1].join(&live[i]) {
			t.cut(i)
		}
		return
	}
	if i < len(live) && r.join(&live[i]) {
		live[i] = r
		return
	}
	t.place(i, r)
}

// place makes room at position i behind t.at, moving the shorter side.
func (t *returns) place(i int, r run) {
	live := len(t.runs) - t.at
	if i < live-i {
		if t.at == 0 {
			grown := make([]run, 2*live+16)
			t.at = len(grown) - live
			copy(grown[t.at:], t.runs)
			t.runs = grown
		}
		t.at--
		copy(t.runs[t.at:], t.runs[t.at+1:t.at+1+i])
		t.runs[t.at+i] = r
		return
	}
	t.runs = append(t.runs, run{})
	copy(t.runs[t.at+i+1:], t.runs[t.at+i:])
	t.runs[t.at+i] = r
}

// cut removes position i behind t.at, whose messages have been joined to the run before.
func (t *returns) cut(i int) {
	t.runs = append(t.runs[:t.at+i], t.runs[t.at+i+1:]...)
}

// each visits every run in order.
func (t *returns) each(visit func(*run)) {
	for i := t.at; i < len(t.runs); i++ {
		visit(&t.runs[i])
	}
}
