package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// losing is three nodes that hold queues, and a fourth with etcd that clients speak to: so etcd outlives them.
type losing struct {
	trio
	front *process
	ch    *amqp.Channel // on the fourth
}

// fourth is its number among the nodes.
const fourth = 3

func startLosing(t *testing.T) *losing {
	t.Helper()
	l := &losing{trio: trio{t: t, dir: t.TempDir(), nodes: make([]*process, 3)}}
	l.hold(4)
	at := l.ports[portsOfNode*fourth:]
	l.front = launch(t, l.dir, "--node-name", "n4", "--data-dir", filepath.Join(l.dir, "n4"), "--listen", at[0], "--cluster-listen", at[1],
		"--etcd-embed", "--etcd-listen", at[2], "--etcd-peer-listen", at[3], "--role", "frontend", "--management-listen", "", "--metrics-listen", "",
		"--cluster-lease", "3s", "--cluster-patience", "3s", "--log-ra-level", "debug")
	l.front.addr = at[0]
	l.flags = []string{"--etcd-endpoints", "http://" + at[2]}
	for i := range l.nodes {
		l.begin(i)
	}
	for _, p := range append([]*process{l.front}, l.nodes...) {
		p.ready()
	}
	l.sound(4, 6)
	l.ch = l.front.channel()
	if err := l.ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	return l
}

// sound waits until nothing is wrong with as many nodes and groups.
func (l *losing) sound(nodes, groups int) {
	l.t.Helper()
	want, said := fmt.Sprintf("nothing is wrong with %d nodes and %d groups\n", nodes, groups), ""
	within(l.t, clusterPatience, strings.TrimSpace(want), func() bool {
		said, _ = l.ctl(fourth, "doctor")
		return said == want
	})
}

// fill declares queues, one in each group or nearly, with so many messages each.
func (l *losing) fill(queues, messages int) {
	l.t.Helper()
	for i := range queues {
		if _, err := l.ch.QueueDeclare(fmt.Sprint("lost", i), true, false, false, false, nil); err != nil {
			l.t.Fatal(err)
		}
		for n := range messages {
			l.publish(fmt.Sprint("lost", i), fmt.Sprint(n))
		}
	}
}

// publish publishes a message that must be confirmed.
func (l *losing) publish(queue, body string) {
	l.t.Helper()
	answer, err := l.ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{Body: []byte(body)})
	if err != nil || !answer.Wait() {
		l.t.Fatalf("%s: %v, not confirmed", queue, err)
	}
}

// lose ends a node for good, and sets its directory aside.
func (l *losing) lose(i int) {
	l.t.Helper()
	l.nodes[i].kill()
	dir := filepath.Join(l.dir, fmt.Sprint("n", i+1))
	if err := os.Rename(dir, dir+".lost"); err != nil {
		l.t.Fatal(err)
	}
}

// TestQueuesOfALostGroupAreDeleted: a group has lost most of its members. Its queues can be deleted, unless under conditions
// that nobody can look at.
func TestQueuesOfALostGroupAreDeleted(t *testing.T) {
	l := startLosing(t)
	l.fill(8, 3)
	l.lose(1)
	l.lose(2)
	if _, err := l.front.channel().QueueDelete("lost0", false, true, false); !isTimeout(err, "lost0") {
		t.Errorf("deleted if it is empty: %v", err)
	}
	if n, err := l.front.channel().QueueDelete("lost0", false, false, false); n != 0 || err != nil {
		t.Errorf("%d messages, %v", n, err)
	}
	if said, code := l.ctl(0, "delete_queue", "lost1"); code != 0 {
		t.Errorf("%d: %s", code, said)
	}
	var names []string
	for _, row := range l.rows(fourth, "list_queues", "name") {
		names = append(names, fmt.Sprint(row["name"]))
	}
	if slices.Sort(names); strings.Join(names, " ") != "lost2 lost3 lost4 lost5 lost6 lost7" {
		t.Errorf("there are %v", names)
	}
	if log := l.front.stdout.String(); !strings.Contains(log, "a queue is deleted whose group has no leader") {
		t.Error("the log says nothing")
	}
}

// isTimeout tells whether an error is that of a queue that does not answer.
func isTimeout(err error, name string) bool {
	var refusal *amqp.Error
	return errors.As(err, &refusal) && refusal.Code == amqp.NotFound &&
		refusal.Reason == fmt.Sprintf("NOT_FOUND - failed to perform operation on queue '%s' in vhost '/' due to timeout", name)
}
