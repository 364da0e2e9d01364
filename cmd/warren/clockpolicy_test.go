package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// policy sets a policy for all queues whose names begin so. The kind is "policies" or "operator-policies".
func (b *timed) policy(kind, begin, definition string) {
	b.t.Helper()
	path := "/api/" + kind + "/%2F/" + strings.ReplaceAll(begin, " ", "%20")
	r := httptest.NewRequest(http.MethodPut, path, strings.NewReader(fmt.Sprintf(`{"pattern": "^%s", "definition": %s}`, begin, definition)))
	r.RemoteAddr = "127.0.0.1:1"
	r.SetBasicAuth("guest", "guest")
	answer := httptest.NewRecorder()
	b.broker.API().ServeHTTP(answer, r)
	if answer.Code != http.StatusCreated {
		b.t.Fatalf("%s: %d %s", path, answer.Code, answer.Body)
	}
}

// slow are quorum queues whose consumers have two hours to acknowledge: by argument, by what the consumer asks for, by policy.
var slow = []string{"slow by argument", "slow by consumer", "slow by policy", "slow by both"}

// holders are consumers that hold one message each, and a channel that got one.
type holders struct {
	*timed
	ended map[string]chan string
	got   chan *amqp.Error
}

const twoHours = int64(2 * time.Hour / time.Millisecond)

// makeSlow makes the queues, with a message in each.
func (b *timed) makeSlow() {
	b.policy("policies", "slow by policy", fmt.Sprintf(`{"consumer-timeout": %d}`, twoHours))
	b.policy("policies", "slow by both", fmt.Sprintf(`{"consumer-timeout": %d}`, twoHours))
	for name, timeout := range map[string]int64{"slow by argument": twoHours, "slow by both": 2 * twoHours, "slow by consumer": 0, "slow by policy": 0, "slow getter": twoHours} {
		args := amqp.Table{"x-queue-type": "quorum"}
		if timeout != 0 {
			args["x-consumer-timeout"] = timeout
		}
		b.declare(name, args)
		b.publish("", name, amqp.Publishing{Body: []byte(name)})
	}
}

// hold takes the message of each.
func (b *timed) hold() *holders {
	b.t.Helper()
	h := &holders{timed: b, ended: map[string]chan string{}}
	conn, err := amqp.Dial("amqp://guest:guest@" + b.broker.Listeners()[0].Addr.String())
	b.must(err)
	b.t.Cleanup(func() { conn.Close() })
	for _, name := range slow {
		ch, err := conn.Channel()
		b.must(err)
		h.ended[name] = ch.NotifyCancel(make(chan string, 1))
		args := amqp.Table{}
		if name == "slow by consumer" {
			args["x-consumer-timeout"] = twoHours
		}
		ds, err := ch.Consume(name, name, false, false, false, false, args)
		b.must(err)
		if d := soon(b.t, name, ds); string(d.Body) != name {
			b.t.Fatalf("%s delivers %q", name, d.Body)
		}
	}
	ch, err := conn.Channel()
	b.must(err)
	h.got = ch.NotifyClose(make(chan *amqp.Error, 1))
	if _, ok, err := ch.Get("slow getter", false); err != nil || !ok {
		b.t.Fatal(ok, err)
	}
	return h
}

// soon waits for what a channel brings.
func soon[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing comes", what)
		panic("unreachable")
	}
}

// still demands that all of them hold their messages.
func (h *holders) still() {
	h.t.Helper()
	for _, name := range append([]string{"slow getter"}, slow...) {
		_, back, err := h.ch.Get(name, true) // which the log has behind the time that passed
		h.must(err)
		if back {
			h.t.Fatalf("%s: its message is back", name)
		}
	}
	for name, ended := range h.ended {
		if len(ended) != 0 {
			h.t.Errorf("the consumer of %s was cancelled", name)
		}
	}
}

// tooLate waits until all are without their messages and know it; nothing is lost.
func (h *holders) tooLate() {
	h.t.Helper()
	for _, name := range slow {
		if tag := soon(h.t, name, h.ended[name]); tag != name {
			h.t.Errorf("%s: %q was cancelled", name, tag)
		}
		h.has(name, 1)
	}
	if e := soon(h.t, "slow getter", h.got); e == nil || e.Code != amqp.PreconditionFailed {
		h.t.Errorf("the channel that got something ended with %v", e)
	}
	h.has("slow getter", 1)
}

// TestPatienceWithConsumersOverClocks that were set while the broker was down, either way. Whoever lost their connection with
// it has the whole time again, since what they held went back.
func TestPatienceWithConsumersOverClocks(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			b := startTimed(t)
			b.makeSlow()
			h := b.hold()
			b.pass(time.Hour + 30*time.Minute)
			h.still()
			b.restart(jump)
			for _, name := range append([]string{"slow getter"}, slow...) {
				b.has(name, 1)
			}
			h = b.hold()
			b.pass(time.Hour + 59*time.Minute)
			h.still()
			b.pass(2 * time.Minute)
			h.tooLate()
			b.restart(jump)
			for _, name := range append([]string{"slow getter"}, slow...) {
				b.has(name, 1)
			}
		})
	}
}
