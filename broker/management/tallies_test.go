package management

import (
	"context"
	"fmt"
	"testing"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/protocol"
)

// TestAnOrderOfManyQueues: where there are many queues, an order by a counter is that of the sampler's last round, as long as
// somebody asks for it; where there are few it is that of now.
func TestAnOrderOfManyQueues(t *testing.T) {
	w := newWorld(t)
	c := w.client("guest", "/")
	for i := range countAnew + 1 {
		_, err := c.call(1, &protocol.QueueDeclare{Queue: fmt.Sprintf("q%04d", i)})
		w.must(err)
	}
	fill := func(queue string, messages int) {
		t.Helper()
		for range messages {
			if routed, err := c.publish("", queue, protocol.Properties{0, 0}, []byte("x")); err != nil || !routed {
				t.Fatal(routed, err)
			}
		}
	}
	first := func(want string) {
		t.Helper()
		page := w.get("/queues?page=1&page_size=1&sort=messages&sort_reverse=true")
		if got := at(page, "items", 0, "name"); got != want {
			t.Errorf("the first is %v, want %v", got, want)
		}
	}
	ctx := context.Background()
	fill("q0500", 1)
	first("q0500")
	fill("q0007", 2)
	first("q0500")
	w.sampler.sample(ctx)
	first("q0007")
	for range 2 {
		w.sampler.sample(ctx)
	}
	if len(w.tallies.kept) != 0 || w.queueLists.queues == nil {
		t.Errorf("kept: %v", w.tallies.kept)
	}
	fill("q0300", 3)
	first("q0300")
	w.do(204, "DELETE", "/queues/%2F/q0000", "")
	fill("q0001", 4)
	first("q0001")
}

// TestACountThatEndsEarlyIsNotKept: who asks next asks the groups.
func TestACountThatEndsEarlyIsNotKept(t *testing.T) {
	w := newWorld(t)
	w.do(201, "PUT", "/queues/%2F/q", "")
	release := make(chan struct{})
	w.must(w.groups.one.Do(func(*queue.Set) { <-release })) // the group has something else to do
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	w.countOnce(gone, "messages", allMessages)
	if len(w.tallies.kept) != 0 {
		t.Error("what is not whole is kept")
	}
	close(release)
	if numbers := w.countOnce(context.Background(), "messages", allMessages); numbers == nil || len(w.tallies.kept) != 1 {
		t.Errorf("%v, kept %v", numbers, w.tallies.kept)
	}
}
