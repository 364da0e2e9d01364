package protocol

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
)

// allProperties has every property set, and its octets written by hand from
// spec 4.2.6.1.
var (
	allProperties = PropertyList{
		Present:     ^flagsUndefined,
		ContentType: "ct", ContentEncoding: "ce", Headers: RawTable("\x01kt\x01"), DeliveryMode: 2, Priority: 9,
		CorrelationID: "ci", ReplyTo: "rt", Expiration: "60", MessageID: "mi", Timestamp: 258,
		Type: "ty", UserID: "ui", AppID: "ai", ClusterID: "cl",
	}
	allPropertiesRaw = strings.Join([]string{"\xff\xfc", "\x02ct", "\x02ce", "\x00\x00\x00\x04\x01kt\x01", "\x02", "\x09",
		"\x02ci", "\x02rt", "\x0260", "\x02mi", "\x00\x00\x00\x00\x00\x00\x01\x02", "\x02ty", "\x02ui", "\x02ai", "\x02cl"}, "")
)

func TestPropertiesAreEncodedAsSpecified(t *testing.T) {
	if got := allProperties.Append(nil); string(got) != allPropertiesRaw {
		t.Errorf("got  %q\nwant %q", got, allPropertiesRaw)
	}
	p, err := ParseProperties([]byte(allPropertiesRaw))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Decode(); !reflect.DeepEqual(got, allProperties) {
		t.Errorf("got %+v", got)
	}
}

// Whichever properties are set, each accessor finds its own and no other.
func TestEveryCombinationOfProperties(t *testing.T) {
	for flags := PropertyFlags(0); ; flags += 1 << 2 {
		l := allProperties
		l.Present = flags
		raw := l.Append(nil)
		p, err := ParseProperties(raw)
		if err != nil {
			t.Fatalf("%016b: %v", flags, err)
		}
		got := p.Decode()
		if got.Present != flags || !bytes.Equal(got.Append(nil), raw) {
			t.Fatalf("%016b: got %+v", flags, got)
		}
		checkAccessors(t, p, &l)
		if flags == ^flagsUndefined {
			return
		}
	}
}

func checkAccessors(t *testing.T, p Properties, l *PropertyList) {
	text := map[PropertyFlags]func() ([]byte, bool){
		FlagContentType: p.ContentType, FlagContentEncoding: p.ContentEncoding, FlagCorrelationID: p.CorrelationID,
		FlagReplyTo: p.ReplyTo, FlagExpiration: p.Expiration, FlagMessageID: p.MessageID, FlagType: p.Type,
		FlagUserID: p.UserID, FlagAppID: p.AppID, FlagClusterID: p.ClusterID,
	}
	for flag, accessor := range text {
		want := ""
		if l.Present&flag != 0 {
			want = *l.shortstr(flag)
		}
		if got, ok := accessor(); string(got) != want || ok != (l.Present&flag != 0) {
			t.Fatalf("%016b: flag %#04x is %q, %v", l.Present, flag, got, ok)
		}
	}
	headers, hasHeaders := p.Headers()
	mode, hasMode := p.DeliveryMode()
	priority, hasPriority := p.Priority()
	timestamp, hasTimestamp := p.Timestamp()
	for flag, is := range map[PropertyFlags]struct{ ok, right bool }{
		FlagHeaders:      {hasHeaders, bytes.Equal(headers, l.Headers)},
		FlagDeliveryMode: {hasMode, mode == l.DeliveryMode},
		FlagPriority:     {hasPriority, priority == l.Priority},
		FlagTimestamp:    {hasTimestamp, timestamp == l.Timestamp},
	} {
		if set := l.Present&flag != 0; is.ok != set || set && !is.right {
			t.Fatalf("%016b: flag %#04x is %+v", l.Present, flag, is)
		}
	}
}

func TestNoProperties(t *testing.T) {
	for _, p := range []Properties{nil, {}, {0, 0}} {
		checkAccessors(t, p, &PropertyList{})
		if got := AppendWithHeaders(nil, p, RawTable{}); string(got) != "\x20\x00\x00\x00\x00\x00" {
			t.Errorf("%v with headers: %q", p, got)
		}
		if got := AppendWithout(nil, p, FlagExpiration); string(got) != "\x00\x00" {
			t.Errorf("%v without expiration: %q", p, got)
		}
	}
}

func TestParsePropertiesRefusals(t *testing.T) {
	for raw, want := range map[string]string{
		"":                               "no property flags",
		"\x80":                           "no property flags",
		"\x00\x01":                       "undefined property flags 0x0001",
		"\x00\x02":                       "undefined property flags 0x0002",
		"\x80\x01\x02ct":                 "undefined property flags 0x8001",
		"\x00\x00\x00":                   "1 octets too many",
		"\x80\x00\x02ctx":                "1 octets too many",
		"\x80\x00":                       "beyond the header frame",
		"\x80\x00\x03ct":                 "beyond the header frame",
		"\x10\x00":                       "beyond the header frame",
		"\x00\x40\x00\x00\x00\x00":       "beyond the header frame",
		"\x20\x00\x00\x00\x00":           "beyond the header frame",
		"\x20\x00\x00\x00\x00\x01":       "beyond the header frame",
		"\x20\x00\xff\xff\xff\xff":       "beyond the header frame",
		"\x20\x00\x7f\xff\xff\xff":       "beyond the header frame",
		"\x20\x00\x00\x00\x00\x03\x01kZ": "unknown field type 'Z'",
		"\x20\x00\x00\x00\x00\x01\x01":   "beyond the table",
	} {
		_, err := ParseProperties([]byte(raw))
		refusal, ok := err.(*Error)
		if !ok || refusal.Code != CodeSyntaxError || !strings.Contains(refusal.Text, want) {
			t.Errorf("%q: got %v, want %q", raw, err, want)
		}
	}
	for n := range allPropertiesRaw {
		if _, err := ParseProperties([]byte(allPropertiesRaw[:n])); err == nil {
			t.Errorf("%d octets of all properties were accepted", n)
		}
	}
}

// An edit gives what decoding, changing and encoding gives.
func TestEditsChangeOneProperty(t *testing.T) {
	headers := RawTable("\x01hI\x00\x00\x00\x01")
	for present := PropertyFlags(0); present < ^flagsUndefined; present += 1 << 2 {
		l := allProperties
		l.Present = present
		p := Properties(l.Append(nil))
		dst := []byte("before")

		want := l
		want.Present, want.Headers = present|FlagHeaders, headers
		wantEdit(t, AppendWithHeaders(dst, p, headers), &want)

		want = l
		want.Present = present &^ FlagHeaders
		wantEdit(t, AppendWithHeaders(dst, p, nil), &want)

		want = l
		want.Present, want.ReplyTo = present|FlagReplyTo, "another"
		wantEdit(t, AppendWithShortstr(dst, p, FlagReplyTo, []byte("another")), &want)

		for flag := FlagContentType; flag >= FlagClusterID; flag >>= 1 {
			want = l
			want.Present = present &^ flag
			wantEdit(t, AppendWithout(dst, p, flag), &want)
		}
	}
	wantPanic(t, "not the flag of a string", func() { AppendWithShortstr(nil, nil, FlagHeaders, nil) })
}

func wantEdit(t *testing.T, got []byte, want *PropertyList) {
	t.Helper()
	if w := want.Append([]byte("before")); !bytes.Equal(got, w) {
		t.Fatalf("got  %q\nwant %q", got, w)
	}
}

func TestContentFramesAreEncodedAsSpecified(t *testing.T) {
	got := AppendContent(nil, 5, []byte("\x10\x00\x02"), []byte("hello"), FrameMinSize)
	want := "\x02\x00\x05\x00\x00\x00\x0f" + "\x00\x3c\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x05" + "\x10\x00\x02" + "\xce" +
		"\x03\x00\x05\x00\x00\x00\x05hello\xce"
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	got = AppendContent(nil, 1, nil, nil, FrameMinSize)
	want = "\x02\x00\x01\x00\x00\x00\x0e" + "\x00\x3c\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00" + "\xce"
	if string(got) != want {
		t.Errorf("an empty body: got %q, want %q", got, want)
	}
}

func TestParseContentHeader(t *testing.T) {
	payload := []byte("\x00\x3c\x00\x01\xff\x00\x00\x00\x00\x00\x00\x05\x10\x00\x02")
	h, err := ParseContentHeader(payload)
	want := ContentHeader{Class: 60, Weight: 1, BodySize: 0xFF00000000000005, Properties: []byte("\x10\x00\x02")}
	if err != nil || !reflect.DeepEqual(h, want) {
		t.Errorf("got %+v, %v", h, err)
	}
	for n := range contentHeaderHead {
		if _, err := ParseContentHeader(payload[:n]); err == nil {
			t.Errorf("%d octets were accepted", n)
		}
	}
}

func TestBodyIsCutIntoFrames(t *testing.T) {
	body := make([]byte, 20000)
	for i := range body {
		binary.BigEndian.PutUint16(body[i/2*2:], uint16(i/2))
	}
	for size, want := range map[int][]int{0: nil, 1: {1}, 8184: {8184}, 8185: {8184, 1}, 16368: {8184, 8184}, 20000: {8184, 8184, 3632}} {
		buf := AppendBodyFrames(nil, 9, body[:size], FrameMinSize)
		var sizes []int
		var got []byte
		for len(buf) > 0 {
			f, n, err := ParseFrame(buf, FrameMinSize-FrameOverhead)
			if err != nil || n == 0 || f.Type != FrameBody || f.Channel != 9 {
				t.Fatalf("%d: %+v, %v", size, f, err)
			}
			sizes = append(sizes, len(f.Payload))
			got = append(got, f.Payload...)
			buf = buf[n:]
		}
		if !reflect.DeepEqual(sizes, want) || !bytes.Equal(got, body[:size]) {
			t.Errorf("%d: frames of %v, want %v", size, sizes, want)
		}
	}
	if n := len(AppendBodyFrames(nil, 1, body, 1<<32-1)); n != len(body)+FrameOverhead {
		t.Errorf("%d octets for one frame", n)
	}
	wantPanic(t, "a frame-max of 8", func() { AppendBodyFrames(nil, 1, body, FrameOverhead) })
}

func TestDeliverPrefixGivesTheSameAsTheMethod(t *testing.T) {
	for _, body := range []string{"", "hello", strings.Repeat("x", 20000)} {
		d := Delivery{Tag: 1 << 40, Redelivered: true, Exchange: []byte("x"), RoutingKey: []byte("rk"),
			Properties: []byte(allPropertiesRaw), Body: []byte(body)}
		want := AppendMethodFrame([]byte("before"), 7, &BasicDeliver{[]byte("ctag"), d.Tag, true, d.Exchange, d.RoutingKey})
		want = AppendContent(want, 7, d.Properties, d.Body, FrameMinSize)
		got := NewDeliverPrefix(7, "ctag").Append([]byte("before"), &d, FrameMinSize)
		if !bytes.Equal(got, want) {
			t.Errorf("body of %d: got %q, want %q", len(body), got, want)
		}
	}
}
