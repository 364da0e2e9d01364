package session

import (
	"context"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestExclusiveQueuesGoThoughTheMetadataIsAway: their connection ends while nothing can be deleted, by itself or by a bug. They go
// as soon as it can, and their names are free.
func TestExclusiveQueuesGoThoughTheMetadataIsAway(t *testing.T) {
	for name, end := range map[string]func(n *node, conn *amqp.Connection){
		"closed":   func(_ *node, conn *amqp.Connection) { _ = conn.Close() },
		"by a bug": func(n *node, _ *amqp.Connection) { n.explode() },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			ctx, stop := context.WithCancel(context.Background())
			paid := make(chan struct{})
			go func() {
				defer close(paid)
				n.editor.Pay(ctx)
			}()
			defer func() { stop(); <-paid }()
			conn := n.dial()
			ch, err := conn.Channel()
			if err != nil {
				t.Fatal(err)
			}
			for _, queue := range []string{"mine", "mine too"} {
				if _, err := ch.QueueDeclare(queue, false, false, true, false, nil); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := ch.Consume("mine", "", true, false, false, false, nil); err != nil {
				t.Fatal(err)
			}
			n.away.Store(true)
			end(n, conn)
			eventually(t, "the connection is over", func() bool {
				left := 0
				n.env.Registry.Each(func(*Session) { left++ })
				return left == 0
			})
			if n.editor.Catalog().VHost("/").QueueCount() != 2 {
				t.Fatal("they were deleted while the metadata was away")
			}
			n.away.Store(false)
			eventually(t, "they are gone", func() bool { return n.editor.Catalog().VHost("/").QueueCount() == 0 })
			if _, err := n.channel().QueueDeclare("mine", false, false, true, false, nil); err != nil {
				t.Error(err)
			}
		})
	}
}
