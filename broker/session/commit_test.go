package session

import (
	"context"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestACommitToAGroupThatCannotBeReached is refused, as a message without a transaction is; it does not hang.
func TestACommitToAGroupThatCannotBeReached(t *testing.T) {
	n := newNode(t)
	if _, err := n.channel().QueueDeclare("q", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	ch := n.channel()
	if err := ch.Tx(); err != nil {
		t.Fatal(err)
	}
	if err := ch.PublishWithContext(context.Background(), "", "q", false, false, amqp.Publishing{}); err != nil {
		t.Fatal(err)
	}
	n.damaged.Store(true)
	committed := make(chan error, 1)
	go func() { committed <- ch.TxCommit() }()
	select {
	case err := <-committed:
		if err == nil {
			t.Error("it is committed")
		}
	case <-time.After(patience):
		t.Fatal("it is not answered")
	}
}
