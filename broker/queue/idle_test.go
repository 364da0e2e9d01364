package queue

import "testing"

// What comes and goes without a message ever passing must leave nothing behind.

func TestConsumersThatComeAndGoLeaveNothing(t *testing.T) {
	w := newWorld(t)
	w.do(SessionKey{1, 1}, declare(1, nil))
	before := len(snapshot(t, w.set))
	for i := range uint64(200) {
		key := SessionKey{1, i + 2}
		w.do(key, &Attach{Queue: 1, Consumer: 1, Window: 100, Priority: int64(i)}, &Attach{Queue: 1, Consumer: 2, Window: 100})
		w.do(key, &Detach{Consumer: 1})
		w.do(key, &Down{Node: 1, First: key.Session, Last: key.Session})
	}
	q := w.set.queues[1]
	if len(q.levels) != 0 || len(w.set.sessions) != 0 || len(q.strays) != 0 || len(snapshot(t, w.set)) != before {
		t.Errorf("%d levels, %d sessions, %d strays, a snapshot of %d bytes instead of %d",
			len(q.levels), len(w.set.sessions), len(q.strays), len(snapshot(t, w.set)), before)
	}
}

func TestWordsOfTheDeadLeaveNothing(t *testing.T) {
	w := newWorld(t)
	w.do(SessionKey{1, 1}, declare(1, nil))
	for i := range uint64(100) {
		w.do(SessionKey{1, i}, &Settle{Consumer: 1, To: 5}, &Return{Consumer: 1, To: 5}, &Reject{Consumer: 1, To: 5},
			&Credit{Consumer: 1, Bytes: 1}, &Detach{Consumer: 1}, &Get{Queue: 1, Consumer: 1}, &Attach{Queue: 7, Consumer: 1})
	}
	if len(w.set.sessions) != 0 {
		t.Errorf("%d sessions", len(w.set.sessions))
	}
}

// TestAlarmsDoNotPileUp: a far moment is not noted again each time a near one passes.
func TestAlarmsDoNotPileUp(t *testing.T) {
	w := newWorld(t)
	w.do(SessionKey{1, 1}, declare(1, func(c *Config) { c.ExpiresMs, c.MessageTTLMs = 1e9, 10 }))
	for range 100 {
		var b Batch
		burstOf(1, false, 1)(&b)
		w.apply(batchOf(SessionKey{1, 1}, 0, &b))
		w.now += 10
		w.do(SessionKey{1, 1}, &Tick{})
	}
	if n := len(w.set.alarms.items); n != 1 {
		t.Errorf("%d alarms for one queue", n)
	}
}

// TestQueuesKeepNoMemoryOfTheirBacklog: many queues have had one once.
func TestQueuesKeepNoMemoryOfTheirBacklog(t *testing.T) {
	w := newWorld(t)
	w.do(SessionKey{1, 1}, declare(1, quorum))
	var b Batch
	burstOf(2000, true, 1)(&b)
	w.apply(batchOf(SessionKey{1, 1}, 0, &b))
	w.do(SessionKey{1, 1}, &Attach{Queue: 1, Consumer: 1, Window: 1e6})
	w.do(SessionKey{1, 1}, &Return{Consumer: 1, To: Everything, Cause: CauseNack}, &Settle{Consumer: 1, To: Everything})
	q := w.set.queues[1]
	kept := cap(q.returned.runs)
	for _, l := range q.lanes.list {
		if l != nil {
			kept += cap(l.head) + cap(l.tail)
		}
	}
	if c, _ := w.set.Counts(1); c.Ready+c.Unacked > 0 || kept > 3*runsKept {
		t.Errorf("an empty queue (%+v) keeps room for %d runs", c, kept)
	}
}
