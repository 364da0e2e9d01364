package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/cluster/raftlog"
	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/metadb"
)

// confirms is how many messages TestConfirmsAndTheDisk publishes in a row; `make bench-disk` asks for more.
var (
	confirms    = flag.Int("confirms", 100, "how many messages TestConfirmsAndTheDisk publishes one by one")
	confirmsDir = flag.String("confirms-dir", "", "where, if not in a temporary directory")
)

// durableBroker is a broker in this process with a store whose writes are counted.
type durableBroker struct {
	t     *testing.T
	store *store.Store
	addr  string
}

func startDurable(t *testing.T, dir string) *durableBroker {
	t.Helper()
	fatal := func(err error) { t.Error(err) }
	opened, err := store.Open(dir, store.Options{Fatal: fatal})
	if err != nil {
		t.Fatal(err)
	}
	metadata, err := metadb.Open(t.Context(), opened)
	if err != nil {
		t.Fatal(err)
	}
	clock := func() int64 { return time.Now().UnixMilli() }
	host := raftlog.NewHost(raftlog.Options{Node: 1, Store: opened, Clock: clock, Fatal: fatal, Logger: zerolog.Nop()})
	b, err := broker.Start(context.Background(), broker.Config{Listen: "127.0.0.1:0", Log: host, Meta: metadata, Clock: clock, Fatal: fatal})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, end := range []func() error{b.Close, host.Close, opened.Close} {
			if err := end(); err != nil {
				t.Error(err)
			}
		}
	})
	return &durableBroker{t: t, store: opened, addr: b.Listeners()[0].Addr.String()}
}

// publish sends count messages over a connection of its own to a queue of its own, at most window of them unconfirmed, and
// gives how long each confirm took.
func (b *durableBroker) publish(queue string, count, window, size int) (took []time.Duration, err error) {
	conn, err := amqp.Dial("amqp://guest:guest@" + b.addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	ch, err := conn.Channel()
	if err == nil {
		_, err = ch.QueueDeclare(queue, !strings.HasPrefix(queue, memoryOnly), false, false, false, nil)
	}
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		return nil, err
	}
	answers := ch.NotifyPublish(make(chan amqp.Confirmation, window))
	sent := make([]time.Time, count)
	body := make([]byte, size)
	for next, done := 0, 0; done < count; {
		if next < count && next-done < window {
			sent[next] = time.Now()
			if err := ch.Publish("", queue, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body}); err != nil {
				return nil, err
			}
			if next++; next < count && next-done < window && len(answers) == 0 {
				continue
			}
		}
		a, ok := <-answers
		if !ok || !a.Ack {
			return nil, fmt.Errorf("message %d was not confirmed", a.DeliveryTag)
		}
		took = append(took, time.Since(sent[a.DeliveryTag-1]))
		done++
	}
	return took, nil
}

// memoryOnly is how the names of queues begin that are not durable: nobody waits for the disk there.
const memoryOnly = "memory"

// figures are what a scenario has shown.
type figures struct {
	took         []time.Duration
	elapsed      time.Duration
	syncs, bytes int64
}

// measure lets so many publishers work at once, and adds to the figures.
func (b *durableBroker) measure(f *figures, name string, publishers, count, window, size int) {
	b.t.Helper()
	var working sync.WaitGroup
	var mu sync.Mutex
	syncs, bytes := b.store.Written()
	began := time.Now()
	for i := range publishers {
		working.Go(func() {
			took, err := b.publish(fmt.Sprint(name, i), count, window, size)
			if err != nil {
				b.t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			f.took = append(f.took, took...)
		})
	}
	working.Wait()
	f.elapsed += time.Since(began)
	syncsNow, bytesNow := b.store.Written()
	f.syncs, f.bytes = f.syncs+syncsNow-syncs, f.bytes+bytesNow-bytes
}

// fdatasync appends 4 KiB to a file, syncs it, and so on.
func fdatasync(t *testing.T, f *figures, file *os.File, count int) {
	t.Helper()
	block := make([]byte, 4<<10)
	began := time.Now()
	for range count {
		at := time.Now()
		if _, err := file.Write(block); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			t.Fatal(err)
		}
		f.took = append(f.took, time.Since(at))
	}
	f.elapsed += time.Since(began)
	f.syncs, f.bytes = f.syncs+int64(count), f.bytes+int64(count*len(block))
}

// row is a line of the table; ratio compares the median with another one.
func (f *figures) row(name string, than *figures) string {
	slices.Sort(f.took)
	n := len(f.took)
	at := func(share float64) float64 { return float64(f.took[int(share*float64(n-1))].Nanoseconds()) / 1e3 }
	base := float64(than.took[(len(than.took)-1)/2].Nanoseconds()) / 1e3
	return fmt.Sprintf("| %s | %.0f / %.0f µs | %.2f | %.0f | %.3f | %.0f |", name, at(0.5), at(0.99), at(0.5)/base,
		float64(n)/f.elapsed.Seconds(), float64(f.syncs)/float64(n), float64(f.bytes)/float64(n))
}

// TestConfirmsAndTheDisk prints how long a confirm takes beside an fdatasync on the same disk, and what each message costs
// the disk. Every message is confirmed only after a sync: publishers that wait for each other share it.
func TestConfirmsAndTheDisk(t *testing.T) {
	dir := *confirmsDir
	if dir == "" {
		dir = t.TempDir()
	}
	file, err := os.Create(filepath.Join(dir, "fdatasync"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	b := startDurable(t, filepath.Join(dir, "data"))
	names := []string{"one in flight, 1 KiB", "64 publishers, one in flight each, 1 KiB", "1,000 in flight, 16 B", "1,000 in flight, 1 KiB", "one in flight, 1 KiB, a queue that is not durable"}
	var bare figures
	list := make([]figures, len(names))
	const rounds = 5 // side by side, since a disk changes from second to second
	for range rounds {
		n := max(*confirms/rounds, 1)
		fdatasync(t, &bare, file, n)
		b.measure(&list[0], names[0], 1, n, 1, 1024)
		b.measure(&list[1], names[1], 64, max(n/8, 1), 1, 1024)
		b.measure(&list[2], names[2], 1, 50*n, 1000, 16)
		b.measure(&list[3], names[3], 1, 50*n, 1000, 1024)
		b.measure(&list[4], memoryOnly, 1, n, 1, 1024)
	}
	table := []string{"| what | p50 / p99 | times fdatasync | a second | syncs each | bytes written each |", "|---|---|---|---|---|---|",
		bare.row("fdatasync of 4 KiB, appended", &bare)}
	for i := range list {
		table = append(table, list[i].row(names[i], &bare))
		if messages := int64(len(list[i].took)); i < 4 && list[i].syncs == 0 || list[i].syncs > messages+messages/2+100 {
			t.Errorf("%s: %d syncs for %d messages", names[i], list[i].syncs, messages)
		}
	}
	t.Log("\n" + strings.Join(table, "\n"))
}
