package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ctl asks a node of the trio over its socket, and gives what it says and the exit code.
func (c *trio) ctl(i int, args ...string) (string, int) {
	c.t.Helper()
	return c.tool(i, "rabbitmqctl", args...)
}

// tool does the same by the name of any tool.
func (c *trio) tool(i int, name string, args ...string) (string, int) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.Symlink(binary, path); err != nil && !errors.Is(err, os.ErrExist) {
		c.t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{"-q"}, args...)...)
	cmd.Env = append(os.Environ(), "WARREN_DATA_DIR="+filepath.Join(c.dir, fmt.Sprint("n", i+1)))
	said, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	return string(said), cmd.ProcessState.ExitCode()
}

// rows are what a list command of a node shows, as JSON.
func (c *trio) rows(i int, args ...string) (rows []map[string]any) {
	c.t.Helper()
	said, code := c.ctl(i, append(args, "--formatter", "json")...)
	if err := json.Unmarshal([]byte(said), &rows); err != nil || code != 0 {
		c.t.Fatalf("%s: %d, %v: %s", strings.Join(args, " "), code, err, said)
	}
	return rows
}

// TestOperatingACluster looks at three nodes through each of them, and does what operators do.
func TestOperatingACluster(t *testing.T) {
	c := startTrio(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T, *trio)
	}{
		{"lists", seeLists}, {"connections", closeFromAfar}, {"alarms", shareAlarms},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			c.t = t
			step.run(t, c)
		}) {
			return
		}
	}
}

// seeLists: whichever node is asked, the queues, consumers, connections and channels of all are there, with their numbers.
func seeLists(t *testing.T, c *trio) {
	const queues = 9 // more than there are groups
	for i := range queues {
		ch := c.nodes[i%3].channel()
		q, err := ch.QueueDeclare(fmt.Sprint("list", i), true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ch.QueueDeclare(fmt.Sprint("own", i), false, false, true, false, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := ch.Consume(q.Name, fmt.Sprint("tag", i), false, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		for range i + 1 {
			publish(t, ch, q.Name, "a message")
		}
	}
	for node := range c.nodes {
		within(t, clusterPatience, "every node shows everything", func() bool {
			seen, leaders := 0, map[string]bool{}
			for _, row := range c.rows(node, "list_queues", "name", "messages", "consumers", "leader", "members", "online", "pid", "owner_pid", "state") {
				var n int
				if _, err := fmt.Sscanf(fmt.Sprint(row["name"]), "list%d", &n); err == nil {
					if row["messages"] != float64(n+1) || row["consumers"] != 1.0 || row["leader"] != row["pid"] || row["state"] != "running" ||
						fmt.Sprint(row["members"], row["online"]) != "[n1 n2 n3] [n1 n2 n3]" {
						t.Logf("node %d shows %v", node+1, row)
						return false
					}
					seen++
					leaders[fmt.Sprint(row["leader"])] = true
				}
				if _, err := fmt.Sscanf(fmt.Sprint(row["name"]), "own%d", &n); err == nil && row["pid"] != fmt.Sprint("n", n%3+1) {
					t.Errorf("node %d shows %v", node+1, row)
				}
			}
			return seen == queues && len(leaders) == 3
		})
		consumers := c.rows(node, "list_consumers", "queue_name", "channel_pid", "consumer_tag")
		for _, row := range consumers {
			if row["channel_pid"] == "" || row["channel_pid"] == nil {
				t.Errorf("a consumer is on no channel: %v", row)
			}
		}
		connections, channels := c.rows(node, "list_connections", "name", "node"), c.rows(node, "list_channels", "name", "consumer_count")
		if len(consumers) != queues || len(connections) != queues || len(channels) != queues {
			t.Errorf("node %d shows %d consumers, %d connections, %d channels", node+1, len(consumers), len(connections), len(channels))
		}
		on := map[any]int{}
		for _, row := range connections {
			on[row["node"]]++
		}
		if fmt.Sprint(on) != "map[n1:3 n2:3 n3:3]" {
			t.Errorf("node %d shows connections on %v", node+1, on)
		}
	}
}

// closeFromAfar closes a connection of another node, by its name and by its user.
func closeFromAfar(t *testing.T, c *trio) {
	conn := c.nodes[2].dial()
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	name := conn.LocalAddr().String() + " -> " + c.nodes[2].addr
	if said, code := c.ctl(0, "close_connection", name, "enough"); code != 0 {
		t.Fatalf("%d: %s", code, said)
	}
	if err := <-closed; err == nil || err.Code != amqp.ConnectionForced || !strings.Contains(err.Reason, "enough") {
		t.Errorf("the client hears %v", err)
	}
	if said, code := c.ctl(0, "close_connection", name, "enough"); code == 0 {
		t.Errorf("a connection is closed twice: %s", said)
	}
}

// shareAlarms: an alarm of one node holds the publishers of all back, until it ends, or the node does.
func shareAlarms(t *testing.T, c *trio) {
	conn := c.nodes[0].dial()
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 4))
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if said, code := c.ctl(1, "set_vm_memory_high_watermark", "absolute", "1"); code != 0 {
		t.Fatalf("%d: %s", code, said)
	}
	within(t, clusterPatience, "all nodes know of the alarm", func() bool {
		said, code := c.tool(0, "rabbitmq-diagnostics", "check_alarms")
		return code != 0 && strings.Contains(said, "memory on n2")
	})
	if err := ch.Publish("", "list0", false, false, amqp.Publishing{}); err != nil {
		t.Fatal(err)
	}
	if b := <-blocked; !b.Active || b.Reason != "low on memory" {
		t.Errorf("the client hears %+v", b)
	}
	if said, code := c.tool(0, "rabbitmq-diagnostics", "check_local_alarms"); code != 0 {
		t.Errorf("the alarm is not this node's: %s", said)
	}
	if said, code := c.ctl(1, "set_vm_memory_high_watermark", "0.9"); code != 0 {
		t.Fatalf("%d: %s", code, said)
	}
	if b := <-blocked; b.Active {
		t.Errorf("the client hears %+v", b)
	}
}
