package compat

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// pattern returns n bytes in which a lost, repeated or moved piece shows.
func pattern(n int) []byte {
	body := make([]byte, n)
	state := uint32(n)
	for i := range body {
		state = state*1664525 + 1013904223
		body[i] = byte(state >> 24)
	}
	return body
}

// sameBytes compares without printing megabytes.
func sameBytes(t *testing.T, got, want []byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("body of %d bytes, want %d", len(got), len(want))
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("a body of %d bytes changed on its way", len(want))
	}
}

func (c *client) nextReturn(returns <-chan amqp.Return) amqp.Return {
	c.t.Helper()
	select {
	case r := <-returns:
		return r
	case <-time.After(patience):
		c.t.Fatal("nothing was returned")
	}
	panic("unreachable")
}

func TestAllPropertiesArrive(t *testing.T) {
	t.Parallel()
	c := connect(t)
	uri, err := amqp.ParseURI(brokerURL)
	c.must(err, "the address")
	q := c.queue(nil)
	sent := amqp.Publishing{
		Headers: amqp.Table{"k": "v"}, ContentType: "application/json", ContentEncoding: "gzip",
		DeliveryMode: amqp.Persistent, Priority: 7, CorrelationId: "correlation", ReplyTo: "reply", Expiration: "600000",
		MessageId: "message", Timestamp: time.Unix(1700000000, 0), Type: "type", UserId: uri.Username, AppId: "app",
		Body: []byte("body"),
	}
	c.send("", q, sent)
	d := c.get(q)
	got := amqp.Publishing{
		Headers: d.Headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode,
		Priority: d.Priority, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Expiration: d.Expiration,
		MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type, UserId: d.UserId, AppId: d.AppId, Body: d.Body,
	}
	if !got.Timestamp.Equal(sent.Timestamp) {
		t.Fatalf("timestamp %v, want %v", got.Timestamp, sent.Timestamp)
	}
	got.Timestamp = sent.Timestamp
	equal(t, "properties", got, sent)
}

func TestAbsentPropertiesStayAbsent(t *testing.T) {
	t.Parallel()
	c := connect(t)
	q := c.queue(nil)
	c.publish("", q, "plain")
	d := c.get(q)
	equal(t, "properties", fmt.Sprint(len(d.Headers), d.ContentType, d.DeliveryMode, d.Priority, d.MessageId, d.Timestamp.IsZero()),
		fmt.Sprint(0, "", 0, 0, "", true))
}

func TestHeaderTypesArrive(t *testing.T) {
	t.Parallel()
	headers := amqp.Table{
		"true": true, "false": false, "int8": int8(-8), "uint8": byte(200), "int16": int16(-1600), "uint16": uint16(60000),
		"int32": int32(-3200000), "uint32": uint32(4000000000), "int64": int64(-1 << 60), "float": float32(1.5),
		"double": 2.25, "decimal": amqp.Decimal{Scale: 2, Value: 31415}, "text": "grüße ✓", "empty": "", "bytes": []byte{0, 255, 1},
		"time": time.Unix(1700000000, 0), "void": nil, "array": []any{"a", int32(1), []any{true}, amqp.Table{"in": "array"}},
		"table":      amqp.Table{"nested": amqp.Table{"deep": int64(1)}},
		"no entries": amqp.Table{},
	}
	c := connect(t)
	q := c.queue(nil)
	c.send("", q, amqp.Publishing{Headers: headers})
	got := c.get(q).Headers
	for name, want := range headers {
		if at, ok := got[name].(time.Time); ok {
			equal(t, name, at.Unix(), want.(time.Time).Unix())
			continue
		}
		if !reflect.DeepEqual(got[name], want) {
			t.Errorf("%s: got %T %#v, want %T %#v", name, got[name], got[name], want, want)
		}
	}
	equal(t, "number of headers", len(got), len(headers))
}

func TestBodiesOfAllSizes(t *testing.T) {
	t.Parallel()
	const frameMax = 131072
	c := connect(t)
	q := c.exclusiveQueue()
	ds := c.consumeWith(q, "", true, nil)
	for _, size := range []int{
		0, 1, 7, 8, 4095, 4096, frameMax - 9, frameMax - 8, frameMax - 7, frameMax, 2*(frameMax-8) - 1, 2 * (frameMax - 8),
		2*(frameMax-8) + 1, 1 << 20,
	} {
		c.send("", q, amqp.Publishing{Body: pattern(size)})
		sameBytes(t, c.next(ds).Body, pattern(size))
	}
}

func TestLargeMessages(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	c := connect(t)
	c.must(c.Confirm(false), "confirm.select")
	q := c.queue(nil)
	for i := range 3 {
		p := amqp.Publishing{DeliveryMode: amqp.Persistent, Headers: amqp.Table{"n": int32(i)}, Body: pattern(size + i)}
		equal(t, "confirmed", c.confirm("", q, p), true)
	}
	ds := c.channel().consume(q)
	for i := range 3 {
		sameBytes(t, c.next(ds).Body, pattern(size+i))
	}
}

func TestTenThousandMessagesInOrder(t *testing.T) {
	t.Parallel()
	const n = 10_000
	c := connect(t)
	q := c.queue(nil)
	consumer := c.channel()
	consumer.prefetch(200)
	ds := consumer.consume(q)
	go func() {
		for i := range n {
			if err := c.Publish("", q, false, false, amqp.Publishing{Body: fmt.Append(nil, i)}); err != nil {
				t.Errorf("basic.publish: %v", err)
				return
			}
		}
	}()
	for i := range n {
		d := c.next(ds)
		if string(d.Body) != fmt.Sprint(i) || d.DeliveryTag != uint64(i+1) {
			t.Fatalf("message %d: body %q, delivery tag %d", i, d.Body, d.DeliveryTag)
		}
		if i%50 == 49 {
			c.must(d.Ack(true), "basic.ack")
		}
	}
	c.waitReady(q, 0)
}

func TestUserIdMustBeTheUser(t *testing.T) {
	t.Parallel()
	c := connect(t)
	closed := c.closed()
	c.send("", "k", amqp.Publishing{UserId: "somebody else"})
	c.refused(closed, amqp.PreconditionFailed, "user_id property set to 'somebody else' but authenticated user was")
}

func TestInvalidExpiration(t *testing.T) {
	t.Parallel()
	c := connect(t)
	for _, expiration := range []string{"soon", "-1", "1.5", "10s"} {
		t.Run(expiration, func(t *testing.T) {
			ch := c.channel()
			closed := ch.closed()
			ch.send("", "k", amqp.Publishing{Expiration: expiration})
			ch.refused(closed, amqp.PreconditionFailed, "invalid expiration '"+expiration+"'")
		})
	}
}

func TestPublishingToNoQueueIsSilent(t *testing.T) {
	t.Parallel()
	c := connect(t)
	c.publish("", unique("missing"), "nowhere")
	c.publish("amq.fanout", unique("nobody"), "nowhere")
	c.exclusiveQueue()
}

func TestImmediateIsRefusedFirst(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	closed := c.conn.NotifyClose(make(chan *amqp.Error, 1))
	body := make([]byte, 16<<20+1) // more than is allowed
	c.must(c.Publish(unique("missing"), "key", false, true, amqp.Publishing{Body: body, Expiration: "x"}), "basic.publish")
	c.refused(closed, amqp.NotImplemented, "immediate=true")
}

// Long terms of Erlang go on in the next line.
func TestLongExpirations(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	for expiration, words := range map[string]string{
		"999999999999999999":   "{value_too_large,999999999999999999}",
		"9999999999999999999":  "{value_too_large,\n" + strings.Repeat(" ", 43) + "9999999999999999999}",
		"-999999999999999999":  "{value_negative,-999999999999999999}",
		"-9999999999999999999": "{value_negative,\n" + strings.Repeat(" ", 44) + "-9999999999999999999}",
		"1yyyyyyyyyyyyyyyyyyy": "{leftover_string,\n" + strings.Repeat(" ", 44) + "\"yyyyyyyyyyyyyyyyyyy\"}",
	} {
		c := connect(t)
		closed := c.closed()
		c.send("", "key", amqp.Publishing{Expiration: expiration})
		c.refused(closed, amqp.PreconditionFailed, "invalid expiration '"+expiration+"': "+words)
	}
}
