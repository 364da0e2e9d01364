package queue

import (
	"slices"
)

// wheel is messages that wait for their time, however far away: what is due within a second or so stands ready in order,
// the rest lies packed in slots that grow wider with the distance. So a million waiting messages cost some bytes each, and
// years of delay cost nothing more than seconds. The time stands in a run's due.
type wheel struct {
	near   []run // due soonest, in order
	levels [len(wheelWidths)]map[int64]*lane
	begins int64 // when the first of the slots begins; 0: there are none
	count  int64
	bytes  int64
}

// wheelWidths are the widths of the slots of each level, in milliseconds: second, minute, hour, day.
var wheelWidths = [...]int64{1000, 60_000, 3_600_000, 86_400_000}

// add puts a run in.
func (w *wheel) add(r run, now int64) {
	w.count += int64(r.count)
	w.bytes += r.bytes()
	w.place(r, now)
}

// place finds the finest level on which the run's slot is not the one of the present, or lies ahead by less than one slot
// of the next level.
func (w *wheel) place(r run, now int64) {
	for i, width := range wheelWidths {
		slot := r.due / width
		if slot <= now/width {
			w.insert(r)
			return
		}
		if i+1 < len(wheelWidths) && r.due/wheelWidths[i+1] > now/wheelWidths[i+1] {
			continue
		}
		w.slot(i, slot).push(r)
		return
	}
}

func (w *wheel) slot(level int, slot int64) *lane {
	if w.levels[level] == nil {
		w.levels[level] = map[int64]*lane{}
	}
	l := w.levels[level][slot]
	if l == nil {
		l = &lane{}
		w.levels[level][slot] = l
		if begins := slot * wheelWidths[level]; w.begins == 0 || begins < w.begins {
			w.begins = begins
		}
	}
	return l
}

// insert puts a run among those that are due soonest, behind those of the same time.
func (w *wheel) insert(r run) {
	i, _ := slices.BinarySearchFunc(w.near, r.due+1, func(have run, t int64) int {
		if have.due < t {
			return -1
		}
		return 1
	})
	w.near = slices.Insert(w.near, i, r)
}

// due takes out what is due, soonest first.
func (w *wheel) due(now int64, visit func(run)) {
	w.turn(now)
	n := 0
	for n < len(w.near) && w.near[n].due <= now {
		w.count -= int64(w.near[n].count)
		w.bytes -= w.near[n].bytes()
		n++
	}
	if n == 0 {
		return
	}
	ready := slices.Clone(w.near[:n])
	w.near = slices.Delete(w.near, 0, n)
	for i := range ready {
		visit(ready[i])
	}
}

// turn moves what has come nearer to finer slots, from the widest down.
func (w *wheel) turn(now int64) {
	if w.begins == 0 || w.begins > now {
		return
	}
	w.begins = 0
	for i := len(wheelWidths) - 1; i >= 0; i-- {
		for _, slot := range sortedSlots(w.levels[i]) {
			if begins := slot * wheelWidths[i]; begins > now {
				if w.begins == 0 || begins < w.begins {
					w.begins = begins
				}
				break
			}
			l := w.levels[i][slot]
			delete(w.levels[i], slot)
			l.each(func(r *run) { w.place(*r, now) })
		}
	}
}

func sortedSlots(slots map[int64]*lane) []int64 {
	list := make([]int64, 0, len(slots))
	for slot := range slots {
		list = append(list, slot)
	}
	slices.Sort(list)
	return list
}

// next is when the wheel wants to be looked at, 0 if nothing waits.
func (w *wheel) next() int64 {
	if len(w.near) > 0 {
		return w.near[0].due
	}
	return w.begins
}

// each visits every run.
func (w *wheel) each(visit func(*run)) {
	for i := range w.near {
		visit(&w.near[i])
	}
	for _, slots := range w.levels {
		for _, slot := range sortedSlots(slots) {
			slots[slot].each(visit)
		}
	}
}

func (w *wheel) append(dst []byte) []byte {
	dst = appendRuns(dst, w.near)
	for _, slots := range w.levels {
		dst = le.AppendUint32(dst, uint32(len(slots)))
		for _, slot := range sortedSlots(slots) {
			dst = slots[slot].append(le.AppendUint64(dst, uint64(slot)))
		}
	}
	return dst
}

func (w *wheel) read(r *reader) {
	w.near = readRuns(r)
	for i := range w.levels {
		for n := r.uint32(); n > 0 && !r.bad; n-- {
			slot := r.int64()
			w.slot(i, slot).read(r)
		}
	}
	if r.bad {
		return
	}
	w.each(func(one *run) {
		w.count += int64(one.count)
		w.bytes += one.bytes()
	})
}
