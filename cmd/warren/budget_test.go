//go:build linux

package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// backlog and spread are what TestABudgetHolds lets wait; `make bench-memory` asks for 10,000 in each of 1,000 queues.
var (
	backlog = flag.Int("backlog", 500, "how many messages TestABudgetHolds leaves in each queue")
	spread  = flag.Int("spread", 20, "in how many queues")
)

const budgetBytes = 256 << 20

// peak is the most memory that was resident in a process so far, in bytes.
func (p *process) peak() int64 {
	p.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return kilobytes << 10
}

// TestABudgetHolds: with so many messages waiting, in so many queues, while they come, after a restart, and while they go, no
// more memory is resident than was allowed; all of them are there.
func TestABudgetHolds(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--data-dir", "data", "--vm-memory-high-watermark-absolute", strconv.Itoa(budgetBytes)}
	judge := func(p *process, when string) {
		t.Helper()
		most := p.peak()
		t.Logf("%s: at most %d MiB resident", when, most>>20)
		if len(buildFlags) == 0 && most > budgetBytes { // the race detector has its own needs
			t.Errorf("the budget is %d MiB", budgetBytes>>20)
		}
		if said := p.stdout.String(); strings.Contains(said, "alarm raised") {
			t.Error(said)
		}
	}
	p := run(t, dir, args...)
	b := &durableBroker{t: t, addr: p.addr}
	for i := range *spread {
		if _, err := b.publish(fmt.Sprint("q", i), *backlog, 1000, 100); err != nil {
			t.Fatal(err)
		}
	}
	judge(p, "published")
	p.stop()
	p = run(t, dir, args...)
	judge(p, "started again")
	ch := p.channel()
	if err := ch.Qos(100, 0, false); err != nil {
		t.Fatal(err)
	}
	all := make(chan amqp.Delivery, 1000)
	for i := range *spread {
		messages, err := ch.Consume(fmt.Sprint("q", i), "", false, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for m := range messages {
				all <- m
			}
		}()
	}
	for range *spread * *backlog {
		if err := (<-all).Ack(false); err != nil {
			t.Fatal(err)
		}
	}
	judge(p, "consumed")
	p.stop()
}
