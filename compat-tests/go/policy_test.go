package compat

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// policy is what the management API takes for one; the pattern is made from the name it is for.
type policy struct {
	definition object
	priority   int
	applyTo    string
}

// setPolicy gives the queue or exchange of that name a policy, and returns how to take it away again. The kind is
// "policies" or "operator-policies".
func (m *management) setPolicy(kind, name string, p policy) (clear func()) {
	m.t.Helper()
	if p.applyTo == "" {
		p.applyTo = "all"
	}
	path := "/" + kind + "/" + m.home() + "/" + unique("policy")
	m.must(created, put, path, object{
		"pattern": "^" + regexp.QuoteMeta(name) + "$", "definition": p.definition, "priority": p.priority, "apply-to": p.applyTo,
	})
	gone := false
	clear = func() {
		if !gone {
			gone = true
			m.try(remove, path, nil)
		}
	}
	m.t.Cleanup(clear)
	return clear
}

// home is the vhost of AMQP_URL, as it stands in a path.
func (m *management) home() string {
	m.t.Helper()
	uri, err := amqp.ParseURI(brokerURL)
	if err != nil {
		m.t.Fatal(err)
	}
	return url.PathEscape(uri.Vhost)
}

func TestPolicyOfTheHighestPriorityHoldsAlone(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	m, c := manage(t), connect(t)
	q := c.queue(nil)
	m.setPolicy("policies", q, policy{definition: object{"max-length": 1}, priority: 1})
	clear := m.setPolicy("policies", q, policy{definition: object{"max-length": 3, "overflow": "reject-publish"}, priority: 2})
	m.setPolicy("policies", q, policy{definition: object{"max-length": 2}, priority: 3, applyTo: "quorum_queues"})
	m.setPolicy("policies", q, policy{definition: object{"max-length": 2}, priority: 3, applyTo: "exchanges"})
	c.confirming()
	for i, want := range []bool{true, true, true, false} {
		equal(t, "confirmed", c.confirm("", q, amqp.Publishing{Body: []byte(numbered(4)[i])}), want)
	}
	clear()
	c.waitReady(q, 1)
	equal(t, "left by the policy of lower priority", c.drain(q), []string{"2"})
}

func TestPolicyWithAKeyOfAnotherQueueTypeIsPassedOver(t *testing.T) {
	t.Parallel()
	m, c := manage(t), connect(t)
	for kind, left := range map[string]int{"classic": 2, "quorum": 1} {
		q := c.queue(amqp.Table{"x-queue-type": kind})
		m.setPolicy("policies", q, policy{definition: object{"max-length": 1, "delivery-limit": 5}, priority: 9})
		m.setPolicy("policies", q, policy{definition: object{"max-length": 2}, priority: 1})
		c.fill(q, numbered(4)...)
		c.waitReady(q, left)
	}
}

// Not every such key rules a policy out: some are without effect, and the others of the policy hold.
func TestPolicyWithAKeyWithoutEffectHolds(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	m, c := manage(t), connect(t)
	for kind, extra := range map[string]object{
		"classic": {"consumer-timeout": 60000, "delayed-retry-type": "all", "delayed-retry-min": 60000, "stream-filter-size-bytes": 20},
		"quorum":  {"queue-version": 2, "stream-filter-size-bytes": 20},
	} {
		q := c.queue(amqp.Table{"x-queue-type": kind})
		extra["max-length"] = 2
		m.setPolicy("policies", q, policy{definition: extra})
		c.fill(q, numbered(4)...)
		c.waitReady(q, 2)
		d := c.get(q)
		equal(t, "the first left in the "+kind+" queue", string(d.Body), "2")
		c.must(d.Nack(false, true), "basic.nack")
		equal(t, "after a requeue", string(c.get(q).Body), "2")
	}
}

func TestOperatorPolicyMergesWithThePolicy(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	m, c := manage(t), connect(t)
	for _, kind := range []string{"classic", "quorum"} {
		q := c.queue(amqp.Table{"x-queue-type": kind, "x-max-length": 4})
		c.fill(q, numbered(6)...)
		c.waitReady(q, 4)
		m.setPolicy("policies", q, policy{definition: object{"max-length": 3, "overflow": "reject-publish"}})
		m.setPolicy("operator-policies", q, policy{definition: object{"max-length": 10, "overflow": "drop-head"}})
		c.fill(q, "a", "b") // the operator's overflow, the smallest of the three lengths
		c.waitReady(q, 3)
		equal(t, "left in the "+kind+" queue", c.drain(q), []string{"5", "a", "b"})
	}
}

// Lengths and times: the smaller of argument and policy. What a policy and an argument say otherwise: the argument wins,
// but for the overflow of a quorum queue.
func TestPolicyBesideArguments(t *testing.T) {
	t.Parallel()
	m, c := manage(t), connect(t)
	for kind, refuses := range map[string]bool{"classic": false, "quorum": true} {
		q := c.queue(amqp.Table{"x-queue-type": kind, "x-max-length": 2, "x-overflow": "drop-head"})
		m.setPolicy("policies", q, policy{definition: object{"max-length": 5, "overflow": "reject-publish"}})
		ch := c.channel()
		ch.confirming()
		if refuses { // soft: the queue says that it is full, after it is
			ch.eventually("a refusal", func() bool { return !ch.confirm("", q, amqp.Publishing{}) })
			continue
		}
		for range 4 {
			equal(t, "confirmed by the "+kind+" queue", ch.confirm("", q, amqp.Publishing{}), true)
		}
		c.waitReady(q, 2)
	}
	mine, theirs := c.queue(nil), c.queue(nil)
	for _, kind := range []string{"classic", "quorum"} {
		q := c.queue(amqp.Table{"x-queue-type": kind, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": mine})
		m.setPolicy("policies", q, policy{definition: object{"dead-letter-exchange": "", "dead-letter-routing-key": theirs}})
		c.fill(q, kind)
		c.must(c.get(q).Nack(false, false), "basic.nack")
		equal(t, "dead-lettered by the argument", string(c.get(mine).Body), kind)
		c.staysEmpty(theirs)
	}
}

func TestPolicyLimitsAQueueThatIsThere(t *testing.T) {
	t.Parallel()
	m, c := manage(t), connect(t)
	for _, kind := range []string{"classic", "quorum"} {
		q := c.queue(amqp.Table{"x-queue-type": kind})
		bodies := numbered(10)
		for i := range bodies {
			bodies[i] += strings.Repeat(".", 999)
		}
		c.fill(q, bodies...)
		clear := m.setPolicy("policies", q, policy{definition: object{"max-length-bytes": 7500}})
		c.waitReady(q, 7)
		clear()
		m.setPolicy("policies", q, policy{definition: object{"max-length": 2}})
		c.waitReady(q, 2)
		equal(t, "the first left", string(c.get(q).Body), bodies[8])
	}
}

func TestPolicyExpiresAQueueThatIsThere(t *testing.T) {
	t.Parallel()
	m, c := manage(t), connect(t)
	q := c.queue(nil)
	m.setPolicy("policies", q, policy{definition: object{"expires": 60}})
	path := "/queues/" + m.home() + "/" + q // to ask over AMQP would keep it
	c.eventually("the queue to be gone", func() bool { return m.try(http.MethodGet, path, nil).status == http.StatusNotFound })
}

func TestPolicyGivesMessagesATimeToLive(t *testing.T) {
	t.Parallel()
	m, c := manage(t), connect(t)
	for _, kind := range []string{"classic", "quorum"} {
		dead := c.queue(nil)
		q := c.queue(amqp.Table{"x-queue-type": kind, "x-message-ttl": 3600000})
		c.fill(q, "early")
		c.drain(q)
		m.setPolicy("policies", q, policy{definition: object{
			"message-ttl": 40, "dead-letter-exchange": "", "dead-letter-routing-key": dead,
		}})
		c.fill(q, "late")
		d := c.get(dead)
		equal(t, "body", string(d.Body), "late")
		c.wantDeath(c.deaths(d)[0], 1, "expired", q, "", q)
	}
}

// The queue is told after the metadata: what shows that the policy holds of it, or no longer does, is a limit beside it.
func TestPolicyDeadLettersUntilItIsTakenAway(t *testing.T) {
	t.Parallel()
	m, c := manage(t), connect(t)
	for _, kind := range []string{"classic", "quorum"} {
		x := c.exchange("direct", nil)
		dead := c.boundQueue(x, "dead")
		q := c.queue(amqp.Table{"x-queue-type": kind})
		c.fill(q, "over", "kept", "third")
		clear := m.setPolicy("policies", q, policy{definition: object{
			"dead-letter-exchange": x, "dead-letter-routing-key": "dead", "max-length": 2,
		}})
		equal(t, "over the limit", string(c.get(dead).Body), "over")
		c.must(c.get(q).Reject(false), "basic.reject")
		d := c.get(dead)
		equal(t, "body", string(d.Body), "kept")
		equal(t, "key", d.RoutingKey, "dead")
		clear()
		c.eventually("the limit to be gone", func() bool {
			c.fill(q, "more", "more")
			messages, _ := c.counts(q)
			return messages > 2
		})
		gone := c.queue(nil)
		c.must(c.QueueUnbind(dead, "dead", x, nil), "queue.unbind")
		c.must(c.QueueBind(gone, "dead", x, false, nil), "queue.bind")
		c.must(c.get(q).Reject(false), "basic.reject")
		c.staysEmpty(gone)
	}
}

func TestPolicySetsTheDeliveryLimit(t *testing.T) {
	t.Parallel()
	m, c := manage(t), connect(t)
	dead := c.queue(nil)
	q := c.quorumQueue(amqp.Table{"x-delivery-limit": 10, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	m.setPolicy("policies", q, policy{definition: object{"delivery-limit": 3}})
	m.setPolicy("operator-policies", q, policy{definition: object{"delivery-limit": 1}})
	c.fill(q, "poison")
	for range 2 {
		c.must(c.get(q).Reject(true), "basic.reject")
	}
	d := c.get(dead)
	c.wantDeath(c.deaths(d)[0], 1, "delivery_limit", q, "", q)
}

func TestPolicyGivesAnAlternateExchange(t *testing.T) {
	t.Parallel()
	m, c := manage(t), connect(t)
	fallback, declared := c.exchange("fanout", nil), c.exchange("fanout", nil)
	unrouted, own := c.boundQueue(fallback, ""), c.boundQueue(declared, "")
	plain, with := c.exchange("direct", nil), c.exchange("direct", amqp.Table{"alternate-exchange": declared})
	var clear func()
	for _, x := range []string{plain, with} {
		clear = m.setPolicy("policies", x, policy{definition: object{"alternate-exchange": fallback}, applyTo: "exchanges"})
		c.publish(x, "nowhere", x)
	}
	equal(t, "by the policy", string(c.get(unrouted).Body), plain)
	equal(t, "by the argument", string(c.get(own).Body), with)
	clear()
}

func TestPolicySetsTheConsumerTimeout(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	m, c := manage(t), connect(t)
	q := c.quorumQueue(nil)
	m.setPolicy("policies", q, policy{definition: object{"consumer-timeout": 200}})
	c.fill(q, "slow")
	c.wantTimedOut(q, nil)
}

// wantTimedOut consumes a message, sits on it, and wants the broker to take it back.
func (c *client) wantTimedOut(q string, args amqp.Table) {
	c.t.Helper()
	slow := c.channel()
	cancelled := slow.NotifyCancel(make(chan string, 1))
	ds := slow.consumeWith(q, "slow", false, args)
	equal(c.t, "body", string(slow.next(ds).Body), "slow")
	select {
	case tag := <-cancelled:
		equal(c.t, "cancelled", tag, "slow")
	case <-time.After(patience):
		c.t.Fatal("the consumer was not cancelled")
	}
	again := c.channel()
	defer again.Close()
	d := again.get(q)
	equal(c.t, "body", string(d.Body), "slow")
	equal(c.t, "redelivered", d.Redelivered, true)
	equal(c.t, "it is no failed delivery", d.Headers["x-delivery-count"], any(nil))
}

// A null is not the same as nothing: there is no default for it.
func TestPolicyWithNulls(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	m := manage(t)
	_, inPath := m.vhost()
	for what, test := range map[string]struct {
		body  object
		words string
	}{
		"priority": {object{"pattern": "^q$", "definition": object{"max-length": 1}, "priority": nil}, "priority should be a number, actually was null"},
		"apply-to": {object{"pattern": "^q$", "definition": object{"max-length": 1}, "apply-to": nil}, "apply-to 'null' unrecognised"},
		"nothing":  {object{"pattern": "^q$", "definition": object{"max-length": 1}, "apply-to": ""}, "apply-to '' unrecognised"},
		"pattern":  {object{"pattern": nil, "definition": object{"max-length": 1}}, "pattern should be a binary but was null"},
	} {
		for _, kind := range []string{"/policies/", "/operator-policies/"} {
			r := m.must(http.StatusBadRequest, put, kind+inPath+"/p", test.body)
			if reason, _ := follow(r.body, "reason").(string); !strings.Contains(reason, test.words) {
				t.Errorf("%s: %q, want %q", what, reason, test.words)
			}
		}
	}
}
