package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// growing is a broker that becomes a cluster while it is published to and consumed from.
type growing struct {
	trio
	*watch
}

// alone starts the first node as a broker of its own.
func (g *growing) alone() {
	g.t.Helper()
	p := launch(g.t, g.dir, "--node-name", "n1", "--data-dir", filepath.Join(g.dir, "n1"), "--listen", g.ports[0], "--management-listen", "", "--metrics-listen", "")
	p.addr = g.ports[0]
	p.ready()
	g.nodes = append(g.nodes, p)
}

// step does something, and tells how long the queues were without a confirm.
func (g *growing) step(name string, do func()) {
	g.t.Helper()
	g.goesOn(g.t)
	g.anew()
	do()
	g.goesOn(g.t)
	g.t.Logf("%s: longest time without a confirm, by queue: %v", name, g.gaps())
}

// sound waits until nothing is wrong with as many nodes and groups.
func (g *growing) sound(nodes, groups int) {
	g.t.Helper()
	want := fmt.Sprintf("nothing is wrong with %d nodes and %d groups\n", nodes, groups)
	within(g.t, clusterPatience, strings.TrimSpace(want), func() bool {
		said, _ := g.ctl(0, "doctor")
		return said == want
	})
}

// add lets another node join.
func (g *growing) add() {
	g.t.Helper()
	i := len(g.nodes)
	g.join(i)
	g.nodes = append(g.nodes, nil)
	g.begin(i)
	g.nodes[i].ready()
}

// remove takes the last node out for good.
func (g *growing) remove() {
	g.t.Helper()
	i := len(g.nodes) - 1
	g.nodes[i].stop()
	if said, code := g.ctl(0, "forget_cluster_node", fmt.Sprint("n", i+1)); code != 0 {
		g.t.Fatal(said)
	}
	g.nodes = g.nodes[:i]
}

// TestABrokerBecomesAClusterAndShrinks: a broker with messages becomes the first of three nodes, and of five, and these become
// three again, while clients publish with confirms and consume with acknowledgements. What was confirmed is there, what was
// settled does not come back, each producer's messages are in order.
func TestABrokerBecomesAClusterAndShrinks(t *testing.T) {
	g := &growing{trio: trio{t: t, dir: t.TempDir()}, watch: newWatch()}
	g.hold(5)
	g.alone()
	g.load(t, func() string { return g.ports[0] })
	g.step("the broker becomes the first node", func() {
		g.join(0)
		g.nodes[0].stop()
		g.begin(0)
		g.nodes[0].ready()
	})
	g.step("two more nodes join", func() {
		g.add()
		g.add()
		g.sound(3, 6)
	})
	g.step("two more nodes join", func() {
		g.add()
		g.add()
		g.sound(5, 10)
	})
	g.step("a node is drained", func() {
		if said, code := g.tool(4, "rabbitmq-upgrade", "drain"); code != 0 {
			t.Fatal(said)
		}
	})
	g.step("a node is forgotten", func() {
		g.remove()
		g.sound(4, 10)
	})
	g.step("another node is stopped and forgotten", func() {
		g.remove()
		g.sound(3, 10)
	})
	g.end()
	if !t.Failed() {
		g.settle(g.names())
		g.judge(t, g.nodes[0], "growing and shrinking")
	}
}
