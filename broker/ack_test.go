package broker_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/warrenmq/warren/protocol"
)

// ackModel is a queue and the channels that take from it, as a list of numbers each.
type ackModel struct {
	t        *testing.T
	c        *client
	random   *rand.Rand
	next     int
	ready    []int        // rising: what comes back goes to its place
	returned map[int]bool // messages that came back
	channels map[uint16]*ackChannel
}

type ackChannel struct {
	tag  uint64
	held map[uint64]int // messages by delivery tag
}

// TestAcknowledgementsAreTheSlowModels takes messages and settles them in every way there is, tags that are wrong included.
func TestAcknowledgementsAreTheSlowModels(t *testing.T) {
	b := start(t)
	for seed := range uint64(6) {
		m := &ackModel{
			t: t, c: connect(t, b), random: rand.New(rand.NewPCG(12, seed)), returned: map[int]bool{}, channels: map[uint16]*ackChannel{},
		}
		m.c.channel(9)
		m.c.queue(9, protocol.QueueDeclare{Queue: "q", Durable: seed%2 == 0})
		for _, number := range []uint16{1, 2} {
			m.open(number)
		}
		for range 600 {
			m.step(uint16(1 + m.random.IntN(2)))
		}
		for number := range m.channels {
			m.c.send(number, &protocol.ChannelClose{})
			expect[*protocol.ChannelCloseOk](m.c, number)
			m.giveBack(number, func(uint64) bool { return true })
		}
		for len(m.ready) > 0 {
			m.take(9, true)
		}
		if ready, _ := m.c.count(9, "q"); ready != 0 {
			t.Errorf("seed %d: %d messages are left", seed, ready)
		}
		m.c.send(9, &protocol.QueueDelete{Queue: "q"})
		expect[*protocol.QueueDeleteOk](m.c, 9)
		m.c.close()
	}
}

func (m *ackModel) open(number uint16) {
	m.c.channel(number)
	m.channels[number] = &ackChannel{held: map[uint64]int{}}
}

func (m *ackModel) step(number uint16) {
	ch := m.channels[number]
	switch kind := m.random.IntN(12); {
	case kind < 3:
		var list []message
		for range 1 + m.random.IntN(5) {
			list = append(list, message{key: "q", body: fmt.Sprint(m.next)})
			m.ready = append(m.ready, m.next)
			m.next++
		}
		m.c.publish(number, list...)
		m.c.count(number, "q") // so that the other channel sees them too
	case kind < 7:
		m.take(number, m.random.IntN(6) == 0)
	case kind < 11:
		tag := m.random.Uint64N(ch.tag + 3)
		multiple := m.random.IntN(3) == 0
		m.settle(number, tag, multiple)
	default:
		m.c.send(number, &protocol.BasicRecover{Requeue: true})
		expect[*protocol.BasicRecoverOk](m.c, number)
		m.giveBack(number, func(uint64) bool { return true })
	}
}

// take gets a message, which has to be the lowest.
func (m *ackModel) take(number uint16, noAck bool) {
	got, body, ok := m.c.get(number, "q", noAck)
	if !ok || len(m.ready) == 0 {
		if ok || len(m.ready) > 0 {
			m.t.Fatalf("got %q, %v; %d are ready", body, ok, len(m.ready))
		}
		return
	}
	want := m.ready[0]
	m.ready = m.ready[1:]
	tag := uint64(0)
	if ch := m.channels[number]; ch != nil {
		ch.tag++
		tag = ch.tag
		if !noAck {
			ch.held[tag] = want
		}
	}
	if body != fmt.Sprint(want) || tag != 0 && got.DeliveryTag != tag || got.Redelivered != m.returned[want] || int(got.MessageCount) != len(m.ready) {
		m.t.Fatalf("got %q %+v, want %d with tag %d, redelivered %v, %d left", body, got, want, tag, m.returned[want], len(m.ready))
	}
}

// settle sends an ack, nack or reject of a tag that may be wrong.
func (m *ackModel) settle(number uint16, tag uint64, multiple bool) {
	ch := m.channels[number]
	requeue := m.random.IntN(2) == 0
	var method protocol.Method
	switch m.random.IntN(3) {
	case 0:
		method, requeue = &protocol.BasicAck{DeliveryTag: tag, Multiple: multiple}, false
	case 1:
		method = &protocol.BasicNack{DeliveryTag: tag, Multiple: multiple, Requeue: requeue}
	default:
		method, multiple = &protocol.BasicReject{DeliveryTag: tag, Requeue: requeue}, false
	}
	m.c.send(number, method)
	if _, held := ch.held[tag]; !held && !(multiple && tag == 0) {
		m.c.wantClose(number, protocol.CodePreconditionFailed, fmt.Sprintf("PRECONDITION_FAILED - unknown delivery tag %d", tag))
		m.giveBack(number, func(uint64) bool { return true })
		m.open(number)
		return
	}
	m.c.count(number, "q") // so that the other channel sees what came back
	covers := func(t uint64) bool { return t == tag || multiple && (tag == 0 || t < tag) }
	if requeue {
		m.giveBack(number, covers)
		return
	}
	for t := range ch.held {
		if covers(t) {
			delete(ch.held, t)
		}
	}
}

func (m *ackModel) giveBack(number uint16, covers func(tag uint64) bool) {
	held := m.channels[number].held
	for tag, body := range held {
		if covers(tag) {
			delete(held, tag)
			m.ready = append(m.ready, body)
			m.returned[body] = true
		}
	}
	slices.Sort(m.ready)
}
