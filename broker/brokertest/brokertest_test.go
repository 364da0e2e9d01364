package brokertest_test

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/broker/brokertest"
)

// patience is how long a test waits for what should happen at once.
const patience = 30 * time.Second

func dial(t testing.TB, b *brokertest.Broker) *amqp.Connection {
	t.Helper()
	conn, err := amqp.Dial(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// channel opens a channel with confirms, and declares a queue.
func channel(t testing.TB, conn *amqp.Connection, queue string, args amqp.Table) *amqp.Channel {
	t.Helper()
	ch, err := conn.Channel()
	if err == nil {
		_, err = ch.QueueDeclare(queue, true, false, false, false, args)
	}
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// publish publishes and tells whether it was confirmed.
func publish(t testing.TB, ch *amqp.Channel, queue, body string) bool {
	t.Helper()
	c, err := ch.PublishWithDeferredConfirm("", queue, false, false, amqp.Publishing{Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	return c.Wait()
}

// bodies takes everything out of a queue.
func bodies(t testing.TB, ch *amqp.Channel, queue string) (list []string) {
	t.Helper()
	for {
		m, ok, err := ch.Get(queue, true)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return list
		}
		list = append(list, string(m.Body))
	}
}

func TestABrokerOfItsOwn(t *testing.T) {
	b := brokertest.Start(t)
	ch := channel(t, dial(t, b), "q", nil)
	if !publish(t, ch, "q", "hello") || !slices.Equal(bodies(t, ch, "q"), []string{"hello"}) {
		t.Error("the message is lost")
	}
	other := brokertest.Start(t, brokertest.WithUser("me", "wörd"), brokertest.WithVHost("a/b"),
		brokertest.WithConfig(func(c *broker.Config) { c.Session.ChannelMax = 5 }))
	conn := dial(t, other)
	if conn.Config.Vhost != "a/b" || conn.Config.ChannelMax != 5 {
		t.Errorf("vhost %q, channels %d", conn.Config.Vhost, conn.Config.ChannelMax)
	}
	if _, err := amqp.Dial("amqp://guest:guest@" + other.Addr()); err == nil {
		t.Error("guest is there")
	}
}

// TestManyAtATime starts 200 brokers side by side.
func TestManyAtATime(t *testing.T) {
	var group sync.WaitGroup
	for range 200 {
		b := brokertest.Start(t)
		group.Go(func() {
			conn, err := amqp.Dial(b.URL())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			ch, err := conn.Channel()
			if err == nil {
				_, err = ch.QueueDeclare("q", true, false, false, false, nil)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestCloseTellsClients(t *testing.T) {
	b := brokertest.Start(t)
	told := dial(t, b).NotifyClose(make(chan *amqp.Error, 1))
	b.Close()
	if err := <-told; err == nil || err.Code != amqp.ConnectionForced {
		t.Errorf("told %v", err)
	}
	b.Close() // once is enough
	if _, err := amqp.Dial(b.URL()); err == nil {
		t.Error("somebody is there")
	}
}

func TestNackNext(t *testing.T) {
	b := brokertest.Start(t)
	conn := dial(t, b)
	ch := channel(t, conn, "q", nil)
	b.NackNext(2)
	var got []bool
	for _, body := range []string{"a", "b", "c"} {
		got = append(got, publish(t, ch, "q", body))
	}
	if !slices.Equal(got, []bool{false, false, true}) || !slices.Equal(bodies(t, ch, "q"), []string{"c"}) {
		t.Errorf("confirmed: %v", got)
	}
	b.NackNext(5)
	b.NackNext(0)
	if !publish(t, ch, "q", "d") {
		t.Error("what was taken back holds")
	}
	b.NackNext(1)
	plain, err := conn.Channel() // without confirms nothing can be nacked
	if err != nil {
		t.Fatal(err)
	}
	if err := plain.Publish("", "q", false, false, amqp.Publishing{Body: []byte("e")}); err != nil {
		t.Fatal(err)
	}
	if _, err := plain.QueueDeclarePassive("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if got := bodies(t, plain, "q"); !slices.Equal(got, []string{"d", "e"}) {
		t.Errorf("got %q", got)
	}
}

func TestConnectionsAreDropped(t *testing.T) {
	b := brokertest.Start(t)
	one, two := dial(t, b), dial(t, b)
	goneOne, goneTwo := one.NotifyClose(make(chan *amqp.Error, 1)), two.NotifyClose(make(chan *amqp.Error, 1))
	if n := b.Connections(); n != 2 {
		t.Errorf("%d connections", n)
	}
	if !b.DropConnection(one.LocalAddr()) {
		t.Error("there is no such connection")
	}
	if err := <-goneOne; err == nil {
		t.Error("the client was told politely")
	}
	if b.DropConnection(one.LocalAddr()) || two.IsClosed() {
		t.Error("the wrong connection is gone")
	}
	channel(t, two, "q", nil) // it works
	if n := b.DropConnections(); n != 1 {
		t.Errorf("%d were dropped", n)
	}
	<-goneTwo
	channel(t, dial(t, b), "q", nil) // new ones are welcome, and what was declared is there
}

func TestTheAPI(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithAPI(), brokertest.WithUser("me", "secret"))
	channel(t, dial(t, b), "q", nil)
	answer, err := http.Get(b.APIURL() + "/api/queues/%2F/q")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("status %d", answer.StatusCode)
	}
	if url := brokertest.Start(t).APIURL(); url != "" {
		t.Errorf("an API nobody asked for: %s", url)
	}
}

func TestRefuse(t *testing.T) {
	b := brokertest.Start(t)
	conn := dial(t, b)
	b.Refuse(true)
	if _, err := amqp.Dial(b.URL()); err == nil {
		t.Error("a connection is accepted")
	}
	channel(t, conn, "q", nil) // who is there stays
	b.Refuse(false)
	dial(t, b)
}

func TestDelay(t *testing.T) {
	b := brokertest.Start(t)
	ch := channel(t, dial(t, b), "q", nil)
	const delay = 50 * time.Millisecond
	b.Delay(delay)
	before := time.Now()
	if !publish(t, ch, "q", "late") || time.Since(before) < delay {
		t.Errorf("the confirm took %v", time.Since(before))
	}
	b.Delay(0)
}

func TestBlock(t *testing.T) {
	b := brokertest.Start(t)
	conn := dial(t, b)
	ch := channel(t, conn, "q", nil)
	blockings := conn.NotifyBlocked(make(chan amqp.Blocking, 2))
	b.Block(true)
	c, err := ch.PublishWithDeferredConfirm("", "q", false, false, amqp.Publishing{})
	if err != nil {
		t.Fatal(err)
	}
	if told := <-blockings; !told.Active || told.Reason == "" || c.Acked() {
		t.Errorf("told %+v", told)
	}
	b.Block(false)
	if told := <-blockings; told.Active || !c.Wait() {
		t.Errorf("told %+v", told)
	}
}

func TestTimeStandsStill(t *testing.T) {
	clock := brokertest.NewClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	b := brokertest.Start(t, brokertest.WithClock(clock))
	conn := dial(t, b)
	ch := channel(t, conn, "q", amqp.Table{"x-message-ttl": 60_000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
	channel(t, conn, "dead", nil)
	channel(t, conn, "fleeting", amqp.Table{"x-expires": 3_600_000})
	publish(t, ch, "q", "m")
	clock.Advance(59 * time.Second)
	if q, err := ch.QueueDeclarePassive("q", true, false, false, false, nil); err != nil || q.Messages != 1 {
		t.Fatalf("after 59 s: %+v, %v", q, err)
	}
	deliveries, err := ch.Consume("dead", "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(2 * time.Second)
	select {
	case m := <-deliveries:
		deaths, _ := m.Headers["x-death"].([]any)
		death, _ := deaths[0].(amqp.Table)
		if at, _ := death["time"].(time.Time); !at.Equal(clock.Now()) {
			t.Errorf("died at %v, now it is %v", at, clock.Now())
		}
	case <-time.After(patience):
		t.Fatal("the message does not expire")
	}
	clock.Advance(time.Hour)
	for deadline := time.Now().Add(patience); err == nil && time.Now().Before(deadline); {
		_, err = ch.QueueDeclarePassive("fleeting", true, false, false, false, nil)
	}
	var refusal *amqp.Error
	if !errors.As(err, &refusal) || refusal.Code != amqp.NotFound {
		t.Errorf("the queue has not expired: %v", err)
	}
}

// TestSilentClientsDoNotHoldTheTest: the cleanup cuts them.
func TestSilentClientsDoNotHoldTheTest(t *testing.T) {
	before := time.Now()
	t.Run("test", func(t *testing.T) {
		conn, err := net.Dial("tcp", brokertest.Start(t).Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	})
	if took := time.Since(before); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}

// BenchmarkFirstConfirm: from nothing to a confirmed message.
func BenchmarkFirstConfirm(b *testing.B) {
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		broker := brokertest.Start(b)
		conn, err := amqp.Dial(broker.URL())
		if err != nil {
			b.Fatal(err)
		}
		if !publish(b, channel(b, conn, "q", nil), "q", "m") {
			b.Fatal("not confirmed")
		}
		took = append(took, time.Since(began))
		b.StopTimer()
		conn.Close()
		broker.Close()
		b.StartTimer()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-median")
	b.ReportMetric(float64(took[len(took)-1].Microseconds()), "µs-longest")
}

// TestConsumersThatAreTooSlow: the time that a consumer of a quorum queue has is configured.
func TestConsumersThatAreTooSlow(t *testing.T) {
	for timeout, ends := range map[time.Duration]bool{time.Minute: true, -1: false} {
		clock := brokertest.NewClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
		b := brokertest.Start(t, brokertest.WithClock(clock), brokertest.WithConfig(func(c *broker.Config) { c.ConsumerTimeout = timeout }))
		ch := channel(t, dial(t, b), "q", amqp.Table{"x-queue-type": "quorum"})
		cancelled := ch.NotifyCancel(make(chan string, 1))
		deliveries, err := ch.Consume("q", "slow", false, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		publish(t, ch, "q", "m")
		<-deliveries
		clock.Advance(2 * time.Hour)
		if ends {
			if tag := <-cancelled; tag != "slow" {
				t.Errorf("%s is cancelled", tag)
			}
			continue
		}
		if q, err := ch.QueueDeclarePassive("q", true, false, false, false, nil); err != nil || q.Consumers != 1 || len(cancelled) > 0 {
			t.Errorf("without a bound: %+v, %v", q, err)
		}
	}
}
