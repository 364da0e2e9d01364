package broker_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol"
)

// TestConnectionsThatEndInTheMiddleOfEverything: random clients publish, consume, acknowledge, fail and are cut, all at
// once. Every message that was confirmed and not acknowledged is there in the end, nothing else is.
func TestConnectionsThatEndInTheMiddleOfEverything(t *testing.T) {
	b := start(t)
	keeper := connect(t, b)
	keeper.channel(1)
	queues := []string{"durable", "transient"}
	keeper.queue(1, protocol.QueueDeclare{Queue: queues[0], Durable: true})
	keeper.queue(1, protocol.QueueDeclare{Queue: queues[1]})
	c := &chaos{t: t, b: b, queues: queues, confirmed: map[string]bool{}, acked: map[string]bool{}}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(i)))
			for range 12 {
				c.life(random)
			}
		})
	}
	all.Wait()
	for _, q := range queues {
		eventually(t, "no consumer is left on "+q, func() bool { _, consumers := keeper.count(1, q); return consumers == 0 })
	}
	left := map[string]bool{}
	eventually(t, "every confirmed message is there, or was acknowledged", func() bool {
		for _, q := range queues {
			for {
				_, body, ok := keeper.get(1, q, true)
				if !ok {
					break
				}
				if left[body] {
					t.Fatalf("message %s is there twice", body)
				}
				left[body] = true
			}
		}
		return c.accounted(left)
	})
	t.Logf("%d confirmed, %d acknowledged, %d left, %d lives", len(c.confirmed), len(c.acked), len(left), c.lives.Load())
	if len(c.confirmed) == 0 || len(c.acked) == 0 {
		t.Error("nothing happened")
	}
}

type chaos struct {
	t      *testing.T
	b      *broker.Broker
	queues []string
	lives  atomic.Int64

	mu        sync.Mutex
	confirmed map[string]bool
	acked     map[string]bool // handed in, perhaps not taken
}

// accounted tells whether every confirmed message is left or was acknowledged.
func (c *chaos) accounted(left map[string]bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for body := range c.confirmed {
		if !left[body] && !c.acked[body] {
			return false
		}
	}
	return true
}

// life is one connection, from its beginning to whatever end.
func (c *chaos) life(random *rand.Rand) {
	life := c.lives.Add(1)
	var raw net.Conn
	conn, err := amqp.DialConfig("amqp://guest:guest@"+c.b.Addr().String(), amqp.Config{
		Dial: func(network, addr string) (net.Conn, error) {
			var err error
			raw, err = net.Dial(network, addr)
			return raw, err
		},
	})
	if err != nil {
		c.t.Error(err)
		return
	}
	defer conn.Close()
	var open []*amqp.Channel
	for step := range 40 {
		if len(open) == 0 || random.IntN(10) == 0 {
			ch, err := conn.Channel()
			if err != nil {
				return
			}
			open = append(open, ch)
			_ = ch.Qos(1+random.IntN(20), 0, false) // an error shows in the next step
			_ = ch.Confirm(false)
		}
		n := random.IntN(len(open))
		switch kind := random.IntN(20); {
		case kind < 10:
			c.publish(open[n], random, fmt.Sprintf("%d.%d", life, step))
		case kind < 15:
			c.consume(open[n], random)
		case kind < 17:
			_ = open[n].Close()
			open = append(open[:n], open[n+1:]...)
		case kind == 17: // a channel error
			_, _ = open[n].QueueDeclarePassive("missing", false, false, false, false, nil)
			open = append(open[:n], open[n+1:]...)
		case kind == 18 && step > 20:
			raw.Close()
			return
		case kind == 19 && step > 30: // a connection error
			_, _ = open[n].Consume(c.queues[0], "twice", false, false, false, false, nil)
			_, _ = open[n].Consume(c.queues[0], "twice", false, false, false, false, nil)
			return
		}
	}
}

// publish publishes some messages and waits, mostly, until they are confirmed.
func (c *chaos) publish(ch *amqp.Channel, random *rand.Rand, name string) {
	q := c.queues[random.IntN(len(c.queues))]
	wait := random.IntN(4) > 0
	for i := range 1 + random.IntN(30) {
		body := fmt.Sprintf("%s.%d", name, i)
		pending, err := ch.PublishWithDeferredConfirm("", q, false, false, amqp.Publishing{Body: []byte(body), DeliveryMode: 2})
		if err != nil || pending == nil {
			return
		}
		if wait && pending.Wait() {
			c.mu.Lock()
			c.confirmed[body] = true
			c.mu.Unlock()
		}
	}
}

// consume takes some messages and acknowledges some of them.
func (c *chaos) consume(ch *amqp.Channel, random *rand.Rand) {
	q := c.queues[random.IntN(len(c.queues))]
	for range random.IntN(20) {
		m, ok, err := ch.Get(q, false)
		if err != nil || !ok {
			return
		}
		switch random.IntN(4) {
		case 0:
			_ = m.Nack(false, true)
		case 1, 2:
			c.mu.Lock()
			c.acked[string(m.Body)] = true // before it is sent: from now on it may be gone
			c.mu.Unlock()
			_ = m.Ack(false)
		}
	}
	deliveries, err := ch.Consume(q, "", false, false, false, false, nil)
	if err != nil {
		return
	}
	for range random.IntN(10) {
		select {
		case m, open := <-deliveries:
			if !open {
				return
			}
			c.mu.Lock()
			c.acked[string(m.Body)] = true
			c.mu.Unlock()
			_ = m.Ack(false)
		default:
		}
	}
}
