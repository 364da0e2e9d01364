package session

import (
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
)

// resumed makes good what a consumer has lost of its window: deliveries that were under way when their leader was lost, and
// do not come again.
func (w *writer) resumed(e *group.Event) {
	c := w.consumers[e.Consumer]
	if c == nil || c.gone {
		return
	}
	here := c.drained
	for i := range c.outlet.waiting {
		if h := &c.outlet.waiting[i]; h.consumer == c {
			here += costOf(&h.event)
		}
	}
	for i := range c.early {
		here += costOf(&c.early[i])
	}
	if lost := int64(c.window) - int64(e.Ready) - here; lost > 0 {
		w.drain(c, lost)
	}
}

// costOf is what the messages of an event take of a window.
func costOf(e *group.Event) int64 {
	return int64(e.Count) * (int64(e.Stride) + queue.DeliveryOverhead)
}
