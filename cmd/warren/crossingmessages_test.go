package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// prefetchOverNodes: a channel's limit holds for the consumers of queues that are led on all nodes together.
func prefetchOverNodes(t *testing.T, c *trio) {
	const limit, each = 4, 5
	g := c.at(t, 0)
	g.must(g.Qos(limit, 0, true))
	all := make(chan amqp.Delivery, 3*each)
	for node := range c.nodes {
		name := c.at(t, node).durable(fmt.Sprint("limited", node))
		c.at(t, (node+1)%3).send("", name, slices.Repeat([]string{"m"}, each)...)
		ds, err := g.Consume(name, fmt.Sprint("limit", node), false, false, false, false, nil)
		g.must(err)
		go func() {
			for d := range ds {
				all <- d
			}
		}()
	}
	var held []amqp.Delivery
	for seen := 0; seen < 3*each; {
		held = append(held, g.next(all))
		seen++
		if len(held) < limit && seen < 3*each {
			continue
		}
		g.counts("limited0") // what is on its way arrives before the answer
		if n := len(held) + len(all); n > limit {
			t.Fatalf("%d messages are unacknowledged, and %d may be", n, limit)
		}
		g.must(held[0].Ack(false))
		held = held[1:]
	}
}

// commitOverNodes: a commit takes effect once in queues that are led on three nodes, also while leaders move, and a rollback
// nowhere.
func commitOverNodes(t *testing.T, c *trio) {
	const commits = 20
	var names []string
	for node := range c.nodes {
		names = append(names, c.at(t, node).durable(fmt.Sprint("committed", node), "x-queue-type", "quorum"))
	}
	groups, _ := c.does(t, 0, "GET", "warren/groups", nil).([]any)
	at := slices.IndexFunc(groups, func(g any) bool { return field(g, "leader") == "n2" })
	move := func(to string) {
		c.api(t, 0, "POST", fmt.Sprint("warren/groups/", field(groups[at], "group"), "/leader/", to), nil)
	}
	over := make(chan struct{})
	var moving sync.WaitGroup
	moving.Go(func() {
		for turn := 0; ; turn++ {
			select {
			case <-over:
				return
			default:
				move([]string{"n3", "n2"}[turn%2])
			}
		}
	})
	g := c.at(t, 0)
	g.must(g.Tx())
	for i := range commits {
		for _, name := range names {
			g.must(g.Publish("", name, false, false, amqp.Publishing{Body: fmt.Append(nil, i), DeliveryMode: amqp.Persistent}))
		}
		g.must(g.TxCommit())
		g.must(g.Publish("", names[i%3], false, false, amqp.Publishing{Body: []byte("never")}))
		g.must(g.TxRollback())
	}
	close(over)
	moving.Wait()
	move("n2")
	reader := c.at(t, 2)
	reader.must(reader.Tx())
	for _, name := range names {
		reader.settles(name, commits)
		for i := range commits {
			d, ok, err := reader.Get(name, false)
			if !ok || err != nil || string(d.Body) != fmt.Sprint(i) {
				t.Fatalf("message %d of %s: %s, %v, %v", i, name, d.Body, ok, err)
			}
			reader.must(d.Ack(false))
		}
	}
	reader.must(reader.TxCommit())
	reader.must(reader.conn.Close())
	for _, name := range names {
		g.settles(name, 0)
	}
}

// streamElsewhere: readers on all nodes begin where they say, in a stream that is led on one, and get what they ask for.
func streamElsewhere(t *testing.T, c *trio) {
	const length = 300
	name := c.at(t, 1).durable("read", "x-queue-type", "stream")
	publisher := c.at(t, 2)
	publisher.must(publisher.Confirm(false))
	var last *amqp.DeferredConfirmation
	for i := range length {
		var err error
		last, err = publisher.PublishWithDeferredConfirm("", name, false, false, amqp.Publishing{
			Body: fmt.Append(nil, i), Headers: amqp.Table{"x-stream-filter-value": []string{"even", "odd"}[i%2]},
		})
		publisher.must(err)
	}
	last.Wait()
	for node := range c.nodes {
		for _, begin := range []struct {
			offset any
			first  int
		}{{"first", 0}, {int64(120), 120}, {time.Now().Add(-time.Hour), 0}} {
			reader := c.at(t, node)
			ds := reader.reads(name, 10, "x-stream-offset", begin.offset)
			for i := begin.first; i < length; i++ {
				d := reader.next(ds)
				if string(d.Body) != fmt.Sprint(i) || d.Headers["x-stream-offset"] != int64(i) || d.Redelivered {
					t.Fatalf("node %d from %v: message %d is %s at %v", node+1, begin.offset, i, d.Body, d.Headers["x-stream-offset"])
				}
				reader.must(d.Ack(false))
			}
		}
		odd := c.at(t, node)
		ds := odd.reads(name, 10, "x-stream-offset", "first", "x-stream-filter", "odd")
		for i := 1; i < length; i += 2 {
			d := odd.next(ds)
			for d.Headers["x-stream-filter-value"] != "odd" { // what comes along in a chunk
				odd.must(d.Ack(false))
				d = odd.next(ds)
			}
			if string(d.Body) != fmt.Sprint(i) {
				t.Fatalf("node %d: of the odd ones %s comes, not %d", node+1, d.Body, i)
			}
			odd.must(d.Ack(false))
		}
	}
	late := c.at(t, 0)
	ds := late.reads(name, 1, "x-stream-offset", "next")
	publisher.send("", name, "new")
	late.wants(ds, "new")
	retained := c.at(t, 0).durable("retained", "x-queue-type", "stream", "x-max-length-bytes", 40_000, "x-stream-max-segment-size-bytes", 10_000)
	for i := range 40 {
		publisher.send("", retained, fmt.Sprint(i, strings.Repeat(" ", 3000)))
	}
	first := late.channel()
	within(t, clusterPatience, "the beginning is dropped", func() bool {
		ch := first.channel()
		defer ch.Close()
		d := ch.next(ch.reads(retained, 1, "x-stream-offset", "first"))
		offset, _ := d.Headers["x-stream-offset"].(int64)
		return offset > 20
	})
}

// deadLettersElsewhere: what expires in a queue that is led on one node is in a queue that is led on another, once.
func deadLettersElsewhere(t *testing.T, c *trio) {
	const count = 50
	target := c.at(t, 1).durable("dead", "x-queue-type", "quorum")
	for _, args := range [][]any{
		{"x-queue-type", "quorum", "x-dead-letter-strategy", "at-least-once", "x-overflow", "reject-publish"}, {"x-queue-type", "classic"},
	} {
		from := c.at(t, 0).durable(fmt.Sprint("dying.", args[1]), append(args, "x-message-ttl", 100, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", target)...)
		publisher, reader := c.at(t, 2), c.at(t, 2)
		var want []string
		for i := range count {
			want = append(want, fmt.Sprint(i))
		}
		publisher.send("", from, want...)
		ds := reader.reads(target, 10)
		for _, body := range want {
			d := reader.next(ds)
			deaths, _ := d.Headers["x-death"].([]any)
			if string(d.Body) != body || d.Redelivered || len(deaths) != 1 {
				t.Fatalf("%s comes, not %s: %v", d.Body, body, d.Headers)
			}
			if death, _ := deaths[0].(amqp.Table); death["queue"] != from || death["reason"] != "expired" || death["count"] != int64(1) {
				t.Errorf("the death is %v", death)
			}
			reader.must(d.Ack(false))
		}
		reader.must(reader.Close())
		publisher.settles(from, 0)
		publisher.settles(target, 0)
	}
}

// hearElsewhere: what happens on any node is heard on all, in the events and in the firehose.
func hearElsewhere(t *testing.T, c *trio) {
	c.vhost(t, 1, "heard")
	for node := range c.nodes {
		g := c.at(t, (node+1)%3)
		q, err := g.QueueDeclare("", false, false, true, false, nil)
		g.must(err)
		g.must(g.QueueBind(q.Name, "connection.created", "amq.rabbitmq.event", false, nil))
		g.must(g.QueueBind(q.Name, "queue.created", "amq.rabbitmq.event", false, nil))
		ds := g.reads(q.Name, 0)
		c.at(t, node).durable(fmt.Sprint("heard", node))
		for _, key := range []string{"connection.created", "queue.created"} {
			d := g.next(ds)
			for d.RoutingKey != key || d.Headers["node"] != fmt.Sprint("n", node+1) && d.Headers["name"] != fmt.Sprint("heard", node) {
				d = g.next(ds)
			}
		}
	}
	c.does(t, 0, "PUT", "vhosts/heard", map[string]any{"tracing": true})
	traced := amqp.Config{Vhost: "heard"}
	g, other := c.connect(t, 0, traced), c.connect(t, 1, traced)
	q, err := g.QueueDeclare("", false, false, true, false, nil)
	g.must(err)
	g.must(g.QueueBind(q.Name, "#", "amq.rabbitmq.trace", false, nil))
	ds := g.reads(q.Name, 0)
	name := c.connect(t, 2, traced).durable("traced")
	other.send("", name, "seen")
	if d, ok, err := other.Get(name, true); !ok || err != nil || string(d.Body) != "seen" {
		t.Errorf("%+v, %v, %v", d, ok, err)
	}
	for _, key := range []string{"publish.", "deliver." + name} {
		if d := g.next(ds); d.RoutingKey != key || string(d.Body) != "seen" || d.Headers["node"] != "n2" {
			t.Errorf("of a message on node 2 the firehose says %s %s %v", d.RoutingKey, d.Body, d.Headers)
		}
	}
}
