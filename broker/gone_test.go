package broker_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
)

// awayStore is metadata that takes no changes at times.
type awayStore struct {
	*meta.Memory
	away atomic.Bool
}

// Commit implements meta.Store.
func (s *awayStore) Commit(ctx context.Context, t meta.Txn, durable func(error)) (int64, error) {
	if s.away.Load() {
		return 0, meta.ErrUnavailable
	}
	return s.Memory.Commit(ctx, t, durable)
}

// TestAnAutoDeleteQueueGoesThoughTheMetadataIsAway: its last consumer leaves while nothing can be deleted, and messages still
// come. It goes as soon as it can, unless somebody consumes from it again.
func TestAnAutoDeleteQueueGoesThoughTheMetadataIsAway(t *testing.T) {
	store := &awayStore{Memory: meta.NewMemory(nil, 0)}
	b := start(t, func(c *broker.Config) {
		quiet := zerolog.Nop() // it says that the metadata is away
		c.Meta, c.Logger = store, &quiet
	})
	cl := connect(t, b)
	cl.channel(1)
	for _, name := range []string{"left", "consumed again"} {
		cl.queue(1, protocol.QueueDeclare{Queue: name, AutoDelete: true})
		cl.send(1, &protocol.BasicConsume{Queue: name, ConsumerTag: name})
		expect[*protocol.BasicConsumeOk](cl, 1)
	}
	store.away.Store(true)
	for _, name := range []string{"left", "consumed again"} {
		cl.send(1, &protocol.BasicCancel{ConsumerTag: name})
		expect[*protocol.BasicCancelOk](cl, 1)
		cl.publish(1, message{key: name, body: "m"})
	}
	cl.channel(2)
	eventually(t, "a message has brought it back", func() bool { ready, _ := cl.count(2, "consumed again"); return ready == 1 })
	cl.send(1, &protocol.BasicConsume{Queue: "consumed again", ConsumerTag: "again"})
	expect[*protocol.BasicConsumeOk](cl, 1)
	expect[*protocol.BasicDeliver](cl, 1)
	store.away.Store(false)
	other := connect(t, b)
	there := func(name string) bool {
		other.channel(1)
		other.send(1, &protocol.QueueDeclare{Queue: name, Passive: true})
		_, m, err := other.method()
		if err != nil {
			t.Fatal(err)
		}
		if _, is := m.(*protocol.ChannelClose); is {
			other.send(1, &protocol.ChannelCloseOk{})
			return false
		}
		other.send(1, &protocol.ChannelClose{})
		expect[*protocol.ChannelCloseOk](other, 1)
		return true
	}
	eventually(t, "the queue is gone", func() bool { return !there("left") })
	if !there("consumed again") {
		t.Error("a queue that is consumed from is gone")
	}
}
