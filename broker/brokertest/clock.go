package brokertest

import (
	"sync"
	"time"
)

// Clock is a broker's time, moved by hand. Several brokers may have the same.
type Clock struct {
	mu      sync.Mutex // guards what follows
	now     time.Time
	brokers []*Broker
}

// NewClock makes a clock that shows a time and stands still.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now is the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock on. What is due in a queue by then, such as a message's expiration, happens before anything that
// a client asks of that queue afterwards. What follows from it elsewhere, dead letters on their way and the end of an
// expired queue, is under way when Advance returns, and to be waited for.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	brokers := c.brokers
	c.mu.Unlock()
	for _, b := range brokers {
		if !b.closed.Load() {
			b.broker.Tick()
		}
	}
}

func (c *Clock) follow(b *Broker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.brokers = append(c.brokers, b)
}

func (c *Clock) milliseconds() int64 { return c.Now().UnixMilli() }
