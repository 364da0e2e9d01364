package compat

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// listen binds a queue to one of the exchanges through which the broker speaks of itself; a broker without it is not tested.
func (c *client) listen(exchange, key string) <-chan amqp.Delivery {
	c.t.Helper()
	probe := channelOf(c.t, c.conn)
	if err := probe.ExchangeDeclarePassive(exchange, "topic", true, false, true, false, nil); err != nil {
		c.t.Skipf("the broker has no exchange %s: %v", exchange, err)
	}
	q := c.exclusiveQueue()
	c.bind(q, key, exchange, nil)
	return c.consumeWith(q, "", true, nil)
}

// event waits for an event about something of a name.
func (c *client) event(ds <-chan amqp.Delivery, key, field string, value any) amqp.Delivery {
	c.t.Helper()
	for {
		if d := c.next(ds); d.RoutingKey == key && d.Headers[field] == value {
			return d
		}
	}
}

func TestEventsOfTopology(t *testing.T) {
	t.Parallel()
	c := connect(t)
	events := c.listen("amq.rabbitmq.event", "#")
	other := connect(t)
	x := other.exchange("topic", nil)
	q, err := other.QueueDeclare(unique("queue"), true, false, false, false, amqp.Table{"x-max-length": 10})
	other.must(err, "queue.declare")
	other.bind(q.Name, "k.#", x, nil)
	other.must(other.QueueUnbind(q.Name, "k.#", x, nil), "queue.unbind")
	_, err = other.QueueDelete(q.Name, false, false, false)
	other.must(err, "queue.delete")

	d := c.event(events, "exchange.created", "name", x)
	equal(t, "type", d.Headers["type"], any("topic"))
	equal(t, "who", d.Headers["user_who_performed_action"], any(c.user()))
	d = c.event(events, "queue.created", "name", q.Name)
	equal(t, "durable", d.Headers["durable"], any(true))
	equal(t, "queue type", d.Headers["type"], any("rabbit_classic_queue"))
	equal(t, "delivery mode", d.DeliveryMode, uint8(2))
	equal(t, "body", string(d.Body), "")
	if _, ok := d.Headers["timestamp_in_ms"].(int64); !ok || d.Timestamp.IsZero() {
		t.Errorf("no time: %v, %v", d.Headers["timestamp_in_ms"], d.Timestamp)
	}
	d = c.event(events, "binding.created", "destination_name", q.Name)
	equal(t, "source", d.Headers["source_name"], any(x))
	equal(t, "routing key", d.Headers["routing_key"], any("k.#"))
	c.event(events, "binding.deleted", "destination_name", q.Name)
	c.event(events, "queue.deleted", "name", q.Name)
}

// user is who the tests log in as.
func (c *client) user() string {
	uri, err := amqp.ParseURI(brokerURL)
	c.must(err, "the broker's address")
	return uri.Username
}

func TestEventsOfConnections(t *testing.T) {
	t.Parallel()
	c := connect(t)
	events := c.listen("amq.rabbitmq.event", "#")
	other := connect(t)
	q := other.exclusiveQueue()
	other.consumeWith(q, "a tag", true, nil)
	consumer := c.event(events, "consumer.created", "queue", q)
	equal(t, "consumer tag", consumer.Headers["consumer_tag"], any("a tag"))
	equal(t, "acknowledgements", consumer.Headers["ack_required"], any(false))
	other.must(other.Cancel("a tag", false), "basic.cancel")
	c.event(events, "consumer.deleted", "queue", q)
	name := other.conn.LocalAddr().String() + " -> " + other.conn.RemoteAddr().String()
	other.must(other.conn.Close(), "connection.close")
	c.event(events, "connection.closed", "name", name)
}

func TestEventsOfLogins(t *testing.T) {
	t.Parallel()
	c := connect(t)
	events := c.listen("amq.rabbitmq.event", "user.authentication.*")
	name := unique("nobody")
	uri, err := amqp.ParseURI(brokerURL)
	c.must(err, "the broker's address")
	uri.Username, uri.Password = name, "wrong"
	if _, err := amqp.Dial(uri.String()); err == nil {
		t.Fatal("somebody unknown was let in")
	}
	d := c.event(events, "user.authentication.failure", "name", name)
	equal(t, "mechanism", d.Headers["auth_mechanism"], any("PLAIN"))
}

func TestLogIsHeard(t *testing.T) {
	t.Parallel()
	c := connect(t)
	if platform := c.conn.Properties["platform"]; platform != "Warren" {
		t.Skip("RabbitMQ logs to its exchange only where log.exchange is set")
	}
	lines := c.listen("amq.rabbitmq.log", "#")
	uri, err := amqp.ParseURI(brokerURL)
	c.must(err, "the broker's address")
	uri.Password = "wrong"
	if _, err := amqp.Dial(uri.String()); err == nil {
		t.Fatal("a wrong password was taken")
	}
	for {
		d := c.next(lines)
		if d.RoutingKey != "debug" && d.RoutingKey != "info" && strings.Contains(string(d.Body), "refused") {
			equal(t, "content type", d.ContentType, "text/plain")
			return
		}
	}
}

func TestFirehose(t *testing.T) {
	api := manage(t)
	vhost, inPath := api.vhost()
	api.must(http.StatusNoContent, http.MethodPut, "/vhosts/"+inPath, map[string]any{"tracing": true})
	c := api.enter(vhost)
	traces := c.exclusiveQueue()
	c.bind(traces, "#", "amq.rabbitmq.trace", nil)
	ds := c.consumeWith(traces, "", true, nil)
	q := c.queue(nil)
	c.send("", q, amqp.Publishing{Body: []byte("m"), MessageId: "id", Headers: amqp.Table{"h": int32(1)}})
	in := c.next(ds)
	equal(t, "key", in.RoutingKey, "publish.")
	equal(t, "body", string(in.Body), "m")
	equal(t, "queues", in.Headers["routed_queues"], any([]any{q}))
	equal(t, "keys", in.Headers["routing_keys"], any([]any{q}))
	equal(t, "vhost", in.Headers["vhost"], any(vhost))
	properties, _ := in.Headers["properties"].(amqp.Table)
	equal(t, "message id", properties["message_id"], any("id"))
	equal(t, "headers", properties["headers"], any(amqp.Table{"h": int32(1)}))
	c.get(q)
	out := c.next(ds)
	equal(t, "key", out.RoutingKey, "deliver."+q)
	equal(t, "redelivered", out.Headers["redelivered"], any(int32(0)))
	large := bytes.Repeat([]byte("0123456789"), 1_000_000)
	for range 3 {
		c.send("", q, amqp.Publishing{Body: large})
		equal(t, "a large body", bytes.Equal(c.next(ds).Body, large), true)
	}
}
