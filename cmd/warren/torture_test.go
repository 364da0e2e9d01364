package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// cycles is how often TestTorture kills the broker; `make torture` asks for 100.
var cycles = flag.Int("cycles", 3, "how often TestTorture kills the broker")

const (
	tortureQueues   = 8
	tortureWindow   = 200 // messages in flight
	torturePrefetch = 100
)

// fate is what is known of a message.
type fate uint8

const (
	published fate = iota // nobody has said anything
	confirmed             // it must be there, until it is settled
	delivered             // it was handed out, and may come again with the flag
	acked                 // its acknowledgement was sent: it may be gone or come again
	settled               // and the broker has told of something later: it must not come again
)

// victim is one queue with its producer and its consumer, over all lives of the broker.
type victim struct {
	name                                   string
	mu                                     sync.Mutex
	fate                                   map[uint64]fate
	next                                   uint64            // number of the next message; the upper half is of the producer's connection
	high                                   map[uint64]uint64 // by connection of the producer: the highest number that came, but for those that came again
	pace                                   <-chan time.Time  // a message for each tick; nil: as fast as confirms allow
	patience                               time.Duration     // how long it waits for a confirm
	lost, back, unflagged, repeated, total int
	disorder                               int
}

func newVictim(name string) *victim {
	return &victim{name: name, fate: map[uint64]fate{}, high: map[uint64]uint64{}, patience: patience}
}

// add sums up what went wrong.
func (v *victim) add(other *victim) {
	v.lost, v.back, v.unflagged = v.lost+other.lost, v.back+other.back, v.unflagged+other.unflagged
	v.total, v.repeated, v.disorder = v.total+other.total, v.repeated+other.repeated, v.disorder+other.disorder
}

// judge fails the test if anything did.
func (v *victim) judge(t *testing.T, after string) {
	t.Helper()
	t.Logf("%s, %d messages confirmed: %d lost, %d settled ones back; %d came again, of these %d without the flag; %d not in order",
		after, v.total, v.lost, v.back, v.repeated, v.unflagged, v.disorder)
	if v.lost+v.back+v.unflagged+v.disorder > 0 || v.total == 0 {
		t.Error("see above")
	}
}

// TestTorture publishes with confirms from 8 connections to 8 queues and consumes with acknowledgements, while the broker is
// killed at random moments. What was confirmed is there, what was settled does not come back, and what comes again says so.
func TestTorture(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	random := rand.New(rand.NewPCG(uint64(*cycles), 7))
	victims := make([]*victim, tortureQueues)
	for i := range victims {
		victims[i] = newVictim(fmt.Sprint("torture", i))
	}
	for range *cycles {
		p := run(t, filepath.Dir(dir), "--data-dir", dir)
		var confirms atomic.Int64
		enough := int64(1000 + random.IntN(20_000))
		killed := make(chan struct{})
		var all sync.WaitGroup
		for _, v := range victims {
			producer, consumer := p.channel(), p.channel()
			all.Go(func() {
				v.produce(t, producer, func() {
					if confirms.Add(1) == enough {
						close(killed)
					}
				})
			})
			all.Go(func() { v.consume(t, consumer) })
		}
		select {
		case <-killed:
		case <-time.After(patience):
			t.Fatalf("%d of %d confirms: %s", confirms.Load(), enough, p.stdout.String())
		}
		p.kill()
		all.Wait()
	}
	p := run(t, filepath.Dir(dir), "--data-dir", dir)
	sum := victim{}
	for _, v := range victims {
		v.empty(t, p)
		sum.add(v)
	}
	p.stop()
	sum.judge(t, fmt.Sprint(*cycles, " kills"))
}

// produce publishes until the connection breaks.
func (v *victim) produce(t *testing.T, ch *amqp.Channel, confirm func()) {
	if _, err := ch.QueueDeclare(v.name, true, false, false, false, nil); err != nil {
		return // killed already
	}
	if err := ch.Confirm(false); err != nil {
		return
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, tortureWindow))
	room := make(chan struct{}, tortureWindow)
	var numbers sync.Map // of the confirm: of the message
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for c := range confirms {
			if n, ok := numbers.LoadAndDelete(c.DeliveryTag); ok && c.Ack {
				v.mu.Lock()
				v.total++
				v.fate[n.(uint64)] = max(v.fate[n.(uint64)], confirmed)
				v.mu.Unlock()
				confirm()
			}
			<-room
		}
	}()
	v.mu.Lock()
	v.next = (v.next>>32 + 1) << 32
	v.mu.Unlock()
	for tag := uint64(1); ; tag++ {
		if v.pace != nil {
			<-v.pace
		}
		select {
		case room <- struct{}{}:
		case <-ended:
			return
		case <-time.After(v.patience):
			t.Errorf("%s: nothing is confirmed any more", v.name)
			return
		}
		v.mu.Lock()
		v.next++
		n := v.next
		v.fate[n] = published
		v.mu.Unlock()
		numbers.Store(tag, n)
		body := fmt.Appendf(nil, "%020d%*s", n, n%200, "")
		if ch.Publish("", v.name, false, false, amqp.Publishing{Body: body, DeliveryMode: amqp.Persistent}) != nil || ch.IsClosed() {
			break
		}
	}
	<-ended
}

// consume takes and acknowledges until the connection breaks.
func (v *victim) consume(t *testing.T, ch *amqp.Channel) {
	if _, err := ch.QueueDeclare(v.name, true, false, false, false, nil); err != nil {
		return
	}
	if err := ch.Qos(torturePrefetch, 0, false); err != nil {
		return
	}
	deliveries, err := ch.Consume(v.name, "", false, false, false, false, nil)
	if err != nil {
		return
	}
	var open, sent []uint64
	for d := range deliveries {
		if open = append(open, v.take(t, &d)); len(open) < 7 {
			continue
		}
		v.mark(open, acked)
		if d.Ack(true) != nil {
			return
		}
		sent, open = append(sent, open...), open[:0]
		if len(sent) < 70 {
			continue
		}
		if _, err := ch.QueueDeclarePassive(v.name, true, false, false, false, nil); err != nil {
			return
		}
		v.mark(sent, settled) // the count came behind the acknowledgements
		sent = sent[:0]
	}
}

// numberOf is the number at the front of a message.
func numberOf(d *amqp.Delivery) (n uint64) {
	_, _ = fmt.Sscanf(string(d.Body[:20]), "%d", &n) // 0 was never published
	return n
}

// take notes a delivery.
func (v *victim) take(t *testing.T, d *amqp.Delivery) uint64 {
	n := numberOf(d)
	v.mu.Lock()
	defer v.mu.Unlock()
	before, known := v.fate[n]
	switch {
	case !known:
		t.Errorf("%s: message %d was never published", v.name, n)
	case before == settled:
		v.back++
	case before >= delivered:
		v.repeated++
		if !d.Redelivered {
			v.unflagged++
		}
	}
	v.fate[n] = max(before, delivered)
	if high := v.high[n>>32]; !d.Redelivered && n <= high {
		v.disorder++
	} else if !d.Redelivered {
		v.high[n>>32] = n
	}
	return n
}

func (v *victim) mark(list []uint64, f fate) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, n := range list {
		v.fate[n] = max(v.fate[n], f)
	}
}

// empty takes what is left, and judges: what was confirmed and never acknowledged must be there.
func (v *victim) empty(t *testing.T, p *process) {
	t.Helper()
	ch := p.channel()
	there := map[uint64]bool{}
	q, err := ch.QueueDeclare(v.name, true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	deliveries, err := ch.Consume(v.name, "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	late := time.After(patience)
	for i := range q.Messages {
		var d amqp.Delivery
		select {
		case d = <-deliveries:
		case <-late:
			t.Fatalf("%s: %d of %d messages come", v.name, i, q.Messages)
		}
		if err := d.Ack(false); err != nil {
			t.Fatal(err)
		}
		there[v.take(t, &d)] = true
	}
	for n, f := range v.fate {
		if (f == confirmed || f == delivered) && !there[n] {
			v.lost++
		}
	}
}
