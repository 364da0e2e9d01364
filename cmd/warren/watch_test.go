package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// watched is a queue that is published to and consumed from, and how long nobody heard a confirm of it.
type watched struct {
	*victim
	mu    sync.Mutex
	last  time.Time
	worst time.Duration
	count atomic.Int64
}

func (w *watched) confirm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.worst, w.last = max(w.worst, now.Sub(w.last)), now
	w.count.Add(1)
}

// begin lets the watch begin anew.
func (w *watched) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.worst, w.last = 0, time.Now()
}

func (w *watched) longest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.worst
}

const (
	watchedQueues = 12
	pace          = 4 * time.Millisecond // between two messages to a queue
)

// watch is the queues that are watched while something happens to a cluster.
type watch struct {
	watched []*watched
	over    chan struct{}
	all     sync.WaitGroup
}

func newWatch() *watch {
	w := &watch{over: make(chan struct{})}
	for i := range watchedQueues {
		q := &watched{victim: newVictim(fmt.Sprint("watched", i))}
		q.pace, q.patience = time.NewTicker(pace).C, clusterPatience
		w.watched = append(w.watched, q)
	}
	return w
}

func (w *watch) names() (names []string) {
	for _, q := range w.watched {
		names = append(names, q.name)
	}
	return names
}

// load publishes to and consumes from all queues until end.
func (w *watch) load(t *testing.T, where func() string) {
	for _, q := range w.watched {
		w.all.Go(func() { again(where, w.over, func(ch *amqp.Channel) { q.produce(t, ch, q.confirm) }) })
		w.all.Go(func() { again(where, w.over, func(ch *amqp.Channel) { q.consume(t, ch) }) })
	}
}

func (w *watch) end() {
	close(w.over)
	w.all.Wait()
}

// goesOn waits until every queue has confirmed some more.
func (w *watch) goesOn(t *testing.T) {
	t.Helper()
	from := make([]int64, len(w.watched))
	for i, q := range w.watched {
		from[i] = q.count.Load()
	}
	within(t, clusterPatience, "publishing to all queues goes on", func() bool {
		for i, q := range w.watched {
			if q.count.Load() < from[i]+100 {
				return false
			}
		}
		return true
	})
}

// anew lets the watch begin anew.
func (w *watch) anew() {
	for _, q := range w.watched {
		q.begin()
	}
}

// gaps are how long nobody heard a confirm, by queue.
func (w *watch) gaps() (list []time.Duration) {
	for _, q := range w.watched {
		list = append(list, q.longest().Round(time.Millisecond))
	}
	slices.Sort(list)
	return list
}

// judge empties the queues, and says what became of the messages.
func (w *watch) judge(t *testing.T, p *process, after string) {
	t.Helper()
	sum := victim{}
	for _, q := range w.watched {
		q.empty(t, p)
		sum.add(q.victim)
	}
	sum.judge(t, after)
}
