package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// How many queues TestPagesOfManyQueues looks at, and for how long; `make bench-pages` asks for more.
var (
	queueCount = flag.Int("queues", 1000, "how many queues TestPagesOfManyQueues declares")
	pageRounds = flag.Int("page-rounds", 2, "how many rounds it measures, half of them with pages asked for")
	pageRound  = flag.Duration("page-round", 200*time.Millisecond, "how long a round is")
	pageEvery  = flag.Duration("page-every", 50*time.Millisecond, "how often a page is asked for")
	pageRate   = flag.Int("page-rate", 0, "how many messages a second flow meanwhile; 0: as many as can")
)

// busyQueues is in how many of the queues messages flow.
const busyQueues = 100

// declareMany declares queues over one channel, and waits for the last.
func declareMany(t *testing.T, ch *amqp.Channel, count int) time.Duration {
	t.Helper()
	began := time.Now()
	for i := range count {
		if _, err := ch.QueueDeclare(fmt.Sprintf("queue-%06d", i), true, false, false, i < count-1, nil); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(began)
}

// flow publishes to the busy queues with confirms and consumes from them, until done is closed, and counts the confirms.
func (p *process) flow(done chan struct{}, confirmed *atomic.Int64) (wait func()) {
	p.t.Helper()
	const window = 1000
	consumer, publisher := p.channel(), p.channel()
	for i := range busyQueues {
		if err := consumer.Qos(window, 0, false); err != nil {
			p.t.Fatal(err)
		}
		if _, err := consumer.Consume(fmt.Sprintf("queue-%06d", i), "", true, false, false, true, nil); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := publisher.Confirm(false); err != nil {
		p.t.Fatal(err)
	}
	answers := publisher.NotifyPublish(make(chan amqp.Confirmation, window))
	var working sync.WaitGroup
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	working.Go(func() {
		defer tick.Stop()
		for sent, answered := 0, 0; ; {
			select {
			case <-done:
				return
			default:
			}
			if ahead := *pageRate > 0 && sent > int(time.Since(began).Seconds()*float64(*pageRate)); ahead && sent == answered {
				<-tick.C
				continue
			} else if !ahead && sent-answered < window {
				message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: make([]byte, 100)}
				if err := publisher.Publish("", fmt.Sprintf("queue-%06d", sent%busyQueues), false, false, message); err != nil {
					p.t.Error(err)
					return
				}
				if sent++; sent-answered < window && len(answers) == 0 {
					continue
				}
			}
			<-answers
			answered++
			confirmed.Add(1)
		}
	})
	return working.Wait
}

// pageKinds is what pages are asked for: what they are sorted by, and what they hold.
var pageKinds = []string{
	"", "sort=name", "sort=messages", "sort=message_stats.publish", "sort=message_stats.publish_details.rate", "sort=state",
	"sort=messages&name=e-0&use_regex=false", "sort=messages&name=^q.*[05]$&use_regex=true",
}

// page asks for a page of queues, tells how long that took, and checks what is on it.
func (p *process) page(kind string) time.Duration {
	p.t.Helper()
	began := time.Now()
	status, body := p.ask("/queues?page=1&page_size=100&sort_reverse=true&" + kind)
	took := time.Since(began)
	var page struct {
		Total    int              `json:"total_count"`
		Filtered int              `json:"filtered_count"`
		Items    []map[string]any `json:"items"`
	}
	err := json.Unmarshal([]byte(body), &page)
	filtered := *queueCount
	if strings.Contains(kind, "[05]") {
		filtered /= 5
	}
	if err != nil || status != 200 || page.Total != *queueCount || page.Filtered != filtered || len(page.Items) != min(filtered, 100) {
		p.t.Fatalf("%s: %d, %d of %d, %d queues, %v", kind, status, len(page.Items), page.Filtered, page.Total, err)
	}
	if kind == "sort=name" && page.Items[0]["name"] != fmt.Sprintf("queue-%06d", *queueCount-1) {
		p.t.Errorf("by name the first is %v", page.Items[0]["name"])
	}
	return took
}

// pageTable shows how long pages took.
func pageTable(took map[string][]time.Duration) string {
	table := []string{"| asked for | pages | median | 99 of 100 | longest |", "|---|---|---|---|---|"}
	for _, kind := range pageKinds {
		if list := slices.Sorted(slices.Values(took[kind])); len(list) > 0 {
			at := func(part float64) time.Duration {
				return list[int(part*float64(len(list)-1))].Round(time.Millisecond / 10)
			}
			table = append(table, fmt.Sprintf("| %s | %d | %v | %v | %v |", kind, len(list), at(0.5), at(0.99), at(1)))
		}
	}
	return strings.Join(table, "\n")
}

// TestPagesOfManyQueues prints how long a page of the list of queues takes while messages flow, by what is asked for, and how
// many messages are confirmed with and without somebody who asks for pages, in turns.
func TestPagesOfManyQueues(t *testing.T) {
	p := run(t, t.TempDir())
	t.Logf("%d durable queues declared in %v", *queueCount, declareMany(t, p.channel(), *queueCount))
	done := make(chan struct{})
	var confirmed atomic.Int64
	wait := p.flow(done, &confirmed)
	took := map[string][]time.Duration{}
	var rates [2][]float64 // without and with pages
	for round := range *pageRounds {
		with := round % 2
		before, began := confirmed.Load(), time.Now()
		every := time.NewTicker(*pageEvery)
		for i := 0; time.Since(began) < *pageRound; i++ {
			<-every.C
			if with == 1 {
				kind := pageKinds[i%len(pageKinds)]
				took[kind] = append(took[kind], p.page(kind))
			}
		}
		every.Stop()
		rates[with] = append(rates[with], float64(confirmed.Load()-before)/time.Since(began).Seconds())
	}
	close(done)
	wait()
	t.Log("\n" + pageTable(took))
	without, with := median(rates[0]), median(rates[1])
	t.Logf("confirmed a second: %.0f without pages, %.0f with a page every %v: %.3f", without, with, *pageEvery, with/without)
	if without == 0 || with == 0 {
		t.Error("no messages flow")
	}
	p.stop()
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
