package queue

import (
	"testing"

	"github.com/warrenmq/warren/broker/message"
)

// commandsIn gives the ops of a batch, and for a publish the count and stride of its messages.
func commandsIn(t *testing.T, data []byte) (ops []Op, counts, strides []uint32) {
	t.Helper()
	for len(data) > 0 {
		op, n := Op(data[0]), le.Uint32(data[2:])
		payload := data[commandHead : commandHead+n]
		ops = append(ops, op)
		if op == OpPublish {
			var p publish
			if err := p.decode(payload, 0); err != nil {
				t.Fatal(err)
			}
			counts, strides = append(counts, p.count), append(strides, p.stride)
		}
		data = data[commandHead+n:]
	}
	return ops, counts, strides
}

// TestNeighboursShareACommand: for as long as channel, targets and numbers go on. If all are alike, the command says so.
func TestNeighboursShareACommand(t *testing.T) {
	type call struct {
		channel uint16
		number  uint64
		targets []ID
		change  func(*message.Message)
	}
	one, two := []ID{1}, []ID{1, 2}
	longer := func(m *message.Message) { m.Body = append(m.Body, 'x') }
	for what, c := range map[string]struct {
		calls  []call
		counts []uint32
		alike  []bool
	}{
		"alike":               {[]call{{1, 1, one, nil}, {1, 2, one, nil}, {1, 3, one, nil}}, []uint32{3}, []bool{true}},
		"equal targets":       {[]call{{1, 1, two, nil}, {1, 2, []ID{1, 2}, nil}}, []uint32{2}, []bool{true}},
		"other targets":       {[]call{{1, 1, two, nil}, {1, 2, []ID{1, 3}, nil}, {1, 3, one, nil}}, []uint32{1, 1, 1}, []bool{true, true, true}},
		"another channel":     {[]call{{1, 1, one, nil}, {2, 2, one, nil}}, []uint32{1, 1}, []bool{true, true}},
		"a number left out":   {[]call{{1, 1, one, nil}, {1, 3, one, nil}}, []uint32{1, 1}, []bool{true, true}},
		"without confirms":    {[]call{{1, 0, one, nil}, {1, 0, one, nil}, {1, 1, one, nil}}, []uint32{2, 1}, []bool{true, true}},
		"bodies differ":       {[]call{{1, 1, one, nil}, {1, 2, one, longer}}, []uint32{2}, []bool{false}},
		"the first has extra": {[]call{{1, 1, one, func(m *message.Message) { m.Flags |= message.FlagCounts }}, {1, 2, one, nil}}, []uint32{2}, []bool{false}},
		"priorities differ":   {[]call{{1, 1, one, nil}, {1, 2, one, func(m *message.Message) { m.Priority = 1 }}}, []uint32{2}, []bool{false}},
		"flags differ":        {[]call{{1, 1, one, nil}, {1, 2, one, func(m *message.Message) { m.Flags |= message.FlagPersistent }}}, []uint32{2}, []bool{false}},
		"shares of one length differ": {[]call{{1, 1, one, nil}, {1, 2, one, func(m *message.Message) {
			m.Props, m.RoutingKey = append(m.Props, 0), m.RoutingKey[1:]
		}}}, []uint32{2}, []bool{false}},
		"expirations differ": {[]call{
			{1, 1, one, func(m *message.Message) { m.Flags, m.Expiration = message.FlagExpiration, 5 }},
			{1, 2, one, func(m *message.Message) { m.Flags, m.Expiration = message.FlagExpiration, 6 }},
		}, []uint32{2}, []bool{false}},
	} {
		var b Batch
		for _, call := range c.calls {
			m := plain("body")
			m.Props = make([]byte, 2)
			if call.change != nil {
				call.change(&m)
			}
			b.Publish(call.channel, call.number, call.targets, &m)
		}
		_, counts, strides := commandsIn(t, b.Bytes())
		if len(counts) != len(c.counts) {
			t.Errorf("%s: %d commands, should be %d", what, len(counts), len(c.counts))
			continue
		}
		for i := range counts {
			if counts[i] != c.counts[i] || (strides[i] != 0) != c.alike[i] {
				t.Errorf("%s: command %d has %d messages of stride %d", what, i, counts[i], strides[i])
			}
		}
	}
}

func TestBatchIsUsedAgain(t *testing.T) {
	var b, other Batch
	other.Add(&Tick{})
	for range 2 {
		b.Reset()
		burstOf(2, false, 1)(&b)
		b.Add(&Settle{Consumer: 1})
		b.Append(other.Bytes())
		burstOf(1, false, 1)(&b)
		ops, counts, _ := commandsIn(t, b.Bytes())
		if len(ops) != 4 || ops[1] != OpSettle || ops[2] != OpTick || len(counts) != 2 || counts[0] != 2 || counts[1] != 1 || b.Len() == 0 {
			t.Fatalf("%v, %v", ops, counts)
		}
	}
	if burstOf(1000, true, 1)(&b); cap(b.data) < 50000 {
		t.Fatal(cap(b.data))
	}
	b.Reset()
	b.Trim()
	if cap(b.data) == 0 {
		t.Error("a batch of middling size lost its memory")
	}
	for range 10 {
		burstOf(1000, true, 1)(&b)
	}
	b.Reset()
	if b.Trim(); cap(b.data) != 0 {
		t.Errorf("an empty batch keeps %d bytes", cap(b.data))
	}
}

func TestConfigTravelsAsItsDifferences(t *testing.T) {
	full := Config{
		Type: Quorum, Durable: true, AutoDelete: true, Exclusive: true, SingleActive: true, MessageTTLMs: 1, ExpiresMs: 2,
		MaxLength: 3, MaxLengthBytes: 4, Overflow: RejectPublish, MaxPriority: 5, DeliveryLimit: 6, DeadLetter: true,
		DeadLetterExchange: "x", DeadLetterKeySet: true, DeadLetterKey: "k", AtLeastOnce: true, ConsumerTimeoutMs: 7,
		Retry: RetryFailed, RetryMinMs: 8, RetryMaxMs: 9, Dedup: true, DedupSize: 10, DedupTTLMs: 11, MaxAgeMs: 12,
		SegmentBytes: 13, FilterSize: 14, RelayExchange: "d",
	}
	for _, in := range []Config{DefaultConfig(), full, {}} {
		data := in.append(nil)
		var out Config
		r := &reader{data: data}
		if out.decode(r); out != in || r.bad || len(r.data) > 0 {
			t.Errorf("%+v became %+v", in, out)
		}
	}
	plain := DefaultConfig()
	if n := len(plain.append(nil)); n != 1 {
		t.Errorf("a plain configuration takes %d bytes", n)
	}
	newer := append([]byte{2}, appendBytes([]byte{200}, []byte("of a later version"))...)
	newer = append(newer, appendBytes([]byte{tagMaxLength}, le.AppendUint64(nil, 5))...)
	var c Config
	if c.decode(&reader{data: newer}); c.MaxLength != 5 {
		t.Errorf("behind an unknown tag: %+v", c)
	}
}
