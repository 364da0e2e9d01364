package queue

// alarms is a heap of the queues that want to be looked at, the soonest first. A queue stands in it once: its armed says
// when, its place where.
type alarms struct{ items []*queue }

// first is the queue that is due next, nil if none is.
func (h *alarms) first() *queue {
	if len(h.items) == 0 {
		return nil
	}
	return h.items[0]
}

// set puts a queue in, or moves it to an earlier time.
func (h *alarms) set(q *queue, at int64) {
	if q.armed == 0 {
		q.place = len(h.items)
		h.items = append(h.items, q)
	}
	q.armed = at
	h.up(q.place)
}

// remove takes a queue out if it is in.
func (h *alarms) remove(q *queue) {
	if q.armed == 0 {
		return
	}
	i, n := q.place, len(h.items)-1
	h.swap(i, n)
	h.items[n] = nil
	h.items = h.items[:n]
	q.armed, q.place = 0, 0
	if i < n {
		h.down(i)
		h.up(i)
	}
}

func (h *alarms) less(i, j int) bool {
	a, b := h.items[i], h.items[j]
	return a.armed < b.armed || a.armed == b.armed && a.id < b.id
}

func (h *alarms) swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].place, h.items[j].place = i, j
}

func (h *alarms) up(i int) {
	for i > 0 && h.less(i, (i-1)/2) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (h *alarms) down(i int) {
	for {
		low := 2*i + 1
		if low >= len(h.items) {
			return
		}
		if low+1 < len(h.items) && h.less(low+1, low) {
			low++
		}
		if !h.less(low, i) {
			return
		}
		h.swap(i, low)
		i = low
	}
}
