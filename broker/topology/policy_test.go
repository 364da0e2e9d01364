package topology

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/warrenmq/warren/broker/queue"
)

// policy sets a policy; operator policies begin with "op".
func (w *world) policy(name, applyTo, pattern string, priority int64, definition string) {
	w.t.Helper()
	section := sectionPolicy
	if strings.HasPrefix(name, "op") {
		section = sectionOperator
	}
	w.write(key(section, "/", name), fmt.Sprintf(`{"pattern":%q,"apply-to":%q,"priority":%d,"definition":%s}`, pattern, applyTo, priority, definition))
}

// TestWhichPolicyApplies: the highest priority of those that match, are for the kind, and have no setting it does not know.
func TestWhichPolicyApplies(t *testing.T) {
	w := newWorld(t)
	w.queue("a.classic")
	w.queue("a.quorum", with("x-queue-type", "quorum"))
	w.queue("a.stream", with("x-queue-type", "stream"))
	w.queue("b")
	w.exchange("a.x", "fanout")
	for _, c := range []struct {
		what, applyTo, pattern, definition string
		applies                            string // c, q, s, b, x
	}{
		{"all", "all", "", `{"max-length-bytes":1}`, "cqsbx"},
		{"by pattern", "all", `^a\.`, `{"max-length-bytes":1}`, "cqsx"},
		{"anywhere in the name", "all", "b", `{"max-length-bytes":1}`, "b"},
		{"with look-ahead", "all", `^(?!a\.)`, `{"max-length-bytes":1}`, "b"},
		{"queues", "queues", `^a`, `{"max-length-bytes":1}`, "cqs"},
		{"exchanges", "exchanges", `^a`, `{"alternate-exchange":"ae"}`, "x"},
		{"classic", "classic_queues", `^a`, `{"max-length-bytes":1}`, "c"},
		{"quorum", "quorum_queues", `^a`, `{"max-length-bytes":1}`, "q"},
		{"streams", "streams", `^a`, `{"max-length-bytes":1}`, "s"},
		{"nothing there is", "nonsense", ``, `{"max-length-bytes":1}`, ""},
		{"what streams do not know", "all", `^a`, `{"max-length-bytes":1,"message-ttl":5}`, "cqx"},
		{"what only streams know", "all", `^a`, `{"max-age":"1D"}`, "sx"},
		{"what only quorum queues know", "all", `^a`, `{"delivery-limit":1}`, "qx"},
		{"what only classic queues know", "all", `^a`, `{"queue-mode":"lazy"}`, "cx"},
		{"what nobody knows together", "all", `^a`, `{"queue-mode":"lazy","max-age":"1D"}`, "x"},
		{"what queues do not look at", "all", `^a`, `{"alternate-exchange":"ae"}`, "cqsx"},
	} {
		w.policy("p", c.applyTo, c.pattern, 0, c.definition)
		got := ""
		for _, o := range []struct{ initial, name string }{{"c", "a.classic"}, {"q", "a.quorum"}, {"s", "a.stream"}, {"b", "b"}} {
			if w.vhost().Queue(o.name).Policy != nil {
				got += o.initial
			}
		}
		if w.vhost().Exchange("a.x").Policy != nil {
			got += "x"
		}
		if got != c.applies {
			t.Errorf("%s: applies to %s, want %s", c.what, got, c.applies)
		}
	}
}

// TestWhereAQueueIsLed: what its arguments say goes before what its policy says.
func TestWhereAQueueIsLed(t *testing.T) {
	said := map[string]string{}
	w := newWorld(t, func(o *Options) {
		o.Place = func(c *Catalog, q *Queue) uint64 {
			said[q.Name] = q.LeaderLocator(c)
			return 1
		}
	})
	w.policy("p", "queues", "^led", 0, `{"queue-leader-locator":"client-local"}`)
	w.queue("a")
	w.queue("led")
	w.queue("led too", with("x-queue-leader-locator", "balanced"))
	w.queue("b", with("x-queue-leader-locator", "client-local"))
	for name, want := range map[string]string{"a": "", "led": "client-local", "led too": "balanced", "b": "client-local"} {
		if said[name] != want {
			t.Errorf("%s: %q, want %q", name, said[name], want)
		}
	}
}

// TestOnHowManyNodesAQueueLies: what its arguments say goes before what policies say, of which the greatest holds.
func TestOnHowManyNodesAQueueLies(t *testing.T) {
	said := map[string]int64{}
	w := newWorld(t, func(o *Options) {
		o.Place = func(c *Catalog, q *Queue) uint64 {
			said[q.Name] = q.Copies(c)
			return 1
		}
	})
	w.policy("p", "all", "^t", 0, `{"target-group-size":5}`)
	w.policy("s", "all", "^s", 0, `{"initial-cluster-size":1}`)
	w.policy("op", "queues", "^tt", 1, `{"target-group-size":7}`)
	w.policy("op2", "queues", "^tl", 0, `{"target-group-size":3}`)
	const argument, target, stream = "x-quorum-initial-group-size", "x-quorum-target-group-size", "x-initial-cluster-size"
	for _, c := range []struct {
		name, kind, argument string
		value                any
		want                 int64
	}{
		{"q", "quorum", "", nil, 0}, {"q1", "quorum", argument, int32(1), 1}, {"q9", "quorum", target, int64(9), 9}, {"q-", "quorum", target, int32(-9), 0},
		{"q0", "quorum", target, "nine", 0},
		{"t", "quorum", "", nil, 5}, {"t1", "quorum", argument, uint8(1), 1}, {"t9", "quorum", target, int16(9), 9}, {"t3", "quorum", target, int16(3), 5},
		{"tt", "quorum", "", nil, 7}, {"tl", "quorum", "", nil, 5}, {"tt1", "quorum", argument, int32(1), 1},
		{"t-stream", "stream", "", nil, 0}, {"t-classic", "classic", "", nil, 0},
		{"s", "stream", "", nil, 1}, {"s3", "stream", stream, int32(3), 3}, {"s-classic", "classic", "", nil, 0}, {"s-quorum", "quorum", "", nil, 0},
	} {
		pairs := []any{"x-queue-type", c.kind}
		if c.argument != "" {
			pairs = append(pairs, c.argument, c.value)
		}
		w.queue(c.name, with(pairs...))
		if said[c.name] != c.want {
			t.Errorf("%s: on %d nodes, not %d", c.name, said[c.name], c.want)
		}
	}
}

// TestADeclarationWaitsForAGroup that fits; others go on meanwhile.
func TestADeclarationWaitsForAGroup(t *testing.T) {
	there := atomic.Bool{}
	var w *world
	w = newWorld(t, func(o *Options) {
		o.Place = func(c *Catalog, q *Queue) uint64 {
			if q.Copies(c) == 5 && !there.Load() {
				return 0
			}
			return 3
		}
		o.Prepare = func(_ context.Context, copies int64) error {
			switch copies {
			case 5:
				w.queue("meanwhile")
				there.Store(true)
				return nil
			}
			return fmt.Errorf("nobody makes one of %d", copies)
		}
	})
	five := with("x-queue-type", "quorum", "x-quorum-initial-group-size", int32(5))
	if q := w.queue("five", five); q.Group != 3 || w.vhost().Queue("meanwhile") == nil {
		t.Errorf("%+v", q)
	}
	w.Options.Place = func(*Catalog, *Queue) uint64 { return 0 }
	_, err := w.declareQueue("seven", with("x-queue-type", "quorum", "x-quorum-initial-group-size", int32(7)))
	if want := "cannot declare queue 'seven' in vhost '/': nobody makes one of 7"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	if w.vhost().Queue("seven") != nil {
		t.Error("the queue is there")
	}
}

func TestPoliciesByPriority(t *testing.T) {
	w := newWorld(t)
	w.queue("q")
	applies := func(want string) {
		t.Helper()
		if got := policyName(w.vhost().Queue("q").Policy); got != want {
			t.Errorf("%s applies, want %s", got, want)
		}
	}
	applies("none")
	for _, p := range []struct {
		name     string
		priority int64
		want     string
	}{
		{"low", -5, "low"}, {"lowest", math.MinInt64, "low"}, {"b", 0, "b"}, {"a", 0, "a"}, {"z", 0, "a"}, {"high", 1, "high"},
		{"highest", math.MaxInt64, "highest"}, {"higher", math.MaxInt64 - 1, "highest"},
	} {
		w.policy(p.name, "all", "", p.priority, `{"max-length":1}`)
		applies(p.want)
	}
	var order []string
	for _, p := range w.vhost().Policies() {
		order = append(order, p.Name)
	}
	if got := strings.Join(order, " "); got != "highest higher high a b z low lowest" {
		t.Error(got)
	}
	w.policy("highest", "all", "", -1, `{"max-length":1}`) // one that changes takes its new place
	applies("higher")
	w.policy("higher", "all", "other", 9, `{"max-length":1}`)
	applies("high")
	for _, name := range []string{"high", "a", "b", "z", "highest", "low", "lowest", "higher"} {
		if _, err := w.memory.Commit(ctx, metaDrop(key(sectionPolicy, "/", name)), nil); err != nil {
			t.Fatal(err)
		}
	}
	applies("none")
	if n := len(w.vhost().Policies()); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// TestSettingsAreMerged from arguments, policy and operator policy.
func TestSettingsAreMerged(t *testing.T) {
	type config = func(c *queue.Config)
	for _, c := range []struct {
		what             string
		arguments        []any
		policy, operator string
		quorum           bool
		want             config
	}{
		{"nothing", nil, "", "", false, func(*queue.Config) {}},
		{"a policy", nil, `{"message-ttl":5,"expires":6,"max-length":7,"max-length-bytes":8}`, "", false, func(c *queue.Config) {
			c.MessageTTLMs, c.ExpiresMs, c.MaxLength, c.MaxLengthBytes = 5, 6, 7, 8
		}},
		{"the lowest of all, the policy's", []any{"x-message-ttl", int32(9)}, `{"message-ttl":5}`, `{"message-ttl":7}`, false, func(c *queue.Config) { c.MessageTTLMs = 5 }},
		{"the lowest of all, the operator's", []any{"x-message-ttl", int32(9)}, `{"message-ttl":8}`, `{"message-ttl":7}`, false, func(c *queue.Config) { c.MessageTTLMs = 7 }},
		{"the lowest of all, the argument's", []any{"x-message-ttl", int32(0)}, `{"message-ttl":8}`, `{"message-ttl":7}`, false, func(c *queue.Config) { c.MessageTTLMs = 0 }},
		{"texts: the argument first", []any{"x-dead-letter-exchange", "a", "x-dead-letter-routing-key", "k"}, `{"dead-letter-exchange":"p","dead-letter-routing-key":"pk"}`, "", false,
			func(c *queue.Config) {
				c.DeadLetter, c.DeadLetterExchange, c.DeadLetterKey, c.DeadLetterKeySet = true, "a", "k", true
			}},
		{"texts: then the policy", []any{"x-dead-letter-exchange", "a"}, `{"dead-letter-exchange":"p","dead-letter-routing-key":"pk"}`, "", false,
			func(c *queue.Config) {
				c.DeadLetter, c.DeadLetterExchange, c.DeadLetterKey, c.DeadLetterKeySet = true, "a", "pk", true
			}},
		{"overflow of a classic queue: the argument", []any{"x-overflow", "reject-publish"}, `{"overflow":"drop-head"}`, "", false, func(c *queue.Config) { c.Overflow = queue.RejectPublish }},
		{"overflow of a classic queue: the operator", nil, `{"overflow":"drop-head"}`, `{"overflow":"reject-publish-dlx"}`, false, func(c *queue.Config) { c.Overflow = queue.RejectPublishDLX }},
		{"overflow of a quorum queue: the policy", []any{"x-overflow", "reject-publish"}, `{"overflow":"drop-head"}`, "", true, func(*queue.Config) {}},
		{"overflow of a quorum queue: the operator", []any{"x-overflow", "drop-head"}, `{"overflow":"drop-head"}`, `{"overflow":"reject-publish"}`, true, func(c *queue.Config) { c.Overflow = queue.RejectPublish }},
		{"overflow that quorum queues do not have", []any{"x-overflow", "reject-publish-dlx"}, "", "", true, func(*queue.Config) {}},
		{"a delivery limit", []any{"x-delivery-limit", int32(5)}, "", "", true, func(c *queue.Config) { c.DeliveryLimit = 5 }},
		{"the lowest delivery limit", []any{"x-delivery-limit", int32(5)}, `{"delivery-limit":3}`, `{"delivery-limit":4}`, true, func(c *queue.Config) { c.DeliveryLimit = 3 }},
		{"a limit rather than none", []any{"x-delivery-limit", int32(-1)}, `{"delivery-limit":30}`, "", true, func(c *queue.Config) { c.DeliveryLimit = 30 }},
		{"no limit", []any{"x-delivery-limit", int32(-7)}, `{"delivery-limit":-2}`, "", true, func(c *queue.Config) { c.DeliveryLimit = queue.None }},
		{"at least once", []any{"x-dead-letter-strategy", "at-least-once", "x-dead-letter-exchange", "d", "x-overflow", "reject-publish"}, "", "", true, func(c *queue.Config) {
			c.AtLeastOnce, c.DeadLetter, c.DeadLetterExchange, c.Overflow = true, true, "d", queue.RejectPublish
		}},
		{"at least once needs its overflow", []any{"x-dead-letter-strategy", "at-least-once", "x-dead-letter-exchange", "d"}, "", "", true, func(c *queue.Config) {
			c.DeadLetter, c.DeadLetterExchange = true, "d"
		}},
		{"retries", []any{"x-delayed-retry-type", "all", "x-delayed-retry-min", int32(5), "x-delayed-retry-max", int32(50)}, `{"delayed-retry-type":"failed","delayed-retry-min":7}`, `{"delayed-retry-max":40}`, true,
			func(c *queue.Config) { c.Retry, c.RetryMinMs, c.RetryMaxMs = queue.RetryFailed, 7, 40 }},
		{"a policy of wrong types", nil, `{"message-ttl":"5","dead-letter-exchange":5,"max-length":1.5}`, "", false, func(*queue.Config) {}},
		{"a policy with what queues take no notice of", nil, `{"max-priority":5,"alternate-exchange":"ae","unheard-of":[1,{"a":2}]}`, "", false, func(*queue.Config) {}},
	} {
		w := newWorld(t)
		want := queue.DefaultConfig()
		want.Durable = true
		if c.quorum {
			c.arguments = append(c.arguments, "x-queue-type", "quorum")
			want.Type, want.DeliveryLimit, want.ConsumerTimeoutMs = queue.Quorum, quorumDeliveryLimit, ConsumerTimeoutDefault
		}
		c.want(&want)
		before := w.queue("before", with(c.arguments...)).Config
		if c.policy != "" {
			w.policy("p", "queues", "", 0, c.policy)
		}
		if c.operator != "" {
			w.policy("op", "queues", "", 0, c.operator)
		}
		w.queue("after", with(c.arguments...))
		for _, name := range []string{"before", "after"} {
			if got := w.vhost().Queue(name).Config; *got != want {
				t.Errorf("%s, declared %s the policies:\ngot  %+v\nwant %+v", c.what, name, got, want)
			}
		}
		for _, p := range []string{key(sectionPolicy, "/", "p"), key(sectionOperator, "/", "op")} {
			_, err := w.memory.Commit(ctx, metaDrop(p), nil)
			w.must(err)
		}
		if got := w.vhost().Queue("before").Config; *got != *before {
			t.Errorf("%s, without policies again:\ngot  %+v\nwant %+v", c.what, got, before)
		}
	}
}

// TestListenersHearOfConfigurations that a policy changes, and of no other queue.
func TestListenersHearOfConfigurations(t *testing.T) {
	w := newWorld(t)
	w.queue("a")
	w.queue("b")
	w.queue("limited", with("x-max-length", int32(1)))
	var changes []QueueChange
	w.Listen(func(c Change) { changes = append(changes, c.Queues...) })
	w.policy("p", "queues", "^(a|limited)$", 0, `{"max-length":5}`)
	names := map[string]bool{}
	for _, c := range changes {
		if c.Before == nil || c.After == nil || c.Before.ID != c.After.ID {
			t.Errorf("%+v", c)
			continue
		}
		names[c.After.Name] = *c.Before.Config != *c.After.Config
	}
	if len(names) != 2 || !names["a"] || names["limited"] {
		t.Errorf("%v", names)
	}
	if q := w.vhost().Queue("a"); w.Catalog().QueueByID(q.ID) != q {
		t.Error("its id leads to another")
	}
}
