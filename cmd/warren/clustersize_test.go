package main

import (
	"fmt"
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
		sizes, alone := map[any]int{}, map[string]bool{}
		for _, row := range c.rows(2, "list_groups") {
			if sizes[row["size"]]++; row["size"] == 1.0 {
				alone[fmt.Sprint(row["members"])] = true
			}
		}
		said, _ := c.ctl(2, "doctor")
		return fmt.Sprint(sizes) == "map[1:3 3:6]" && len(alone) == 3 && said == "nothing is wrong with 3 nodes and 9 groups\n"
	})
	if said, code := c.tool(2, "rabbitmq-diagnostics", "has_reached_target_cluster_size"); code != 0 {
		t.Errorf("%d: %s", code, said)
	}
	before := fmt.Sprint(c.lone())
	c.nodes[1].stop()
	c.begin(1)
	c.nodes[1].ready()
	within(t, clusterPatience, "all groups have leaders again", func() bool {
		_, code := c.ctl(1, "doctor")
		return code == 0
	})
	if after := fmt.Sprint(c.lone()); after != before {
		t.Errorf("before a restart %s, after it %s", before, after)
	}
}
