package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestAKilledBrokerLosesNothingItConfirmed kills it in the middle of confirmed publishing, ten times in a row. Messages go
// through an exchange to two durable queues; both have to have every one that was confirmed, and in order.
func TestAKilledBrokerLosesNothingItConfirmed(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	random := rand.New(rand.NewPCG(10, 11))
	confirmed := map[string]map[string]bool{"one": {}, "two": {}} // and not seen yet, by queue
	total, seen, again := 0, 0, 0
	for round := range 11 {
		p := run(t, dir, "--data-dir", data)
		ch := p.channel()
		if round == 0 {
			declareAll(t, ch)
		}
		for queue, missing := range confirmed {
			got := drain(t, p, queue)
			for _, body := range got {
				if missing[body] {
					seen++
				} else {
					again++ // seen already but its acknowledgement was lost, or never confirmed
				}
				delete(missing, body)
			}
			for body := range missing {
				t.Fatalf("round %d: message %s was confirmed and is not in %s; %d are missing", round, body, queue, len(missing))
			}
			inOrder(t, got)
		}
		if round == 10 {
			p.stop()
			break
		}
		bodies := publishUntilKilled(t, p, round, 100+random.IntN(1500))
		total += len(bodies)
		for _, body := range bodies {
			confirmed["one"][body], confirmed["two"][body] = true, true
		}
	}
	t.Logf("%d messages were confirmed to two queues, %d copies were there afterwards, %d more were not confirmed or came again", total, seen, again)
	if seen != 2*total || total == 0 {
		t.Errorf("%d of %d copies", seen, 2*total)
	}
}

// declareAll makes what has to survive, and some that has not.
func declareAll(t *testing.T, ch *amqp.Channel) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(ch.ExchangeDeclare("in", "topic", true, false, false, false, nil))
	must(ch.ExchangeDeclare("out", "fanout", true, false, true, false, nil))
	must(ch.ExchangeBind("out", "k.#", "in", false, nil))
	for _, q := range []string{"one", "two"} {
		_, err := ch.QueueDeclare(q, true, false, false, false, amqp.Table{"x-queue-type": "classic"})
		must(err)
		must(ch.QueueBind(q, "ignored", "out", false, nil))
	}
	_, err := ch.QueueDeclare("fleeting", false, false, false, false, nil)
	must(err)
}

// publishUntilKilled publishes until so many messages are confirmed, kills the broker, and gives all that were confirmed.
func publishUntilKilled(t *testing.T, p *process, round, enough int) (bodies []string) {
	t.Helper()
	ch := p.channel()
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	var pending []*amqp.DeferredConfirmation
	var once sync.Once
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 1<<16))
	var killed sync.WaitGroup
	killed.Go(func() {
		acked := 0
		for c := range confirms {
			if c.Ack {
				acked++
			}
			if acked >= enough {
				once.Do(p.kill)
			}
		}
	})
	for i := range 100 * enough {
		c, err := ch.PublishWithDeferredConfirm("in", "k.a", true, false, amqp.Publishing{
			Body: fmt.Appendf(nil, "%d.%08d", round, i), DeliveryMode: amqp.Persistent,
		})
		if err != nil {
			break
		}
		pending = append(pending, c)
	}
	once.Do(p.kill)
	killed.Wait()
	for i, c := range pending {
		if c.Acked() {
			bodies = append(bodies, fmt.Sprintf("%d.%08d", round, i))
		}
	}
	return bodies
}

// drain takes everything out of a queue.
func drain(t *testing.T, p *process, queue string) (bodies []string) {
	t.Helper()
	ch := p.channel()
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		t.Fatalf("the queue %s is lost: %v", queue, err)
	}
	deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range q.Messages {
		m := <-deliveries
		bodies = append(bodies, string(m.Body))
		if m.DeliveryMode != amqp.Persistent {
			t.Errorf("message %s has delivery mode %d", m.Body, m.DeliveryMode)
		}
		if len(bodies)%100 == 0 || len(bodies) == q.Messages {
			if err := m.Ack(true); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := ch.Close(); err != nil {
		t.Fatal(err)
	}
	return bodies
}

// inOrder demands that what one channel published comes in its order.
func inOrder(t *testing.T, bodies []string) {
	t.Helper()
	for i := 1; i < len(bodies); i++ {
		if bodies[i] <= bodies[i-1] {
			t.Fatalf("message %s comes behind %s", bodies[i], bodies[i-1])
		}
	}
}

// TestMetadataSurvives a kill right after it was answered, and nothing that is transient does.
func TestMetadataSurvives(t *testing.T) {
	dir := t.TempDir()
	for round := range 5 {
		p := run(t, dir, "--data-dir", fmt.Sprint("data", round))
		ch := p.channel()
		declareAll(t, ch)
		if _, err := ch.QueueDeclare("deleted", true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := ch.QueueDelete("deleted", false, false, false); err != nil {
			t.Fatal(err)
		}
		if err := ch.ExchangeUnbind("out", "none", "in", false, nil); err != nil {
			t.Fatal(err)
		}
		p.kill()
		p = run(t, dir, "--data-dir", fmt.Sprint("data", round))
		ch = p.channel()
		publishTo := func(exchange, key string) bool {
			ch := p.channel()
			returned := ch.NotifyReturn(make(chan amqp.Return, 1))
			if err := ch.Confirm(false); err != nil {
				t.Fatal(err)
			}
			c, err := ch.PublishWithDeferredConfirm(exchange, key, true, false, amqp.Publishing{DeliveryMode: amqp.Persistent})
			if err != nil || !c.Wait() {
				t.Fatal(err)
			}
			return len(returned) == 0
		}
		if !publishTo("in", "k.b") {
			t.Error("the bindings are lost")
		}
		if publishTo("", "deleted") || publishTo("", "fleeting") || publishTo("in", "x") {
			t.Error("something came back")
		}
		for _, q := range []string{"one", "two"} {
			if state, err := ch.QueueDeclare(q, true, false, false, false, amqp.Table{"x-queue-type": "classic"}); err != nil || state.Messages != 1 {
				t.Errorf("%s: %+v, %v", q, state, err)
			}
		}
		p.stop()
	}
}

// TestUnackedMessagesSurvive, and come again with the flag.
func TestUnackedMessagesSurvive(t *testing.T) {
	dir := t.TempDir()
	for _, end := range []func(*process){(*process).stop, (*process).kill} {
		p := run(t, dir)
		ch := p.channel()
		if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		publish(t, ch, "q", "a", "b", "c")
		for _, want := range []string{"a", "b"} {
			if m, ok, err := ch.Get("q", false); err != nil || !ok || string(m.Body) != want {
				t.Fatal(m, ok, err)
			}
		}
		end(p)
		p = run(t, dir)
		ch = p.channel()
		for _, want := range []string{"a", "b", "c"} {
			m, ok, err := ch.Get("q", true)
			if err != nil || !ok || string(m.Body) != want || m.Redelivered != (want != "c") {
				t.Errorf("got %q, redelivered %v, %v %v; want %s", m.Body, m.Redelivered, ok, err, want)
			}
		}
		p.stop()
	}
}

// TestStoppingWithMuchGoingOn: queues end with their last consumers while the broker stops.
func TestStoppingWithMuchGoingOn(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		p := run(t, dir)
		for range 5 {
			ch := p.channel()
			for range 60 {
				q, err := ch.QueueDeclare("", true, true, false, false, nil) // durable, auto-delete
				if err != nil {
					t.Fatal(err)
				}
				if _, err := ch.Consume(q.Name, "", true, false, false, false, nil); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := ch.QueueDeclare("", false, true, true, false, nil); err != nil {
				t.Fatal(err)
			}
		}
		p.stop()
		if said := p.stderr.String(); said != "" {
			t.Errorf("stderr has %s", said)
		}
	}
}
