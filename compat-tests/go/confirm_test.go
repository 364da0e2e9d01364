package compat

import (
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// outcomes collects n confirms by delivery tag, whatever their order and however the broker joined them.
func (c *client) outcomes(confirms <-chan amqp.Confirmation, n int) map[uint64]bool {
	c.t.Helper()
	acked := map[uint64]bool{}
	for range n {
		select {
		case confirm := <-confirms:
			if _, again := acked[confirm.DeliveryTag]; again {
				c.t.Fatalf("message %d was confirmed twice", confirm.DeliveryTag)
			}
			acked[confirm.DeliveryTag] = confirm.Ack
		case <-time.After(patience):
			c.t.Fatalf("%d of %d confirms came", len(acked), n)
		}
	}
	return acked
}

func TestEveryPublishIsConfirmedOnce(t *testing.T) {
	t.Parallel()
	const n = 2000
	c := connect(t)
	q := c.queue(nil)
	c.publish("", q, "before confirm.select, so not counted")
	c.must(c.Confirm(false), "confirm.select")
	confirms := c.NotifyPublish(make(chan amqp.Confirmation, n))
	for i := range n {
		mode := amqp.Transient
		if i%2 == 0 {
			mode = amqp.Persistent
		}
		c.send("", q, amqp.Publishing{DeliveryMode: mode, Body: []byte("m")})
	}
	for tag, acked := range c.outcomes(confirms, n) {
		if !acked || tag < 1 || tag > n {
			t.Fatalf("tag %d acked %v", tag, acked)
		}
	}
	messages, _ := c.counts(q)
	equal(t, "confirmed messages are in the queue", messages, n+1)
}

func TestConfirmSelectTwice(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.must(c.Confirm(false), "confirm.select")
	equal(t, "confirmed", c.confirm("", q, amqp.Publishing{}), true)
	c.must(c.Confirm(false), "confirm.select again")
	equal(t, "confirmed", c.confirm("", q, amqp.Publishing{}), true)
}

func TestUnroutableIsConfirmedAfterItsReturn(t *testing.T) {
	t.Parallel()
	c := connect(t)
	c.must(c.Confirm(false), "confirm.select")
	// The client hands frames to unbuffered listeners one after another, so their order is the broker's.
	events := make(chan string, 10)
	returns, confirms := c.NotifyReturn(make(chan amqp.Return)), c.NotifyPublish(make(chan amqp.Confirmation))
	go func() {
		for range 2 {
			select {
			case r := <-returns:
				events <- "return " + r.ReplyText
			case confirm := <-confirms:
				events <- fmt.Sprint("ack ", confirm.Ack)
			}
		}
		close(events)
	}()
	c.must(c.Publish("", unique("missing"), true, false, amqp.Publishing{}), "basic.publish")
	order := []string{}
	for event := range events {
		order = append(order, event)
	}
	equal(t, "order", order, []string{"return NO_ROUTE", "ack true"})
	other := c.channel()
	other.must(other.Confirm(false), "confirm.select")
	equal(t, "unroutable and not mandatory", other.confirm("", unique("missing"), amqp.Publishing{}), true)
}

func TestConfirmMeansTheMessageIsThere(t *testing.T) {
	t.Parallel()
	c, reader := connect(t), connect(t)
	x := c.exchange("fanout", nil)
	queues := []string{c.boundQueue(x, ""), c.boundQueue(x, ""), c.boundQueue(x, "")}
	c.must(c.Confirm(false), "confirm.select")
	for i := 1; i <= 20; i++ {
		equal(t, "confirmed", c.confirm(x, "", amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("m")}), true)
		for _, q := range queues {
			info, err := reader.QueueDeclarePassive(q, true, false, false, false, nil)
			reader.must(err, "queue.declare passive")
			equal(t, "messages after the confirm", info.Messages, i)
		}
	}
}

func TestConfirmAndTransactionExcludeEachOther(t *testing.T) {
	t.Parallel()
	c := connect(t)
	ch := c.channel()
	ch.must(ch.Confirm(false), "confirm.select")
	wantRefusal(t, ch.Tx(), amqp.PreconditionFailed, "cannot switch from confirm to tx mode")
	ch = c.channel()
	ch.must(ch.Tx(), "tx.select")
	wantRefusal(t, ch.Confirm(false), amqp.PreconditionFailed, "cannot switch from tx to confirm mode")
}

func TestConfirmsOfManyChannelsAtOnce(t *testing.T) {
	t.Parallel()
	const channels, n = 20, 200
	c := connect(t)
	q := c.queue(nil)
	var all []*client
	var confirms []<-chan amqp.Confirmation
	for range channels {
		ch := c.channel()
		ch.must(ch.Confirm(false), "confirm.select")
		all = append(all, ch)
		confirms = append(confirms, ch.NotifyPublish(make(chan amqp.Confirmation, n)))
	}
	for range n {
		for _, ch := range all {
			ch.send("", q, amqp.Publishing{DeliveryMode: amqp.Persistent})
		}
	}
	for i, ch := range all {
		for tag, acked := range ch.outcomes(confirms[i], n) {
			if !acked || tag > n {
				t.Fatalf("channel %d: tag %d acked %v", i, tag, acked)
			}
		}
	}
	messages, _ := c.counts(q)
	equal(t, "messages", messages, channels*n)
}
