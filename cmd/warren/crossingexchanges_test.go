package main

import (
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// exchangesElsewhere: exchanges that were declared on one node route on another: delayed, from exchange to exchange, and to
// an alternate.
func exchangesElsewhere(t *testing.T, c *trio) {
	one, other, third := c.at(t, 0), c.at(t, 1), c.at(t, 2)
	one.must(one.ExchangeDeclare("delayed", "x-delayed-message", true, false, false, false, table("x-delayed-type", "topic")))
	other.must(other.ExchangeDeclare("inner", "fanout", true, false, false, false, nil))
	third.must(third.ExchangeDeclare("outer", "direct", true, false, false, false, table("alternate-exchange", "inner")))
	other.must(other.ExchangeBind("inner", "late.#", "delayed", false, nil))
	name := third.durable("routed")
	one.must(one.QueueBind(name, "", "inner", false, nil))
	ds := other.reads(name, 1)
	third.send("outer", "unknown", "alternate")
	other.wants(ds, "alternate")
	for node := range c.nodes {
		g := c.at(t, node)
		g.sendAs("delayed", "late.1", amqp.Publishing{Body: []byte("second"), Headers: table("x-delay", 300)})
		g.sendAs("delayed", "late.2", amqp.Publishing{Body: []byte("first"), Headers: table("x-delay", 1)})
		other.wants(ds, "first", "second")
	}
	other.must(other.ExchangeDelete("inner", false, false))
	refuses(t, "a deleted exchange", one.ExchangeDeclarePassive("inner", "fanout", true, false, false, false, nil), amqp.NotFound,
		"NOT_FOUND - no exchange 'inner' in vhost '/'")
}

// rememberElsewhere: what an exchange remembers of messages it has of all nodes, and a key goes to the same queue from each.
func rememberElsewhere(t *testing.T, c *trio) {
	var guests []*guest
	for node := range c.nodes {
		guests = append(guests, c.at(t, node))
	}
	one, other, third := guests[0], guests[1], guests[2]
	one.must(one.ExchangeDeclare("once", "x-message-deduplication", true, false, false, false, table("x-cache-size", 100)))
	one.must(one.ExchangeDeclare("recent", "x-recent-history", true, false, false, false, table("x-recent-history-length", 3)))
	one.must(one.ExchangeDeclare("hashed", "x-consistent-hash", true, false, false, false, nil))
	first := other.durable("once")
	other.must(other.QueueBind(first, "", "once", false, nil))
	for i, g := range guests {
		g.sendAs("once", "", amqp.Publishing{Body: fmt.Append(nil, i), Headers: table("x-deduplication-header", "the same")})
		g.send("recent", "", fmt.Sprint(i))
	}
	other.send("once", "", "the end") // without a key, and in its turn
	third.wants(third.channel().reads(first, 1), "0", "the end")
	third.must(third.conn.Close())
	late := one.durable("recent")
	one.must(one.QueueBind(late, "", "recent", false, nil))
	other.wants(other.reads(late, 1), "0", "1", "2")
	var queues []string
	for node := range c.nodes {
		queues = append(queues, c.at(t, node).durable(fmt.Sprint("hashed", node)))
		other.must(other.QueueBind(queues[node], "1", "hashed", false, nil))
	}
	for i := range c.nodes {
		g := c.at(t, i)
		for key := range 20 {
			g.send("hashed", fmt.Sprint(key), fmt.Sprint(key))
		}
	}
	for _, name := range queues {
		messages, _ := one.counts(name)
		ds, times := one.channel().reads(name, 0), map[string]int{}
		for range messages {
			times[string(one.next(ds).Body)]++
		}
		for key, n := range times {
			if n != len(c.nodes) {
				t.Errorf("of %d messages with the key %s %d are in %s", len(c.nodes), key, n, name)
			}
		}
	}
}

// endElsewhere: a queue that nobody uses expires where it is led, and a vhost that is deleted on one node ends connections on
// all.
func endElsewhere(t *testing.T, c *trio) {
	one, other := c.at(t, 0), c.at(t, 1)
	name := one.durable("expires", "x-expires", 300)
	kept := one.durable("kept", "x-expires", 300)
	_, err := other.Consume(kept, "keeper", false, true, false, false, nil)
	other.must(err)
	one.gone(name)
	_, err = c.at(t, 2).Consume(kept, "", false, false, false, false, nil)
	refuses(t, "a second consumer", err, amqp.AccessRefused, "ACCESS_REFUSED - queue '"+kept+"' in vhost '/' in exclusive use")
	other.must(other.Cancel("keeper", false))
	one.gone(kept)
	c.vhost(t, 0, "ends")
	var told []chan *amqp.Error
	for node := range c.nodes {
		told = append(told, c.connect(t, node, amqp.Config{Vhost: "ends"}).conn.NotifyClose(make(chan *amqp.Error, 1)))
	}
	c.does(t, 1, "DELETE", "vhosts/ends", nil)
	for node, closed := range told {
		if err := <-closed; err == nil || err.Reason != "CONNECTION_FORCED - vhost 'ends' is deleted" {
			t.Errorf("a client of node %d hears %v", node+1, err)
		}
	}
}
