package brokertest_test

import (
	"runtime"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/broker/brokertest"
)

// TestNothingIsLeft: brokers that have ended leave no goroutine behind.
func TestNothingIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		t.Run("test", func(t *testing.T) {
			b := brokertest.Start(t, brokertest.WithAPI())
			conn, err := amqp.Dial(b.URL())
			if err != nil {
				t.Fatal(err)
			}
			channel(t, conn, "q", amqp.Table{"x-message-ttl": 3_600_000})
			publish(t, channel(t, conn, "q", amqp.Table{"x-message-ttl": 3_600_000}), "q", "m")
			conn.Close()
		})
	}
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before+2; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
