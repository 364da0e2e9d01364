package compat

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// stream declares a stream that holds the bodies.
func (c *client) stream(bodies ...string) string {
	c.t.Helper()
	q := c.queue(amqp.Table{"x-queue-type": "stream"})
	c.fill(q, bodies...)
	return q
}

// read attaches a reader to the stream at an offset; nil means the default.
func (c *client) read(stream string, offset any) <-chan amqp.Delivery {
	c.t.Helper()
	c.prefetch(100)
	args := amqp.Table{}
	if offset != nil {
		args["x-stream-offset"] = offset
	}
	return c.consumeWith(stream, "", false, args)
}

func TestStreamIsReadAgainAndAgain(t *testing.T) {
	t.Parallel()
	c := connect(t)
	s := c.stream(numbered(20)...)
	for range 2 {
		ch := c.channel()
		ds := ch.read(s, "first")
		for i, want := range numbered(20) {
			d := ch.next(ds)
			equal(t, "body", string(d.Body), want)
			equal(t, "x-stream-offset", d.Headers["x-stream-offset"], any(int64(i)))
			ch.must(d.Ack(false), "basic.ack")
		}
		ch.must(ch.Close(), "channel.close")
	}
}

func TestStreamOffsets(t *testing.T) {
	t.Parallel()
	c := connect(t)
	s := c.stream(numbered(10)...)
	ds := c.channel().read(s, int64(7))
	equal(t, "from offset 7", c.nextBodies(ds, 3), []string{"7", "8", "9"})
	next, usual := c.channel().read(s, "next"), c.channel().read(s, nil)
	c.fill(s, "new")
	equal(t, "next", c.nextBodies(next, 1), []string{"new"})
	equal(t, "the default is next", c.nextBodies(usual, 1), []string{"new"})
}

func TestStreamNeedsPrefetchAndAcknowledgements(t *testing.T) {
	t.Parallel()
	c := connect(t)
	s := c.stream()
	_, err := c.channel().Consume(s, "", false, false, false, false, nil)
	wantRefusal(t, err, amqp.PreconditionFailed, "consumer prefetch count is not set")
	ch := connect(t)
	ch.prefetch(10)
	_, err = ch.Consume(s, "", true, false, false, false, nil)
	wantRefusal(t, err, amqp.NotImplemented, "automatic acknowledgement not supported by stream")
	_, _, err = connect(t).Get(s, false)
	wantRefusal(t, err, amqp.NotImplemented, "basic.get not supported by stream")
}
