package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/keys"
)

// exported is a line of `warren store export`.
type exported struct {
	VHost, Queue, Exchange string
	RoutingKey             string `json:"routing_key"`
	Properties             map[string]any
	Body                   []byte
}

// export runs `warren store export`.
func export(t *testing.T, dir string) (lines []exported, said string, code int) {
	t.Helper()
	p := launch(t, t.TempDir(), "store", "export", dir)
	code = p.ends()
	scanner := bufio.NewScanner(strings.NewReader(p.stdout.String()))
	scanner.Buffer(nil, 10<<20)
	for scanner.Scan() {
		var line exported
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", scanner.Text(), err)
		}
		lines = append(lines, line)
	}
	return lines, p.stderr.String(), code
}

// verify runs `warren store verify`.
func verify(t *testing.T, dir string) (said string, code int) {
	t.Helper()
	p := launch(t, t.TempDir(), "store", "verify", dir)
	code = p.ends()
	return p.stdout.String() + p.stderr.String(), code
}

// TestExportWritesEveryMessage: ready, handed out or dead-lettered, after a kill and after a stop.
func TestExportWritesEveryMessage(t *testing.T) {
	for name, end := range map[string]func(*process){"stopped": (*process).stop, "killed": (*process).kill} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			p := run(t, filepath.Dir(dir), "--data-dir", dir)
			ch := p.channel()
			for _, q := range []string{"one", "two"} {
				if _, err := ch.QueueDeclare(q, true, false, false, false, nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := ch.Confirm(false); err != nil {
				t.Fatal(err)
			}
			for i := range 10 {
				c, err := ch.PublishWithDeferredConfirm("amq.direct", "nowhere", false, false, amqp.Publishing{})
				if err != nil || !c.Wait() {
					t.Fatal(err)
				}
				c, err = ch.PublishWithDeferredConfirm("", []string{"one", "two"}[i%2], true, false, amqp.Publishing{
					Body: fmt.Appendf(nil, "body \xff %d", i), DeliveryMode: amqp.Persistent, ContentType: "text/plain", Priority: 3,
					Headers: amqp.Table{"number": int32(i), "list": []any{"a", true}, "table": amqp.Table{"x": "y"}},
				})
				if err != nil || !c.Wait() {
					t.Fatal(err)
				}
			}
			if _, ok, err := ch.Get("one", false); !ok || err != nil {
				t.Fatal(ok, err)
			}
			if m, ok, err := ch.Get("two", false); !ok || err != nil || m.Ack(false) != nil {
				t.Fatal(ok, err)
			}
			if _, err := ch.QueueDeclarePassive("one", true, false, false, false, nil); err != nil { // behind the acknowledgement
				t.Fatal(err)
			}
			end(p)
			lines, said, code := export(t, dir)
			if code != 0 || said != "" || len(lines) < 9 || len(lines) > 10 || name == "stopped" && len(lines) != 9 {
				t.Fatalf("%d lines, exit code %d, said %q", len(lines), code, said)
			}
			for _, line := range lines {
				number := line.Properties["headers"].(map[string]any)["number"]
				want := fmt.Sprintf("body \xff %v", number)
				if string(line.Body) != want || line.VHost != "/" || line.Queue != line.RoutingKey || line.Exchange != "" ||
					line.Properties["content_type"] != "text/plain" || line.Properties["delivery_mode"] != 2.0 || line.Properties["priority"] != 3.0 {
					t.Errorf("%+v", line)
				}
			}
			if said, code := verify(t, dir); code != 0 || !strings.Contains(said, "2 queues") {
				t.Errorf("exit code %d: %s", code, said)
			}
			run(t, filepath.Dir(dir), "--data-dir", dir).stop() // which finds the directory as it was
		})
	}
}

// TestDamageIsNamed: by verify, by export, and by a broker that does not start.
func TestDamageIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := run(t, filepath.Dir(dir), "--data-dir", dir)
	ch := p.channel()
	if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	publish(t, ch, "q", "first", "second", "third")
	p.kill()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	log := logs[len(logs)-1]
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndex(string(data), "third")
	if at < 0 {
		t.Fatal("the last message is not in the log")
	}
	data[at]++
	if err := os.WriteFile(log, data, 0o600); err != nil {
		t.Fatal(err)
	}
	p = launch(t, filepath.Dir(dir), "--listen", "127.0.0.1:0", "--data-dir", dir)
	if code, said := p.ends(), p.stderr.String(); code != 1 || strings.Count(said, "\n") != 1 || !strings.Contains(said, log+", offset ") {
		t.Errorf("exit code %d: %s", code, said)
	}
	if said, code := verify(t, dir); code != 1 || !strings.Contains(said, log+", offset ") {
		t.Errorf("exit code %d: %s", code, said)
	}
	lines, said, code := export(t, dir)
	if code != 1 || !strings.Contains(said, log) || len(lines) != 2 || string(lines[0].Body) != "first" {
		t.Errorf("exit code %d, %d lines: %s", code, len(lines), said)
	}
}

// TestABrokerStartsFromItsBackup: what was confirmed before is there, what came later is not; the broker goes on.
func TestABrokerStartsFromItsBackup(t *testing.T) {
	dir := t.TempDir()
	p := run(t, dir, "--data-dir", "data")
	ch := p.channel()
	if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	bodies := make([]string, 100)
	for i := range bodies {
		bodies[i] = fmt.Sprintf("%04d", i)
	}
	publish(t, ch, "q", bodies...)
	b := launch(t, dir, "store", "backup", "--data-dir", "data", "copy")
	if code := b.ends(); code != 0 {
		t.Fatalf("exit code %d: %s", code, b.stderr.String())
	}
	b = launch(t, dir, "store", "backup", "--data-dir", "data", "copy")
	if code := b.ends(); code != 1 || !strings.Contains(b.stderr.String(), "copy") {
		t.Errorf("a backup was overwritten: exit code %d: %s", code, b.stderr.String())
	}
	publish(t, ch, "q", "later")
	restored := run(t, dir, "--data-dir", "copy")
	if got := drain(t, restored, "q"); len(got) != len(bodies) || got[0] != bodies[0] || got[99] != bodies[99] {
		t.Errorf("%d messages", len(got))
	}
	restored.stop()
	if got := drain(t, p, "q"); len(got) != len(bodies)+1 {
		t.Errorf("the broker has %d messages", len(got))
	}
	p.stop()
	b = launch(t, dir, "store", "backup", "--data-dir", "data", "another")
	if code := b.ends(); code != 1 || !strings.Contains(b.stderr.String(), "no broker answers") {
		t.Errorf("exit code %d: %s", code, b.stderr.String())
	}
}

func TestStoreUsage(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"store"}, {"store", "verify"}, {"store", "export", "a", "b"}, {"store", "what", "x"}, {"store", "verify", filepath.Join(dir, "missing")}} {
		p := launch(t, dir, args...)
		if code, said := p.ends(), p.stderr.String(); code != 1 || strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "warren: ") {
			t.Errorf("%q: exit code %d: %q", args, code, said)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("left behind: %v %v", names, err)
	}
}

// TestADamagedGroupRefusesAndOthersServe: the snapshot of one of the two groups is gone. Its queues refuse, with a
// connection error at most; the others give back what they have, and take more. New queues are made where they can be.
func TestADamagedGroupRefusesAndOthersServe(t *testing.T) {
	dir := t.TempDir()
	p := run(t, dir, "--data-dir", "data")
	ch := p.channel()
	queues := strings.Split("abcdefghijklmnopqrst", "") // in one group or the other
	for _, q := range queues {
		if _, err := ch.QueueDeclare(q, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		publish(t, ch, q, "in "+q)
	}
	p.stop()
	s, err := store.Open(filepath.Join(dir, "data"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	head, ok, err := entries.New(s, 1).SnapshotHead()
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := errors.Join(s.DB.Delete(keys.SnapshotPart(1, head.Index, 0), pebble.Sync), s.Close()); err != nil {
		t.Fatal(err)
	}
	p = run(t, dir, "--data-dir", "data")
	if said := p.stdout.String(); !strings.Contains(said, "the queues of this group refuse") || !strings.Contains(said, "group 1") {
		t.Error(said)
	}
	served, refused := 0, 0
	for _, q := range queues {
		ch := p.channel()
		if err := ch.Confirm(false); err != nil {
			t.Fatal(err)
		}
		ended := ch.NotifyClose(make(chan *amqp.Error, 1))
		c, err := ch.PublishWithDeferredConfirm("", q, true, false, amqp.Publishing{Body: []byte("more"), DeliveryMode: amqp.Persistent})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-c.Done():
			if !c.Acked() {
				refused++
				continue
			}
			served++
			if got := drain(t, p, q); len(got) != 2 || got[0] != "in "+q || got[1] != "more" {
				t.Errorf("%s has %q", q, got)
			}
		case <-ended:
			refused++
		}
	}
	if served == 0 || refused == 0 {
		t.Errorf("%d queues serve, %d refuse", served, refused)
	}
	if said := p.stdout.String(); strings.Count(said, "First delivery of a stored message") != 1 {
		t.Error(said)
	}
	status, check := p.ask("/health/checks/stored-messages")
	if want := fmt.Sprintf(`"queues":%d`, refused); status != http.StatusServiceUnavailable || !strings.Contains(check, want) || !strings.Contains(check, "group 1 lacks part 0 of snapshot") {
		t.Error(status, check)
	}
	if _, shown := p.ask("/queues"); strings.Count(shown, `"crashed"`) != refused || strings.Count(shown, "lacks part 0") != refused {
		t.Error(shown)
	}
	for i := range 4 {
		ch := p.channel()
		if _, err := ch.QueueDeclare(fmt.Sprint("new", i), true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		publish(t, ch, fmt.Sprint("new", i), "x")
	}
	p.stop()
	found := map[string]bool{}
	lines, said, code := export(t, filepath.Join(dir, "data"))
	for _, line := range lines {
		if string(line.Body) == "in "+line.Queue && line.VHost == "/" { // those of the damaged group are still in its log
			found[line.Queue] = true
		}
	}
	if want := refused; code == 0 || !strings.Contains(said, "snapshot cannot be read") || len(found) != want {
		t.Errorf("%d queues of %d are found, exit code %d, said %q", len(found), want, code, said)
	}
}
