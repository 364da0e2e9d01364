package protocol

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

// The fuzz targets hold what every input must keep to: no panic, no error that
// is not a refusal, and what is decoded and encoded again is decoded to the same.

func FuzzFrame(f *testing.F) {
	f.Add([]byte("\x08\x00\x00\x00\x00\x00\x00\xce"), uint32(FrameMinSize))
	f.Add(benchPublish, uint32(131072))
	f.Add([]byte("\x01\x00\x01\xff\xff\xff\xff"), uint32(1<<32-1))
	f.Fuzz(func(t *testing.T, buf []byte, frameMax uint32) {
		rest := buf
		for {
			frame, n, err := ParseFrame(rest, frameMax)
			checkRefusal(t, err)
			if n == 0 {
				return
			}
			if n > len(rest) || n != len(frame.Payload)+FrameOverhead || uint64(len(frame.Payload)) > uint64(frameMax) {
				t.Fatalf("%d of %d octets, payload %d, frame-max %d", n, len(rest), len(frame.Payload), frameMax)
			}
			if got := AppendFrame(nil, frame); !bytes.Equal(got, rest[:n]) {
				t.Fatalf("got %x, want %x", got, rest[:n])
			}
			if err == nil && frame.Type == FrameHeader {
				if _, err := ParseContentHeader(frame.Payload); err != nil {
					t.Fatal(err)
				}
			}
			rest = rest[n:]
		}
	})
}

func FuzzMethod(f *testing.F) {
	for _, id := range allMethods {
		f.Add(payload(sample(id, 0)))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := DecodeMethod(in)
		checkRefusal(t, err)
		if err != nil {
			return
		}
		encoded := payload(m)
		again, err := DecodeMethod(encoded)
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("got %+v, %v, want %+v", again, err, m)
		}
		if got := payload(again); !bytes.Equal(got, encoded) {
			t.Fatalf("got %x, want %x", got, encoded)
		}
	})
}

func FuzzTable(f *testing.F) {
	f.Add([]byte(everyRaw))
	f.Add([]byte(nested(TableDepthMax, true)))
	f.Add([]byte(nested(TableDepthMax+1, false)))
	f.Fuzz(func(t *testing.T, in []byte) {
		raw := RawTable(in)
		err := raw.Validate()
		checkRefusal(t, err)
		if err != nil {
			return
		}
		table := raw.Decode()
		encoded := table.Raw()
		if err := encoded.Validate(); err != nil {
			t.Fatal(err)
		}
		if again := encoded.Decode(); !reflect.DeepEqual(again, table) {
			t.Fatalf("got %v, want %v", again, table)
		}
		if len(encoded) != len(raw) {
			t.Fatalf("%d octets became %d", len(raw), len(encoded))
		}
		canonical := raw.Canonical()
		if again := canonical.Canonical(); !bytes.Equal(again, canonical) {
			t.Fatalf("got %q, want %q", again, canonical)
		}
		checkLookup(t, raw, table)
	})
}

func checkLookup(t *testing.T, raw RawTable, table Table) {
	for _, field := range table[:min(len(table), 64)] { // a lookup walks the table
		v, ok := raw.Lookup(field.Key)
		want, _ := table.Get(field.Key)
		if !ok || !reflect.DeepEqual(v.Decode(), want) || v.TypeName() != TypeName(want) || !v.Equal(v) {
			t.Fatalf("%q: got %v, want %v", field.Key, v, want)
		}
	}
}

func FuzzProperties(f *testing.F) {
	f.Add([]byte(allPropertiesRaw))
	f.Add([]byte("\x00\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := ParseProperties(raw)
		checkRefusal(t, err)
		if err != nil {
			return
		}
		l := p.Decode()
		if got := l.Append(nil); !bytes.Equal(got, raw) {
			t.Fatalf("got %x, want %x", got, raw)
		}
		for flag := FlagContentType; flag >= FlagClusterID; flag >>= 1 {
			want := l
			want.Present &^= flag
			wantEdit(t, AppendWithout([]byte("before"), p, flag), &want)
		}
		want := l
		want.Present, want.Headers = l.Present|FlagHeaders, RawTable("\x01kV")
		wantEdit(t, AppendWithHeaders([]byte("before"), p, want.Headers), &want)
	})
}

func checkRefusal(t *testing.T, err error) {
	t.Helper()
	var refusal *Error
	if err == nil {
		return
	}
	if !errors.As(err, &refusal) {
		t.Fatalf("%v is no refusal", err)
	}
	if text := refusal.ReplyText(); len(text) > shortstrMax || !refusal.Hard() {
		t.Fatalf("%q", text)
	}
}
