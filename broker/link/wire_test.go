package link

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// someBatch is a publish of two messages that differ, and an acknowledgement.
func someBatch() []byte {
	var b queue.Batch
	for n, body := range []string{"a", "bb"} {
		m := message.Message{Head: message.Head{Priority: message.NoPriority}, RoutingKey: []byte("k"), Body: []byte(body)}
		b.Publish(1, uint64(n)+1, []queue.ID{1}, &m)
	}
	b.Add(&queue.Settle{Consumer: 1, From: 1, To: 2})
	return bytes.Clone(b.Bytes())
}

// TestWhatAnotherNodeSendsIsNotBelieved: deliveries that do not hold what they say, kinds that no group sends, and batches that
// no machine could read are dropped, and harm nobody.
func TestWhatAnotherNodeSendsIsNotBelieved(t *testing.T) {
	w := newWorld(t)
	id := w.declare("q")
	s := w.session(4, 100)
	s.do(&queue.Attach{Queue: id, Consumer: 1, Request: 1, Channel: 1, Window: 1 << 20})
	s.publish(id, 1, 2)
	s.until("two messages", func() bool { return len(s.got) == 2 })
	r := w.links[4].known(1)
	r.mu.Lock()
	epoch := r.epoch
	r.mu.Unlock()
	deliver := queue.Effect{Kind: queue.Deliver, Consumer: 1, Number: 2, Count: 3, Stride: 100}
	for name, change := range map[string]func(*group.Event){
		"less than it says":         func(e *group.Event) { e.Data = make([]byte, 100) },
		"more than it says":         func(e *group.Event) { e.Data = make([]byte, 1000) },
		"nothing":                   func(e *group.Event) { e.Count, e.Data = 0, nil },
		"a stride that runs over":   func(e *group.Event) { e.Stride, e.Count, e.Data = math.MaxUint32, math.MaxUint32, make([]byte, 20) },
		"no stride":                 func(e *group.Event) { e.Stride, e.Data = 0, nil },
		"a number that runs over":   func(e *group.Event) { e.Number = math.MaxUint64 - 1 },
		"a kind that nobody knows":  func(e *group.Event) { e.Kind, e.Data = 200, nil },
		"a kind of the route's":     func(e *group.Event) { e.Kind, e.Data = queue.Adrift, nil },
		"an outcome of the route's": func(e *group.Event) { e.Kind, e.Outcome, e.Data = queue.Answer, queue.Unavailable, nil },
		"an answer with records":    func(e *group.Event) { e.Kind = queue.Answer },
	} {
		e := group.Event{Effect: deliver, Group: 1, Data: make([]byte, 3*100-queue.RecordGap)}
		if !sound(&e) {
			t.Fatal("what is right is not")
		}
		change(&e)
		before := w.logged.lines("was dropped")
		w.links[4].Receive(1, slices.Concat(eventParts(1, epoch, s.key, []group.Event{e})...))
		if w.logged.lines("was dropped") != before+1 {
			t.Errorf("%s: taken", name)
		}
	}
	good := someBatch()
	for at := range good {
		changed := bytes.Clone(good)
		changed[at] ^= 0xff
		for _, bad := range [][]byte{good[:at], changed} {
			if queue.Check(bad) != nil { // what is still a batch would be taken for one
				w.links[1].Receive(4, slices.Concat(proposeParts(1, epoch, 0, &oplog.Batch{From: oplog.Origin{Node: 4, Session: 100, Seq: 3}, Data: bad})...))
			}
		}
	}
	s.publish(id, 3, 3)
	s.until("what comes later", func() bool { return len(s.got) == 3 && len(s.confirmed) == 3 })
}

// FuzzReceive: whatever a node sends, nothing panics.
func FuzzReceive(f *testing.F) {
	key := queue.SessionKey{Node: 4, Session: 100}
	f.Add(appendAttach(nil, kindAttach, 1, 1, 50, []group.Caller{{Key: key, Seen: []queue.Seen{{Consumer: 1, Number: 2}}}}))
	f.Add(appendAttached(nil, 1, 1, []uint64{1, 2}))
	f.Add(slices.Concat(proposeParts(1, 1, 0, &oplog.Batch{From: oplog.Origin{Node: 4, Session: 100, Seq: 1}, Data: someBatch()})...))
	f.Add(appendTook(nil, 1, 1, key, 100))
	f.Add(slices.Concat(eventParts(1, 1, key, []group.Event{{
		Effect: queue.Effect{Kind: queue.Deliver, Consumer: 1, Number: 1, Count: 2, Stride: 50}, Data: make([]byte, 100-queue.RecordGap),
	}})...))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r reader
		for _, take := range []func(){
			func() { r.attach() }, func() { r.took() },
			func() {
				if m := r.propose(); !r.bad {
					_ = queue.Check(m.batch.Data)
				}
			},
			func() {
				m := r.events()
				if r.bad {
					return
				}
				route := &route{links: &Links{Env: Env{Logger: zerolog.Nop()}}, ready: true}
				c := &caller{key: m.to, backlog: &route.backlog, consumers: map[uint32]*consumer{1: {seen: 1}}}
				for _, e := range c.take(m.events) {
					for n := uint32(1); n < e.Count && len(e.Data) > 0; n++ {
						e.Data = e.Data[e.Stride:] // as sessions do
					}
				}
			},
		} {
			r = reader{data: bytes.Clone(data[min(1, len(data)):])}
			take()
		}
	})
}
