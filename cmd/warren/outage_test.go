package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// outage is what a connection publishes, of which queues lose their groups while others live.
type outage struct {
	t      *testing.T
	c      *trio
	node   *process // that stays
	conn   *amqp.Connection
	ch     *amqp.Channel // with confirms
	queues []string      // one in each group, or nearly
	sent   []*sent
}

// sent is a message and its answer.
type sent struct {
	queue, body string
	answer      *amqp.DeferredConfirmation
}

// answered tells how a message was answered, if it was.
func (s *sent) answered() (ack, is bool) {
	select {
	case <-s.answer.Done():
		return s.answer.Acked(), true
	default:
		return false, false
	}
}

// crowd is how many connections flood a queue, with so many bytes each.
const (
	crowd     = 60
	floodEach = 16 << 20
	grows     = crowd * floodEach / 2 // it does not grow with what is sent
)

// loseTwo kills two of three nodes. On the one that is left, nobody waits for long for queues whose group is lost: what is new is
// refused, what came before takes effect when the nodes are back. Other queues are used meanwhile, over the same connection.
func loseTwo(t *testing.T, c *trio) {
	o := &outage{t: t, c: c, node: c.nodes[0], conn: c.nodes[0].dial()}
	o.ch = o.channel()
	if err := o.ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		o.queues = append(o.queues, fmt.Sprint("lost", i))
	}
	for _, name := range append([]string{"flood", "dead"}, o.queues...) {
		if _, err := o.ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := o.ch.QueueDeclare("lives", false, false, true, false, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := o.ch.QueueDeclare("dying", false, false, true, false, amqp.Table{"x-message-ttl": 0, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}); err != nil {
		t.Fatal(err)
	}
	o.publishAll()
	o.await("everything is confirmed", func(s *sent) bool { ack, _ := s.answered(); return ack })
	var flood sync.WaitGroup
	started := make(chan struct{})
	before := o.node.peak()
	for range crowd {
		ch := o.node.channel()
		flood.Go(func() {
			<-started
			o.flood(ch)
		})
	}
	c.nodes[1].kill()
	c.nodes[2].kill()
	o.publishAll()
	close(started)
	o.use()
	o.untilRefused()
	o.refusals()
	flood.Wait()
	o.use()
	o.die()
	peak := o.node.peak()
	t.Logf("the node took %d MiB, and %d before %d MiB were sent to it", peak>>20, before>>20, crowd*floodEach>>20)
	if len(buildFlags) == 0 && peak > before+grows { // the race detector has its own needs
		t.Errorf("it may take %d MiB more", grows>>20)
	}
	if said, code := c.ctl(0, "list_groups"); code != 0 || !strings.Contains(said, "no leader, refused on n1") {
		t.Errorf("%d: %s", code, said)
	}
	c.begin(1)
	c.begin(2)
	c.nodes[1].ready()
	c.nodes[2].ready()
	o.judge()
}

func (o *outage) channel() *amqp.Channel {
	o.t.Helper()
	ch, err := o.conn.Channel()
	if err != nil {
		o.t.Fatal(err)
	}
	return ch
}

// publish publishes one message with a confirm.
func (o *outage) publish(queue string) *sent {
	o.t.Helper()
	s := &sent{queue: queue, body: fmt.Sprint(len(o.sent))}
	var err error
	if s.answer, err = o.ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{Body: []byte(s.body)}); err != nil {
		o.t.Fatal(err)
	}
	o.sent = append(o.sent, s)
	return s
}

func (o *outage) publishAll() {
	o.t.Helper()
	for range 5 {
		for _, name := range o.queues {
			o.publish(name)
		}
	}
}

func (o *outage) await(what string, holds func(*sent) bool) {
	o.t.Helper()
	within(o.t, clusterPatience, what, func() bool {
		return !slices.ContainsFunc(o.sent, func(s *sent) bool { return !holds(s) })
	})
}

// use publishes to the queue that lives and gets what it holds, over the connection that publishes to the others too.
func (o *outage) use() {
	o.t.Helper()
	ch := o.channel()
	defer ch.Close()
	for n := range 200 {
		s := o.publish("lives")
		within(o.t, clusterPatience, "a message to the queue that lives is confirmed", func() bool { ack, _ := s.answered(); return ack })
		if m, ok, err := ch.Get("lives", true); err != nil || !ok || string(m.Body) != s.body {
			o.t.Fatalf("%d: %v, %v, %q", n, err, ok, m.Body)
		}
		o.sent = o.sent[:len(o.sent)-1]
	}
}

// untilRefused publishes to each queue that is lost until it refuses: not all at the same moment. What came before is not
// answered. The queue that lives is used meanwhile.
func (o *outage) untilRefused() {
	o.t.Helper()
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for _, name := range o.queues {
		within(o.t, clusterPatience, "a message to "+name+" is refused", func() bool {
			<-every.C
			s := o.publish(name)
			o.use()
			_, is := s.answered()
			return is
		})
	}
	from := len(o.sent)
	o.publishAll()
	within(o.t, clusterPatience, "messages to all queues are refused", func() bool {
		return !slices.ContainsFunc(o.sent[from:], func(s *sent) bool { ack, is := s.answered(); return ack || !is })
	})
}

// flood publishes without confirms until it is done.
func (o *outage) flood(ch *amqp.Channel) {
	body := make([]byte, 16<<10)
	for range floodEach / len(body) {
		if err := ch.Publish("", "flood", false, false, amqp.Publishing{Body: body}); err != nil {
			o.t.Error(err)
			return
		}
	}
	var refusal *amqp.Error
	if _, err := ch.QueueDeclarePassive("flood", true, false, false, false, nil); !errors.As(err, &refusal) || refusal.Code != amqp.NotFound { // behind all that
		o.t.Errorf("behind a flood: %v", err)
	}
}

// refusals asks for everything that only the lost group could answer.
func (o *outage) refusals() {
	name := o.queues[0]
	for what, ask := range map[string]func(*amqp.Channel) error{
		"get": func(ch *amqp.Channel) error { _, _, err := ch.Get(name, true); return err },
		"consume": func(ch *amqp.Channel) error {
			_, err := ch.Consume(name, "", false, false, false, false, nil)
			return err
		},
		"purge":  func(ch *amqp.Channel) error { _, err := ch.QueuePurge(name, false); return err },
		"delete": func(ch *amqp.Channel) error { _, err := ch.QueueDelete(name, false, false, false); return err },
		"passive declare": func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
			return err
		},
	} {
		var refusal *amqp.Error
		text := fmt.Sprintf("NOT_FOUND - failed to perform operation on queue '%s' in vhost '/' due to timeout", name)
		if err := ask(o.channel()); !errors.As(err, &refusal) || refusal.Code != amqp.NotFound || refusal.Reason != text {
			o.t.Errorf("%s: %v", what, err)
		}
	}
	tx := o.channel()
	err := tx.Tx()
	if err == nil {
		err = tx.Publish("", name, false, false, amqp.Publishing{Body: []byte("in a transaction")})
	}
	if err != nil {
		o.t.Fatal(err)
	}
	var refusal *amqp.Error
	if err := tx.TxCommit(); !errors.As(err, &refusal) || refusal.Code != amqp.PreconditionFailed || !strings.Contains(refusal.Reason, "partial tx completion") {
		o.t.Errorf("a commit: %v", err)
	}
}

// dying is how many messages become dead letters while their target is lost.
const dying = 20

// die publishes messages that become dead letters at once.
func (o *outage) die() {
	o.t.Helper()
	for range dying {
		s := o.publish("dying")
		within(o.t, clusterPatience, "a message that dies is confirmed", func() bool { ack, _ := s.answered(); return ack })
		o.sent = o.sent[:len(o.sent)-1]
	}
}

// judge takes what the queues hold: what was confirmed, in order, and nothing that was refused.
func (o *outage) judge() {
	o.t.Helper()
	o.await("what came before is answered", func(s *sent) bool { _, is := s.answered(); return is })
	want := map[string][]string{}
	refused := 0
	for _, s := range o.sent {
		if ack, _ := s.answered(); ack {
			want[s.queue] = append(want[s.queue], s.body)
		} else {
			refused++
		}
	}
	if refused < len(o.queues) || len(want[o.queues[1]]) < 10 {
		o.t.Errorf("%d of %d were refused", refused, len(o.sent))
	}
	ch := o.c.nodes[1].channel()
	for _, name := range o.queues {
		var got []string
		for m, ok, err := ch.Get(name, true); ok || err != nil; m, ok, err = ch.Get(name, true) {
			if err != nil {
				o.t.Fatal(err)
			}
			got = append(got, string(m.Body))
		}
		if !slices.Equal(got, want[name]) {
			o.t.Errorf("%s holds %v, and of what was sent %v was confirmed", name, got, want[name])
		}
	}
	within(o.t, clusterPatience, "the dead letters are where they belong", func() bool {
		q, err := ch.QueueDeclarePassive("dead", true, false, false, false, nil)
		if err != nil || q.Messages > dying {
			o.t.Fatalf("%v, %d dead letters", err, q.Messages)
		}
		return q.Messages == dying
	})
	for _, name := range []string{"flood", "dead"} {
		if _, err := ch.QueuePurge(name, false); err != nil {
			o.t.Error(err)
		}
	}
	if !strings.Contains(o.node.stdout.String(), "the group has no leader: what is new for its queues is refused") {
		o.t.Error("the log says nothing")
	}
	if n := strings.Count(o.node.stdout.String(), "messages that are published without confirms are dropped"); n == 0 || n > 2 {
		o.t.Errorf("the log tells %d times of messages that are dropped", n)
	}
}
