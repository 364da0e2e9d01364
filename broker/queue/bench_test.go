package queue

import (
	"fmt"
	"io"
	"testing"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/store/oplog"
)

// player applies entries that were encoded before, again and again, each time under a new index.
type bench struct {
	set     *Set
	entry   oplog.Entry
	effects []Effect
	live    int64
}

func newBench() *bench {
	b := &bench{}
	b.set = NewSet(func(_ uint64, bytes int64) { b.live += bytes })
	b.entry.Time = worldBegins
	return b
}

// batch encodes what f adds.
func (b *bench) batch(from SessionKey, f func(*Batch)) oplog.Batch {
	var batch Batch
	f(&batch)
	return batchOf(from, 0, &batch)
}

func (b *bench) apply(t testing.TB, batches ...oplog.Batch) {
	b.entry.Index++
	b.entry.Batches = append(b.entry.Batches[:0], batches...)
	var err error
	if b.effects, err = b.set.Apply(&b.entry, b.effects[:0]); err != nil {
		t.Fatal(err)
	}
}

// commands applies commands of session 1.
func (b *bench) commands(t testing.TB, commands ...Command) {
	b.apply(t, b.batch(SessionKey{1, 1}, func(batch *Batch) {
		for _, c := range commands {
			batch.Add(c)
		}
	}))
}

func declare(id ID, change func(*Config)) *Declare {
	c := DefaultConfig()
	if change != nil {
		change(&c)
	}
	return &Declare{Queue: id, Name: fmt.Sprint("q", id), Config: c}
}

func quorum(c *Config) { c.Type = Quorum }

// burstOf is a publish of n messages, alike or each of another size.
func burstOf(n int, differ bool, targets ...ID) func(*Batch) {
	return func(b *Batch) {
		for i := range n {
			m := message.Message{Head: message.Head{Priority: message.NoPriority}, RoutingKey: []byte("key"), Props: make([]byte, 2)}
			m.Body = make([]byte, 16)
			if differ {
				m.Body = make([]byte, 16+i%64)
			}
			b.Publish(1, uint64(i)+1, targets, &m)
		}
	}
}

// perMessage makes the time of an iteration that of a message.
func perMessage(b *testing.B, messages int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(messages), "ns/message")
}

var types = map[string]func(*Config){"classic": nil, "quorum": quorum}

// BenchmarkPublishBurst is 1,000 messages with confirms, published at once and delivered to a consumer that does not
// acknowledge.
func BenchmarkPublishBurst(b *testing.B) {
	for name, config := range types {
		for kind, differ := range map[string]bool{"alike": false, "differing": true} {
			b.Run(name+" "+kind, func(b *testing.B) {
				w := newBench()
				w.commands(b, declare(1, config), &Attach{Queue: 1, Consumer: 1, NoAck: true, Window: 1e6})
				publish := w.batch(SessionKey{1, 2}, burstOf(1000, differ, 1))
				credit := w.batch(SessionKey{1, 1}, func(batch *Batch) { batch.Add(&Credit{Consumer: 1, Bytes: 250000}) })
				for b.Loop() {
					w.apply(b, publish, credit)
				}
				perMessage(b, 1000)
			})
		}
	}
}

// BenchmarkPublishBacklog is the same without a consumer: the backlog grows.
func BenchmarkPublishBacklog(b *testing.B) {
	for kind, differ := range map[string]bool{"alike": false, "differing": true} {
		b.Run(kind, func(b *testing.B) {
			w := newBench()
			w.commands(b, declare(1, nil))
			publish := w.batch(SessionKey{1, 2}, burstOf(1000, differ, 1))
			for b.Loop() {
				w.apply(b, publish)
			}
			perMessage(b, 1000)
		})
	}
}

// BenchmarkSingles is one message an entry: published, delivered and settled.
func BenchmarkSingles(b *testing.B) {
	for name, config := range types {
		b.Run(name, func(b *testing.B) {
			w := newBench()
			w.commands(b, declare(1, config), &Attach{Queue: 1, Consumer: 1, Prefetch: 100, Window: 1e6})
			publish := w.batch(SessionKey{1, 2}, burstOf(1, false, 1))
			settle := &Settle{Consumer: 1}
			var batch Batch
			for b.Loop() {
				settle.From, settle.To = settle.From+1, settle.To+1
				batch.Reset()
				batch.Add(settle)
				batch.Add(&Credit{Consumer: 1, Bytes: 200})
				w.apply(b, publish, oplog.Batch{From: oplog.Origin{Node: 1, Session: 1}, Data: batch.Bytes()})
			}
			perMessage(b, 1)
		})
	}
}

// BenchmarkManyQueues is a message for each of 1,000 queues in turn, 100 an entry, with a consumer each that acknowledges.
func BenchmarkManyQueues(b *testing.B) {
	const queues, each = 1000, 100
	for name, config := range types {
		b.Run(name, func(b *testing.B) {
			w := newBench()
			for id := ID(1); id <= queues; id++ {
				w.commands(b, declare(id, config), &Attach{Queue: id, Consumer: uint32(id), Prefetch: 10, Window: 1 << 31})
			}
			var publishes []oplog.Batch
			for first := 0; first < queues; first += each {
				publishes = append(publishes, w.batch(SessionKey{1, 2}, func(batch *Batch) {
					for i := range each {
						burstOf(1, false, ID(first+i+1))(batch)
					}
				}))
			}
			var batch Batch
			number, part := uint64(0), 0
			for b.Loop() {
				if part == 0 {
					number++
				}
				batch.Reset()
				for i := range each {
					batch.Add(&Settle{Consumer: uint32(part*each + i + 1), From: number, To: number})
				}
				w.apply(b, publishes[part], oplog.Batch{From: oplog.Origin{Node: 1, Session: 1}, Data: batch.Bytes()})
				part = (part + 1) % len(publishes)
			}
			perMessage(b, each)
		})
	}
}

// BenchmarkManyConsumers is bursts of 1,000 messages for 1,000 consumers of one queue.
func BenchmarkManyConsumers(b *testing.B) {
	const consumers = 1000
	w := newBench()
	w.commands(b, declare(1, nil))
	for c := range uint32(consumers) {
		w.commands(b, &Attach{Queue: 1, Consumer: c + 1, Prefetch: 1, Window: 1 << 31})
	}
	publish := w.batch(SessionKey{1, 2}, burstOf(consumers, false, 1))
	var batch Batch
	number := uint64(0)
	for b.Loop() {
		number++
		batch.Reset()
		for c := range uint32(consumers) {
			batch.Add(&Settle{Consumer: c + 1, From: number, To: number})
		}
		w.apply(b, publish, oplog.Batch{From: oplog.Origin{Node: 1, Session: 1}, Data: batch.Bytes()})
	}
	perMessage(b, consumers)
}

// BenchmarkLive asks for the spans in 4,096 segments of a log while there are 100,000 queues: all empty, or all with a message.
func BenchmarkLive(b *testing.B) {
	for name, filled := range map[string]bool{"empty queues": false, "queues with a message": true} {
		b.Run(name, func(b *testing.B) {
			w := newBench()
			for id := ID(1); id <= 100000; id++ {
				w.commands(b, declare(id, nil))
				if filled {
					w.apply(b, w.batch(SessionKey{1, 1}, burstOf(1, false, id)))
				}
			}
			n := 0
			for b.Loop() {
				w.set.Live(1, 1<<20, func(oplog.Span) { n++ })
			}
		})
	}
}

// manyQueues is a set of durable queues without messages.
func manyQueues(t testing.TB, count ID) *bench {
	w := newBench()
	for id := ID(1); id <= count; id++ {
		w.commands(t, declare(id, func(c *Config) { c.Durable = true }))
	}
	return w
}

// BenchmarkSnapshot writes 50,000 queues without messages: their group does nothing else meanwhile.
func BenchmarkSnapshot(b *testing.B) {
	w := manyQueues(b, 50_000)
	b.ReportAllocs()
	for b.Loop() {
		if err := w.set.Snapshot(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
