package queue

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/store/oplog"
)

// A longer run: go test ./broker/queue -run TestAgainstTheModel -seeds 100000 -entries 5000
// One run again: go test ./broker/queue -run TestAgainstTheModel -seed 17
var (
	seeds   = flag.Int("seeds", 200/slow, "random runs against the model")
	seed    = flag.Uint64("seed", 0, "the seed of the only run")
	entries = flag.Int("entries", 300, "entries in a run")
)

// TestAgainstTheModel gives the same random commands to a Set and to the model, and compares after every entry what clients
// see, the counts, the outboxes and what is alive.
func TestAgainstTheModel(t *testing.T) {
	first, count := uint64(1), uint64(*seeds)
	if *seed != 0 {
		first, count = *seed, 1
	}
	for n := first; n < first+count; n++ {
		t.Run(fmt.Sprint("seed ", n), func(t *testing.T) {
			t.Parallel()
			d := newDuel(t, n)
			rounds := *entries
			if d.deep = n%10 == 0; d.deep {
				rounds /= 4
			}
			for range rounds {
				d.round()
			}
			d.end()
		})
	}
}

// duel is a Set and a model with the same log.
type duel struct {
	*world
	*generator
	model   *model
	wake    int64
	history []batchSteps // of the entry at hand, for the report
}

func newDuel(t testing.TB, seed uint64) *duel {
	d := &duel{world: newWorld(t), model: newModel(), generator: newGenerator(seed)}
	d.generator.model = d.model
	return d
}

// next thinks up an entry.
func (d *duel) next() *oplog.Entry {
	d.now += d.pass()
	var batches []oplog.Batch
	d.history = nil
	for range 1 + d.rng.IntN(3) {
		b := d.batch()
		d.history = append(d.history, b)
		batches = append(batches, b.encode())
	}
	return d.entry(batches...)
}

// round applies one entry to both and compares.
func (d *duel) round() {
	e := d.next()
	effects, err := d.set.Apply(e, nil)
	if err != nil {
		d.fail("the set says %v", err)
	}
	d.compareSeen(d.expand(effects), d.model.play(e, d.history))
	d.compareState()
	if d.index%16 == 0 {
		d.check()
	}
}

func (d *duel) fail(format string, values ...any) {
	var history strings.Builder
	for _, b := range d.history {
		history.WriteString(b.String())
	}
	d.t.Fatalf("seed %d, entry %d at %d:\n%s%s", d.seed, d.index, d.now, history.String(), fmt.Sprintf(format, values...))
}

// inAnyOrder are the streams whose order nobody sees.
var inAnyOrder = []string{"unknown", "gone", "dead letters", "cancelled"}

func (d *duel) compareSeen(got, want sights) {
	for _, stream := range inAnyOrder {
		slices.Sort(got[stream])
		slices.Sort(want[stream])
	}
	for stream := range maps.All(got) {
		if !slices.Equal(got[stream], want[stream]) {
			d.fail("%s:\n got  %s\n want %s", stream, strings.Join(got[stream], "\n      "), strings.Join(want[stream], "\n      "))
		}
	}
	for stream := range maps.All(want) {
		if got[stream] == nil {
			d.fail("%s:\n got  nothing\n want %s", stream, strings.Join(want[stream], "\n      "))
		}
	}
}

func (d *duel) compareState() {
	for id := ID(1); id <= d.lastQueue; id++ {
		got, here := d.set.Counts(id)
		q := d.model.live(id)
		if here != (q != nil) {
			d.fail("queue %d is here: %v, should be: %v", id, here, !here)
		}
		if here {
			want := Counts{Ready: uint64(q.count() + len(q.waiting) + len(q.stream)), Unacked: d.model.unacked(q), Consumers: uint32(len(q.consumers))}
			if got != want {
				d.fail("queue %d has %+v, should have %+v", id, got, want)
			}
			if got := d.set.queues[id].stats; got != q.stats {
				d.fail("queue %d counted %+v, should have counted %+v", id, got, q.stats)
			}
		}
		d.compareOutbox(id)
	}
	if want := d.model.alive(); !maps.Equal(d.live, want) {
		d.fail("alive are %v, should be %v", d.live, want)
	}
	if due, ok := d.model.due(); ok && (d.wake == 0 || d.wake > due) {
		d.fail("something is due at %d, the last wake-up is at %d", due, d.wake)
	}
}

func (m *model) unacked(q *modelQueue) (n uint64) {
	for _, s := range m.sessions {
		for _, c := range s.consumers {
			if c.q == q {
				n += uint64(len(c.unacked))
			}
		}
	}
	return n
}

// letter is a dead letter as both know it.
type letter struct {
	number           uint64
	id               string
	reason           Reason
	flagged          bool
	failed, acquired uint32
}

func (d *duel) compareOutbox(id ID) {
	var got, want []letter
	d.set.Outbox(id, 0, func(l DeadLetter) bool {
		for i, key := range d.keys(l.Index, l.Offset, l.Stride, l.Count) {
			got = append(got, letter{l.Number + uint64(i), key, l.Reason, l.Flagged, l.Deliveries, l.Acquired})
		}
		return true
	})
	if q := d.model.queues[id]; q != nil {
		for _, l := range q.outbox {
			want = append(want, letter{l.number, l.m.id, l.reason, l.flagged, l.m.failed, l.m.acquired})
		}
	}
	if !slices.Equal(got, want) {
		d.fail("outbox of queue %d:\n got  %v\n want %v", id, got, want)
	}
}

// keys gives the routing keys of messages: by these the duel knows them.
func (d *duel) keys(index uint64, offset, stride, count uint32) []string {
	keys := make([]string, 0, count)
	for i := range count {
		var m message.Message
		at := offset + i*stride
		if err := message.Parse(d.entries[index][at:at+stride-RecordGap], &m); err != nil {
			d.fail("entry %d at %d: %v", index, at, err)
		}
		keys = append(keys, string(m.RoutingKey))
	}
	return keys
}

// expand tells single messages' effects as the model tells them.
func (d *duel) expand(effects []Effect) sights {
	s := sights{}
	for i := range effects {
		d.expandOne(s, &effects[i])
	}
	return s
}

func (d *duel) expandOne(s sights, e *Effect) {
	replies := fmt.Sprint("replies ", e.To)
	switch e.Kind {
	case Deliver:
		stream := fmt.Sprint("deliver ", e.To, e.Consumer)
		for i, key := range d.keys(e.Index, e.Offset, e.Stride, e.Count) {
			text := e.describe(key)
			if e.Stream {
				text += fmt.Sprint(" at ", e.Ready+uint64(i))
			}
			s.add(stream, "ch%d #%d %s", e.Channel, e.Number+uint64(i), text)
		}
	case Got:
		key := d.keys(e.Index, e.Offset, e.Stride, 1)[0]
		s.add(replies, "got %d: c%d ch%d #%d %s, %d left", e.Request, e.Consumer, e.Channel, e.Number, e.describe(key), e.Ready)
	case Confirm, Refuse:
		for n := e.Number; n < e.Number+uint64(e.Count); n++ {
			s.add(fmt.Sprint("confirms ", e.To, e.Channel), "%d refused=%v", n, e.Kind == Refuse)
		}
	case Unknown:
		s.add("unknown", "q%d", e.Queue)
	case Answer:
		s.add(replies, "answer %d: %d, %d", e.Request, e.Outcome, e.Ready)
	case Applied:
		s.add(replies, "applied %d", e.Number)
	case Cancelled:
		text := "%v %d of q%d"
		if e.Outcome == TimedOut {
			text += ", too slow"
		}
		s.add("cancelled", text, e.To, e.Consumer, e.Queue)
	case DeadLetters:
		s.add("dead letters", "q%d", e.Queue)
	case Gone:
		s.add("gone", "q%d %d", e.Queue, e.Outcome)
	case Active:
		text := map[uint32]string{0: "%v %d no more", 1: "%v %d"}[e.Count]
		s.add(fmt.Sprint("active q", e.Queue), text, e.To, e.Consumer)
	case WakeAt:
		d.wake = int64(e.Number)
	}
}

func (e *Effect) describe(key string) string {
	return fmt.Sprintf("%s again=%v failed=%d acquired=%d noAck=%v", key, e.Redelivered, e.Deliveries, e.Acquired, e.NoAck)
}

// end settles everything: nothing may be left alive.
func (d *duel) end() {
	var b Batch
	b.Add(&Down{Node: 1, Last: Everything})
	b.Add(&Down{Node: 2, Last: Everything})
	for id := ID(1); id <= d.lastQueue+2; id++ { // some of what was published to queues that never came waits
		b.Add(&Delete{Queue: id})
		b.Add(&Forwarded{Queue: id, To: Everything})
	}
	d.apply(batchOf(SessionKey{}, 0, &b))
	for key := range d.set.sessions {
		if key.Session == Grave { // of a node, and there are few nodes
			delete(d.set.sessions, key)
		}
	}
	if len(d.live) != 0 || len(d.set.queues) != 0 || len(d.set.sessions) != 0 || len(d.set.alarms.items) != 0 {
		d.fail("in the end there are %d entries alive, %d queues, %d sessions, %d alarms",
			len(d.live), len(d.set.queues), len(d.set.sessions), len(d.set.alarms.items))
	}
}
