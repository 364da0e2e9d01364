package session

import (
	"context"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// once gives a function that panics the first time it is called.
func once() *func() {
	called := false
	f := func() {
		if !called {
			called = true
			panic("a bug made for the test")
		}
	}
	return &f
}

// TestABugEndsItsConnectionAlone lets each half of a connection run into a bug. The client is told, what it held goes
// back, its exclusive queue is gone, and other connections notice nothing.
func TestABugEndsItsConnectionAlone(t *testing.T) {
	for _, c := range []struct {
		half string
		bug  func(n *node, ch *amqp.Channel)
	}{
		{"reader", func(n *node, ch *amqp.Channel) {
			n.onHandle.Store(once()) // which is asked at the first publish
			_ = ch.PublishWithContext(context.Background(), "", "q", false, false, amqp.Publishing{})
		}},
		{"writer", func(n *node, _ *amqp.Channel) { n.explode() }},
	} {
		t.Run(c.half, func(t *testing.T) {
			n := newNode(t)
			other := n.channel()
			if _, err := other.QueueDeclare("q", false, false, false, false, nil); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := other.PublishWithContext(context.Background(), "", "q", false, false, amqp.Publishing{}); err != nil {
					t.Fatal(err)
				}
			}
			conn := n.dial()
			told := conn.NotifyClose(make(chan *amqp.Error, 1))
			ch, err := conn.Channel()
			if err != nil {
				t.Fatal(err)
			}
			own, err := ch.QueueDeclare("", false, false, true, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			deliveries, err := ch.Consume("q", "", false, false, false, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				<-deliveries
			}
			c.bug(n, ch)
			if err := <-told; err == nil || err.Code != 541 || err.Reason != "INTERNAL_ERROR" {
				t.Errorf("the client is told %v", err)
			}
			eventually(t, "what it held is ready again", func() bool {
				q, err := other.QueueDeclarePassive("q", false, false, false, false, nil)
				return err == nil && q.Messages == 3 && q.Consumers == 0
			})
			eventually(t, "its exclusive queue is gone", func() bool {
				return n.editor.Catalog().VHost("/").Queue(own.Name) == nil
			})
			if bugs := n.bugs.Load(); bugs != 1 {
				t.Errorf("%d bugs were logged", bugs)
			}
			eventually(t, "the other connection alone is open", func() bool {
				left := 0
				n.env.Registry.Each(func(*Session) { left++ })
				return left == 1
			})
		})
	}
}

// explode makes the writer of the connection that has a consumer panic.
func (n *node) explode() {
	n.env.Registry.Each(func(s *Session) {
		s.writer.box.order(func(w *writer) {
			if len(w.consumers) > 0 {
				panic("a bug made for the test")
			}
		})
	})
}
