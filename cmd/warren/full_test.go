//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestAFullDisk: before the disk is full, publishers are told and held back; consumers and acknowledgements go on; once
// there is room, publishing goes on by itself within 5 seconds.
func TestAFullDisk(t *testing.T) {
	dir := t.TempDir()
	const size = 256 << 20
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256m"); err != nil {
		t.Skipf("a file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("WARREN_DISK_FREE_LIMIT_ABSOLUTE", "128MB")
	p := run(t, t.TempDir(), "--data-dir", filepath.Join(dir, "data"))
	t.Cleanup(p.kill)
	conn := p.dial()
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 10))
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	publish(t, ch, "q", "before")
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, size*5/8), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := ch.PublishWithDeferredConfirm("", "q", true, false, amqp.Publishing{Body: []byte("meanwhile"), DeliveryMode: amqp.Persistent})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "publishers are told", func() bool {
		if !c.Acked() { // it came before the alarm, or is held back
			select {
			case b := <-blocked:
				return b.Active && b.Reason == "low on disk"
			default:
				return false
			}
		}
		c, err = ch.PublishWithDeferredConfirm("", "q", true, false, amqp.Publishing{Body: []byte("meanwhile"), DeliveryMode: amqp.Persistent})
		return err != nil
	})
	if got := drain(t, p, "q"); len(got) == 0 || got[0] != "before" {
		t.Errorf("consumers get %q", got)
	}
	if c.Acked() {
		t.Error("a message was taken")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	room := time.Now()
	if !c.Wait() {
		t.Error("the message that was held back is not confirmed")
	}
	t.Logf("publishing goes on %v after there is room again", time.Since(room))
	if b := <-blocked; b.Active {
		t.Errorf("then it is told %+v", b)
	}
	publish(t, ch, "q", "afterwards")
	if got := drain(t, p, "q"); len(got) != 2 || got[0] != "meanwhile" || got[1] != "afterwards" {
		t.Errorf("there is %q", got)
	}
	p.stop()
}

// TestADiskThatIsReallyFull ends the broker with one line; with room again, it starts, and has all that was confirmed.
func TestADiskThatIsReallyFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=48m"); err != nil {
		t.Skipf("a file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("WARREN_DISK_FREE_LIMIT_ABSOLUTE", "0")
	data := filepath.Join(dir, "data")
	p := run(t, t.TempDir(), "--data-dir", data)
	ch := p.channel()
	if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	confirmed := 0
	body := make([]byte, 100_000)
	for {
		c, err := ch.PublishWithDeferredConfirm("", "q", true, false, amqp.Publishing{Body: body, DeliveryMode: amqp.Persistent})
		if err != nil || !c.Wait() {
			break
		}
		confirmed++
	}
	if code, said := p.ends(), p.stderr.String(); code != 1 || strings.Count(said, "\n") != 1 || !strings.Contains(said, "no space left on device") {
		t.Errorf("exit code %d: %s", code, said)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=256m"); err != nil {
		t.Fatal(err)
	}
	p = run(t, t.TempDir(), "--data-dir", data)
	if got := drain(t, p, "q"); len(got) < confirmed || confirmed == 0 {
		t.Errorf("%d messages of %d", len(got), confirmed)
	}
	p.stop()
}
