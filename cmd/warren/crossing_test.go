package main

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// guest is a client of one node of a trio, with one connection and a channel.
type guest struct {
	*amqp.Channel
	t    *testing.T
	conn *amqp.Connection
}

// at connects to a node.
func (c *trio) at(t *testing.T, node int) *guest {
	t.Helper()
	return c.connect(t, node, amqp.Config{})
}

func (c *trio) connect(t *testing.T, node int, config amqp.Config) *guest {
	t.Helper()
	conn, err := amqp.DialConfig("amqp://guest:guest@"+c.ports[portsOfNode*node], config)
	if err != nil {
		t.Fatalf("node %d: %v", node+1, err)
	}
	t.Cleanup(func() { conn.Close() })
	return (&guest{t: t, conn: conn}).channel()
}

// channel opens another channel of the same client.
func (g *guest) channel() *guest {
	g.t.Helper()
	ch, err := g.conn.Channel()
	g.must(err)
	return &guest{ch, g.t, g.conn}
}

func (g *guest) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// durable declares a durable queue, which is led by the client's node while leaderships rest.
func (g *guest) durable(name string, pairs ...any) string {
	g.t.Helper()
	_, err := g.QueueDeclare(name, true, false, false, false, table(append(pairs, "x-queue-leader-locator", "client-local")...))
	g.must(err)
	return name
}

func table(pairs ...any) amqp.Table {
	t := amqp.Table{}
	for i := 0; i+1 < len(pairs); i += 2 {
		t[pairs[i].(string)] = pairs[i+1] //nolint:forcetypeassert // a test's own words
	}
	return t
}

// send publishes with confirms.
func (g *guest) send(exchange, key string, bodies ...string) {
	g.t.Helper()
	for _, body := range bodies {
		g.sendAs(exchange, key, amqp.Publishing{Body: []byte(body)})
	}
}

func (g *guest) sendAs(exchange, key string, m amqp.Publishing) {
	g.t.Helper()
	g.must(g.Confirm(false))
	m.DeliveryMode = amqp.Persistent
	c, err := g.PublishWithDeferredConfirm(exchange, key, false, false, m)
	g.must(err)
	if !c.Wait() {
		g.t.Fatalf("%s is refused", m.Body)
	}
}

// reads consumes with a prefetch; 0 is without acknowledgements.
func (g *guest) reads(queue string, prefetch int, pairs ...any) <-chan amqp.Delivery {
	g.t.Helper()
	if prefetch > 0 {
		g.must(g.Qos(prefetch, 0, false))
	}
	ds, err := g.Consume(queue, "", prefetch == 0, false, false, false, table(pairs...))
	g.must(err)
	return ds
}

// next is what comes next.
func (g *guest) next(ds <-chan amqp.Delivery) amqp.Delivery {
	g.t.Helper()
	select {
	case d, open := <-ds:
		if !open {
			g.t.Fatal("the consumer has ended")
		}
		return d
	case <-time.After(clusterPatience):
		g.t.Fatal("nothing comes")
		return amqp.Delivery{}
	}
}

// wants waits for messages with these bodies, in order, and acknowledges them.
func (g *guest) wants(ds <-chan amqp.Delivery, bodies ...string) {
	g.t.Helper()
	for _, body := range bodies {
		d := g.next(ds)
		if string(d.Body) != body {
			g.t.Fatalf("%s comes, not %s", d.Body, body)
		}
		g.must(d.Ack(false))
	}
}

// counts are the messages and consumers of a queue, as a client sees them.
func (g *guest) counts(queue string) (messages, consumers int) {
	g.t.Helper()
	q, err := g.channel().QueueDeclarePassive(queue, true, false, false, false, nil)
	g.must(err)
	return q.Messages, q.Consumers
}

// settles waits until a queue has so many messages.
func (g *guest) settles(queue string, messages int) {
	g.t.Helper()
	within(g.t, clusterPatience, fmt.Sprintf("%s has %d messages", queue, messages), func() bool {
		n, _ := g.counts(queue)
		return n == messages
	})
}

// gone waits until a queue is not there any more.
func (g *guest) gone(queue string) {
	g.t.Helper()
	within(g.t, clusterPatience, queue+" is gone", func() bool {
		ch := g.channel()
		defer ch.Close()
		_, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)
		var refusal *amqp.Error
		return errors.As(err, &refusal) && refusal.Code == amqp.NotFound
	})
}

// refuses wants a refusal with a code and a text.
func refuses(t *testing.T, what string, err error, code int, text string) {
	t.Helper()
	var refusal *amqp.Error
	if !errors.As(err, &refusal) || refusal.Code != code || refusal.Reason != text {
		t.Errorf("%s: %v, not %d %s", what, err, code, text)
	}
}

// rests waits until every node leads as many groups as it should.
func (c *trio) rests() {
	c.t.Helper()
	within(c.t, clusterPatience, "leaderships have come to rest", func() bool {
		leads := map[any]int{}
		groups, _ := c.does(c.t, 0, "GET", "warren/groups", nil).([]any)
		for _, g := range groups {
			leads[field(g, "leader")]++
		}
		return leads["n1"] == 2 && leads["n2"] == 2 && leads["n3"] == 2
	})
}

// TestClientsOfDifferentNodes: what they share is as if all were on one. Then a node is killed: what its clients shared goes on
// as if their connections had ended.
func TestClientsOfDifferentNodes(t *testing.T) {
	c := startTrio(t)
	c.rests()
	t.Run("together", func(t *testing.T) {
		for _, scene := range []struct {
			name string
			play func(*testing.T, *trio)
		}{
			{"exclusive queues", exclusiveElsewhere}, {"auto-delete", autoDeleteElsewhere}, {"conditions of a deletion", deleteElsewhere},
			{"consumers are cancelled", cancelledElsewhere}, {"direct replies", repliesElsewhere}, {"single active consumer", takeTurns},
			{"get, recover, priorities", getElsewhere}, {"global prefetch", prefetchOverNodes}, {"transactions", commitOverNodes},
			{"streams", streamElsewhere}, {"dead letters", deadLettersElsewhere}, {"exchanges", exchangesElsewhere}, {"exchanges that remember", rememberElsewhere}, {"what ends", endElsewhere},
			{"events and the firehose", hearElsewhere}, {"limits", limitedTogether},
			{"the API", askElsewhere},
		} {
			t.Run(scene.name, func(t *testing.T) {
				t.Parallel()
				scene.play(t, c)
			})
		}
	})
	t.Run("operators", func(t *testing.T) { operateElsewhere(t, c) }) // it closes a node for a while
	loseANode(t, c)
}

// exclusiveElsewhere: nobody else may use an exclusive queue, and it goes with its connection.
func exclusiveElsewhere(t *testing.T, c *trio) {
	for _, durable := range []bool{false, true} {
		owner, other := c.at(t, 0), c.at(t, 1)
		name := fmt.Sprint("exclusive.", durable)
		_, err := owner.QueueDeclare(name, durable, false, true, false, nil)
		owner.must(err)
		for what, use := range map[string]func(*amqp.Channel) error{
			"declare": func(ch *amqp.Channel) error {
				_, err := ch.QueueDeclare(name, durable, false, true, false, nil)
				return err
			},
			"look": func(ch *amqp.Channel) error {
				_, err := ch.QueueDeclarePassive(name, durable, false, true, false, nil)
				return err
			},
			"consume": func(ch *amqp.Channel) error {
				_, err := ch.Consume(name, "", true, false, false, false, nil)
				return err
			},
			"get":    func(ch *amqp.Channel) error { _, _, err := ch.Get(name, true); return err },
			"purge":  func(ch *amqp.Channel) error { _, err := ch.QueuePurge(name, false); return err },
			"delete": func(ch *amqp.Channel) error { _, err := ch.QueueDelete(name, false, false, false); return err },
			"bind":   func(ch *amqp.Channel) error { return ch.QueueBind(name, "k", "amq.topic", false, nil) },
		} {
			refuses(t, what, use(other.channel().Channel), amqp.ResourceLocked, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '"+name+
				"' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.")
		}
		other.send("", name, "to anybody's queue")
		owner.wants(owner.reads(name, 1), "to anybody's queue")
		owner.must(owner.conn.Close())
		other.gone(name)
	}
}

// autoDeleteElsewhere: a queue goes with its last consumer, wherever that was.
func autoDeleteElsewhere(t *testing.T, c *trio) {
	for _, durable := range []bool{false, true} {
		name := fmt.Sprint("auto-delete.", durable)
		one, other := c.at(t, 0), c.at(t, 1)
		_, err := one.QueueDeclare(name, durable, true, false, false, nil)
		one.must(err)
		one.send("amq.direct", "nobody")
		for _, g := range []*guest{one, other} {
			_, err = g.Consume(name, "tag", true, false, false, false, nil)
			g.must(err)
		}
		one.must(one.Cancel("tag", false))
		if _, consumers := c.at(t, 2).counts(name); consumers != 1 {
			t.Errorf("%s has %d consumers", name, consumers)
		}
		other.must(other.Cancel("tag", false))
		c.at(t, 2).gone(name)
	}
}

// deleteElsewhere: whether a queue is used or empty is asked of whoever leads it.
func deleteElsewhere(t *testing.T, c *trio) {
	for i, durable := range []bool{false, true} {
		name := fmt.Sprint("conditions.", durable)
		one, other, third := c.at(t, i), c.at(t, 1+i), c.at(t, (2+i)%3)
		_, err := one.QueueDeclare(name, durable, false, false, false, table("x-queue-leader-locator", "client-local"))
		one.must(err)
		other.send("", name, "a message")
		_, err = other.Consume(name, "tag", false, false, false, false, nil)
		other.must(err)
		_, err = third.channel().QueueDelete(name, true, false, false)
		refuses(t, "if-unused", err, amqp.PreconditionFailed, "PRECONDITION_FAILED - queue '"+name+"' in vhost '/' in use")
		other.must(other.Close())
		_, err = third.channel().QueueDelete(name, false, true, false)
		refuses(t, "if-empty", err, amqp.PreconditionFailed, "PRECONDITION_FAILED - queue '"+name+"' in vhost '/' not empty")
		if n, err := third.QueuePurge(name, false); n != 1 || err != nil {
			t.Errorf("purge: %d, %v", n, err)
		}
		if _, err := third.QueueDelete(name, true, true, false); err != nil {
			t.Error(err)
		}
		one.gone(name)
	}
}

// cancelledElsewhere: consumers hear that their queue was deleted, on whatever node.
func cancelledElsewhere(t *testing.T, c *trio) {
	for _, kind := range []string{"classic", "quorum", "stream"} {
		name := c.at(t, 0).durable("cancelled."+kind, "x-queue-type", kind)
		var told []chan string
		for node := range c.nodes {
			g := c.at(t, node)
			told = append(told, g.NotifyCancel(make(chan string, 1)))
			g.must(g.Qos(1, 0, false))
			_, err := g.Consume(name, fmt.Sprint("tag", node), false, false, false, false, nil)
			g.must(err)
		}
		if _, err := c.at(t, 1).QueueDelete(name, false, false, false); err != nil {
			t.Fatal(err)
		}
		for node, cancelled := range told {
			select {
			case tag := <-cancelled:
				if tag != fmt.Sprint("tag", node) {
					t.Errorf("%s is cancelled on node %d", tag, node+1)
				}
			case <-time.After(clusterPatience):
				t.Fatalf("%s: node %d does not say that the queue is gone", kind, node+1)
			}
		}
	}
}

// repliesElsewhere: a reply finds the requester on another node, and who asks whether it still waits hears the truth.
func repliesElsewhere(t *testing.T, c *trio) {
	requester, server := c.at(t, 0), c.at(t, 1)
	requests := c.at(t, 2).durable("requests")
	replies := requester.reads("amq.rabbitmq.reply-to", 0)
	requester.must(requester.Publish("", requests, false, false, amqp.Publishing{Body: []byte("how many"), ReplyTo: "amq.rabbitmq.reply-to"}))
	asked := server.reads(requests, 1)
	d := server.next(asked)
	if _, err := server.channel().QueueDeclarePassive(d.ReplyTo, false, false, false, false, nil); err != nil {
		t.Errorf("the requester waits, and it is said: %v", err)
	}
	server.sendAs("", d.ReplyTo, amqp.Publishing{Body: []byte("three"), CorrelationId: "one"})
	if r := requester.next(replies); string(r.Body) != "three" || r.CorrelationId != "one" || r.RoutingKey != d.ReplyTo {
		t.Errorf("the reply is %+v", r)
	}
	tx := server.channel()
	tx.must(tx.Tx())
	tx.must(tx.Publish("", d.ReplyTo, false, false, amqp.Publishing{Body: []byte("four")}))
	tx.must(tx.TxCommit())
	if r := requester.next(replies); string(r.Body) != "four" {
		t.Errorf("the reply is %s", r.Body)
	}
	requester.must(requester.Close())
	within(t, clusterPatience, "it is known that the requester is gone", func() bool {
		_, err := server.channel().QueueDeclarePassive(d.ReplyTo, false, false, false, false, nil)
		var refusal *amqp.Error
		return errors.As(err, &refusal) && refusal.Code == amqp.NotFound && refusal.Reason == "NOT_FOUND - no queue '"+d.ReplyTo+"' in vhost '/'"
	})
	server.sendAs("", d.ReplyTo, amqp.Publishing{Body: []byte("to nobody")})
}

// takeTurns: of consumers on three nodes one is active, then the next; of a quorum queue the one with the highest priority.
func takeTurns(t *testing.T, c *trio) {
	for _, kind := range []string{"classic", "quorum"} {
		name := c.at(t, 1).durable("single."+kind, "x-queue-type", kind, "x-single-active-consumer", true)
		publisher := c.at(t, 0)
		var guests []*guest
		var reading []<-chan amqp.Delivery
		for _, node := range []int{2, 0, 1} {
			g := c.at(t, node)
			guests, reading = append(guests, g), append(reading, g.reads(name, 10))
		}
		publisher.send("", name, "a", "b")
		guests[0].wants(reading[0], "a", "b")
		if kind == "quorum" {
			favourite := c.at(t, 1)
			first := favourite.reads(name, 10, "x-priority", 5)
			within(t, clusterPatience, "the favourite is active", func() bool {
				consumers, _ := field(c.does(t, 0, "GET", "queues/%2F/"+name, nil), "consumer_details").([]any)
				return slices.ContainsFunc(consumers, func(one any) bool {
					return field(one, "active") == true && field(one, "arguments", "x-priority") == 5.0
				})
			})
			publisher.send("", name, "c")
			favourite.wants(first, "c")
			favourite.must(favourite.Close())
		}
		guests[0].must(guests[0].conn.Close())
		publisher.send("", name, "d")
		guests[1].wants(reading[1], "d")
		guests[1].must(guests[1].Close())
		publisher.send("", name, "e")
		guests[2].wants(reading[2], "e")
	}
}

// getElsewhere: messages are got, given back and ordered by whoever leads the queue.
func getElsewhere(t *testing.T, c *trio) {
	g, publisher := c.at(t, 0), c.at(t, 2)
	name := c.at(t, 1).durable("got", "x-max-priority", 9)
	if _, ok, err := g.Get(name, false); ok || err != nil {
		t.Fatalf("of an empty queue: %v, %v", ok, err)
	}
	for _, p := range []uint8{1, 9, 5} {
		publisher.sendAs("", name, amqp.Publishing{Body: fmt.Append(nil, p), Priority: p})
	}
	for i, want := range []string{"9", "5", "1"} {
		d, ok, err := g.Get(name, false)
		if !ok || err != nil || string(d.Body) != want || d.Redelivered || int(d.MessageCount) != 2-i {
			t.Errorf("got %+v, %v, %v", d, ok, err)
		}
	}
	//lint:ignore SA1019 clients still use it
	g.must(g.Recover(true))
	ds := g.reads(name, 2)
	var tags []uint64
	for _, want := range []string{"9", "5"} {
		d := g.next(ds)
		if string(d.Body) != want || !d.Redelivered {
			t.Errorf("after recover: %s, %v", d.Body, d.Redelivered)
		}
		tags = append(tags, d.DeliveryTag)
	}
	g.must(g.Nack(tags[1], true, false))
	g.wants(ds, "1")
	c.at(t, 1).settles(name, 0)
}

// limitedTogether: a limit of a user or vhost is for the connections, and channels, of all nodes together.
func limitedTogether(t *testing.T, c *trio) {
	type object = map[string]any
	all := object{"configure": ".*", "write": ".*", "read": ".*"}
	c.does(t, 0, "PUT", "users/limited", object{"password": "guest", "tags": ""})
	c.does(t, 0, "PUT", "permissions/%2F/limited", all)
	c.does(t, 0, "PUT", "user-limits/limited/max-connections", object{"value": 2})
	c.does(t, 0, "PUT", "user-limits/limited/max-channels", object{"value": 3})
	c.vhost(t, 0, "small")
	c.does(t, 0, "PUT", "vhost-limits/small/max-connections", object{"value": 1})
	small := amqp.Config{Vhost: "small"}
	user := amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{Username: "limited", Password: "guest"}}}
	first, second := c.connect(t, 0, user), c.connect(t, 1, user)
	alone := c.connect(t, 1, small)
	full := func(node int, config amqp.Config, text string) {
		t.Helper()
		within(t, clusterPatience, "a connection more is refused", func() bool {
			conn, err := amqp.DialConfig("amqp://guest:guest@"+c.nodes[node].addr, config)
			if err == nil {
				conn.Close()
				return false
			}
			refuses(t, "a connection more", err, amqp.NotAllowed, text)
			return true
		})
	}
	full(2, user, "NOT_ALLOWED - connection refused for user 'limited': user connection limit (2) is reached")
	full(0, small, "NOT_ALLOWED - access to vhost 'small' refused for user 'guest': connection limit (1) is reached")
	first.channel()
	within(t, clusterPatience, "a channel more is refused", func() bool {
		ch, err := second.conn.Channel()
		if err == nil {
			_ = ch.Close()
			return false
		}
		refuses(t, "a channel more", err, amqp.NotAllowed, "NOT_ALLOWED - number of channels opened for user 'limited' has reached the maximum allowed user limit of 3")
		return true
	})
	alone.must(alone.conn.Close())
	within(t, clusterPatience, "there is room again", func() bool {
		for _, config := range []amqp.Config{user, small} {
			conn, err := amqp.DialConfig("amqp://guest:guest@"+c.nodes[2].addr, config)
			if err != nil {
				return false
			}
			conn.Close()
		}
		return true
	})
}
