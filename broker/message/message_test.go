package message

import (
	"bytes"
	"reflect"
	"testing"
)

func full() Message {
	return Message{
		Head: Head{
			Flags:      FlagPersistent | FlagExpiration | FlagDelay | FlagCounts | FlagDedup | FlagProducer | FlagRedelivered | FlagHidden | FlagFilter | FlagLetter,
			Priority:   7,
			Expiration: 60000, Delay: 5000, Deliveries: 3, Acquired: 4, Dedup: []byte("once"), Producer: 11, Sequence: 12,
			Hidden: AppendHidden(nil, []string{"bcc", ""}), Filter: []byte("eu"),
			Letter: Letter{Source: 13, Number: 14, Floor: 15},
		},
		Exchange: []byte("orders"), RoutingKey: []byte("eu.new"), Props: []byte{0x90, 0}, Body: []byte("body"),
	}
}

func TestRecordRoundTripsWithEveryCombinationOfExtras(t *testing.T) {
	for flags := 0; flags < 1024; flags++ {
		in := full()
		in.Flags = uint16(flags)
		rec := Append(nil, &in)
		if len(rec) != in.Length() {
			t.Fatalf("flags %b: Length says %d, Append wrote %d", flags, in.Length(), len(rec))
		}
		var out Message
		if err := Parse(rec, &out); err != nil {
			t.Fatalf("flags %b: %v", flags, err)
		}
		again := Append(nil, &out)
		if !bytes.Equal(rec, again) {
			t.Fatalf("flags %b: record changed on its way", flags)
		}
		if out.Size != 4 || out.Properties != 2 || !bytes.Equal(out.Body, in.Body) || !bytes.Equal(out.Exchange, in.Exchange) {
			t.Fatalf("flags %b: %+v", flags, out)
		}
		var h Head
		if err := ParseHead(rec, &h); err != nil || !reflect.DeepEqual(h, out.Head) {
			t.Fatalf("flags %b: ParseHead %+v, Parse %+v (%v)", flags, h, out.Head, err)
		}
	}
}

func TestTruncatedRecordIsRefused(t *testing.T) {
	in := full()
	rec := Append(nil, &in)
	for n := range rec {
		var m Message
		if err := Parse(rec[:n], &m); err == nil {
			t.Fatalf("%d of %d bytes were taken for a record", n, len(rec))
		}
	}
}

func TestPlainRecordDoesNotAllocate(t *testing.T) {
	in := Message{Head: Head{Priority: NoPriority}, RoutingKey: []byte("q"), Body: make([]byte, 16)}
	buf := make([]byte, 0, 256)
	var out Message
	if n := testing.AllocsPerRun(100, func() {
		buf = Append(buf[:0], &in)
		if Parse(buf, &out) != nil {
			t.Fatal("not parsed")
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
