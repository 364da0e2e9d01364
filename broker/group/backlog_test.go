package group

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/store/oplog"
)

// attach makes the session a consumer of a queue.
func (w *world) attach(consumer uint32, id uint64, noAck bool) {
	w.t.Helper()
	w.propose(&queue.Attach{Queue: queue.ID(id), Consumer: consumer, Channel: 1, Window: 1 << 20, NoAck: noAck, Tag: fmt.Sprint(consumer)})
}

func delivery(number int, body string, consumer int) string {
	return fmt.Sprintf("%v %d of %s to %d", queue.Deliver, number, body, consumer)
}

// pinned gives how many bytes of the log the machine calls live.
func (w *world) pinned() (bytes int) {
	w.onMachine(func(*queue.Set) {
		w.host.machine.Live(0, ^uint64(0), func(s oplog.Span) { bytes += int(s.Length) })
	})
	return bytes
}

// TestASessionWithoutRoomIsSentTheRestLater: also what nobody will acknowledge, and in order with the end of the consumer.
func TestASessionWithoutRoomIsSentTheRestLater(t *testing.T) {
	w := newWorld(t)
	w.editor.Listen(func(c topology.Change) { w.group.Follow(c.Queues) })
	q, other := w.declare("q").ID, w.declare("other").ID
	w.attach(1, q, true)
	w.publish(0, q, "a")
	w.want(delivery(1, "a", 1))
	w.fill(true)
	w.publish(7, q, "b")
	w.publish(0, q, "c")
	w.propose(&queue.Purge{Queue: queue.ID(other), Request: 8})
	w.propose(&queue.Detach{Consumer: 1, Request: 9})
	w.want(fmt.Sprintf("%v 7 and 0 more", queue.Confirm), "answer to 8")
	if w.pinned() == 0 {
		t.Error("what waits is not live")
	}
	w.fill(false)
	var got []string
	for !slices.Contains(got, "answer to 9") {
		got = append(got, w.said()...)
	}
	if want := []string{delivery(2, "b", 1), delivery(3, "c", 1), "answer to 9"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := w.pinned(); n != 0 {
		t.Errorf("%d bytes are live when everything was sent", n)
	}
}

// TestBytesThatHaveLeftTheMemory are read in the order of the log, each consumer's in its own order.
func TestBytesThatHaveLeftTheMemory(t *testing.T) {
	w := newWorld(t)
	w.editor.Listen(func(c topology.Change) { w.group.Follow(c.Queues) })
	one, two := w.declare("one").ID, w.declare("two").ID
	var wantOne, wantTwo []string
	for i := range 100 {
		w.publish(0, one, fmt.Sprint("a", i))
		w.publish(0, two, fmt.Sprint("b", i))
		wantOne = append(wantOne, delivery(i+1, fmt.Sprint("a", i), 1))
		wantTwo = append(wantTwo, delivery(i+1, fmt.Sprint("b", i), 2))
	}
	w.host.cold.Store(true)
	w.attach(1, one, false)
	w.attach(2, two, true)
	w.propose(&queue.Detach{Consumer: 1, Request: 9})
	wantOne = append(wantOne, "answer to 9")
	var gotOne, gotTwo []string
	for len(gotOne)+len(gotTwo) < 201 {
		for _, line := range w.said() {
			if slices.Contains(wantOne, line) {
				gotOne = append(gotOne, line)
			} else {
				gotTwo = append(gotTwo, line)
			}
		}
	}
	if !slices.Equal(gotOne, wantOne) || !slices.Equal(gotTwo, wantTwo) {
		t.Errorf("got %q and %q", gotOne, gotTwo)
	}
}

// TestWaitingGivesBackWhatItTook, whatever the effects of a consumer are.
func TestWaitingGivesBackWhatItTook(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var w waiting
		var model []queue.Effect
		number := r.Uint64N(1000)
		for range 300 {
			if r.IntN(3) == 0 && len(model) > 0 {
				if got := w.pop(); got != model[0] {
					t.Fatalf("seed %d: got %+v, want %+v", seed, got, model[0])
				}
				model = model[1:]
				continue
			}
			e := queue.Effect{Kind: queue.Answer, To: me, Consumer: 3, Request: r.Uint32()}
			if r.IntN(8) > 0 {
				e = queue.Effect{
					Kind: queue.Deliver, To: me, Consumer: 3, Channel: 2, NoAck: true, Queue: 5, Number: number, Count: r.Uint32N(9) + 1,
					Index: r.Uint64N(1 << 40), Offset: r.Uint32(), Stride: r.Uint32(), Redelivered: r.IntN(2) == 0,
					Deliveries: r.Uint32N(2), Acquired: r.Uint32N(2), Ready: r.Uint64N(2),
				}
				number += uint64(e.Count) + r.Uint64N(2)
			}
			w.push(&e)
			model = append(model, e)
		}
		var seen []queue.Effect
		w.each(func(e *queue.Effect) { seen = append(seen, *e) })
		if !slices.Equal(seen, model) {
			t.Fatalf("seed %d: each visits %d effects, there are %d", seed, len(seen), len(model))
		}
	}
}

// TestAConsumerThatIsAlwaysBehind holds memory for what waits, not for all that ever waited.
func TestAConsumerThatIsAlwaysBehind(t *testing.T) {
	var w waiting
	const behind, rounds = 100, 100_000
	put := func(n uint64) {
		if n%10 == 9 {
			w.push(&queue.Effect{Kind: queue.Cancelled, Number: n})
			return
		}
		w.push(&queue.Effect{Kind: queue.Deliver, Number: n, Index: n, Count: 1, Stride: 100})
	}
	for n := range uint64(behind + rounds) {
		put(n)
		if n < behind {
			continue
		}
		if e := w.pop(); e.Number != n-behind {
			t.Fatalf("number %d instead of %d", e.Number, n-behind)
		}
	}
	if data, others := cap(w.data), cap(w.others); data > 64<<10 || others > 8<<10 {
		t.Errorf("%d octets and %d other effects are held for %d effects", data, others, behind)
	}
}
