package compat

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestQueueArgumentsByType(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	tests := []struct {
		kind    string
		arg     string
		value   any
		refused string // words of the refusal, "" if it is accepted
	}{
		{"classic", "x-queue-mode", "lazy", ""},
		{"classic", "x-queue-mode", "default", ""},
		{"classic", "x-queue-version", int32(2), ""},
		{"classic", "x-queue-version", int32(1), "unsupported queue version '1'"},
		{"classic", "x-queue-leader-locator", "client-local", ""},
		{"quorum", "x-queue-leader-locator", "balanced", ""},
		{"stream", "x-queue-leader-locator", "client-local", ""},
		{"classic", "x-queue-leader-locator", "moon", "invalid_queue_locator_arg"},
		{"quorum", "x-quorum-initial-group-size", int32(1), ""},
		{"quorum", "x-quorum-initial-group-size", int32(0), "{value_zero,0}"},
		{"stream", "x-initial-cluster-size", int32(1), ""},
		{"classic", "x-quorum-initial-group-size", int32(3), "of queue type rabbit_classic_queue"},
		{"quorum", "x-max-in-memory-length", int32(10), ""},
		{"quorum", "x-max-in-memory-bytes", int32(10), ""},
		{"quorum", "x-delivery-limit", int32(-1), ""},
		{"quorum", "x-delayed-retry-type", "all", ""},
		{"quorum", "x-consumer-timeout", int32(-1), "{value_negative,-1}"},
		{"classic", "x-consumer-timeout", int32(1000), "of queue type rabbit_classic_queue"},
		{"quorum", "x-queue-mode", "lazy", "of queue type rabbit_quorum_queue"},
		{"classic", "x-expires", int32(0), "{value_zero,0}"},
		{"quorum", "x-expires", int32(-1), "{value_negative,-1}"},
		{"classic", "x-message-ttl", int64(315360000001), "{value_too_large,315360000001}"},
		{"classic", "x-max-length-bytes", "many", `"expected integer, got longstr"`},
		{"stream", "x-max-length-bytes", int64(1 << 30), ""},
		{"stream", "x-max-age", "7D", ""},
		{"stream", "x-max-age", "7x", "invalid_max_age"},
		{"stream", "x-max-age", "+7h", "invalid_max_age"},
		{"stream", "x-max-length", int32(1), "of queue type rabbit_stream_queue"},
		{"stream", "x-message-ttl", int32(1), "of queue type rabbit_stream_queue"},
		{"stream", "x-stream-filter-size-bytes", int32(32), ""},
		{"stream", "x-stream-filter-size-bytes", int32(15), "Invalid value for x-stream-filter-size-bytes"},
		{"classic", "x-overflow", "reject-publish-dlx", ""},
		{"quorum", "x-overflow", "reject-publish-dlx", ""},
		{"quorum", "x-overflow", "drop-tail", "invalid_overflow"},
		{"classic", "x-max-priority", int32(255), ""},
		{"classic", "x-max-priority", int32(256), "{max_value_exceeded,256}"},
		{"classic", "x-single-active-consumer", "true", "{unacceptable_type,longstr}"},
		{"classic", "x-dead-letter-routing-key", "key", "routing_key_but_no_dlx_defined"},
		{"quorum", "x-dead-letter-strategy", "at-least-once", ""},
		{"quorum", "x-dead-letter-strategy", "sometimes", "invalid_dlx_strategy"},
		{"classic", "x-dead-letter-strategy", "at-most-once", "of queue type rabbit_classic_queue"},
		{"moon", "x-queue-type", "moon", "unsupported queue type 'moon'"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s %s %v", test.kind, test.arg, test.value), func(t *testing.T) {
			args := amqp.Table{"x-queue-type": test.kind, test.arg: test.value}
			ch, name := c.channel(), unique("argument")
			_, err := ch.QueueDeclare(name, true, false, false, false, args)
			if test.refused != "" {
				wantRefusal(t, err, amqp.PreconditionFailed, test.arg, test.refused)
				return
			}
			ch.must(err, "queue.declare")
			_, err = ch.QueueDeclare(name, true, false, false, false, args)
			ch.must(err, "the same again")
			_, err = ch.QueueDelete(name, false, false, false)
			ch.must(err, "queue.delete")
		})
	}
}

func TestDefaultQueueTypeOfAVhost(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	m := manage(t)
	name := unique("vhost")
	inPath := url.PathEscape(name)
	m.must(created, put, "/vhosts/"+inPath, object{"default_queue_type": "quorum"})
	t.Cleanup(func() { m.try(remove, "/vhosts/"+inPath, nil) })
	m.try(put, "/permissions/"+inPath+"/"+m.user, everything)
	c := m.enter(name)
	declare := func(queue string, durable, exclusive bool, args amqp.Table) {
		t.Helper()
		_, err := c.QueueDeclare(queue, durable, false, exclusive, false, args)
		c.must(err, "queue.declare")
	}
	declare("usual", true, false, nil)
	declare("usual", true, false, amqp.Table{"x-queue-type": "quorum"})
	declare("asked", true, false, amqp.Table{"x-queue-type": "classic"})
	declare("exclusive", false, true, nil)
	for queue, kind := range map[string]string{"usual": "quorum", "asked": "classic", "exclusive": "classic"} {
		shown := m.get("/queues/" + inPath + "/" + queue)
		equal(t, "type of "+queue, follow(shown, "type"), any(kind))
		equal(t, "x-queue-type of "+queue, follow(shown, "arguments", "x-queue-type"), any(kind))
	}
	_, err := c.QueueDeclare("usual", true, false, false, false, amqp.Table{"x-queue-type": "classic"})
	wantRefusal(t, err, amqp.PreconditionFailed, "inequivalent arg 'x-queue-type' for queue 'usual'", "received 'classic' but current is 'quorum'")
}

func TestQuorumQueueExpiresWhenUnused(t *testing.T) {
	t.Parallel()
	m, c := manage(t), connect(t)
	q := c.quorumQueue(amqp.Table{"x-expires": 100})
	path := "/queues/" + m.home() + "/" + q
	c.eventually("the queue to be gone", func() bool { return m.try(http.MethodGet, path, nil).status == http.StatusNotFound })
}

func TestAMessageAboveTheByteLimitIsDropped(t *testing.T) {
	t.Parallel()
	c := connect(t)
	for _, kind := range []string{"classic", "quorum"} {
		q := c.queue(amqp.Table{"x-queue-type": kind, "x-max-length-bytes": 1000, "x-max-length": 2})
		c.fill(q, "small", strings.Repeat("b", 2000), "a", "b", "c")
		equal(t, "left in the "+kind+" queue", c.drain(q), []string{"b", "c"})
	}
}

func TestQuorumQueueRefusesWhenItIsFull(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.quorumQueue(amqp.Table{"x-max-length": 3, "x-overflow": "reject-publish"})
	c.confirming()
	taken := 0
	c.eventually("a refusal", func() bool { // the limit is soft: it may take some more
		ok := c.confirm("", q, amqp.Publishing{})
		if ok {
			taken++
		}
		return !ok
	})
	if taken < 3 {
		t.Fatalf("%d messages fit into a queue of 3", taken)
	}
	equal(t, "what was confirmed is there", len(c.drain(q)), taken)
	c.eventually("room again", func() bool { return c.confirm("", q, amqp.Publishing{}) })
}

// Deprecated, and in use everywhere: a queue that neither lasts nor belongs to a connection.
func TestTransientQueueThatIsNotExclusive(t *testing.T) {
	t.Parallel()
	c, other := connect(t), connect(t)
	q, err := c.QueueDeclare(unique("transient"), false, false, false, false, nil)
	c.must(err, "queue.declare")
	c.must(c.conn.Close(), "connection.close")
	other.fill(q.Name, "m")
	equal(t, "from another connection", other.drain(q.Name), []string{"m"})
	_, err = other.QueueDelete(q.Name, false, false, false)
	other.must(err, "queue.delete")
}

func TestQueueMasterLocatorIsDenied(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	_, err := c.QueueDeclare(unique("queue"), true, false, false, false, amqp.Table{"x-queue-master-locator": "min-masters"})
	wantRefusal(t, err, amqp.InternalError, "Feature `queue_master_locator` is deprecated")
}

func TestConsumerArgumentsThatAreRefused(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	queues := map[string]string{}
	for _, kind := range []string{"classic", "quorum", "stream"} {
		queues[kind] = c.queue(amqp.Table{"x-queue-type": kind})
	}
	for _, test := range []struct {
		kind, arg string
		value     any
		words     string
	}{
		{"classic", "x-priority", "high", `"expected integer, got longstr"`},
		{"quorum", "x-priority", true, `"expected integer, got bool"`},
		{"stream", "x-priority", "high", "of queue type rabbit_stream_queue"},
		{"quorum", "x-consumer-timeout", int32(-1), "{value_negative,-1}"},
		{"quorum", "x-consumer-timeout", "soon", `"expected integer, got longstr"`},
		{"quorum", "x-stream-offset", "first", "of queue type rabbit_quorum_queue"},
	} {
		ch := c.channel()
		ch.prefetch(1)
		_, err := ch.Consume(queues[test.kind], "", false, false, false, false, amqp.Table{test.arg: test.value})
		wantRefusal(t, err, amqp.PreconditionFailed, "invalid arg '"+test.arg+"' for queue '"+queues[test.kind], test.words)
	}
}

// A redeclaration is compared with the queue that is there, even if it asks for a type that there is not.
func TestRedeclareWithAnUnknownType(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	q := c.queue(nil)
	for _, test := range []struct {
		value      any
		autoDelete bool
		words      string
	}{
		{"moon", false, "received 'moon' but current is 'classic'"},
		{int32(5), false, "received '5' but current is 'classic'"},
		{nil, false, "received none but current is 'classic'"},
		{"moon", true, "'auto_delete'"},
	} {
		_, err := c.channel().QueueDeclare(q, true, test.autoDelete, false, false, amqp.Table{"x-queue-type": test.value})
		wantRefusal(t, err, amqp.PreconditionFailed, "inequivalent arg", "for queue '"+q+"'", test.words)
	}
	_, err := c.channel().QueueDeclare("", true, false, false, false, amqp.Table{"x-queue-type": "moon"})
	wantRefusal(t, err, amqp.PreconditionFailed, "unknown queue type 'moon'")
	_, err = c.channel().QueueDeclare("amq.moon", true, false, false, false, amqp.Table{"x-queue-type": "moon"})
	wantRefusal(t, err, amqp.AccessRefused, "queue name 'amq.moon' contains reserved prefix 'amq.*'")
}

// An argument without a value is none, where it is compared.
func TestRedeclareWithAVoidArgument(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	q := c.queue(amqp.Table{"x-queue-mode": "lazy"})
	_, err := c.channel().QueueDeclare(q, true, false, false, false, amqp.Table{"x-queue-mode": nil})
	wantRefusal(t, err, amqp.PreconditionFailed, "inequivalent arg 'x-queue-mode'", "received none but current is 'lazy'")
}
