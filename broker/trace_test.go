package broker_test

import (
	"context"
	"slices"
	"testing"

	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// TestATracedVHost: what is published and delivered there has a copy at amq.rabbitmq.trace, traces have none, and a vhost
// that is traced no more has none.
func TestATracedVHost(t *testing.T) {
	b := start(t)
	trace := func(on bool) {
		t.Helper()
		if _, err := b.Editor().PutVHost(context.Background(), "/", func(r *topology.VHostRecord) { r.Tracing = on }, nil); err != nil {
			t.Fatal(err)
		}
	}
	c := connect(t, b)
	c.channel(1)
	for _, name := range []string{"q", "traces"} {
		c.queue(1, protocol.QueueDeclare{Queue: name, Exclusive: true})
	}
	c.send(1, &protocol.QueueBind{Queue: "traces", Exchange: "amq.rabbitmq.trace", RoutingKey: "#"})
	expect[*protocol.QueueBindOk](c, 1)
	say := func(body string) {
		t.Helper()
		c.publish(1, message{key: "q", body: body, properties: protocol.PropertyList{Present: protocol.FlagMessageID, MessageID: "id"}})
		if _, got, ok := c.get(1, "q", true); !ok || got != body {
			t.Fatalf("got %q", got)
		}
	}
	say("before")
	trace(true)
	say("traced")
	trace(false)
	say("after")
	var keys []string
	eventually(t, "both traces are there", func() bool { ready, _ := c.count(1, "traces"); return ready == 2 })
	for range 2 {
		c.send(1, &protocol.BasicGet{Queue: "traces", NoAck: true})
		m := expect[*protocol.BasicGetOk](c, 1)
		props, body := c.content(1)
		raw, _ := props.Headers()
		headers := raw.Decode()
		keys = append(keys, string(m.RoutingKey))
		properties, _ := headers.Get("properties")
		id, _ := properties.(protocol.Table).Get("message_id")
		user, _ := headers.Get("user")
		if string(body) != "traced" || id != "id" || user != "guest" {
			t.Errorf("%s: %q, %v", m.RoutingKey, body, headers)
		}
		if queues, _ := headers.Get("routed_queues"); string(m.RoutingKey) == "publish." && !slices.Equal(queues.(protocol.Array), protocol.Array{"q"}) {
			t.Errorf("routed to %v", queues)
		}
	}
	slices.Sort(keys)
	if !slices.Equal(keys, []string{"deliver.q", "publish."}) {
		t.Errorf("traces %v", keys)
	}
	if ready, _ := c.count(1, "traces"); ready != 0 {
		t.Errorf("%d traces more", ready)
	}
}
