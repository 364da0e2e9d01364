package queue

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/store/oplog"
)

// shop runs a Set on a Direct log as a group does, and reads what is delivered.
type shop struct {
	t     *testing.T
	set   *Set
	log   oplog.Log
	ready chan struct{}
	held  map[uint32][]uint64 // numbers that consumers hold
	read  int
	asked int
}

func openShop(t *testing.T) *shop {
	s := &shop{t: t, ready: make(chan struct{}), held: map[uint32][]uint64{}}
	s.set = NewSet(func(index uint64, bytes int64) { s.log.Account(index, bytes) })
	log, err := oplog.DirectHost{Clock: func() int64 { return worldBegins }}.Open(1, nil, s)
	if err != nil {
		t.Fatal(err)
	}
	s.log = log
	close(s.ready)
	return s
}

func (s *shop) Apply(entries []oplog.Entry) {
	<-s.ready
	var effects []Effect
	var err error
	for i := range entries {
		if effects, err = s.set.Apply(&entries[i], effects); err != nil {
			s.t.Error(err)
		}
	}
	for i := range effects {
		if e := &effects[i]; e.Kind == Deliver || e.Kind == Got {
			s.deliver(e)
		}
	}
}

func (s *shop) Lead(bool) {}

func (s *shop) Snapshot(w io.Writer) error { return s.set.Snapshot(w) }

func (s *shop) Restore(r io.Reader) error { return s.set.Restore(r) }

func (s *shop) Live(from, to uint64, visit func(oplog.Span)) {
	s.asked++
	s.set.Live(from, to, visit)
}

// deliver reads all messages of an effect at once and checks each: its body says its key, again and again.
func (s *shop) deliver(e *Effect) {
	data, err := s.log.Read(oplog.Span{Index: e.Index, Offset: e.Offset, Length: e.Stride*e.Count - RecordGap})
	if err != nil {
		s.t.Errorf("%d messages at %d of entry %d: %v", e.Count, e.Offset, e.Index, err)
		return
	}
	for i := range e.Count {
		var m message.Message
		at := i * e.Stride
		if err := message.Parse(data[at:at+e.Stride-RecordGap], &m); err != nil {
			s.t.Errorf("message %d of %d at %d of entry %d: %v", i, e.Count, e.Offset, e.Index, err)
			return
		}
		for j := 0; j+8 <= len(m.Body); j += 8 {
			if string(m.Body[j:j+8]) != string(m.RoutingKey) {
				s.t.Errorf("message %x: its body is another's at %d", m.RoutingKey, j)
				return
			}
		}
		s.read++
		if !e.NoAck {
			s.held[e.Consumer] = append(s.held[e.Consumer], e.Number+uint64(i))
		}
	}
}

func (s *shop) do(f func(b *Batch)) {
	var b Batch
	f(&b)
	if err := s.log.Propose(batchOf(SessionKey{1, 1}, 0, &b)); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	if err := s.log.Do(func() { close(done) }); err != nil {
		s.t.Fatal(err)
	}
	<-done
}

// TestDeliveriesAreReadFromTheLog: whatever is delivered can be read, settled or not, packed or not, alone or together with
// neighbours that came back by another way; and in the end nothing is left.
func TestDeliveriesAreReadFromTheLog(t *testing.T) {
	s := openShop(t)
	rng := rand.New(rand.NewPCG(1, 1))
	key := uint64(0)
	s.do(func(b *Batch) {
		for id := ID(1); id <= 4; id++ {
			b.Add(declare(id, nil))
		}
		b.Add(&Attach{Queue: 1, Consumer: 1, NoAck: true, Window: 1})
		b.Add(&Attach{Queue: 2, Consumer: 2, Prefetch: 300, Window: 1 << 31})
		b.Add(&Attach{Queue: 3, Consumer: 3, Prefetch: 300, Window: 1 << 31})
	})
	rounds := 1500
	for round := range rounds + 200 {
		s.do(func(b *Batch) {
			for range 30 * min(1, rounds/(round+1)) {
				key++
				m := message.Message{RoutingKey: binary.LittleEndian.AppendUint64(nil, key)}
				for range 500 + 500*(key/40%2) {
					m.Body = append(m.Body, m.RoutingKey...)
				}
				targets := []ID{ID(1 + key%3)}
				if key%100 == 0 {
					targets = []ID{4} // which nobody empties before the end
				}
				b.Publish(1, 0, targets, &m)
			}
			b.Add(&Credit{Consumer: 1, Bytes: uint32(rng.IntN(150000))})
			for _, c := range []uint32{2, 3} {
				s.settleSome(b, rng, c)
			}
		})
	}
	s.do(func(b *Batch) { b.Add(&Attach{Queue: 4, Consumer: 4, NoAck: true, Window: 1 << 31}) })
	s.do(func(b *Batch) { b.Add(&Credit{Consumer: 1, Bytes: 1 << 31}); b.Add(&Down{Node: 1, Last: Everything}) })
	s.do(func(b *Batch) {
		for id := ID(2); id <= 4; id++ {
			b.Add(&Attach{Queue: id, Consumer: uint32(id), NoAck: true, Window: 1 << 31})
		}
	})
	if err := s.log.Close(); err != nil {
		t.Fatal(err)
	}
	for _, id := range s.set.IDs() {
		if c, _ := s.set.Counts(id); c.Ready != 0 || c.Unacked != 0 {
			t.Errorf("queue %d has %+v in the end", id, c)
		}
	}
	live := int64(0)
	s.set.Reckon(func(_ uint64, bytes int64) { live += bytes })
	if s.asked == 0 || s.read < int(key) || live != 0 {
		t.Errorf("%d messages published, %d deliveries read, %d bytes alive; packed %d times", key, s.read, live, s.asked)
	}
}

// settleSome acknowledges or returns some of what a consumer holds, here and there.
func (s *shop) settleSome(b *Batch, rng *rand.Rand, c uint32) {
	held := s.held[c]
	s.held[c] = nil
	for _, number := range held {
		switch rng.IntN(12) {
		case 0:
			b.Add(&Return{Consumer: c, From: number, To: number, Cause: CauseNack})
		case 1, 2, 3:
			b.Add(&Settle{Consumer: c, From: number, To: number})
		default:
			s.held[c] = append(s.held[c], number)
		}
	}
}
