package topology

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/protocol"
)

func TestQueueDeclareChecks(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.QueueLimit = 4 })
	_, err := w.PutVHost(ctx, "small", func(r *VHostRecord) { r.Limits = map[string]int64{"max-queues": 1} }, nil)
	w.must(err)
	_, err = w.PutVHost(ctx, "none", func(r *VHostRecord) { r.Limits = map[string]int64{"max-queues": 0, "max-connections": -1} }, nil)
	w.must(err)
	own := Owner{Node: 1, Session: 5}
	for _, c := range []struct {
		what    string
		d       QueueDeclaration
		no      []string
		refusal string
	}{
		{"a vhost that is gone", QueueDeclaration{VHost: "gone"}, nil, "404 NOT_FOUND - no vhost 'gone'"},
		{"a type that is no text", QueueDeclaration{Name: "q", Arguments: fields("x-queue-type", int32(1))}, nil,
			"406 PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'q' in vhost '/': {unacceptable_type,signedint}"},
		{"an unknown type", QueueDeclaration{Name: "q", Arguments: fields("x-queue-type", "foo")}, nil,
			"406 PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'q' in vhost '/': \"unsupported queue type 'foo'\""},
		{"a quorum queue without a name", QueueDeclaration{Durable: true, Arguments: fields("x-queue-type", "quorum")}, nil,
			"406 PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue"},
		{"a stream without a name", QueueDeclaration{Name: "\r\n", Durable: true, Arguments: fields("x-queue-type", "stream")}, nil,
			"406 PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_stream_queue"},
		{"a reserved name", QueueDeclaration{Name: "amq.q"}, []string{"configure queue amq.q"},
			"403 ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'"},
		{"no permission", QueueDeclaration{Name: "q", Arguments: fields("x-expires", int32(0))}, []string{"configure queue q"},
			"403 ACCESS_REFUSED - no configure queue q"},
		{"a dead-letter exchange of a wrong type", QueueDeclaration{Name: "q", Arguments: fields("x-dead-letter-exchange", int32(1), "x-expires", int32(0))},
			[]string{"read queue q"}, "406 PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"},
		{"no permission to read", QueueDeclaration{Name: "q", Arguments: fields("x-dead-letter-exchange", "dlx", "x-expires", int32(0))},
			[]string{"read queue q", "write exchange dlx"}, "403 ACCESS_REFUSED - no read queue q"},
		{"no permission to write", QueueDeclaration{Name: "q", Arguments: fields("x-dead-letter-exchange", "dlx", "x-expires", int32(0))},
			[]string{"write exchange dlx"}, "403 ACCESS_REFUSED - no write exchange dlx"},
		{"values before properties", QueueDeclaration{Name: "q", Exclusive: true, Arguments: fields("x-queue-type", "quorum", "x-expires", int32(0))}, nil,
			"406 PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'q' in vhost '/': {value_zero,0}"},
		{"auto-delete first", QueueDeclaration{Name: "q", Exclusive: true, AutoDelete: true, Arguments: fields("x-queue-type", "quorum")}, nil,
			"406 PRECONDITION_FAILED - invalid property 'auto-delete' for queue 'q' in vhost '/'"},
		{"exclusive then", QueueDeclaration{Name: "q", Exclusive: true, Arguments: fields("x-queue-type", "stream")}, nil,
			"406 PRECONDITION_FAILED - invalid property 'exclusive-owner' for queue 'q' in vhost '/'"},
		{"not durable last", QueueDeclaration{Name: "q", Arguments: fields("x-queue-type", "quorum")}, nil,
			"406 PRECONDITION_FAILED - invalid property 'non-durable' for queue 'q' in vhost '/'"},
		{"a deprecated argument", QueueDeclaration{Name: "q", Arguments: fields("x-queue-master-locator", "min-masters")}, nil,
			"541 INTERNAL_ERROR - Feature `queue_master_locator` is deprecated.\nBy default, this feature is not permitted anymore.\nThe feature will be removed from a future major RabbitMQ version, regardless of the configuration; actual version to be determined.\nTo con..."},
		{"a vhost that is full at once", QueueDeclaration{VHost: "none", Name: "q"}, nil,
			"406 PRECONDITION_FAILED - cannot declare queue 'q': queue limit in vhost 'none' (0) is reached"},
		{"the first of its vhost", QueueDeclaration{VHost: "small", Name: "q1"}, nil, ""},
		{"the second of its vhost", QueueDeclaration{VHost: "small", Name: "q2"}, nil,
			"406 PRECONDITION_FAILED - cannot declare queue 'q2': queue limit in vhost 'small' (1) is reached"},
		{"the first of its vhost again", QueueDeclaration{VHost: "small", Name: "q1"}, nil, ""},
		{"one", QueueDeclaration{Name: "q"}, nil, ""},
		{"two", QueueDeclaration{Name: "own", Exclusive: true, Owner: own}, nil, ""},
		{"three", QueueDeclaration{Name: ""}, nil, ""},
		{"too many", QueueDeclaration{Name: "more"}, nil, "406 PRECONDITION_FAILED - cannot declare queue 'more': queue limit in cluster (4) is reached"},
		{"too many, but there already", QueueDeclaration{Name: "q\r"}, nil, ""},
	} {
		if c.d.VHost == "" {
			c.d.VHost = "/"
		}
		_, err := w.DeclareQueue(ctx, c.d, &actor{no: c.no}, nil)
		want(t, c.what, err, c.refusal)
	}
}

func TestTransientQueuesMayBeForbidden(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Forbidden = Forbidden(map[string]bool{"transient_nonexcl_queues": false, "queue_master_locator": true})
	})
	_, err := w.declareQueue("q", func(d *QueueDeclaration) { d.Durable = false })
	want(t, "transient", err, "541 INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.\nIts use is not permitted per the configuration (overriding the default, which is permitted):\n    \"deprecated_features.permit.transient_nonexcl_queues = false\"\nIts use will not be permit...")
	w.queue("own", func(d *QueueDeclaration) { d.Durable, d.Exclusive = false, true })
	_, err = w.declareQueue("q", with("x-queue-master-locator", "client-local"))
	want(t, "with a permitted argument", err, "")
}

func TestQueuesAreEquivalentOrNot(t *testing.T) {
	w := newWorld(t)
	w.queue("q", with("x-message-ttl", int32(60000), "x-max-priority", uint8(5), "unknown", "a"))
	w.queue("plain")
	w.queue("own", func(d *QueueDeclaration) { d.Exclusive = true })
	const is = "406 PRECONDITION_FAILED - inequivalent arg '"
	locked := func(name string) string {
		text := "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '" + name + "' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."
		return "405 " + text
	}
	args := func(pairs ...any) func(*QueueDeclaration) { return with(pairs...) }
	for _, c := range []struct {
		what, name string
		change     func(*QueueDeclaration)
		refusal    string
	}{
		{"as it is", "q", args("x-message-ttl", int32(60000), "x-max-priority", uint8(5), "unknown", "a"), ""},
		{"integers of other widths", "q", args("x-message-ttl", int64(60000), "x-max-priority", int16(5)), ""},
		{"in another order, with the type", "q", args("x-queue-type", "classic", "x-max-priority", int32(5), "x-message-ttl", uint32(60000), "other", 1.5), ""},
		{"exclusive and all else", "q", func(d *QueueDeclaration) { d.Exclusive, d.Durable, d.AutoDelete = true, false, true }, locked("q")},
		{"durable and all else", "q", func(d *QueueDeclaration) { d.Durable, d.AutoDelete = false, true }, is + "durable' for queue 'q' in vhost '/': received 'false' but current is 'true'"},
		{"auto_delete and arguments", "q", func(d *QueueDeclaration) { d.AutoDelete = true }, is + "auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'"},
		{"another value", "q", args("x-message-ttl", int32(5000), "x-max-priority", int32(5)), is + "x-message-ttl' for queue 'q' in vhost '/': received '5000' but current is '60000'"},
		{"none of it", "q", args("x-max-priority", int32(5)), is + "x-message-ttl' for queue 'q' in vhost '/': received none but current is the value '60000' of type 'signedint'"},
		{"one it does not have", "plain", args("x-message-ttl", int64(60000)), is + "x-message-ttl' for queue 'plain' in vhost '/': received the value '60000' of type 'long' but current is none"},
		{"a float is no integer", "q", args("x-message-ttl", float64(60000), "x-max-priority", int32(5)), is + "x-message-ttl' for queue 'q' in vhost '/': received '6.0e4' but current is '60000'"},
		{"an invalid value", "q", args("x-message-ttl", int32(-1), "x-max-priority", int32(5)), is + "x-message-ttl' for queue 'q' in vhost '/': received '-1' but current is '60000'"},
		{"a mode", "plain", args("x-queue-mode", "lazy"), is + "x-queue-mode' for queue 'plain' in vhost '/': received the value 'lazy' of type 'longstr' but current is none"},
		{"an argument of other types", "plain", args("x-delivery-limit", int32(1)), ""},
		{"another type", "plain", args("x-queue-type", "quorum"), is + "x-queue-type' for queue 'plain' in vhost '/': received 'quorum' but current is 'classic'"},
		{"an empty type", "plain", args("x-queue-type", ""), ""},
		{"the owner's", "own", func(d *QueueDeclaration) { d.Exclusive = true }, ""},
		{"the owner's, not durable", "own", func(d *QueueDeclaration) { d.Exclusive, d.Durable = true, false }, ""},
		{"the owner's, not exclusive", "own", func(*QueueDeclaration) {}, locked("own")},
		{"another's", "own", func(d *QueueDeclaration) { d.Exclusive, d.Owner.Session = true, 6 }, locked("own")},
	} {
		_, err := w.declareQueue(c.name, c.change)
		want(t, c.what, err, c.refusal)
	}
}

// TestArguments holds each argument against each queue type: a good value, and bad ones with what is said of them.
func TestArguments(t *testing.T) {
	types := map[byte]string{'c': "classic", 'q': "quorum", 's': "stream"}
	integer := map[any]string{"1": `"expected integer, got longstr"`, true: `"expected integer, got bool"`, 1.5: `"expected integer, got double"`}
	count := map[any]string{int32(-1): "{value_negative,-1}"}
	duration := map[any]string{int64(315360000001): "{value_too_large,315360000001}"}
	merge := func(maps ...map[any]string) map[any]string {
		all := map[any]string{}
		for _, m := range maps {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	words := func(term string) map[any]string {
		return map[any]string{int32(1): "{unacceptable_type,signedint}", "nonsense": term, "": term}
	}
	flag := map[any]string{"true": "{unacceptable_type,longstr}", int32(1): "{unacceptable_type,signedint}"}
	size := merge(integer, count, map[any]string{int32(0): "{value_zero,0}"})
	for _, a := range []struct {
		name, types string
		good        []any
		bad         map[any]string
	}{
		{"x-message-ttl", "cq", []any{int32(0), int64(315360000000), uint8(1), int8(1), uint16(1)}, merge(integer, count, duration)},
		{"x-expires", "cq", []any{int32(1), int64(315360000000)}, merge(integer, count, duration, map[any]string{int32(0): "{value_zero,0}"})},
		{"x-max-length", "cq", []any{int32(0), int64(1 << 40)}, merge(integer, count)},
		{"x-max-length-bytes", "cqs", []any{int32(0), int64(1 << 40)}, merge(integer, count)},
		{"x-overflow", "cq", []any{"drop-head", "reject-publish", "reject-publish-dlx"}, words("invalid_overflow")},
		{"x-dead-letter-routing-key", "cq", nil, map[any]string{int32(1): "{unacceptable_type,signedint}", "k": "routing_key_but_no_dlx_defined"}},
		{"x-dead-letter-strategy", "q", []any{"at-most-once", "at-least-once"}, words("invalid_dlx_strategy")},
		{"x-max-priority", "c", []any{int32(0), uint8(255)}, merge(integer, count, map[any]string{int32(256): "{max_value_exceeded,256}"})},
		{"x-single-active-consumer", "cq", []any{true, false}, flag},
		{"x-queue-mode", "c", []any{"lazy", "default", "nonsense", int32(1)}, nil},
		{"x-queue-version", "c", []any{int32(2)}, merge(integer, map[any]string{int32(1): `"unsupported queue version '1'"`, int32(-1): "{value_negative,-1}"})},
		{"x-queue-leader-locator", "cqs", []any{"client-local", "balanced", "random", "least-leaders"}, words("invalid_queue_locator_arg")},
		{"x-delivery-limit", "q", []any{int32(5), int32(-1), "nonsense"}, nil},
		{"x-quorum-initial-group-size", "q", []any{int32(1)}, size},
		{"x-max-in-memory-length", "q", []any{int32(0)}, merge(integer, count)},
		{"x-max-in-memory-bytes", "q", []any{int32(0)}, merge(integer, count)},
		{"x-consumer-timeout", "q", []any{int32(0)}, merge(integer, count)},
		{"x-consumer-disconnected-timeout", "q", []any{int32(0)}, merge(integer, count)},
		{"x-delayed-retry-type", "q", []any{"all", "nonsense"}, nil},
		{"x-delayed-retry-min", "q", []any{int32(1), "nonsense"}, nil},
		{"x-delayed-retry-max", "q", []any{int32(1), "nonsense"}, nil},
		{"x-max-age", "s", []any{"1Y", "12M", "7D", "5h", "1m", "30s"}, map[any]string{
			int32(1): "{unacceptable_type,signedint}", "": "invalid_max_age", "5": "invalid_max_age", "0s": "invalid_max_age",
			"-1s": "invalid_max_age", "5w": "invalid_max_age", "s": "invalid_max_age", "5 s": "invalid_max_age",
		}},
		{"x-stream-max-segment-size-bytes", "s", []any{int32(0), int64(3_000_000_000)}, merge(integer, count)},
		{"x-stream-filter-size-bytes", "s", []any{int32(16), int32(255)}, integer},
		{"x-initial-cluster-size", "s", []any{int32(1)}, size},
		{"x-whatever", "cqs", []any{int32(1), "a", nil}, nil},
	} {
		for initial, queueType := range types {
			w := newWorld(t)
			try := func(value any) error {
				_, err := w.declareQueue(fmt.Sprint("q", w.vhost().QueueCount()), with("x-queue-type", queueType, a.name, value))
				return err
			}
			name := "q0"
			if !strings.ContainsRune(a.types, rune(initial)) {
				for _, value := range a.good {
					want(t, fmt.Sprintf("%s %v of a %s queue", a.name, value, queueType), try(value),
						"406 PRECONDITION_FAILED - invalid arg '"+a.name+"' for queue '"+name+"' in vhost '/' of queue type rabbit_"+queueType+"_queue")
				}
				continue
			}
			for value, term := range a.bad {
				want(t, fmt.Sprintf("%s %v of a %s queue", a.name, value, queueType), try(value),
					"406 PRECONDITION_FAILED - invalid arg '"+a.name+"' for queue '"+name+"' in vhost '/': "+term)
			}
			for _, value := range a.good {
				want(t, fmt.Sprintf("%s %v of a %s queue", a.name, value, queueType), try(value), "")
			}
		}
	}
}

func TestArgumentsTogether(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		what      string
		arguments protocol.RawTable
		refusal   string
	}{
		{"x-expires is looked at first", fields("x-message-ttl", int32(-1), "x-expires", int32(0)), "406 PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'q' in vhost '/': {value_zero,0}"},
		{"values before types", fields("x-delivery-limit", int32(1), "x-max-length", int32(-1)), "406 PRECONDITION_FAILED - invalid arg 'x-max-length' for queue 'q' in vhost '/': {value_negative,-1}"},
		{"large segments", fields("x-queue-type", "stream", "x-stream-max-segment-size-bytes", int64(3_000_000_001)), "406 PRECONDITION_FAILED - Exceeded max value for x-stream-max-segment-size-bytes"},
		{"small filters", fields("x-queue-type", "stream", "x-stream-filter-size-bytes", int32(15)), "406 PRECONDITION_FAILED - Invalid value for x-stream-filter-size-bytes"},
		{"large filters", fields("x-queue-type", "stream", "x-stream-filter-size-bytes", int32(256)), "406 PRECONDITION_FAILED - Invalid value for x-stream-filter-size-bytes"},
		{"a key with its exchange", fields("x-dead-letter-routing-key", "k", "x-dead-letter-exchange", ""), ""},
	} {
		_, err := w.declareQueue("q", func(d *QueueDeclaration) { d.Arguments = c.arguments })
		want(t, c.what, err, c.refusal)
	}
}

func TestTheTypeOfAQueueThatNamesNone(t *testing.T) {
	for _, c := range []struct {
		node, vhost, want string
		change            func(*QueueDeclaration)
	}{
		{"", "", "classic", nil}, {"quorum", "", "quorum", nil}, {"quorum", "classic", "classic", nil}, {"", "stream", "stream", nil},
		{"nonsense", "", "classic", nil}, {"quorum", "nonsense", "quorum", nil}, {"", "undefined", "classic", nil},
		{"quorum", "", "classic", func(d *QueueDeclaration) { d.Durable = false }},
		{"quorum", "", "classic", func(d *QueueDeclaration) { d.Exclusive = true }},
		{"quorum", "", "classic", func(d *QueueDeclaration) { d.AutoDelete = true }},
		{"quorum", "", "classic", func(d *QueueDeclaration) { d.Name = "" }},
		{"quorum", "", "quorum", with("x-queue-type", "")},
		{"quorum", "", "classic", with("x-queue-type", "classic")},
	} {
		w := newWorld(t, func(o *Options) { o.DefaultQueueType = c.node })
		w.write(key(sectionVHost, "/"), fmt.Sprintf(`{"default_queue_type":%q}`, c.vhost)) // as an earlier version may have
		if c.change == nil {
			c.change = func(*QueueDeclaration) {}
		}
		q := w.queue("q", c.change)
		if shown, _ := q.Table.Get("x-queue-type"); q.Type != c.want || shown != c.want {
			t.Errorf("node %q, vhost %q: %s, shown %v; want %s", c.node, c.vhost, q.Type, shown, c.want)
		}
	}
}

func TestServerNamedQueues(t *testing.T) {
	w := newWorld(t)
	seen := map[string]bool{}
	for range 50 {
		q := w.queue("", func(d *QueueDeclaration) { d.Exclusive = true })
		if len(q.Name) != len("amq.gen-")+22 || !strings.HasPrefix(q.Name, "amq.gen-") || seen[q.Name] {
			t.Errorf("%q", q.Name)
		}
		seen[q.Name] = true
	}
}

func TestConditionsAndConsumersByQueueType(t *testing.T) {
	w := newWorld(t)
	classic, quorum, stream := w.queue("c"), w.queue("q", with("x-queue-type", "quorum")), w.queue("s", with("x-queue-type", "stream"))
	orNil := func(e *protocol.Error) error { return refused{e}.orNil() }
	want(t, "classic", orNil(classic.CheckDelete(true, true)), "")
	want(t, "stream", orNil(stream.CheckDelete(true, true)), "")
	want(t, "quorum", orNil(quorum.CheckDelete(false, false)), "")
	want(t, "quorum, both", orNil(quorum.CheckDelete(true, true)), "540 NOT_IMPLEMENTED - cannot delete queue 'q' in vhost '/'. queue.delete operations with if-unused flag set are not supported by quorum queues")
	want(t, "quorum, if-empty", orNil(quorum.CheckDelete(false, true)), "540 NOT_IMPLEMENTED - cannot delete queue 'q' in vhost '/'. queue.delete operations with if-empty flag set are not supported by quorum queues")
	for name, types := range map[string]string{"x-priority": "cq", "x-consumer-timeout": "q", "x-stream-offset": "s", "x-stream-filter": "s", "x-stream-match-unfiltered": "s", "x-other": "cqs"} {
		for initial, q := range map[string]*Queue{"c": classic, "q": quorum, "s": stream} {
			refusal := ""
			if !strings.Contains(types, initial) {
				refusal = "406 PRECONDITION_FAILED - invalid arg '" + name + "' for queue here of queue type rabbit_" + q.Type + "_queue"
			}
			want(t, name+" of "+q.Type, orNil(CheckConsumer(q, "queue here", fields(name, int32(1)))), refusal)
		}
	}
}

func TestQueueConfigFromArguments(t *testing.T) {
	w := newWorld(t)
	q := w.queue("q", with("x-message-ttl", int32(1), "x-expires", int64(2), "x-max-length", uint8(3), "x-max-length-bytes", int32(4),
		"x-overflow", "reject-publish-dlx", "x-dead-letter-exchange", "dlx", "x-dead-letter-routing-key", "", "x-max-priority", int32(0),
		"x-single-active-consumer", true))
	expected := queue.DefaultConfig()
	expected.Durable, expected.MessageTTLMs, expected.ExpiresMs, expected.MaxLength, expected.MaxLengthBytes = true, 1, 2, 3, 4
	expected.Overflow, expected.DeadLetter, expected.DeadLetterExchange, expected.DeadLetterKeySet = queue.RejectPublishDLX, true, "dlx", true
	expected.MaxPriority, expected.SingleActive = 1, true
	if *q.Config != expected {
		t.Errorf("got  %+v\nwant %+v", q.Config, expected)
	}
	if q.Type != "classic" || !q.Lasting() || q.Target.Queue != q.ID || q.Target.Group != q.Group || !q.Target.Local {
		t.Errorf("%+v %+v", q, q.Target)
	}
}
