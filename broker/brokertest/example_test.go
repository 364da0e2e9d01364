package brokertest_test

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/broker/brokertest"
)

var t testing.TB // a test's own

func ExampleStart() {
	b := brokertest.Start(t)

	conn, err := amqp.Dial(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// ... what is to be tested
}

func ExampleBroker_NackNext() {
	b := brokertest.Start(t)
	b.NackNext(1)
	// The next message that the code under test publishes is nacked: does it publish it again?
}

func ExampleBroker_DropConnection() {
	b := brokertest.Start(t)
	conn, err := amqp.Dial(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	b.DropConnection(conn.LocalAddr())
	// The network has failed: does the code under test connect again?
}

func ExampleClock() {
	clock := brokertest.NewClock(time.Now())
	b := brokertest.Start(t, brokertest.WithClock(clock))
	conn, err := amqp.Dial(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// ... publish an order with an expiration of a day
	clock.Advance(25 * time.Hour)
	// The order is in the dead-letter queue by now.
}
