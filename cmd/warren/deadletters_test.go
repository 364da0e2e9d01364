package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// letters is how many messages TestDeadLetters sends through each chain; `make deadletters` asks for 1,000,000.
var letters = flag.Int("letters", 4000, "how many messages TestDeadLetters sends through each of its chains")

const (
	letterKills  = 5
	letterWindow = 2000 // messages in flight
)

// chain is three queues, each the dead-letter target of the one before, over all lives of the broker.
type chain struct {
	name      string
	arguments [3]amqp.Table
	rejects   bool // the second queue has a consumer that rejects everything
	confirmed int  // by the first queue: the messages are numbered from 1
}

// chains are the ways to die: by age and by length in classic queues; by age and by a consumer in quorum queues that
// dead-letter at least once, of which the second turns away what is too much.
func chains() []*chain {
	next := func(queue string, t amqp.Table) amqp.Table {
		t["x-dead-letter-exchange"], t["x-dead-letter-routing-key"] = "", queue
		return t
	}
	surely := func(queue string, t amqp.Table) amqp.Table {
		t["x-queue-type"], t["x-overflow"], t["x-dead-letter-strategy"] = "quorum", "reject-publish", "at-least-once"
		return next(queue, t)
	}
	return []*chain{
		{name: "classic", arguments: [3]amqp.Table{
			next("classic1", amqp.Table{"x-message-ttl": 1}), next("classic2", amqp.Table{"x-max-length": 0}), {},
		}},
		{name: "quorum", rejects: true, arguments: [3]amqp.Table{
			surely("quorum1", amqp.Table{"x-message-ttl": 1}), surely("quorum2", amqp.Table{"x-max-length": 1000}),
			{"x-queue-type": "quorum"},
		}},
	}
}

func (c *chain) queue(i int) string { return fmt.Sprint(c.name, i) }

// TestDeadLetters sends messages through chains of three queues while the broker is killed five times: in the end each of
// them is in the last queue once.
func TestDeadLetters(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	all := chains()
	random := rand.New(rand.NewPCG(uint64(*letters), 5))
	began := time.Now()
	for kill := range letterKills {
		p := run(t, dir, "--data-dir", data)
		goal := (kill*len(all)**letters + random.IntN(len(all)**letters)) / (letterKills + 1)
		attend(t, p, all, goal, p.kill)
	}
	p := run(t, dir, "--data-dir", data)
	attend(t, p, all, len(all)**letters, func() {
		for _, c := range all {
			c.judge(t, p)
		}
		p.stop()
	})
	t.Logf("%d kills, %d chains with %d messages each, dead-lettered twice, in %v", letterKills, len(all), *letters, time.Since(began))
}

// attend publishes, and rejects, until so many messages have arrived; then it ends the broker.
func attend(t *testing.T, p *process, all []*chain, goal int, end func()) {
	t.Helper()
	var clients sync.WaitGroup
	watcher := p.channel()
	for _, c := range all {
		for i, arguments := range c.arguments {
			if _, err := watcher.QueueDeclare(c.queue(i), true, false, false, false, arguments); err != nil {
				t.Fatal(err)
			}
		}
		producer := p.producer(c.name)
		clients.Go(func() { c.publish(t, producer) })
		if c.rejects {
			consumer := p.channel()
			clients.Go(func() { c.reject(t, consumer) })
		}
	}
	arrived, since := 0, time.Now()
	for arrived < goal {
		before := arrived
		arrived = 0
		for _, c := range all {
			q, err := watcher.QueueDeclarePassive(c.queue(2), true, false, false, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			arrived += q.Messages
		}
		if arrived != before {
			since = time.Now()
		} else if time.Since(since) > patience {
			for _, c := range all {
				for i := range c.arguments {
					q, err := watcher.QueueDeclarePassive(c.queue(i), true, false, false, false, nil)
					t.Log(c.queue(i), q.Messages, err)
				}
			}
			t.Fatalf("%d of %d have arrived, and no more come", arrived, goal)
		}
		runtime.Gosched()
	}
	end()
	clients.Wait()
}

// producer opens a channel on a connection of a publisher with a name.
func (p *process) producer(name string) *amqp.Channel {
	p.t.Helper()
	conn, err := amqp.DialConfig("amqp://guest:guest@"+p.addr, amqp.Config{Properties: amqp.Table{"x-producer-id": name}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		p.t.Fatal(err)
	}
	return ch
}

// publish publishes what is not confirmed yet, until all is or the connection breaks.
func (c *chain) publish(t *testing.T, ch *amqp.Channel) {
	if err := ch.Confirm(false); err != nil {
		return // killed already
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, letterWindow))
	room := make(chan struct{}, letterWindow)
	first := c.confirmed + 1
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for confirm := range confirms { // in order
			if !confirm.Ack {
				t.Errorf("%s: message %d is refused", c.name, c.confirmed+1)
			}
			c.confirmed++
			<-room
		}
	}()
	for n := first; n <= *letters && !ch.IsClosed(); n++ {
		select {
		case room <- struct{}{}:
		case <-ended:
			return
		}
		err := ch.Publish("", c.queue(0), true, false, amqp.Publishing{
			Body: fmt.Appendf(nil, "%020d", n), DeliveryMode: amqp.Persistent, Headers: amqp.Table{"x-producer-seq": int64(n)},
		})
		if err != nil {
			break
		}
	}
	<-ended // with the connection
}

// reject rejects what is in the second queue until the connection breaks.
func (c *chain) reject(t *testing.T, ch *amqp.Channel) {
	if err := ch.Qos(100, 0, false); err != nil {
		return
	}
	deliveries, err := ch.Consume(c.queue(1), "", false, false, false, false, nil)
	if err != nil {
		return
	}
	for d := range deliveries {
		if err := d.Reject(false); err != nil && !errors.Is(err, amqp.ErrClosed) {
			return
		}
	}
}

// judge empties the last queue: each message has to be there once, with its two deaths.
func (c *chain) judge(t *testing.T, p *process) {
	t.Helper()
	ch := p.channel()
	deliveries, err := ch.Consume(c.queue(2), "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Behind all others another goes through the chain, so that a second copy would be seen.
	last := uint64(*letters + 1)
	if err := ch.Publish("", c.queue(0), true, false, amqp.Publishing{Body: fmt.Appendf(nil, "%020d", last), DeliveryMode: amqp.Persistent}); err != nil {
		t.Fatal(err)
	}
	seen, twice, deaths := map[uint64]bool{}, 0, 0
	for !seen[last] {
		select {
		case d := <-deliveries:
			n := numberOf(&d)
			if seen[n] {
				twice++
			}
			seen[n] = true
			if list, _ := d.Headers["x-death"].([]any); len(list) != 2 {
				deaths++
			}
		case <-time.After(patience):
			t.Fatalf("%s: %d have come and no more", c.name, len(seen))
		}
	}
	lost := 0
	for n := range uint64(*letters) {
		if !seen[n+1] {
			lost++
		}
	}
	t.Logf("%s: %d messages: %d lost, %d twice, %d with other than two deaths", c.name, *letters, lost, twice, deaths)
	if lost+twice+deaths > 0 || len(seen) != *letters+1 {
		t.Error("see above")
	}
}

// TestALetterWithoutARouteWaits over a kill, however many that came later have arrived, and is not lost once it has one.
func TestALetterWithoutARouteWaits(t *testing.T) {
	dir := t.TempDir()
	p := run(t, dir)
	ch := p.channel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	declare := func(name string, arguments amqp.Table) {
		arguments["x-queue-type"] = "quorum"
		_, err := ch.QueueDeclare(name, true, false, false, false, arguments)
		must(err)
	}
	must(ch.ExchangeDeclare("in", "fanout", true, false, false, false, nil))
	must(ch.ExchangeDeclare("dead", "direct", true, false, false, false, nil))
	declare("from", amqp.Table{
		"x-message-ttl": 1, "x-overflow": "reject-publish", "x-dead-letter-strategy": "at-least-once", "x-dead-letter-exchange": "dead",
	})
	declare("to", amqp.Table{})
	must(ch.QueueBind("from", "", "in", false, nil))
	must(ch.QueueBind("to", "known", "dead", false, nil))
	must(ch.Confirm(false))
	for _, key := range []string{"lost", "known", "known"} {
		c, err := ch.PublishWithDeferredConfirm("in", key, true, false, amqp.Publishing{Body: []byte(key), DeliveryMode: amqp.Persistent})
		must(err)
		c.Wait()
	}
	have := func(n int) {
		t.Helper()
		eventually(t, fmt.Sprint(n, " messages have arrived"), func() bool {
			q, err := ch.QueueDeclarePassive("to", true, false, false, false, nil)
			must(err)
			return q.Messages == n
		})
	}
	have(2)
	must(ch.QueueBind("to", "lost", "dead", false, nil))
	p.kill() // before it is tried again, most of the time
	p = run(t, dir)
	ch = p.channel()
	have(3)
	for _, want := range []string{"known", "known", "lost"} {
		if m, _, err := ch.Get("to", true); err != nil || string(m.Body) != want {
			t.Errorf("got %q, %v, want %s", m.Body, err, want)
		}
	}
	p.stop()
}
