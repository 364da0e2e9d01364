package queue

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/store/oplog"
)

// FuzzApply applies arbitrary bytes as a batch, between batches that make sense. An error is an answer, a panic is not; and
// without an error the set must be sound.
func FuzzApply(f *testing.F) {
	for _, b := range someBatches() {
		f.Add(b.Data, int64(5))
	}
	f.Add([]byte{byte(OpPublish), commandVersion, 0xff, 0xff, 0xff, 0xff}, int64(-1))
	f.Fuzz(func(t *testing.T, data []byte, later int64) {
		w := newWorld(t)
		before, after := fuzzed(w)
		if err := w.try(before); err != nil {
			t.Fatal(err)
		}
		w.now += later
		sound := Check(data) == nil
		if err := w.try(oplog.Batch{From: oplog.Origin{Node: 1, Session: 1, Seq: 2}, Data: data}); err != nil {
			if sound {
				t.Fatalf("a batch that was found sound: %v", err)
			}
			return
		}
		if !sound {
			t.Fatal("a batch that was applied was not found sound")
		}
		w.check()
		snap := snapshot(t, w.set)
		if again := snapshot(t, restored(t, snap, nil)); !bytes.Equal(snap, again) {
			t.Fatal("a restored set writes another snapshot")
		}
		w.now = max(w.now, worldBegins) + 1000
		if err := w.try(after); err != nil {
			t.Fatal(err)
		}
		w.check()
	})
}

// try applies an entry that need not make sense.
func (w *world) try(b oplog.Batch) error {
	_, err := w.set.Apply(w.entry(b), nil)
	return err
}

// fuzzed is what happens before and after the bytes of a fuzzer: queues of every kind with messages and consumers, and the
// end of all sessions.
func fuzzed(w *world) (before, after oplog.Batch) {
	var b Batch
	for id, change := range []func(*Config){
		nil, quorum,
		func(c *Config) { c.MaxPriority, c.DeadLetter, c.MaxLength = 5, true, 3 },
		func(c *Config) { c.SingleActive, c.Type, c.DeliveryLimit, c.DeadLetter = true, Quorum, 1, true },
		func(c *Config) {
			c.Overflow, c.MaxLengthBytes, c.MessageTTLMs, c.ExpiresMs = RejectPublishDLX, 50, 10, 100
		},
	} {
		b.Add(declare(ID(id)+1, change))
		burstOf(4, true, ID(id)+1)(&b)
		b.Add(&Attach{Queue: ID(id) + 1, Consumer: uint32(id) + 1, Prefetch: 2, Window: 1000})
		b.Add(&Get{Queue: ID(id) + 1, Consumer: uint32(id) + 100, Request: 1})
	}
	before = batchOf(SessionKey{1, 1}, 1, &b)
	b.Reset()
	b.Add(&Tick{})
	b.Add(&Down{Node: 1, Last: Everything})
	return before, batchOf(SessionKey{2, 2}, 0, &b)
}

// someBatches is batches as sessions write them, for a fuzzer to begin with.
func someBatches() (list []oplog.Batch) {
	for seed := range uint64(4) {
		d := newDuel(nil, seed+1)
		for range 10 {
			e := d.next()
			d.model.play(e, d.history)
			list = append(list, e.Batches...)
		}
	}
	return list
}

// TestDamagedBatchIsNoPanic is what FuzzApply does, for a moment in every run of the tests.
func TestDamagedBatchIsNoPanic(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	batches := someBatches()
	for range 20000 / slow {
		data := bytes.Clone(batches[rng.IntN(len(batches))].Data)
		for range rng.IntN(4) {
			if len(data) > 0 {
				data[rng.IntN(len(data))] = byte(rng.IntN(256) >> rng.IntN(8))
			}
		}
		data = data[:len(data)-rng.IntN(len(data)+1)*rng.IntN(2)]
		w := newWorld(t)
		before, after := fuzzed(w)
		if err := w.try(before); err != nil {
			t.Fatal(err)
		}
		if w.try(oplog.Batch{From: oplog.Origin{Node: 1, Session: 1, Seq: 2}, Data: data}) == nil {
			w.check()
			w.now += 1000
			if err := w.try(after); err != nil {
				t.Fatal(err)
			}
			w.check()
		}
	}
}

// TestCommandsThatAreNone: what a session never writes.
func TestCommandsThatAreNone(t *testing.T) {
	record := message.Append(nil, &message.Message{Body: []byte("body")})
	publish := func(count, stride, targets uint32, records ...byte) []byte {
		data := le.AppendUint32(append(make([]byte, 11), byte(count), 0, 0, 0), stride)
		data = le.AppendUint32(data, targets)
		data = append(data, make([]byte, 8)...)
		return append(data, records...)
	}
	one := append(le.AppendUint32(nil, uint32(len(record))), record...)
	long := message.Append(nil, &message.Message{Body: make([]byte, 200)})
	lies := append(le.AppendUint32(nil, uint32(len(long)-150)), long[:len(long)-150]...)
	for what, c := range map[string]struct {
		op   Op
		data []byte
		ok   bool
	}{
		"an unknown command":                     {op: 99},
		"no command":                             {op: 0},
		"a settle without its end":               {op: OpSettle, data: make([]byte, 19)},
		"a publish without its end":              {op: OpPublish, data: make([]byte, publishHead-1)},
		"a publish":                              {op: OpPublish, data: publish(1, 0, 1, one...), ok: true},
		"a publish of alike messages":            {op: OpPublish, data: publish(1, uint32(len(one)), 1, one...), ok: true},
		"more targets than there are":            {op: OpPublish, data: publish(1, 0, 2, one...)},
		"very many targets":                      {op: OpPublish, data: publish(1, 0, 1<<31, one...)},
		"more messages than said":                {op: OpPublish, data: publish(1, 0, 1, append(bytes.Clone(one), one...)...)},
		"less messages than said":                {op: OpPublish, data: publish(2, 0, 1, one...)},
		"alike messages, of which there is none": {op: OpPublish, data: publish(0, 20, 1)},
		"alike messages, less than said":         {op: OpPublish, data: publish(2, uint32(len(one)), 1, one...)},
		"another stride than the record's":       {op: OpPublish, data: publish(2, uint32(len(one))/2, 1, one...)},
		"a record without its end":               {op: OpPublish, data: publish(1, 0, 1, one[:len(one)-1]...)},
		"a record without its head":              {op: OpPublish, data: publish(1, 0, 1, 3, 0, 0, 0, 1, 2, 3)},
		"a record that is shorter than it says":  {op: OpPublish, data: publish(1, 0, 1, lies...)},
	} {
		data := append([]byte{byte(c.op), commandVersion}, le.AppendUint32(nil, uint32(len(c.data)))...)
		err := newWorld(t).try(oplog.Batch{Data: append(data, c.data...)})
		if c.ok != (err == nil) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, data := range map[string][]byte{
		"half a head": {byte(OpTick), commandVersion, 0, 0, 0}, "another version": {byte(OpTick), 9, 0, 0, 0, 0},
		"a command without its end": {byte(OpTick), commandVersion, 1, 0, 0, 0},
	} {
		if newWorld(t).try(oplog.Batch{Data: data}) == nil {
			t.Errorf("%s was taken for a command", what)
		}
	}
}
