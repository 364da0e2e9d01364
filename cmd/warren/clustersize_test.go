package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// lone gives the members of the queues that are to lie on one node, as the first node shows them, and checks that there is one
// member, and that each queue has its message.
func (c *trio) lone() map[string]string {
	c.t.Helper()
	members := map[string]string{}
	for _, row := range c.rows(0, "list_queues", "name", "messages", "members") {
		name := fmt.Sprint(row["name"])
		var n int
		if _, err := fmt.Sscanf(name, "lone%d", &n); err != nil {
			continue
		}
		members[name] = fmt.Sprint(row["members"])
		if nodes, _ := row["members"].([]any); row["messages"] != 1.0 || len(nodes) != 1 {
			c.t.Errorf("%v", row)
		}
	}
	return members
}

// loneGroups gives the members of groups of one, as the first node shows them: one for each node that has some.
func (c *trio) loneGroups() map[string]bool {
	c.t.Helper()
	on := map[string]bool{}
	for _, row := range c.rows(0, "list_groups") {
		if row["size"] == 1.0 {
			on[fmt.Sprint(row["members"])] = true
		}
	}
	return on
}

// declareAtStart starts a node that imports definitions.
func (c *trio) declareAtStart(i int, definitions string) {
	c.t.Helper()
	file := filepath.Join(c.dir, "definitions.json")
	if err := os.WriteFile(file, []byte(definitions), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.enter = map[int][]string{i: {"env", "WARREN_LOAD_DEFINITIONS=" + file}}
	c.begin(i)
	c.enter = nil
	c.nodes[i].ready()
}

// placeBySize: queues lie on as many nodes as their arguments say, or their policy; and so they do after a restart.
func placeBySize(t *testing.T, c *trio) {
	if said, code := c.ctl(0, "set_policy", "few", "^few", `{"target-group-size":1}`, "--apply-to", "quorum_queues"); code != 0 {
		t.Fatalf("%d: %s", code, said)
	}
	declare := func(i int, name string, size int) {
		t.Helper()
		arguments := amqp.Table{"x-queue-type": "quorum"}
		if size > 0 {
			arguments["x-quorum-initial-group-size"] = size
		}
		ch := c.nodes[i].channel()
		defer ch.Close()
		if _, err := ch.QueueDeclare(name, true, false, false, false, arguments); err != nil {
			t.Fatal(err)
		}
		if err := ch.Confirm(false); err != nil {
			t.Fatal(err)
		}
		publish(t, ch, name, "a message")
	}
	declare(2, "few", 0) // there is no such group yet
	declare(1, "few, but three by argument", 3)
	on := map[string]bool{}
	for n := 0; len(on) < 3 && n < 99; n++ {
		name := fmt.Sprint("lone", n)
		declare(n%3, name, 1)
		on[c.lone()[name]] = true
	}
	if !on["[n1]"] || !on["[n2]"] || !on["[n3]"] {
		t.Errorf("queues on one node are on %v", on)
	}
	for _, row := range c.rows(1, "list_queues", "name", "members") {
		want := map[any]string{"few": "1", "few, but three by argument": "3"}[row["name"]]
		if members, _ := row["members"].([]any); want != "" && fmt.Sprint(len(members)) != want {
			t.Errorf("%v", row)
		}
	}
	within(t, clusterPatience, "there is a group of one on each node, and nothing is wrong", func() bool {
		sizes := map[any]int{}
		for _, row := range c.rows(2, "list_groups") {
			sizes[row["size"]]++
		}
		said, _ := c.ctl(2, "doctor")
		return fmt.Sprint(sizes) == "map[1:3 3:6]" && len(c.loneGroups()) == 3 && said == "nothing is wrong with 3 nodes and 9 groups\n"
	})
	if said, code := c.tool(2, "rabbitmq-diagnostics", "has_reached_target_cluster_size"); code != 0 {
		t.Errorf("%d: %s", code, said)
	}
	before := fmt.Sprint(c.lone())
	c.nodes[1].stop()
	c.declareAtStart(1, `{"queues":[{"vhost":"/","name":"five","durable":true,"auto_delete":false,
		"arguments":{"x-queue-type":"quorum","x-quorum-initial-group-size":5}}]}`)
	within(t, clusterPatience, "groups of five members have three on three nodes", func() bool {
		fives := 0
		for _, row := range c.rows(0, "list_groups") {
			if row["size"] == 5.0 && fmt.Sprint(row["members"]) == "[n1 n2 n3]" {
				fives++
			}
		}
		said, _ := c.ctl(1, "doctor")
		return fives == 3 && said == "nothing is wrong with 3 nodes and 12 groups\n"
	})
	if after := fmt.Sprint(c.lone()); after != before {
		t.Errorf("before a restart %s, after it %s", before, after)
	}
}
