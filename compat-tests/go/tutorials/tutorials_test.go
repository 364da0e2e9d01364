// Package tutorials runs the seven RabbitMQ tutorials with amqp091-go as their text has them, and checks what comes out.
// The broker's address comes from AMQP_URL.
package tutorials

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const patience = 20 * time.Second

var run = rand.Uint64()

// name makes the tutorial's name one of this run.
func name(tutorial string) string { return fmt.Sprintf("tutorial.go.%x.%s", run, tutorial) }

func TestMain(m *testing.M) {
	if os.Getenv("AMQP_URL") == "" {
		fmt.Fprintln(os.Stderr, "AMQP_URL is not set: give the address of a broker, amqp://user:password@host:port/vhost")
		os.Exit(2)
	}
	os.Exit(m.Run())
}

func failOnError(t *testing.T, err error, msg string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", msg, err)
	}
}

// open dials the broker and opens a channel, as every program of the tutorials does.
func open(t *testing.T) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(os.Getenv("AMQP_URL"))
	failOnError(t, err, "Failed to connect to RabbitMQ")
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	failOnError(t, err, "Failed to open a channel")
	return ch
}

func publish(t *testing.T, ch *amqp.Channel, exchange, key string, p amqp.Publishing) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	failOnError(t, ch.PublishWithContext(ctx, exchange, key, false, false, p), "Failed to publish a message")
}

func receive(t *testing.T, msgs <-chan amqp.Delivery) amqp.Delivery {
	t.Helper()
	select {
	case d, ok := <-msgs:
		if !ok {
			t.Fatal("the consumer was closed")
		}
		return d
	case <-time.After(patience):
		t.Fatal("no message came")
	}
	panic("unreachable")
}

func deleteQueue(t *testing.T, queue string) {
	t.Cleanup(func() {
		_, err := open(t).QueueDelete(queue, false, false, false)
		failOnError(t, err, "Failed to delete a queue")
	})
}

// deleteExchange declares nothing: it removes the tutorial's exchange at the end.
func deleteExchange(t *testing.T, exchange string) {
	t.Cleanup(func() { failOnError(t, open(t).ExchangeDelete(exchange, false, false), "Failed to delete an exchange") })
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
		t.Fatalf("%s: got %#v, want %#v", what, got, want)
	}
}

func Test1HelloWorld(t *testing.T) {
	t.Parallel()
	sender, receiver := open(t), open(t)
	q, err := sender.QueueDeclare(name("hello"), false, false, false, false, nil)
	failOnError(t, err, "Failed to declare a queue")
	deleteQueue(t, q.Name)
	publish(t, sender, "", q.Name, amqp.Publishing{ContentType: "text/plain", Body: []byte("Hello World!")})

	_, err = receiver.QueueDeclare(q.Name, false, false, false, false, nil)
	failOnError(t, err, "Failed to declare a queue")
	msgs, err := receiver.Consume(q.Name, "", true, false, false, false, nil)
	failOnError(t, err, "Failed to register a consumer")
	d := receive(t, msgs)
	equal(t, "body", string(d.Body), "Hello World!")
	equal(t, "content type", d.ContentType, "text/plain")
}

// Two workers with a prefetch of one: the one that is busy gets nothing, the other does the rest; and the task of a
// worker that dies is done by another.
func Test2WorkQueues(t *testing.T) {
	t.Parallel()
	task := open(t)
	q, err := task.QueueDeclare(name("task_queue"), true, false, false, false, nil)
	failOnError(t, err, "Failed to declare a queue")
	deleteQueue(t, q.Name)
	worker := func() (*amqp.Channel, <-chan amqp.Delivery) {
		ch := open(t)
		failOnError(t, ch.Qos(1, 0, false), "Failed to set QoS")
		msgs, err := ch.Consume(q.Name, "", false, false, false, false, nil)
		failOnError(t, err, "Failed to register a consumer")
		return ch, msgs
	}
	newTask := func(body string) {
		publish(t, task, "", q.Name, amqp.Publishing{DeliveryMode: amqp.Persistent, ContentType: "text/plain", Body: []byte(body)})
	}
	slow, slowMsgs := worker()
	newTask("a long task")
	long := receive(t, slowMsgs)
	_, quickMsgs := worker()
	for i := range 10 {
		newTask(fmt.Sprint("task ", i))
	}
	for i := range 10 {
		d := receive(t, quickMsgs)
		equal(t, "task", string(d.Body), fmt.Sprint("task ", i))
		failOnError(t, d.Ack(false), "Failed to acknowledge")
	}
	equal(t, "tasks for the busy worker", len(slowMsgs), 0)
	failOnError(t, slow.Close(), "Failed to close the channel")
	d := receive(t, quickMsgs)
	equal(t, "the dead worker's task", string(d.Body), string(long.Body))
	equal(t, "redelivered", d.Redelivered, true)
	failOnError(t, d.Ack(false), "Failed to acknowledge")
}

// subscriber binds a queue of its own to the exchange and consumes from it.
func subscriber(t *testing.T, exchange string, keys ...string) <-chan amqp.Delivery {
	t.Helper()
	ch := open(t)
	q, err := ch.QueueDeclare("", false, false, true, false, nil)
	failOnError(t, err, "Failed to declare a queue")
	for _, key := range keys {
		failOnError(t, ch.QueueBind(q.Name, key, exchange, false, nil), "Failed to bind a queue")
	}
	msgs, err := ch.Consume(q.Name, "", true, false, false, false, nil)
	failOnError(t, err, "Failed to register a consumer")
	return msgs
}

// logs receives until the message "END" and returns the bodies before it.
func logs(t *testing.T, msgs <-chan amqp.Delivery) []string {
	t.Helper()
	bodies := []string{}
	for {
		body := string(receive(t, msgs).Body)
		if body == "END" {
			return bodies
		}
		bodies = append(bodies, body)
	}
}

func emitter(t *testing.T, exchange, kind string) *amqp.Channel {
	t.Helper()
	ch := open(t)
	failOnError(t, ch.ExchangeDeclare(exchange, kind, true, false, false, false, nil), "Failed to declare an exchange")
	deleteExchange(t, exchange)
	return ch
}

func Test3PublishSubscribe(t *testing.T) {
	t.Parallel()
	exchange := name("logs")
	ch := emitter(t, exchange, "fanout")
	publish(t, ch, exchange, "", amqp.Publishing{Body: []byte("nobody listens")})
	one, two := subscriber(t, exchange, ""), subscriber(t, exchange, "")
	for _, body := range []string{"info: Hello World!", "warning", "END"} {
		publish(t, ch, exchange, "", amqp.Publishing{ContentType: "text/plain", Body: []byte(body)})
	}
	equal(t, "one", logs(t, one), []string{"info: Hello World!", "warning"})
	equal(t, "two", logs(t, two), []string{"info: Hello World!", "warning"})
}

func Test4Routing(t *testing.T) {
	t.Parallel()
	exchange := name("logs_direct")
	ch := emitter(t, exchange, "direct")
	file := subscriber(t, exchange, "error", "end")
	screen := subscriber(t, exchange, "info", "warning", "error", "end")
	for _, log := range [][2]string{
		{"info", "started"}, {"debug", "details"}, {"error", "broken"}, {"warning", "careful"}, {"end", "END"},
	} {
		publish(t, ch, exchange, log[0], amqp.Publishing{ContentType: "text/plain", Body: []byte(log[1])})
	}
	equal(t, "errors", logs(t, file), []string{"broken"})
	equal(t, "all", logs(t, screen), []string{"started", "broken", "careful"})
}

func Test5Topics(t *testing.T) {
	t.Parallel()
	exchange := name("logs_topic")
	ch := emitter(t, exchange, "topic")
	all := subscriber(t, exchange, "#")
	kernel := subscriber(t, exchange, "kern.*", "end")
	critical := subscriber(t, exchange, "*.critical", "end")
	both := subscriber(t, exchange, "kern.*", "*.critical", "end")
	sent := []string{"kern.critical", "kern.info", "cron.critical", "cron.info", "kern", "kern.a.b", "critical"}
	for _, key := range sent {
		publish(t, ch, exchange, key, amqp.Publishing{ContentType: "text/plain", Body: []byte(key)})
	}
	publish(t, ch, exchange, "end", amqp.Publishing{Body: []byte("END")})
	equal(t, "#", logs(t, all), sent)
	equal(t, "kern.*", logs(t, kernel), []string{"kern.critical", "kern.info"})
	equal(t, "*.critical", logs(t, critical), []string{"kern.critical", "cron.critical"})
	equal(t, "kern.* and *.critical", logs(t, both), []string{"kern.critical", "kern.info", "cron.critical"})
}

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func Test6RPC(t *testing.T) {
	t.Parallel()
	server := open(t)
	requests, err := server.QueueDeclare(name("rpc_queue"), false, false, false, false, nil)
	failOnError(t, err, "Failed to declare a queue")
	deleteQueue(t, requests.Name)
	failOnError(t, server.Qos(1, 0, false), "Failed to set QoS")
	calls, err := server.Consume(requests.Name, "", false, false, false, false, nil)
	failOnError(t, err, "Failed to register a consumer")
	go func() {
		for d := range calls {
			n, err := strconv.Atoi(string(d.Body))
			if err != nil {
				t.Errorf("the request %q is no number", d.Body)
			}
			err = server.Publish("", d.ReplyTo, false, false, amqp.Publishing{
				ContentType: "text/plain", CorrelationId: d.CorrelationId, Body: fmt.Append(nil, fib(n)),
			})
			if err != nil {
				t.Errorf("Failed to publish a reply: %v", err)
			}
			d.Ack(false)
		}
	}()
	client := open(t)
	replies, err := client.QueueDeclare("", false, false, true, false, nil)
	failOnError(t, err, "Failed to declare a queue")
	msgs, err := client.Consume(replies.Name, "", true, false, false, false, nil)
	failOnError(t, err, "Failed to register a consumer")
	for n := range 20 {
		publish(t, client, "", requests.Name, amqp.Publishing{
			ContentType: "text/plain", CorrelationId: fmt.Sprint("id ", n), ReplyTo: replies.Name, Body: fmt.Append(nil, n),
		})
	}
	answers := map[string]string{}
	for range 20 {
		d := receive(t, msgs)
		answers[d.CorrelationId] = string(d.Body)
	}
	for n := range 20 {
		equal(t, fmt.Sprintf("fib(%d)", n), answers[fmt.Sprint("id ", n)], fmt.Sprint(fib(n)))
	}
}

// confirmChannel opens a channel in confirm mode and declares a queue that lives as long as its connection.
func confirmChannel(t *testing.T) (*amqp.Channel, string) {
	t.Helper()
	ch := open(t)
	q, err := ch.QueueDeclare("", false, false, true, false, nil)
	failOnError(t, err, "Failed to declare a queue")
	failOnError(t, ch.Confirm(false), "Failed to enable publisher confirms")
	return ch, q.Name
}

func wantMessages(t *testing.T, ch *amqp.Channel, queue string, want int) {
	t.Helper()
	q, err := ch.QueueDeclarePassive(queue, false, false, true, false, nil)
	failOnError(t, err, "Failed to look at the queue")
	equal(t, "confirmed messages in the queue", q.Messages, want)
}

func Test7PublisherConfirmsIndividually(t *testing.T) {
	t.Parallel()
	ch, q := confirmChannel(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for i := range 500 {
		confirm, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", q, false, false, amqp.Publishing{Body: fmt.Append(nil, i)})
		failOnError(t, err, "Failed to publish a message")
		equal(t, "tag", confirm.DeliveryTag, uint64(i+1))
		acked, err := confirm.WaitContext(ctx)
		failOnError(t, err, "Failed to wait for the confirm")
		equal(t, "acked", acked, true)
	}
	wantMessages(t, ch, q, 500)
}

func Test7PublisherConfirmsInBatches(t *testing.T) {
	t.Parallel()
	ch, q := confirmChannel(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	bodies := make([]string, 5000)
	for i := range bodies {
		bodies[i] = fmt.Sprint(i)
	}
	for batch := range slices.Chunk(bodies, 100) {
		var outstanding []*amqp.DeferredConfirmation
		for _, body := range batch {
			confirm, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", q, false, false, amqp.Publishing{Body: []byte(body)})
			failOnError(t, err, "Failed to publish a message")
			outstanding = append(outstanding, confirm)
		}
		for _, confirm := range outstanding {
			acked, err := confirm.WaitContext(ctx)
			failOnError(t, err, "Failed to wait for the confirm")
			equal(t, "acked", acked, true)
		}
	}
	wantMessages(t, ch, q, len(bodies))
}

func Test7PublisherConfirmsAsynchronously(t *testing.T) {
	t.Parallel()
	const n = 5000
	ch, q := confirmChannel(t)
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, n))
	var outstanding sync.Map
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range n {
			select {
			case confirm := <-confirms:
				if _, known := outstanding.LoadAndDelete(confirm.DeliveryTag); !known || !confirm.Ack {
					t.Errorf("confirm of tag %d: outstanding %v, acked %v", confirm.DeliveryTag, known, confirm.Ack)
				}
			case <-time.After(patience):
				t.Error("not every message was confirmed")
				return
			}
		}
	}()
	for i := range n {
		outstanding.Store(ch.GetNextPublishSeqNo(), i)
		publish(t, ch, "", q, amqp.Publishing{Body: fmt.Append(nil, i)})
	}
	<-done
	outstanding.Range(func(tag, _ any) bool { t.Errorf("tag %v was never confirmed", tag); return true })
	wantMessages(t, ch, q, n)
}
