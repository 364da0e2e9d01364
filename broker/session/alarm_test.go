package session

import (
	"context"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/broker/limits"
)

// TestAnAlarmHoldsPublishersBack: who publishes is told, and goes on when there is room again; who consumes is not held.
func TestAnAlarmHoldsPublishersBack(t *testing.T) {
	n := newNode(t)
	consumer := n.channel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := consumer.QueueDeclare("q", false, false, false, false, nil)
	must(err)
	conn := n.dial()
	told := conn.NotifyBlocked(make(chan amqp.Blocking, 10))
	publisher, err := conn.Channel()
	must(err)
	must(publisher.Confirm(false))
	publish := func(body string) *amqp.DeferredConfirmation {
		t.Helper()
		c, err := publisher.PublishWithDeferredConfirmWithContext(context.Background(), "", "q", false, false, amqp.Publishing{Body: []byte(body)})
		must(err)
		return c
	}
	if !publish("before").Wait() {
		t.Fatal("not confirmed")
	}
	n.env.Alarms.Set(limits.Memory, true)
	n.env.Alarms.Set(limits.Disk, true)
	if m, ok, err := consumer.Get("q", true); err != nil || !ok || string(m.Body) != "before" {
		t.Error(ok, err)
	}
	held := publish("held")
	if b := <-told; !b.Active || b.Reason != "low on memory & disk" {
		t.Errorf("%+v", b)
	}
	if held.Acked() {
		t.Error("confirmed in spite of the alarm")
	}
	if _, ok, err := consumer.Get("q", true); err != nil || ok {
		t.Error("the message went through", err)
	}
	n.env.Alarms.Set(limits.Memory, false)
	if held.Acked() {
		t.Error("confirmed in spite of the other alarm")
	}
	n.env.Alarms.Set(limits.Disk, false)
	if b := <-told; b.Active {
		t.Errorf("%+v", b)
	}
	if !held.Wait() || !publish("after").Wait() {
		t.Error("not confirmed")
	}
	for _, want := range []string{"held", "after"} {
		if m, ok, err := consumer.Get("q", true); err != nil || !ok || string(m.Body) != want {
			t.Error(m.Body, ok, err)
		}
	}
	select {
	case b := <-told:
		t.Errorf("told once more: %+v", b)
	default:
	}
}

// TestDirectReplies go from the responder's channel straight to the requester's, and to nobody else.
func TestDirectReplies(t *testing.T) {
	n := newNode(t)
	requester, responder := n.channel(), n.channel()
	const pseudo = "amq.rabbitmq.reply-to"
	replies, err := requester.Consume(pseudo, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := responder.QueueDeclare("rpc", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	requests, err := responder.Consume("rpc", "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := ""
	for _, body := range []string{"a", "b", "c"} {
		if err := requester.PublishWithContext(context.Background(), "", "rpc", true, false, amqp.Publishing{Body: []byte(body), ReplyTo: pseudo, CorrelationId: body}); err != nil {
			t.Fatal(err)
		}
		r := <-requests
		if name == "" {
			name = r.ReplyTo
		}
		if r.ReplyTo != name || len(name) != len(pseudo)+1+22+len(".1") {
			t.Errorf("reply to %q, before to %q", r.ReplyTo, name)
		}
		if err := responder.PublishWithContext(context.Background(), "", r.ReplyTo, true, false, amqp.Publishing{Body: []byte("re " + body), CorrelationId: r.CorrelationId}); err != nil {
			t.Fatal(err)
		}
		if m := <-replies; string(m.Body) != "re "+body || m.CorrelationId != body || m.Exchange != "" || m.RoutingKey != name || m.Redelivered {
			t.Errorf("%+v", m)
		}
	}
	if q, err := responder.QueueDeclarePassive(name, false, false, false, false, nil); err != nil || q.Consumers != 1 || q.Messages != 0 {
		t.Error(q, err)
	}
	if err := requester.Close(); err != nil {
		t.Fatal(err)
	}
	returned := responder.NotifyReturn(make(chan amqp.Return, 1))
	if err := responder.PublishWithContext(context.Background(), "", name, true, false, amqp.Publishing{Body: []byte("late")}); err != nil {
		t.Fatal(err)
	}
	if r := <-returned; string(r.Body) != "late" || r.ReplyCode != 312 {
		t.Errorf("%+v", r)
	}
	if len(n.env.Replies.list) != 0 {
		t.Errorf("%d channels are kept", len(n.env.Replies.list))
	}
}
