package link

import (
	"fmt"
	"slices"
	"testing"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// mirror is another node that leads a group: it applies at once what it is given.
type mirror struct {
	links *Links
	reply []byte // to be received when the sender has let go of its locks
}

// Send implements Peers.
func (m *mirror) Send(_ uint64, parts ...[]byte) error {
	data := parts[0]
	r := reader{data: data[1:]}
	switch data[0] {
	case kindAttach:
		a := r.attach()
		go m.links.Receive(2, appendAttached(nil, 1, a.epoch, make([]uint64, len(a.callers))))
	case kindPropose:
		r.data = slices.Concat(r.data, parts[1])
		p := r.propose()
		key := queue.SessionKey{Node: p.batch.From.Node, Session: p.batch.From.Session}
		m.reply = slices.Concat(eventParts(1, p.epoch, key, []group.Event{{Effect: queue.Effect{Kind: queue.Applied, Number: p.batch.From.Seq}}})...)
	}
	return nil
}

// answers is an inbox that tells a door what was applied.
type answers struct{ door *dispatch.Door }

// Post implements group.Inbox.
func (a answers) Post(events []group.Event) {
	for i := range events {
		a.door.Answered(events[i].Group, events[i].Number)
	}
}

// Room implements group.Inbox.
func (answers) Room(queue.SessionKey, group.Waker) bool { return true }

// BenchmarkRoute takes bursts through a door and the way to a group that is led elsewhere, and their answers back.
func BenchmarkRoute(b *testing.B) {
	for _, messages := range []int{1, 64} {
		b.Run(fmt.Sprint(messages), func(b *testing.B) {
			m := &mirror{}
			inboxes := group.NewInboxes(1)
			m.links = New(Env{
				Node: 1, First: 50, Peers: m, Inboxes: inboxes, Local: func(uint64) *group.Group { return nil }, Members: func(uint64) []uint64 { return []uint64{2} },
				Leader: func(uint64) uint64 { return 2 }, Newest: func() int64 { return 1 }, Logger: zerolog.Nop(),
			})
			defer m.links.Close()
			door := dispatch.NewDoor(queue.SessionKey{Node: 1, Session: 100}, m.links)
			inboxes.Add(100, answers{door})
			msg := message.Message{Head: message.Head{Priority: message.NoPriority}, RoutingKey: []byte("k"), Body: make([]byte, 16)}
			ids, number := []queue.ID{1}, uint64(1)
			burst := func() {
				batch, err := door.Batch(1)
				if err != nil {
					b.Fatal(err)
				}
				for range messages {
					batch.Publish(1, number, ids, &msg)
					number++
				}
				if err := door.Flush(); err != nil || !door.Wait() {
					b.Fatal(err)
				}
			}
			handle, err := m.links.route(1)
			if err != nil {
				b.Fatal(err)
			}
			if err := handle.Propose(oplog.Batch{From: oplog.Origin{Node: 1, Session: 99, Seq: 1}}); err != nil {
				b.Fatal(err)
			}
			for ready := false; !ready; {
				handle.mu.Lock()
				ready = handle.ready
				handle.mu.Unlock()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				burst()
				m.links.Receive(2, m.reply)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*messages), "ns/message")
		})
	}
}

// BenchmarkCheck looks at batches of other nodes as their leader does.
func BenchmarkCheck(b *testing.B) {
	for _, messages := range []int{1, 64} {
		b.Run(fmt.Sprint(messages), func(b *testing.B) {
			var batch queue.Batch
			for n := range messages {
				msg := message.Message{Head: message.Head{Priority: message.NoPriority}, RoutingKey: []byte("k"), Body: make([]byte, 16+n%2)}
				batch.Publish(1, uint64(n)+1, []queue.ID{1}, &msg)
			}
			data := batch.Bytes()
			b.ReportAllocs()
			for b.Loop() {
				if err := queue.Check(data); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*messages), "ns/message")
		})
	}
}
