package protocol

import "testing"

func TestHotPathDoesNotAllocate(t *testing.T) {
	headers := Table{{"a", int32(1)}, {"b", Array{"x", Table{{"c", nil}}}}}.Raw()
	publish := publishFrames(AppendWithHeaders(nil, benchProps, headers), benchBody)
	prefix := NewDeliverPrefix(1, "ctag")
	delivery := Delivery{Tag: 1, Exchange: []byte("x"), RoutingKey: []byte("k"), Properties: []byte(allPropertiesRaw), Body: benchBody}
	ack := AppendMethodFrame(nil, 1, &BasicAck{DeliveryTag: 1})
	var m BasicPublish
	var a BasicAck
	dst := make([]byte, 0, 1024)
	for name, f := range map[string]func(){
		"publish in": func() {
			props, body, err := parsePublish(publish, &m)
			if err != nil || len(body) != len(benchBody) {
				t.Fatal(err)
			}
			table, _ := props.Headers()
			if _, ok := table.Lookup("b"); !ok {
				t.Fatal("lost a header")
			}
			for _, v := range table.Each {
				v.Int()
			}
			props.Expiration()
			props.DeliveryMode()
		},
		"deliver out": func() { dst = prefix.Append(dst[:0], &delivery, FrameMinSize) },
		"ack in": func() {
			f, _, _ := ParseFrame(ack, FrameMinSize)
			if _, args := SplitMethod(f.Payload); a.Decode(args) != nil {
				t.Fatal()
			}
		},
		"ack out":   func() { dst = AppendMethodFrame(dst[:0], 1, &a) },
		"edits":     func() { dst = AppendWithHeaders(dst[:0], Properties(allPropertiesRaw), headers) },
		"heartbeat": func() { dst = AppendHeartbeat(dst[:0]) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// What a peer only claims costs nothing, and neither does a table of any shape.
func TestHostileInputDoesNotAllocate(t *testing.T) {
	deep, wide := nested(TableDepthMax, true), RawTable(AppendField(nil, "k", Array(make([]any, TableEntriesMax-1))))
	head := []byte{FrameBody, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF}
	for name, f := range map[string]func(){
		"deep table": func() { _ = deep.Validate() },
		"wide array": func() { _ = wide.Validate() },
		"huge frame": func() { _, _, _ = ParseFrame(head, 1<<32-1) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
