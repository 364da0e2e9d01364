package queue

import (
	"io"
	"testing"

	"github.com/warrenmq/warren/store/oplog"
)

// TestPublishDoesNotAllocate: a burst for a consumer that does not acknowledge, and its credit.
func TestPublishDoesNotAllocate(t *testing.T) {
	for name, config := range types {
		for _, differ := range []bool{false, true} {
			n := 30 // differing messages are a run each: as many as an empty lane keeps memory for
			if !differ {
				n = 1000
			}
			w := newBench()
			w.commands(t, declare(1, config), &Attach{Queue: 1, Consumer: 1, NoAck: true, Window: 1 << 30})
			publish := w.batch(SessionKey{1, 2}, burstOf(n, differ, 1))
			credit := w.batch(SessionKey{1, 1}, func(batch *Batch) { batch.Add(&Credit{Consumer: 1, Bytes: 250000}) })
			if allocs := testing.AllocsPerRun(1000, func() { w.apply(t, publish, credit) }); allocs != 0 {
				t.Errorf("%s, differing %v: %v allocations for %d messages", name, differ, allocs, n)
			}
			if w.live != 0 {
				t.Errorf("%s, differing %v: %d bytes alive", name, differ, w.live)
			}
		}
	}
}

// TestSettleDoesNotAllocate: a burst for a consumer that acknowledges, in one go and one by one; a batch of 1,000 differing
// messages may allocate for its long ready list, but not for each message.
func TestSettleDoesNotAllocate(t *testing.T) {
	for name, config := range types {
		for _, c := range []struct {
			count  int
			differ bool
			each   bool
			most   float64
		}{
			{count: 1000, most: 0},
			{count: 1000, each: true, most: 0},
			{count: 30, differ: true, most: 0},
			{count: 30, differ: true, each: true, most: 0},
			{count: 1000, differ: true, most: 30},
			{count: 1000, differ: true, each: true, most: 30},
		} {
			w := newBench()
			w.commands(t, declare(1, config), &Attach{Queue: 1, Consumer: 1, Prefetch: 1000, Window: 1 << 31})
			publish := w.batch(SessionKey{1, 2}, burstOf(c.count, c.differ, 1))
			settles := settlesOf(c.count, c.each)
			next := uint64(1)
			allocs := testing.AllocsPerRun(500, func() {
				w.apply(t, publish, settles.from(next))
				next += uint64(c.count)
			})
			if allocs > c.most || w.live != 0 {
				t.Errorf("%s, %+v: %v allocations, %d bytes alive", name, c, allocs, w.live)
			}
		}
	}
}

// settles is an encoded batch of acknowledgements whose numbers can be moved on.
type settles struct{ batch Batch }

func settlesOf(count int, each bool) *settles {
	s := &settles{}
	if !each {
		s.batch.Add(&Settle{Consumer: 1, From: 0, To: uint64(count) - 1})
		return s
	}
	for i := range uint64(count) {
		s.batch.Add(&Settle{Consumer: 1, From: i, To: i})
	}
	return s
}

// from gives the batch with its numbers moved on, so that they begin with first.
func (s *settles) from(first uint64) oplog.Batch {
	data := s.batch.Bytes()
	begun := le.Uint64(data[commandHead+4:])
	for at := 0; at < len(data); at += commandHead + int(le.Uint32(data[at+2:])) {
		for _, number := range [][]byte{data[at+commandHead+4:], data[at+commandHead+12:]} {
			le.PutUint64(number, le.Uint64(number)-begun+first)
		}
	}
	return oplog.Batch{From: oplog.Origin{Node: 1, Session: 1}, Data: data}
}

// TestReturnDoesNotAllocate: messages that go back and forth.
func TestReturnDoesNotAllocate(t *testing.T) {
	for name, config := range types {
		w := newBench()
		w.commands(t, declare(1, config), &Attach{Queue: 1, Consumer: 1, Prefetch: 100, Window: 1 << 31})
		w.apply(t, w.batch(SessionKey{1, 2}, burstOf(1000, false, 1)))
		back := w.batch(SessionKey{1, 1}, func(b *Batch) { b.Add(&Return{Consumer: 1, To: Everything, Cause: CauseNack}) })
		credit := w.batch(SessionKey{1, 1}, func(b *Batch) { b.Add(&Credit{Consumer: 1, Bytes: 50000}) })
		if allocs := testing.AllocsPerRun(1000, func() { w.apply(t, back, credit) }); allocs > 0 {
			t.Errorf("%s: %v allocations for 100 messages returned", name, allocs)
		}
	}
}

// TestSnapshotsDoNotAllocateByQueue: a snapshot of many queues makes as little garbage as one of few.
func TestSnapshotsDoNotAllocateByQueue(t *testing.T) {
	allocs := func(count ID) float64 {
		w := manyQueues(t, count)
		return testing.AllocsPerRun(10, func() {
			if err := w.set.Snapshot(io.Discard); err != nil {
				t.Fatal(err)
			}
		})
	}
	if few, many := allocs(10), allocs(1000); many > few {
		t.Errorf("%v allocations for 1,000 queues, %v for 10", many, few)
	}
}
