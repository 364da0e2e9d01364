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
