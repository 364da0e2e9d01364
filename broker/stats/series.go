package stats

import (
	"slices"
	"sync"
	"time"
)

// Interval is how often numbers are sampled.
const Interval = 5 * time.Second

const intervalMs = int64(Interval / time.Millisecond)

// detailMs is for how long every sample is kept; of older ones, coarseMs apart, as many as cover a day.
const (
	detailMs = 600_000
	coarseMs = 60_000
	dayMs    = 86_400_000
)

// samplesMax bounds the samples that all series of a table keep together, roughly: with many series each keeps fewer,
// but always the two that a rate needs.
const samplesMax = 400_000

// Table is the history of the numbers of many things of a kind. It is safe for concurrent use.
type Table[K comparable] struct {
	width int
	long  bool // keep a day

	mu     sync.Mutex // guards what follows
	series map[K]*series
	round  uint64
}

// NewTable makes a table for things that have so many numbers. A long one keeps a day of history, others ten minutes.
func NewTable[K comparable](width int, long bool) *Table[K] {
	return &Table[K]{width: width, long: long, series: map[K]*series{}}
}

// series is the samples of one thing. A stretch without change is two samples: its first and its last.
type series struct {
	times  []int64 // milliseconds, rising
	values []int64 // width for each
	round  uint64  // in which it was seen last
}

// Sample notes the numbers of everything at a time. each calls record once for each thing; the slice is borrowed. What it
// does not mention is forgotten.
func (t *Table[K]) Sample(nowMs int64, each func(record func(key K, values []int64))) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.round++
	keep := max(samplesMax/max(len(t.series), 1), 2)
	each(func(key K, values []int64) {
		s := t.series[key]
		if s == nil {
			s = &series{}
			t.series[key] = s
		}
		s.round = t.round
		s.push(nowMs, values, t.width)
		t.trim(s, nowMs, keep)
	})
	for key, s := range t.series {
		if s.round != t.round {
			delete(t.series, key)
		}
	}
}

func (s *series) push(now int64, values []int64, width int) {
	if n := len(s.times); n >= 2 {
		last := s.values[(n-1)*width:]
		if slices.Equal(last, values) && slices.Equal(s.values[(n-2)*width:(n-1)*width], values) {
			s.times[n-1] = now
			return
		}
	}
	s.times = append(s.times, now)
	s.values = append(s.values, values...)
}

// trim drops what is too old, and in a long series all but one sample a minute of what is not quite new.
func (t *Table[K]) trim(s *series, now int64, keep int) {
	width, oldest := t.width, now-detailMs-intervalMs
	if t.long {
		oldest = now - dayMs
		s.thin(now-detailMs-intervalMs, width)
	}
	drop := 0
	for drop < len(s.times)-2 && (s.times[drop+1] < oldest || len(s.times)-drop > keep) {
		drop++
	}
	if drop > 0 {
		s.times = append(s.times[:0], s.times[drop:]...)
		s.values = append(s.values[:0], s.values[drop*width:]...)
	}
}

// thin drops the second of the first three samples that lie before a time and within a minute.
func (s *series) thin(before int64, width int) {
	for i := len(s.times) - 3; i >= 0; i-- {
		if s.times[i+2] < before {
			if s.times[i+2]-s.times[i] <= coarseMs {
				s.times = slices.Delete(s.times, i+1, i+2)
				s.values = slices.Delete(s.values, (i+1)*width, (i+2)*width)
			}
			return
		}
	}
}

// View is the history of one thing, to be read at leisure.
type View struct {
	times  []int64
	values []int64
	width  int
}

// View gives the history of a thing: an empty one if there is none.
func (t *Table[K]) View(key K) View {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.series[key]
	if s == nil {
		return View{width: t.width}
	}
	return View{times: slices.Clone(s.times), values: slices.Clone(s.values), width: t.width}
}

// Read calls f with a way to look at histories, all as of one moment. What it gives is borrowed until f is done, and samples
// wait meanwhile.
func (t *Table[K]) Read(f func(view func(K) View)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(func(key K) View {
		if s := t.series[key]; s != nil {
			return View{times: s.times, values: s.values, width: t.width}
		}
		return View{width: t.width}
	})
}

// Empty tells whether nothing is known.
func (v View) Empty() bool { return len(v.times) == 0 }

// Last is the time of the newest sample, in milliseconds; 0 if there is none.
func (v View) Last() int64 {
	if v.Empty() {
		return 0
	}
	return v.times[len(v.times)-1]
}

// IdleSince is when the numbers were seen to change last.
func (v View) IdleSince() int64 {
	n := len(v.times)
	if n >= 2 && slices.Equal(v.values[(n-1)*v.width:], v.values[(n-2)*v.width:(n-1)*v.width]) {
		return v.times[n-2]
	}
	return v.Last()
}

// At gives number i as it was at a time; ok is false if that is not known.
func (v View) At(i int, ms int64) (value int64, ok bool) {
	at, exact := slices.BinarySearch(v.times, ms)
	if !exact {
		at--
	}
	if at < 0 {
		return 0, false
	}
	return v.values[at*v.width+i], true
}

// Rate is how much number i changes in a second, as of the newest sample.
func (v View) Rate(i int) float64 {
	n := len(v.times)
	if n < 2 {
		return 0
	}
	last := v.times[n-1]
	before, _ := v.At(i, max(last-intervalMs, v.times[0]))
	now, _ := v.At(i, last)
	span := min(intervalMs, last-v.times[0])
	if last-v.times[n-2] < 2*intervalMs { // the sampler is never quite on time
		before, span = v.values[(n-2)*v.width+i], last-v.times[n-2]
	}
	if span <= 0 {
		return 0
	}
	return float64(now-before) * 1000 / float64(span)
}

// Sample is a number at a time.
type Sample struct {
	Value int64 `json:"sample"`
	Time  int64 `json:"timestamp"` // milliseconds
}

// samplesGiven bounds what one question is answered with.
const samplesGiven = 10_000

// Samples gives number i every step, newest first, over so long a time. Nothing is given for before it was known.
func (v View) Samples(i int, age, step time.Duration) []Sample {
	list := []Sample{}
	stepMs := step.Milliseconds()
	if stepMs <= 0 || v.Empty() {
		return list
	}
	end := v.Last() / stepMs * stepMs
	for ms := end; ms >= end-age.Milliseconds() && len(list) < samplesGiven; ms -= stepMs {
		value, ok := v.At(i, ms)
		if !ok {
			break
		}
		list = append(list, Sample{Value: value, Time: ms})
	}
	return list
}
