package queue

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/store/oplog"
)

// world does for a Set what a log does: it makes entries, keeps their bytes, and adds up what is alive of each.
type world struct {
	t       testing.TB
	set     *Set
	index   uint64
	now     int64
	entries map[uint64][]byte
	live    map[uint64]int64
}

// worldBegins is the log time at which tests begin.
const worldBegins = 1000

func newWorld(t testing.TB) *world {
	w := &world{t: t, now: worldBegins, entries: map[uint64][]byte{}, live: map[uint64]int64{}}
	w.set = NewSet(w.account)
	return w
}

func (w *world) account(index uint64, bytes int64) {
	w.live[index] += bytes
	if w.live[index] < 0 {
		w.t.Fatalf("entry %d: %d bytes alive", index, w.live[index])
	}
	if w.live[index] == 0 {
		delete(w.live, index)
	}
}

// entry makes the next entry of the log.
func (w *world) entry(batches ...oplog.Batch) *oplog.Entry {
	w.index++
	data := oplog.AppendEntry(nil, w.now, batches)
	e, err := oplog.ParseEntry(w.index, data, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.entries[w.index] = data
	return &e
}

// apply makes an entry of batches and applies it.
func (w *world) apply(batches ...oplog.Batch) []Effect {
	effects, err := w.set.Apply(w.entry(batches...), nil)
	if err != nil {
		w.t.Fatalf("entry %d: %v", w.index, err)
	}
	w.check()
	return effects
}

// do applies one batch of commands of a session.
func (w *world) do(from SessionKey, commands ...Command) []Effect {
	var b Batch
	for _, c := range commands {
		b.Add(c)
	}
	return w.apply(batchOf(from, 0, &b))
}

func batchOf(from SessionKey, seq uint64, b *Batch) oplog.Batch {
	return oplog.Batch{
		From: oplog.Origin{Node: from.Node, Session: from.Session, Seq: seq},
		Data: slices.Clone(b.Bytes()),
	}
}

// plain is a message without properties that matter.
func plain(body string) message.Message {
	return message.Message{Head: message.Head{Priority: message.NoPriority}, RoutingKey: []byte("key"), Body: []byte(body)}
}

// names gives what the bodies of an effect's messages say in front of a colon.
func (w *world) names(index uint64, offset, stride, count uint32) []string {
	names := make([]string, 0, count)
	data := w.entries[index]
	for i := range count {
		var m message.Message
		at := offset + i*stride
		if err := message.Parse(data[at:at+stride-RecordGap], &m); err != nil {
			w.t.Fatalf("entry %d at %d: %v", index, at, err)
		}
		name, _, _ := strings.Cut(string(m.Body), ":")
		names = append(names, name)
	}
	return names
}

// snapshot gives the state's bytes.
func snapshot(t testing.TB, s *Set) []byte {
	var b bytes.Buffer
	if err := s.Snapshot(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// restored gives a new set in the state of a snapshot.
func restored(t testing.TB, snap []byte, account func(uint64, int64)) *Set {
	s := NewSet(account)
	if err := s.Restore(bytes.NewReader(snap)); err != nil {
		t.Fatal(err)
	}
	return s
}

// check compares everything that is kept twice.
func (w *world) check() {
	if err := consistent(w.set, w.live); err != nil {
		w.t.Fatalf("after entry %d: %v", w.index, err)
	}
}

// consistent tells what in a set contradicts what else in it.
func consistent(s *Set, live map[uint64]int64) error {
	reckoned, spans := map[uint64]int64{}, map[uint64]int64{}
	s.Reckon(func(index uint64, bytes int64) { reckoned[index] += bytes })
	s.Live(0, Everything, func(sp oplog.Span) { spans[sp.Index] += int64(sp.Length) })
	for _, counted := range []map[uint64]int64{reckoned, spans} {
		if len(counted) != len(live) {
			return fmt.Errorf("%d entries are alive, accounted for are %d", len(counted), len(live))
		}
		for index, bytes := range counted {
			if bytes != live[index] {
				return fmt.Errorf("entry %d: %d bytes are alive, accounted for are %d", index, bytes, live[index])
			}
		}
	}
	armed := 0
	for _, id := range s.ids() {
		q := s.queues[id]
		if err := q.consistent(s); err != nil {
			return fmt.Errorf("queue %d: %w", id, err)
		}
		if q.armed != 0 {
			armed++
		}
	}
	if armed != len(s.alarms.items) {
		return fmt.Errorf("%d queues have an alarm, %d stand among the alarms", armed, len(s.alarms.items))
	}
	return s.consumersConsistent()
}

func (q *queue) consistent(s *Set) error {
	var ready, size, unacked, held, outbox int64
	sum := func(count, bytes *int64) func(*run) {
		return func(r *run) { *count += int64(r.count); *bytes += r.bytes() }
	}
	for i, l := range q.lanes.list {
		filled := q.lanes.filled[i>>6]&(1<<(i&63)) != 0
		if l == nil || !filled {
			if filled || l != nil && l.count != 0 {
				return fmt.Errorf("lane %d is marked as filled %v, and is not", i, filled)
			}
			continue
		}
		var count, bytes int64
		l.each(sum(&count, &bytes))
		if count != l.count || bytes != l.bytes || count == 0 {
			return fmt.Errorf("lane %d holds %d (%d bytes), says %d (%d)", i, count, bytes, l.count, l.bytes)
		}
		ready, size = ready+count, size+bytes
	}
	q.returned.each(sum(&ready, &size))
	for _, c := range slices.Concat(q.consumers, q.strays) {
		unacked += int64(c.unacked.Len())
		c.eachUnacked(func(r *run) { held += r.bytes() })
	}
	q.eachDead(func(r *run) { outbox += r.bytes() })
	if ready != q.ready || size != q.bytes || unacked != q.unacked || held != q.held || outbox != q.outboxBytes {
		return fmt.Errorf("has %d ready (%d bytes), %d unacked (%d bytes), %d dead bytes; says %d (%d), %d (%d), %d",
			ready, size, unacked, held, outbox, q.ready, q.bytes, q.unacked, q.held, q.outboxBytes)
	}
	var waiting, waitingBytes, streamed, streamedBytes int64
	q.waiting.each(sum(&waiting, &waitingBytes))
	q.stream.within(0, Everything, sum(&streamed, &streamedBytes))
	if waiting != q.waiting.count || waitingBytes != q.waiting.bytes {
		return fmt.Errorf("%d wait (%d bytes), says %d (%d)", waiting, waitingBytes, q.waiting.count, q.waiting.bytes)
	}
	if streamed != q.stream.count() || streamedBytes != q.stream.bytes {
		return fmt.Errorf("%d in the stream (%d bytes), says %d (%d)", streamed, streamedBytes, q.stream.count(), q.stream.bytes)
	}
	due := q.due()
	if !q.deleted && due != 0 && (q.armed == 0 || q.armed > due) {
		return fmt.Errorf("is due at %d, its alarm is at %d", due, q.armed)
	}
	if q.armed != 0 && s.alarms.items[q.place] != q {
		return fmt.Errorf("is not where it should be among the alarms")
	}
	return q.levelsConsistent()
}

func (q *queue) levelsConsistent() error {
	standing := map[*consumer]bool{}
	for i, l := range q.levels {
		if i > 0 && q.levels[i-1].priority <= l.priority {
			return fmt.Errorf("level %d follows %d", l.priority, q.levels[i-1].priority)
		}
		for _, c := range l.waiting[l.at:] {
			if standing[c] || !c.waiting || c.gone || c.priority != l.priority || c.queue != q {
				return fmt.Errorf("consumer %d does not belong into level %d", c.id, l.priority)
			}
			standing[c] = true
		}
	}
	for _, c := range q.consumers {
		if q.config.Type != Stream && !q.config.SingleActive && c.open() && !standing[c] || c.waiting != standing[c] {
			return fmt.Errorf("consumer %d: has room %v, waits %v, stands in a level %v", c.id, c.open(), c.waiting, standing[c])
		}
	}
	if (len(q.consumers) > 0 && q.config.SingleActive) != (q.single != nil) {
		return fmt.Errorf("has %d consumers, a single one %v", len(q.consumers), q.single != nil)
	}
	return nil
}

func (s *Set) consumersConsistent() error {
	known := 0
	for _, q := range s.queues {
		for _, c := range slices.Concat(q.consumers, q.strays) {
			known++
			if c.queue != q || c.session.consumers[c.id] != c || s.sessions[c.session.key] != c.session {
				return fmt.Errorf("queue %d: consumer %d is not its session's", q.id, c.id)
			}
		}
		for _, c := range q.strays {
			if c.unacked.Len() == 0 {
				return fmt.Errorf("queue %d: consumer %d is gone and holds nothing", q.id, c.id)
			}
		}
	}
	for key, ses := range s.sessions {
		known -= len(ses.consumers)
		if ses.key != key {
			return fmt.Errorf("session %v is filed under %v", ses.key, key)
		}
	}
	if known != 0 {
		return fmt.Errorf("%d consumers are known to their queue or session alone", known)
	}
	return nil
}
