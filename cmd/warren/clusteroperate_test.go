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
		{"lists", seeLists}, {"connections", closeFromAfar}, {"alarms", shareAlarms}, {"status", seeStatus}, {"sizes", placeBySize},
		{"outage", loseTwo}, {"drain", drainAndRevive}, {"forget", forgetOne},
	} {
		t.Log(step.name)
		if step.run(t, c); t.Failed() {
			return
		}
	}
}

// seeLists: whichever node is asked, the queues, consumers, connections and channels of all are there, with their numbers.
func seeLists(t *testing.T, c *trio) {
	const queues = 9 // more than there are groups
	c.rests()
	for i := range queues {
		ch := c.nodes[i%3].channel()
		q, err := ch.QueueDeclare(fmt.Sprint("list", i), true, false, false, false, amqp.Table{
			"x-queue-type": "quorum", "x-queue-leader-locator": "client-local", // some on each node: else that is chance
		})
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
	if err := ch.Publish("", "nowhere", false, false, amqp.Publishing{}); err != nil {
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

// seeStatus: every node tells of all, and the doctor finds nothing.
func seeStatus(t *testing.T, c *trio) {
	for node := range c.nodes {
		within(t, clusterPatience, "leaderships have come to rest", func() bool {
			_, code := c.ctl(node, "doctor")
			return code == 0
		})
		said, code := c.ctl(node, "cluster_status", "--formatter", "json")
		var status struct {
			Running []string `json:"running_nodes"`
			Cores   map[string]int
			Groups  []struct {
				Leader, Status string
				Members        []struct{ Node, State string }
			}
		}
		if err := json.Unmarshal([]byte(said), &status); err != nil || code != 0 {
			t.Fatalf("%d, %v: %s", code, err, said)
		}
		if fmt.Sprint(status.Running) != "[n1 n2 n3]" || len(status.Groups) != 6 {
			t.Errorf("node %d says %s", node+1, said)
		}
		for _, g := range status.Groups {
			if g.Status != "ok" || g.Leader == "" || len(g.Members) != 3 {
				t.Errorf("node %d says %+v", node+1, g)
			}
		}
		if said, code := c.ctl(node, "doctor"); code != 0 || said != "nothing is wrong with 3 nodes and 6 groups\n" {
			t.Errorf("%d: %s", code, said)
		}
		if said, code := c.tool(node, "rabbitmq-diagnostics", "check_if_node_is_quorum_critical"); code != 0 {
			t.Errorf("%d: %s", code, said)
		}
		if said, code := c.tool(node, "rabbitmq-queues", "quorum_status", "list0"); code != 0 || strings.Count(said, "voter") != 3 {
			t.Errorf("%d: %s", code, said)
		}
	}
}

// led gives how many groups a node leads, as another one sees it.
func (c *trio) led(by, node int) (n int) {
	c.t.Helper()
	for _, row := range c.rows(node, "list_groups") {
		if row["leader"] == fmt.Sprint("n", by+1) {
			n++
		}
	}
	return n
}

// drainAndRevive: a drained node leads nothing and has no clients, also after a restart, until it is revived.
func drainAndRevive(t *testing.T, c *trio) {
	conn := c.nodes[1].dial()
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	if said, code := c.tool(1, "rabbitmq-upgrade", "drain"); code != 0 {
		t.Fatalf("%d: %s", code, said)
	}
	if n := c.led(1, 0); n != 0 {
		t.Errorf("the drained node leads %d groups", n)
	}
	if err := <-closed; err == nil || !strings.Contains(err.Reason, "Node was put into maintenance mode") {
		t.Errorf("the client hears %v", err)
	}
	drained := func() {
		t.Helper()
		if open(c.nodes[1].addr) {
			t.Error("a drained node lets clients in")
		}
		within(t, clusterPatience, "the doctor says nothing else", func() bool {
			said, code := c.ctl(0, "doctor")
			return code == 1 && strings.Count(said, "\n") == 2 && strings.Contains(said, "node n2 is drained")
		})
		if said, _ := c.ctl(0, "cluster_status"); !strings.Contains(said, "Node: n2, status: marked for maintenance") {
			t.Error(said)
		}
	}
	drained()
	for name, members := range c.lone() {
		if members == "[n2]" {
			t.Errorf("%s is still on the drained node, and on no other", name)
		}
	}
	c.nodes[1].stop()
	c.begin(1)
	c.nodes[1].ready()
	drained()
	if said, code := c.tool(1, "rabbitmq-upgrade", "revive"); code != 0 {
		t.Fatalf("%d: %s", code, said)
	}
	c.nodes[1].dial()
	within(t, clusterPatience, "the node leads again, and has a group that nobody else has", func() bool {
		return c.led(1, 0) == 4 && len(c.loneGroups()) == 3
	})
	within(t, clusterPatience, "all nodes lead as many groups", func() bool { // they are handed over without waiting
		said, code := c.tool(0, "rabbitmq-queues", "rebalance", "all")
		if code != 0 {
			t.Errorf("%d: %s", code, said)
		}
		return strings.Contains(said, "n1\t4\nn2\t4\nn3\t4\n")
	})
	if said, code := c.ctl(0, "transfer_leadership", "1", "n3"); code != 0 {
		t.Errorf("%d: %s", code, said)
	}
	within(t, clusterPatience, "the group has the leader that was wanted", func() bool { return c.rows(0, "list_groups")[0]["leader"] == "n3" })
}

// forgetOne: a node that is stopped hands over what it leads, and is forgotten; the others go on.
func forgetOne(t *testing.T, c *trio) {
	if said, code := c.ctl(0, "forget_cluster_node", "n3"); code == 0 || !strings.Contains(said, "n3 is running") {
		t.Errorf("%d: %s", code, said)
	}
	within(t, clusterPatience, "the node leads something", func() bool { return c.led(2, 0) > 0 })
	c.nodes[2].stop()
	if said := c.nodes[2].stdout.String(); !strings.Contains(said, "the leaderships are handed over") {
		t.Error("the node did not hand over what it led")
	}
	for _, row := range c.rows(0, "list_groups") {
		if row["leader"] != "n1" && row["leader"] != "n2" && fmt.Sprint(row["members"]) != "[n3 (down)]" {
			t.Errorf("after the node has handed over: %v", row)
		}
	}
	if said, code := c.ctl(0, "doctor"); code != 1 || !strings.Contains(said, "node n3 is down") || !strings.Contains(said, "below its strength: n3 is down") {
		t.Errorf("%d: %s", code, said)
	}
	if said, code := c.tool(0, "rabbitmq-diagnostics", "check_if_node_is_quorum_critical"); code == 0 {
		t.Errorf("with two of three, both are needed: %s", said)
	}
	if said, code := c.ctl(0, "forget_cluster_node", "n3"); code == 0 || !strings.Contains(said, "n3 alone holds group") {
		t.Errorf("%d: %s", code, said)
	}
	c.begin(2)
	c.nodes[2].ready()
	if said, code := c.tool(2, "rabbitmq-upgrade", "drain"); code != 0 {
		t.Fatalf("%d: %s", code, said)
	}
	c.nodes[2].stop()
	if said, code := c.ctl(0, "forget_cluster_node", "n3"); code != 0 {
		t.Fatalf("%d: %s", code, said)
	}
	within(t, clusterPatience, "all groups have two members", func() bool {
		said, _ := c.ctl(1, "doctor")
		return said == "nothing is wrong with 2 nodes and 12 groups\n"
	})
	for _, row := range c.rows(1, "list_queues", "name", "messages", "members") {
		var n int
		if _, err := fmt.Sscanf(fmt.Sprint(row["name"]), "list%d", &n); err == nil && (row["messages"] != float64(n+1) || fmt.Sprint(row["members"]) != "[n1 n2]") {
			t.Errorf("%v", row)
		}
	}
	c.lone()
	if said, code := c.ctl(0, "forget_cluster_node", "n3"); code == 0 {
		t.Errorf("a node is forgotten twice: %s", said)
	}
}
