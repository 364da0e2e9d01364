package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/keys"
)

// TestADamagedCopyIsSentAnew: what one of three nodes has of a group cannot be read any more. It is given up, and the others
// send theirs, though their leader has long been told that the node has everything.
func TestADamagedCopyIsSentAnew(t *testing.T) {
	c := startTrio(t)
	c.nodes[2].stop()
	s, err := store.Open(filepath.Join(c.dir, "n3"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	head, ok, err := entries.New(s, 1).SnapshotHead()
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	space := keys.Space{Group: 1, Number: head.Space}
	if err := errors.Join(s.DB.Delete(space.SnapshotPart(head.Index, 0), pebble.Sync), s.Close()); err != nil {
		t.Fatal(err)
	}
	c.begin(2)
	c.nodes[2].ready()
	sent := regexp.MustCompile(`(?s)damaged copy of the group was dropped[^\n]*group=1\n.*another member has sent takes the place[^\n]*group=1 .*switched to configuration voters=\(1 2 3\)[^\n]*group=1\n`)
	within(t, clusterPatience, "the group has three members again", func() bool { return sent.MatchString(c.nodes[2].stdout.String()) })
}

// TestANodeIsRidOfADamagedFile: what one of three nodes has on its disk is damaged in many places. It gives up its groups, and
// begins anew in the same process; then nothing is wrong, and what was confirmed is there.
func TestANodeIsRidOfADamagedFile(t *testing.T) {
	c := startTrio(t)
	ch := c.nodes[0].channel()
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	const queues = 12
	for i := range queues {
		name := fmt.Sprint("q", i)
		if _, err := ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		confirmed, err := ch.PublishWithDeferredConfirm("", name, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(name)})
		if err != nil || !confirmed.Wait() {
			t.Fatal("not confirmed", err)
		}
	}
	c.nodes[2].stop()
	c.begin(2)
	c.nodes[2].ready() // what was in the log is in tables from now on
	c.nodes[2].kill()
	tables, err := filepath.Glob(filepath.Join(c.dir, "n3", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal("no tables", err)
	}
	for _, file := range tables {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := 100; i < len(data)*3/4; i += 500 {
			data[i] ^= 0x55
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.begin(2)
	within(t, clusterPatience, "the node begins anew", func() bool {
		_, after, found := strings.Cut(c.nodes[2].stdout.String(), "stopping, to begin anew")
		return found && strings.Contains(after, "Server startup complete")
	})
	within(t, clusterPatience, "nothing is wrong", func() bool {
		said, _ := c.ctl(2, "doctor")
		return said == "nothing is wrong with 3 nodes and 6 groups\n"
	})
	again := c.nodes[2].channel()
	for i := range queues {
		name := fmt.Sprint("q", i)
		if m, ok, err := again.Get(name, true); err != nil || !ok || string(m.Body) != name {
			t.Errorf("%s: %v, %v, %q", name, ok, err, m.Body)
		}
	}
}
