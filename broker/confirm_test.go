package broker_test

import (
	"fmt"
	"testing"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol"
)

// confirming opens a channel in confirm mode.
func (c *client) confirming(number uint16) {
	c.t.Helper()
	c.channel(number)
	c.send(number, &protocol.ConfirmSelect{})
	expect[*protocol.ConfirmSelectOk](c, number)
}

// confirms reads acks and nacks until so many messages from first on are settled, and gives what became of each.
func (c *client) confirms(channel uint16, first uint64, count int) map[uint64]bool {
	c.t.Helper()
	settled := map[uint64]bool{}
	lowest := first // everything below is settled
	note := func(tag uint64, multiple, acked bool) {
		from := tag
		if multiple {
			from = lowest
		}
		for ; from <= tag; from++ {
			if was, twice := settled[from]; twice && (from == tag || was != acked) {
				c.t.Fatalf("message %d is settled twice", from)
			}
			settled[from] = acked
		}
		for _, done := settled[lowest]; done; _, done = settled[lowest] {
			lowest++
		}
	}
	for len(settled) < count {
		_, m, err := c.method()
		switch m := m.(type) {
		case *protocol.BasicAck:
			note(m.DeliveryTag, m.Multiple, true)
		case *protocol.BasicNack:
			note(m.DeliveryTag, false, false)
		default:
			c.t.Fatalf("no confirm on channel %d: %T %+v (%v)", channel, m, m, err)
		}
	}
	for tag := range settled {
		if tag < first || tag >= first+uint64(count) {
			c.t.Fatalf("message %d is settled, only %d from %d on were published", tag, count, first)
		}
	}
	return settled
}

// wantAcked demands that all were acked.
func wantAcked(t *testing.T, settled map[uint64]bool) {
	t.Helper()
	for tag, acked := range settled {
		if !acked {
			t.Errorf("message %d was refused", tag)
		}
	}
}

// quiet demands that nothing but the answer to a harmless question comes on a channel.
func (c *client) quiet(channel uint16) {
	c.t.Helper()
	c.send(channel, &protocol.BasicQos{})
	expect[*protocol.BasicQosOk](c, channel)
}

func TestConfirmsOfAnEarlierChannelAreNotTheNext(t *testing.T) {
	for _, mode := range []string{"confirm", "tx", "none"} {
		t.Run(mode, func(t *testing.T) {
			g := newGate()
			c := connect(t, start(t, func(c *broker.Config) { c.Log = g }))
			c.confirming(1)
			c.queue(1, protocol.QueueDeclare{Queue: "q", Durable: true})
			g.Shut()
			c.publish(1, message{key: "q", body: "old", properties: persistent}, message{key: "q", body: "old", properties: persistent})
			c.send(1, &protocol.ChannelClose{ReplyCode: 200})
			expect[*protocol.ChannelCloseOk](c, 1)
			c.channel(1)
			switch mode {
			case "confirm":
				c.send(1, &protocol.ConfirmSelect{})
				expect[*protocol.ConfirmSelectOk](c, 1)
			case "tx":
				c.send(1, &protocol.TxSelect{})
				expect[*protocol.TxSelectOk](c, 1)
				c.publish(1, message{key: "q", body: "new", properties: persistent})
				c.send(1, &protocol.TxCommit{})
			}
			eventually(t, "both are on their way", func() bool { return g.Behind() > 0 && (mode != "tx" || g.Behind() > 1) })
			g.Lift()
			if mode == "tx" {
				expect[*protocol.TxCommitOk](c, 1)
				if ready, _ := c.count(1, "q"); ready != 3 {
					t.Errorf("commit-ok came with %d messages in the queue", ready)
				}
			}
			c.count(1, "q") // behind the confirms of the old messages
			c.quiet(1)
			if mode == "confirm" {
				c.publish(1, message{key: "q", body: "new", properties: persistent})
				wantAcked(t, c.confirms(1, 1, 1))
			}
		})
	}
}

// TestConfirmsThatComeWhileAChannelCloses: the channel waits until its consumer is detached, its last messages do not.
func TestConfirmsThatComeWhileAChannelCloses(t *testing.T) {
	g := newGate()
	b := start(t, func(c *broker.Config) { c.Log = g })
	c, other := connect(t, b), connect(t, b)
	other.channel(1)
	other.queue(1, protocol.QueueDeclare{Queue: "held", Durable: true})
	other.queue(1, protocol.QueueDeclare{Queue: "free"})
	for round := range 4 {
		c.confirming(1)
		c.send(1, &protocol.BasicConsume{Queue: "held"})
		expect[*protocol.BasicConsumeOk](c, 1)
		g.Shut()
		var out []byte
		for i := range 100 {
			out = c.appendPublish(out, 1, message{key: "free", body: fmt.Sprint(i)})
		}
		c.write(protocol.AppendMethodFrame(out, 1, &protocol.ChannelClose{ReplyCode: 200}))
		eventually(t, "the messages are there", func() bool {
			ready, _ := other.count(1, "free")
			return ready == uint32(round+1)*100
		})
		eventually(t, "the consumer is being detached", func() bool { return g.Behind() > 0 })
		g.Lift()
		for {
			if _, m, err := c.method(); err != nil {
				t.Fatal(err)
			} else if _, is := m.(*protocol.ChannelCloseOk); is {
				break
			}
		}
	}
}

// bind binds queues to an exchange.
func (c *client) bind(channel uint16, exchange string, queues ...string) {
	c.t.Helper()
	for _, q := range queues {
		c.send(channel, &protocol.QueueBind{Queue: q, Exchange: exchange})
		expect[*protocol.QueueBindOk](c, channel)
	}
}

// TestAConfirmWaitsForEveryQueue: a message that went to durable and transient queues, of several groups, is confirmed
// once, and not before all of them have it.
func TestAConfirmWaitsForEveryQueue(t *testing.T) {
	g := newGate()
	c := connect(t, start(t, func(c *broker.Config) { c.Log = g }))
	c.channel(2)
	var queues []string
	for i := range 8 {
		queues = append(queues, c.queue(2, protocol.QueueDeclare{Queue: fmt.Sprint("q", i), Durable: i%2 == 0}).Queue)
	}
	c.bind(2, "amq.fanout", queues...)
	c.bind(2, "amq.direct", queues[1], queues[3])
	c.confirming(1)
	g.Shut()
	const count = 50
	for i := range count {
		c.publish(1, message{exchange: "amq.fanout", body: fmt.Sprint(i), properties: persistent})
	}
	eventually(t, "the transient queues have all", func() bool { ready, _ := c.count(2, "q1"); return ready == count })
	c.quiet(1)
	c.publish(1, message{exchange: "amq.direct"}) // needs nobody who waits
	if m := expect[*protocol.BasicAck](c, 1); m.DeliveryTag != count+1 || m.Multiple {
		t.Errorf("%+v", m)
	}
	g.Lift()
	wantAcked(t, c.confirms(1, 1, count))
	for _, q := range queues {
		if ready, _ := c.count(2, q); ready < count {
			t.Errorf("%s has %d messages", q, ready)
		}
	}
	c.quiet(1)
}

// TestAReturnComesBeforeItsConfirm, and a message that went nowhere is confirmed without one.
func TestAReturnComesBeforeItsConfirm(t *testing.T) {
	c := connect(t, start(t))
	c.confirming(1)
	q := c.queue(1, protocol.QueueDeclare{Exclusive: true}).Queue
	const rounds = 30
	for range rounds {
		c.publish(1, message{key: q}, message{key: "nobody", mandatory: true, body: "back"}, message{key: "nobody"}, message{key: q, mandatory: true})
	}
	returned := 0
	lowest := uint64(1)
	settled := map[uint64]bool{}
	for len(settled) < 4*rounds {
		_, m, err := c.method()
		switch m := m.(type) {
		case *protocol.BasicReturn:
			if _, body := c.content(1); string(body) != "back" || m.ReplyCode != 312 || string(m.ReplyText) != "NO_ROUTE" {
				t.Errorf("%+v with %q", m, body)
			}
			returned++
		case *protocol.BasicAck:
			from := m.DeliveryTag
			if m.Multiple {
				from = lowest
			}
			for ; from <= m.DeliveryTag; from++ {
				settled[from] = true
			}
			for settled[lowest] {
				lowest++
			}
			if settled[uint64(4*returned+2)] {
				t.Fatalf("message %d was confirmed with %d returned", 4*returned+2, returned)
			}
		default:
			t.Fatalf("%T %v", m, err)
		}
	}
	if returned != rounds {
		t.Errorf("%d messages came back", returned)
	}
}

// TestARefusalIsOneNack, however many queues refuse; the other messages are acked.
func TestARefusalIsOneNack(t *testing.T) {
	c := connect(t, start(t))
	c.channel(2)
	var queues []string
	for i := range 8 {
		name := fmt.Sprint("full", i)
		c.full(2, name, 10, i%2 == 0)
		queues = append(queues, name)
	}
	c.queue(2, protocol.QueueDeclare{Queue: "takes"})
	c.bind(2, "amq.fanout", append(queues, "takes")...)
	c.confirming(1)
	const count = 40
	for i := range count {
		c.publish(1, message{exchange: "amq.fanout", body: fmt.Sprint(i), properties: persistent})
	}
	settled := c.confirms(1, 1, count)
	for tag := uint64(1); tag <= count; tag++ {
		if settled[tag] != (tag <= 10) {
			t.Errorf("message %d: acked is %v", tag, settled[tag])
		}
	}
	c.quiet(1)
	if ready, _ := c.count(2, "takes"); ready != count {
		t.Errorf("the queue with room has %d messages", ready)
	}
	c.publish(1, bodies("takes", 0, 100)...)
	wantAcked(t, c.confirms(1, count+1, 100))
}

// TestConfirmsOfADeletedQueueCount: a message whose queue is gone is settled.
func TestConfirmsOfADeletedQueueCount(t *testing.T) {
	g := newGate()
	c := connect(t, start(t, func(c *broker.Config) { c.Log = g }))
	c.channel(2)
	c.queue(2, protocol.QueueDeclare{Queue: "q", Durable: true})
	c.confirming(1)
	g.Shut()
	c.send(2, &protocol.QueueDelete{Queue: "q"})
	eventually(t, "the deletion is on its way", func() bool { return g.Behind() > 0 })
	c.publish(1, bodies("q", 0, 10)...)
	eventually(t, "the messages are on their way", func() bool { return g.Behind() > 1 })
	g.Lift()
	settled := map[uint64]bool{}
	deleted := false
	for len(settled) < 10 || !deleted {
		_, m, err := c.method()
		switch m := m.(type) {
		case *protocol.BasicAck:
			for tag := uint64(1); tag <= m.DeliveryTag; tag++ {
				settled[tag] = settled[tag] || m.Multiple || tag == m.DeliveryTag
			}
		case *protocol.QueueDeleteOk:
			deleted = true
		default:
			t.Fatalf("%T %v", m, err)
		}
	}
}
