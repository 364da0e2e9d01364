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
	l.hold(7)
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
	l.ch = l.confirms()
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
	l.wait(1, 2) // what is asked before may be given to a leader that has not noticed yet, and waits for the next
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

// wait waits until no node that is lost is shown as living: only then anybody may be given up.
func (l *losing) wait(nodes ...int) {
	l.t.Helper()
	within(l.t, clusterPatience, "the lost nodes are known to be down", func() bool {
		said, _ := l.ctl(fourth, "doctor")
		return !slices.ContainsFunc(nodes, func(i int) bool { return !strings.Contains(said, fmt.Sprintf("node n%d is down", i+1)) })
	})
}

// restore starts a lost node with the directory it had.
func (l *losing) restore(i int) {
	l.t.Helper()
	dir := filepath.Join(l.dir, fmt.Sprint("n", i+1))
	if err := os.Rename(dir+".lost", dir); err != nil {
		l.t.Fatal(err)
	}
	l.begin(i)
	l.nodes[i].ready()
}

// says fails unless a command ends like that, and says that.
func (l *losing) says(want string, wantCode int, args ...string) {
	l.t.Helper()
	if said, code := l.ctl(fourth, args...); code != wantCode || !strings.Contains(said, want) {
		l.t.Errorf("%v: %d: %s, want %d: %s", args, code, said, wantCode, want)
	}
}

// holds waits until every queue has so many messages, and says so on each node.
func (l *losing) holds(queues, messages int) {
	l.t.Helper()
	within(l.t, clusterPatience, fmt.Sprintf("every queue has %d messages", messages), func() bool {
		rows := l.rows(fourth, "list_queues", "name", "messages")
		return len(rows) == queues && !slices.ContainsFunc(rows, func(row map[string]any) bool { return row["messages"] != float64(messages) })
	})
}

// TestALostGroupGoesOn: most members of all groups are lost for good. Told so, each goes on with what is left of it. One that was
// forgotten, and one that was not, come back with what they had: nobody listens to that, and they are members anew.
func TestALostGroupGoesOn(t *testing.T) {
	const queues, usage = 8, 64
	l := startLosing(t)
	l.fill(queues, 3)
	l.says("it has not lost most of its members", 65, "recover_group", "1", "--force")
	l.lose(1)
	l.lose(2)
	l.wait(1, 2)
	l.says("group 1 (", 1, "doctor")
	l.says("warren ctl recover_group 1 lets it go on with what n1 has", 1, "doctor")
	l.says("there is no group 99", 65, "recover_group", "99", "--force")
	l.says("say so: --force", 65, "recover_group", "all")
	l.says("n1 has something of group 1: see recover_group", 65, "give_up_group", "1", "--force")
	l.says("not enough arguments", usage, "recover_group")
	l.says("group 6 goes on with what n1 has", 0, "recover_group", "all", "--force")
	l.says("", 0, "recover_group", "all", "--force")
	within(t, clusterPatience, "every group is led by n1", func() bool {
		return !slices.ContainsFunc(l.rows(fourth, "list_groups"), func(row map[string]any) bool { return row["leader"] != "n1" })
	})
	l.says("group 1 goes on with what n1 has already", 0, "recover_group", "1")
	l.holds(queues, 3)
	l.ch = l.confirms()
	for i := range queues {
		l.publish(fmt.Sprint("lost", i), "3")
	}
	l.says("", 0, "forget_cluster_node", "n3")
	l.restore(1)
	l.restore(2)
	l.sound(4, 6)
	l.holds(queues, 4)
	l.nodes[0].kill() // what the others have is what they were sent
	for i := range queues {
		name := fmt.Sprint("lost", i)
		for n := range 4 {
			var m amqp.Delivery
			within(t, clusterPatience, name+" has a leader", func() bool {
				ch := l.front.channel()
				defer ch.Close()
				var ok bool
				var err error
				m, ok, err = ch.Get(name, true)
				return ok && err == nil
			})
			if string(m.Body) != fmt.Sprint(n) {
				t.Errorf("%s: %q is number %d", name, m.Body, n)
			}
		}
	}
	for _, p := range append([]*process{l.front}, l.nodes...) {
		if log := p.stdout.String() + p.stderr.String(); strings.Contains(log, "panic") || strings.Contains(log, " FTL ") {
			t.Error(log)
		}
	}
}

// confirms is a channel with confirms.
func (l *losing) confirms() *amqp.Channel {
	l.t.Helper()
	ch := l.front.channel()
	if err := ch.Confirm(false); err != nil {
		l.t.Fatal(err)
	}
	return ch
}

// TestAGroupIsGivenUp: all nodes that held it are lost with their directories. Told so, its queues are there again, and empty.
func TestAGroupIsGivenUp(t *testing.T) {
	const queues = 8
	l := startLosing(t)
	l.fill(queues, 3)
	for i := range l.nodes {
		l.lose(i)
	}
	l.wait(0, 1, 2)
	l.says("no node lives that group 1 could begin anew on", 65, "give_up_group", "1", "--force")
	l.nodes = append(l.nodes, l.front, nil, nil, nil)
	for i := fourth + 1; i < len(l.nodes); i++ {
		l.begin(i)
		l.nodes[i].ready()
	}
	within(t, clusterPatience, "the doctor says what helps", func() bool {
		said, _ := l.ctl(fourth, "doctor")
		return strings.Contains(said, "warren ctl give_up_group 1 lets it begin anew with nothing")
	})
	l.says("give_up_group", 65, "recover_group", "1", "--force")
	l.says("say so: --force", 65, "give_up_group", "1")
	for i := range 6 {
		l.says(fmt.Sprintf("group %d begins anew with nothing", i+1), 0, "give_up_group", fmt.Sprint(i+1), "--force")
	}
	for i := range fourth {
		l.says("", 0, "forget_cluster_node", fmt.Sprint("n", i+1))
	}
	l.sound(4, 12)
	l.holds(queues, 0)
	l.ch = l.confirms()
	for i := range queues {
		l.publish(fmt.Sprint("lost", i), "again")
	}
	l.holds(queues, 1)
}
