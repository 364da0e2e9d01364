package compat

import (
	"fmt"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// take waits for n deliveries of a reader, acknowledges them and returns their bodies.
func (c *client) take(ds <-chan amqp.Delivery, n int) []string {
	c.t.Helper()
	bodies := make([]string, n)
	for i := range bodies {
		d := c.next(ds)
		bodies[i] = string(d.Body)
		c.must(d.Ack(false), "basic.ack")
	}
	return bodies
}

func TestStreamOffsetForms(t *testing.T) {
	t.Parallel()
	c := connect(t)
	s := c.stream(numbered(5)...)
	for _, test := range []struct {
		what   string
		offset any
		first  string // the first body; "new" if nothing that was there comes
	}{
		{"first", "first", "0"},
		{"number", int64(3), "3"},
		{"int", int32(3), "3"},
		{"negative number", int64(-7), "0"},
		{"next", "next", "new"},
		{"default", nil, "new"},
		{"beyond the end", int64(5), "new"},
		{"time long past", time.Unix(1, 0), "0"},
		{"an hour back", "1h", "0"},
		{"a year back", "1Y", "0"},
		{"longer ago than time goes", "99999999999Y", "0"},
		{"last", "last", "4"},
	} {
		t.Run(test.what, func(t *testing.T) {
			reader := connect(t)
			s := s
			if test.first == "new" { // the others read on what these add
				s = reader.stream(numbered(5)...)
			}
			ds := reader.read(s, test.offset)
			if test.first == "new" {
				reader.quiet(ds)
				reader.fill(s, "new")
			}
			d := reader.next(ds)
			if test.what == "last" { // the last chunk: whoever wrote says how long it is
				for string(d.Body) != test.first {
					d = reader.next(ds)
				}
			}
			equal(t, "the first", string(d.Body), test.first)
		})
	}
}

func TestStreamOffsetThatIsNone(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	s := c.stream("m")
	for _, offset := range []string{"soon", "1x", "", "h", "+1h"} {
		ch := c.channel()
		ch.prefetch(1)
		_, err := ch.Consume(s, "", false, false, false, false, amqp.Table{"x-stream-offset": offset})
		wantRefusal(t, err, amqp.PreconditionFailed, "invalid arg 'x-stream-offset' for queue '"+s,
			"{invalid_stream_offset_arg,{longstr,<<")
	}
	_, err := c.channel().Consume(c.queue(nil), "", false, false, false, false, amqp.Table{"x-stream-offset": "first"})
	wantRefusal(t, err, amqp.PreconditionFailed, "x-stream-offset", "of queue type rabbit_classic_queue")
}

// An offset far ahead is not waited for: the reader gets what comes next.
func TestStreamOffsetFarAhead(t *testing.T) {
	t.Parallel()
	c := connect(t)
	s := c.stream(numbered(3)...)
	ds := c.read(s, int64(1000))
	c.quiet(ds)
	c.fill(s, "a", "b")
	c.quiet(ds)
}

func TestStreamReadersAreApart(t *testing.T) {
	t.Parallel()
	c, one, two, three := connect(t), connect(t), connect(t), connect(t)
	s := c.stream(numbered(50)...)
	ds := []<-chan amqp.Delivery{one.read(s, "first"), two.read(s, "first"), three.read(s, int64(40))}
	equal(t, "the first reader", one.take(ds[0], 50), numbered(50))
	equal(t, "the second reader", two.take(ds[1], 50), numbered(50))
	equal(t, "the third reader", three.take(ds[2], 10), numbered(50)[40:])
	c.fill(s, "new")
	for i, reader := range []*client{one, two, three} {
		equal(t, "what comes later", reader.take(ds[i], 1), []string{"new"})
	}
}

func TestStreamPrefetchAndSettling(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	s := c.stream(numbered(8)...)
	c.prefetch(2)
	ds := c.consumeWith(s, "reader", false, amqp.Table{"x-stream-offset": "first"})
	equal(t, "two ahead", c.nextBodies(ds, 2), numbered(8)[:2])
	c.quiet(ds)
	// However a message is settled, it stays in the stream and does not come again.
	c.must(c.Nack(1, false, true), "basic.nack")
	c.must(c.Reject(2, true), "basic.reject")
	equal(t, "two more", c.nextBodies(ds, 2), numbered(8)[2:4])
	c.quiet(ds)
	c.must(c.Ack(4, true), "basic.ack multiple")
	d := c.next(ds)
	equal(t, "body", string(d.Body), "4")
	equal(t, "redelivered", d.Redelivered, false)
	equal(t, "address", [2]string{d.Exchange, d.RoutingKey}, [2]string{"", s})
	c.must(c.Close(), "channel.close")
	again := connect(t)
	equal(t, "all are there", again.nextBodies(again.read(s, "first"), 8), numbered(8))
}

func TestStreamFilters(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	s := c.stream()
	c.confirming()
	// Each value fills batches of its own: what is written together is read together, and sorted out by the reader.
	values := []string{"eu", "us", "", "asia"}
	for _, value := range values {
		for i := range 5 {
			headers := amqp.Table{}
			if value != "" {
				headers["x-stream-filter-value"] = value
			}
			c.confirmed("", s, fmt.Sprint(value, i), headers)
		}
	}
	c.confirmed("", s, "end", amqp.Table{"x-stream-filter-value": "end"})
	for _, test := range []struct {
		what       string
		filter     any
		unfiltered bool
		want       []string
	}{
		{"one", "eu", false, []string{"eu"}},
		{"several", []any{"us", "asia"}, false, []string{"us", "asia"}},
		{"and unfiltered", "us", true, []string{"us", ""}},
	} {
		t.Run(test.what, func(t *testing.T) {
			reader := connect(t)
			reader.prefetch(100)
			filter := test.filter
			if list, ok := filter.([]any); ok {
				filter = append(list, "end")
			} else {
				filter = []any{filter, "end"}
			}
			ds := reader.consumeWith(s, "", false, amqp.Table{
				"x-stream-offset": "first", "x-stream-filter": filter, "x-stream-match-unfiltered": test.unfiltered,
			})
			got := map[string]int{}
			for {
				d := reader.next(ds)
				if string(d.Body) == "end" {
					break
				}
				value, _ := d.Headers["x-stream-filter-value"].(string)
				got[value]++
			}
			for _, value := range test.want {
				equal(t, "messages of "+value, got[value], 5)
			}
			if len(got) == len(values) {
				t.Fatalf("nothing was filtered: %v", got)
			}
		})
	}
}

func TestStreamRetention(t *testing.T) {
	t.Parallel()
	for _, args := range []amqp.Table{
		{"x-max-length-bytes": int64(100_000)}, {"x-max-age": "1s"},
	} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			t.Parallel()
			c := connect(t)
			args["x-queue-type"], args["x-stream-max-segment-size-bytes"] = "stream", int64(50_000)
			s := c.queue(args)
			c.confirming()
			body := strings.Repeat(".", 10_000)
			first := func() int64 {
				ch := c.channel()
				defer ch.Close()
				ds := ch.read(s, "first")
				offset, _ := ch.next(ds).Headers["x-stream-offset"].(int64)
				return offset
			}
			// Segments go whole, when the next begins.
			c.eventually("the oldest to go", func() bool {
				for range 10 {
					c.confirmed("", s, body, nil)
				}
				return first() > 0
			})
		})
	}
}

func TestStreamIsDurableAndPlain(t *testing.T) {
	t.Parallel()
	c := connect(t)
	s := c.stream("m")
	conn := connect(t)
	_, err := c.channel().QueuePurge(s, false)
	wantRefusal(t, err, amqp.NotImplemented, "queue.purge not supported by stream queues")
	for what, test := range map[string]struct{ durable, autoDelete, exclusive bool }{
		"transient": {false, false, false}, "auto-delete": {true, true, false}, "exclusive": {true, false, true},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := conn.channel().QueueDeclare(unique("stream"), test.durable, test.autoDelete, test.exclusive, false,
				amqp.Table{"x-queue-type": "stream"})
			wantRefusal(t, err, amqp.PreconditionFailed, "invalid property")
		})
	}
}

func TestStreamKeepsProperties(t *testing.T) {
	t.Parallel()
	c := connect(t)
	s := c.stream()
	c.send("", s, amqp.Publishing{
		Headers:     amqp.Table{"s": "text", "n": int64(7), "yes": true},
		ContentType: "text/plain", CorrelationId: "c", MessageId: "m", Type: "t", AppId: "a", ReplyTo: "r", Priority: 3,
		Expiration: "1", DeliveryMode: 2, Timestamp: time.Unix(1_700_000_000, 0), Body: []byte("m"),
	})
	d := c.next(c.read(s, "first"))
	equal(t, "properties", fmt.Sprint(d.ContentType, d.CorrelationId, d.MessageId, d.Type, d.AppId, d.ReplyTo, d.Priority, d.Expiration, d.DeliveryMode, d.Timestamp.Unix()),
		fmt.Sprint("text/plain", "c", "m", "t", "a", "r", 3, "1", 2, 1_700_000_000))
	equal(t, "headers", fmt.Sprint(d.Headers), "map[n:7 s:text x-stream-offset:0 yes:true]")
}

// The value "" is none: who publishes it publishes without one, who asks for it asks for messages without one.
func TestStreamFilterThatIsEmpty(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	s := c.stream()
	c.confirming()
	c.confirmed("", s, "eu", amqp.Table{"x-stream-filter-value": "eu"})
	c.confirmed("", s, "empty", amqp.Table{"x-stream-filter-value": ""})
	c.confirmed("", s, "none", nil)
	for what, args := range map[string]amqp.Table{
		"asked for":  {"x-stream-offset": "first", "x-stream-filter": ""},
		"unfiltered": {"x-stream-offset": "first", "x-stream-filter": "us", "x-stream-match-unfiltered": true},
	} {
		t.Run(what, func(t *testing.T) {
			reader := connect(t)
			reader.prefetch(10)
			equal(t, "without a value", reader.nextBodies(reader.consumeWith(s, "", false, args), 2), []string{"empty", "none"})
		})
	}
}

func TestStreamKeepsTheDeathsOfADeadLetter(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	s := c.stream()
	q := c.queue(amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": s})
	c.fill(q, "m")
	c.must(c.get(q).Reject(false), "basic.reject")
	d := c.next(c.read(s, "first"))
	c.wantDeath(c.deaths(d)[0], 1, "rejected", q, "", q)
	c.wantLastDeath(d, "rejected", q, "")
	equal(t, "redelivered", d.Redelivered, false)
}

// A value to filter by may be of any length.
func TestStreamFilterOfALongValue(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	c := connect(t)
	s := c.stream()
	c.confirming()
	long, longer := strings.Repeat("v", 256), strings.Repeat("v", 257)
	for _, value := range []string{long, longer, "end"} {
		c.confirmed("", s, fmt.Sprint(len(value)), amqp.Table{"x-stream-filter-value": value})
	}
	for _, test := range []struct {
		filter string
		want   string
	}{{long, "[256 3]"}, {longer, "[257 3]"}} {
		reader := connect(t)
		reader.prefetch(100)
		ds := reader.consumeWith(s, "", false, amqp.Table{"x-stream-offset": "first", "x-stream-filter": []any{test.filter, "end"}})
		equal(t, fmt.Sprint(len(test.filter)), fmt.Sprint(reader.nextBodies(ds, 2)), test.want)
	}
}
