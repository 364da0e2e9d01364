package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// victimNode is the node that is killed: its clients, and what it leads, are gone at once.
const victimNode = 2

// loseANode lets clients share things, kills a node, and sees what became of them.
func loseANode(t *testing.T, c *trio) {
	c.rests()
	type scene struct {
		name string
		set  func(*testing.T, *trio) (after func(*testing.T))
	}
	scenes := []scene{
		{"exclusive queues", loseExclusive}, {"queues that do not last", loseTransient}, {"auto-delete", loseLastConsumer}, {"bindings", loseBinder},
		{"exchanges", loseDeclarer},
		{"direct replies", loseRequester}, {"single active consumer", loseActive}, {"exclusive consumer", loseExclusiveConsumer},
		{"a leader with consumers elsewhere", loseLeader}, {"streams", loseStreamLeader},
		{"idempotent publishing", losePublisher}, {"delays", loseDelays}, {"transactions", loseTransaction},
		{"limits", loseLimited}, {"operators", loseOperated},
		{"dead letters", loseDeadLetters}, // last: they die while the node does
	}
	after := make([]func(*testing.T), len(scenes))
	for i, s := range scenes {
		after[i] = s.set(t, c)
	}
	c.nodes[victimNode].kill()
	t.Run("after a kill", func(t *testing.T) {
		for i, s := range scenes {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				after[i](t)
			})
		}
	})
	if said, code := c.ctl(0, "-n", "n2", "stop"); code != 0 {
		t.Errorf("%d: %s", code, said)
	}
	if code := c.nodes[1].ends(); code != 0 {
		t.Errorf("a node that is stopped from another ends with %d", code)
	}
	c.nodes[0].kill() // the last of three cannot close everything in order
}

// in lets a client speak for another test.
func (g *guest) in(t *testing.T) *guest { return &guest{g.Channel, t, g.conn} }

// loseExclusive: exclusive queues of connections to the node go, and their names are free.
func loseExclusive(t *testing.T, c *trio) func(*testing.T) {
	owner := c.at(t, victimNode)
	for _, durable := range []bool{false, true} {
		_, err := owner.QueueDeclare(fmt.Sprint("mine.", durable), durable, false, true, false, nil)
		owner.must(err)
	}
	return func(t *testing.T) {
		for _, durable := range []bool{false, true} {
			name := fmt.Sprint("mine.", durable)
			c.at(t, 0).gone(name)
			g := c.at(t, 1)
			_, err := g.QueueDeclare(name, durable, false, true, false, nil)
			g.must(err)
			c.at(t, 0).send("", name, "to the new owner")
			g.wants(g.reads(name, 1), "to the new owner")
		}
	}
}

// loseTransient: a queue that is not durable goes with its node, with its bindings; consumers hear of it, and it can be
// declared anew.
func loseTransient(t *testing.T, c *trio) func(*testing.T) {
	const name = "transient"
	owner, reader := c.at(t, victimNode), c.at(t, 0)
	_, err := owner.QueueDeclare(name, false, false, false, false, nil)
	owner.must(err)
	owner.must(owner.QueueBind(name, "to.transient", "amq.direct", false, nil))
	cancelled := reader.NotifyCancel(make(chan string, 1))
	ds, err := reader.Consume(name, "reader", false, false, false, false, nil)
	reader.must(err)
	c.at(t, 1).send("", name, "before")
	if d := reader.next(ds); string(d.Body) != "before" {
		t.Errorf("%s comes", d.Body)
	}
	return func(t *testing.T) {
		select {
		case tag := <-cancelled:
			if tag != "reader" {
				t.Errorf("%s is cancelled", tag)
			}
		case <-time.After(clusterPatience):
			t.Fatal("the consumer is not cancelled")
		}
		g := c.at(t, 1)
		g.gone(name)
		g.send("amq.direct", "to.transient", "to nobody")
		_, err := g.QueueDeclare(name, false, false, false, false, nil)
		g.must(err)
		g.send("", name, "after")
		again := c.at(t, 0)
		again.wants(again.reads(name, 1), "after")
	}
}

// loseBinder: what a client of the node has bound, and is on others, stays bound.
func loseBinder(t *testing.T, c *trio) func(*testing.T) {
	g, other, binder := c.at(t, 0), c.at(t, 1), c.at(t, victimNode)
	_, err := g.QueueDeclare("bound.transient", false, false, false, false, nil)
	g.must(err)
	other.must(other.ExchangeDeclare("bound.through", "fanout", false, false, false, false, nil))
	lasting := other.durable("bound")
	for _, queue := range []string{lasting, "bound.transient"} {
		binder.must(binder.QueueBind(queue, "", "bound.through", false, nil))
		binder.must(binder.QueueBind(queue, "to.bound", "amq.direct", false, nil))
	}
	_, err = binder.QueueDeclare("the binder's own", false, false, true, false, nil)
	binder.must(err)
	return func(t *testing.T) {
		g := c.at(t, 1)
		g.gone("the binder's own") // as everything is that goes with the node
		g.send("bound.through", "", "through")
		g.send("amq.direct", "to.bound", "directly")
		for _, queue := range []string{lasting, "bound.transient"} {
			g.wants(g.channel().reads(queue, 2), "through", "directly")
		}
	}
}

// loseDeclarer: an exchange of a client of the node is nobody's in particular and stays, durable or not. One that is to go with
// its last binding goes if that was of a queue of the node, and can be declared anew as something else.
func loseDeclarer(t *testing.T, c *trio) func(*testing.T) {
	g, declarer := c.at(t, 0), c.at(t, victimNode)
	declarer.must(declarer.ExchangeDeclare("stays", "fanout", false, false, false, false, nil))
	lasting := g.durable("stays")
	g.must(g.QueueBind(lasting, "", "stays", false, nil))
	_, err := declarer.QueueDeclare("the declarer's own", false, false, true, false, nil)
	declarer.must(err)
	for _, durable := range []bool{false, true} {
		name := fmt.Sprint("goes.", durable)
		g.must(g.ExchangeDeclare(name, "fanout", durable, true, false, false, nil))
		declarer.must(declarer.QueueBind("the declarer's own", "", name, false, nil))
	}
	return func(t *testing.T) {
		g := c.at(t, 1)
		g.gone("the declarer's own")
		g.send("stays", "", "through")
		g.wants(g.channel().reads(lasting, 1), "through")
		for _, durable := range []bool{false, true} {
			g.must(g.ExchangeDeclare(fmt.Sprint("goes.", durable), "direct", durable, false, false, false, nil))
		}
	}
}

// loseLastConsumer: an auto-delete queue goes whose last consumer was a client of the node.
func loseLastConsumer(t *testing.T, c *trio) func(*testing.T) {
	for _, durable := range []bool{false, true} {
		name := fmt.Sprint("last.", durable)
		g := c.at(t, 0)
		_, err := g.QueueDeclare(name, durable, true, false, false, nil)
		g.must(err)
		c.at(t, victimNode).reads(name, 1)
	}
	return func(t *testing.T) {
		for _, durable := range []bool{false, true} {
			c.at(t, 1).gone(fmt.Sprint("last.", durable))
		}
	}
}

// loseRequester: nobody waits for a reply any more, and a reply does no harm.
func loseRequester(t *testing.T, c *trio) func(*testing.T) {
	requester, server := c.at(t, victimNode), c.at(t, 0)
	requests := server.durable("requests.lost")
	requester.reads("amq.rabbitmq.reply-to", 0)
	requester.sendAs("", requests, amqp.Publishing{ReplyTo: "amq.rabbitmq.reply-to"})
	d := server.next(server.reads(requests, 1))
	return func(t *testing.T) {
		g := c.at(t, 0)
		g.gone(d.ReplyTo)
		g.send("", d.ReplyTo, "to nobody")
	}
}

// loseActive: what the active consumer held goes to the next, in order, whoever leads the queue.
func loseActive(t *testing.T, c *trio) func(*testing.T) {
	type turn struct {
		next *guest
		ds   <-chan amqp.Delivery
	}
	var turns []turn
	for _, leader := range []int{0, victimNode} {
		name := c.at(t, leader).durable(fmt.Sprint("active", leader), "x-single-active-consumer", true)
		active, next := c.at(t, victimNode), c.at(t, 1)
		held := active.reads(name, 2)
		turns = append(turns, turn{next, next.reads(name, 5)})
		c.at(t, 0).send("", name, "a", "b", "c")
		for range 2 {
			active.next(held)
		}
	}
	return func(t *testing.T) {
		for _, turn := range turns {
			next := turn.next.in(t)
			for _, want := range []string{"a", "b", "c"} {
				if d := next.next(turn.ds); string(d.Body) != want || d.Redelivered != (want != "c") {
					t.Errorf("%s comes, redelivered %v, not %s", d.Body, d.Redelivered, want)
				}
			}
		}
	}
}

// loseExclusiveConsumer: another may be the only consumer.
func loseExclusiveConsumer(t *testing.T, c *trio) func(*testing.T) {
	const name = "consumed alone"
	c.at(t, 0).durable(name)
	only := c.at(t, victimNode)
	_, err := only.Consume(name, "", false, true, false, false, nil)
	only.must(err)
	return func(t *testing.T) {
		g := c.at(t, 1)
		within(t, clusterPatience, "another consumes alone", func() bool {
			_, err := g.channel().Consume(name, "", false, true, false, false, nil)
			return err == nil
		})
	}
}

// loseLeader: consumers of other nodes keep what they hold, and get the rest once.
func loseLeader(t *testing.T, c *trio) func(*testing.T) {
	const count = 100
	name := c.at(t, victimNode).durable("without its leader")
	var bodies []string
	for i := range count {
		bodies = append(bodies, fmt.Sprint(i))
	}
	c.at(t, 0).send("", name, bodies...)
	g := c.at(t, 1)
	ds := g.reads(name, 30)
	var held []amqp.Delivery
	for range 10 {
		held = append(held, g.next(ds))
	}
	return func(t *testing.T) {
		g := g.in(t)
		for _, d := range held {
			g.must(d.Ack(false))
		}
		for i := len(held); i < count; i++ {
			d := g.next(ds)
			if string(d.Body) != bodies[i] || d.Redelivered {
				t.Fatalf("%s comes, redelivered %v, not %s", d.Body, d.Redelivered, bodies[i])
			}
			g.must(d.Ack(false))
		}
		c.at(t, 0).settles(name, 0)
	}
}

// loseStreamLeader: readers on other nodes have no gap and nothing twice, from the beginning to what is published afterwards.
func loseStreamLeader(t *testing.T, c *trio) func(*testing.T) {
	const before, later = 400, 100
	name := c.at(t, victimNode).durable("stream without its leader", "x-queue-type", "stream")
	publisher := c.at(t, 0)
	fill := func(g *guest, from, to int) {
		g.must(g.Confirm(false))
		var last *amqp.DeferredConfirmation
		for i := from; i < to; i++ {
			var err error
			last, err = g.PublishWithDeferredConfirm("", name, false, false, amqp.Publishing{Body: fmt.Append(nil, i)})
			g.must(err)
		}
		if !last.Wait() {
			g.t.Error("the last message is refused")
		}
	}
	fill(publisher, 0, before)
	type reader struct {
		*guest
		ds   <-chan amqp.Delivery
		seen int
	}
	var readers []*reader
	for i := range 4 {
		g := c.at(t, i%2)
		r := &reader{g, g.reads(name, 5+10*i, "x-stream-offset", "first"), 0}
		readers = append(readers, r)
	}
	read := func(t *testing.T, r *reader, until int) {
		for ; r.seen < until; r.seen++ {
			d := r.in(t).next(r.ds)
			if string(d.Body) != fmt.Sprint(r.seen) || d.Headers["x-stream-offset"] != int64(r.seen) {
				t.Fatalf("%s comes at %v, not %d", d.Body, d.Headers["x-stream-offset"], r.seen)
			}
			r.in(t).must(d.Ack(false))
		}
	}
	for i, r := range readers {
		read(t, r, 50*i)
	}
	return func(t *testing.T) {
		fill(publisher.in(t), before, before+later)
		for _, r := range readers {
			read(t, r, before+later)
		}
	}
}

// loseDeadLetters: what died in a queue that the node led is in a queue that another leads, once.
func loseDeadLetters(t *testing.T, c *trio) func(*testing.T) {
	const count = 200
	target := c.at(t, 0).durable("died", "x-queue-type", "quorum")
	from := c.at(t, victimNode).durable("dies", "x-queue-type", "quorum", "x-dead-letter-exchange", "", "x-dead-letter-routing-key", target,
		"x-dead-letter-strategy", "at-least-once", "x-overflow", "reject-publish", "x-message-ttl", 300)
	g := c.at(t, 1)
	g.must(g.Confirm(false))
	var last *amqp.DeferredConfirmation
	for i := range count {
		var err error
		last, err = g.PublishWithDeferredConfirm("", from, false, false, amqp.Publishing{Body: fmt.Append(nil, i)})
		g.must(err)
	}
	last.Wait()
	return func(t *testing.T) {
		g := c.at(t, 1)
		g.settles(target, count)
		ds := g.reads(target, count)
		var bodies []string
		for range count {
			bodies = append(bodies, string(g.next(ds).Body))
		}
		slices.Sort(bodies)
		if n := len(slices.Compact(bodies)); n != count {
			t.Errorf("of %d messages %d came", count, n)
		}
		g.settles(from, 0)
	}
}

// losePublisher: a producer that goes on at another node, from some message before the last, adds none twice.
func losePublisher(t *testing.T, c *trio) func(*testing.T) {
	producer := amqp.Config{Properties: table("x-producer-id", "moves")}
	publish := func(g *guest, from, to int) {
		for i := from; i <= to; i++ {
			for _, name := range []string{"numbered0", "numbered2"} {
				g.sendAs("", name, amqp.Publishing{Body: fmt.Append(nil, i), Headers: table("x-producer-seq", i)})
			}
		}
	}
	for _, node := range []int{0, victimNode} {
		c.at(t, node).durable(fmt.Sprint("numbered", node), "x-queue-type", "quorum")
	}
	publish(c.connect(t, victimNode, producer), 1, 20)
	return func(t *testing.T) {
		g := c.connect(t, 1, producer)
		publish(g, 11, 30)
		for _, name := range []string{"numbered0", "numbered2"} {
			ds := g.channel().reads(name, 0)
			for i := 1; i <= 30; i++ {
				if d := g.next(ds); string(d.Body) != fmt.Sprint(i) {
					t.Fatalf("%s: %s comes, not %d", name, d.Body, i)
				}
			}
			g.settles(name, 0)
		}
	}
}

// loseDelays: a message that was delayed through the node comes at its time, once.
func loseDelays(t *testing.T, c *trio) func(*testing.T) {
	const exchange = "delays"
	g := c.at(t, victimNode)
	g.must(g.ExchangeDeclare(exchange, "x-delayed-message", true, false, false, false, table("x-delayed-type", "direct")))
	name := c.at(t, 0).durable("delayed.to")
	g.must(g.QueueBind(name, "k", exchange, false, nil))
	for i := range 5 {
		g.sendAs(exchange, "k", amqp.Publishing{Body: fmt.Append(nil, i), Headers: table("x-delay", 5000+i)})
	}
	return func(t *testing.T) {
		g := c.at(t, 1)
		ds := g.reads(name, 10)
		g.wants(ds, "0", "1", "2", "3", "4")
		g.settles(name, 0)
	}
}

// loseTransaction: what was not committed was never there, and what was got in it goes back.
func loseTransaction(t *testing.T, c *trio) func(*testing.T) {
	name := c.at(t, 0).durable("not committed")
	c.at(t, 1).send("", name, "there")
	g := c.at(t, victimNode)
	g.must(g.Tx())
	d, ok, err := g.Get(name, false)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	g.must(d.Ack(false))
	g.must(g.Publish("", name, false, false, amqp.Publishing{Body: []byte("never")}))
	return func(t *testing.T) {
		g := c.at(t, 1)
		g.settles(name, 1)
		d, ok, err := g.Get(name, true)
		if !ok || err != nil || string(d.Body) != "there" || !d.Redelivered {
			t.Errorf("%+v, %v, %v", d, ok, err)
		}
	}
}

// loseLimited: connections to the node count no more.
func loseLimited(t *testing.T, c *trio) func(*testing.T) {
	c.vhost(t, 0, "alone")
	c.does(t, 0, "PUT", "vhost-limits/alone/max-connections", map[string]any{"value": 1})
	alone := amqp.Config{Vhost: "alone"}
	c.connect(t, victimNode, alone)
	return func(t *testing.T) {
		within(t, clusterPatience, "there is room again", func() bool {
			conn, err := amqp.DialConfig("amqp://guest:guest@"+c.nodes[0].addr, alone)
			if err != nil {
				return false
			}
			conn.Close()
			return true
		})
	}
}

// loseOperated: an operator who means the node is told that it does not answer.
func loseOperated(_ *testing.T, c *trio) func(*testing.T) {
	return func(t *testing.T) {
		if said, code := c.ctl(0, "-n", "n3", "stop"); code != 69 || !strings.Contains(said, "'n3'") {
			t.Errorf("%d: %s", code, said)
		}
	}
}
