package protocol

import "testing"

var (
	benchBody    = []byte("0123456789abcdef")
	benchProps   = (&PropertyList{Present: FlagContentType | FlagDeliveryMode, ContentType: "text/plain", DeliveryMode: 2}).Append(nil)
	benchPublish = publishFrames(benchProps, benchBody)
)

// publishFrames is a basic.publish with its content, as a client sends it.
func publishFrames(properties, body []byte) []byte {
	m := &BasicPublish{Exchange: []byte("orders"), RoutingKey: []byte("orders.created")}
	frames := AppendMethodFrame(nil, 1, m)
	return AppendContent(frames, 1, properties, body, 131072)
}

// parsePublish reads what publishFrames wrote, in the way a session does.
func parsePublish(buf []byte, m *BasicPublish) (props Properties, body []byte, err error) {
	for len(buf) > 0 {
		f, n, err := ParseFrame(buf, 131072)
		if err != nil {
			return nil, nil, err
		}
		switch f.Type {
		case FrameMethod:
			_, args := SplitMethod(f.Payload)
			err = m.Decode(args)
		case FrameHeader:
			h, e := ParseContentHeader(f.Payload)
			if err = e; err == nil {
				props, err = ParseProperties(h.Properties)
			}
		case FrameBody:
			body = f.Payload
		}
		if err != nil {
			return nil, nil, err
		}
		buf = buf[n:]
	}
	return props, body, nil
}

func BenchmarkParsePublish(b *testing.B) {
	var m BasicPublish
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := parsePublish(benchPublish, &m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParsePublishWithHeaders(b *testing.B) {
	headers := Table{{"x-retries", int32(3)}, {"x-source", "checkout"}, {"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00"}}.Raw()
	buf := publishFrames(AppendWithHeaders(nil, benchProps, headers), benchBody)
	var m BasicPublish
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := parsePublish(buf, &m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendDeliver(b *testing.B) {
	prefix := NewDeliverPrefix(1, "ctag-1.a1b2c3")
	d := Delivery{Exchange: []byte("orders"), RoutingKey: []byte("orders.created"), Properties: benchProps, Body: benchBody}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		d.Tag++
		dst = prefix.Append(dst[:0], &d, 131072)
	}
}

func BenchmarkParseAck(b *testing.B) {
	buf := AppendMethodFrame(nil, 1, &BasicAck{DeliveryTag: 7})
	var m BasicAck
	b.ReportAllocs()
	for b.Loop() {
		f, _, err := ParseFrame(buf, 131072)
		_, args := SplitMethod(f.Payload)
		if err != nil || m.Decode(args) != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendAck(b *testing.B) {
	var m BasicAck
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		m.DeliveryTag++
		dst = AppendMethodFrame(dst[:0], 1, &m)
	}
}

func BenchmarkHeaderLookup(b *testing.B) {
	headers := Table{{"x-retries", int32(3)}, {"x-source", "checkout"}, {"kind", "refund"}}.Raw()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := headers.Lookup("kind"); !ok {
			b.Fatal("lost")
		}
	}
}
