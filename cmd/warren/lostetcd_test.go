package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOneOfThreeGoesOn: two of three nodes burn, with the groups' members and those of etcd. The one that is left is told so: it goes
// on with everything, and two new ones take the others' places.
func TestOneOfThreeGoesOn(t *testing.T) {
	const queues = 6
	c := startTrio(t)
	l := &losing{trio: trio{t: t, dir: c.dir, ports: c.ports, nodes: c.nodes}}
	l.front = c.nodes[0]
	l.ch = l.confirms()
	l.fill(queues, 3)
	recovers := append([]string{"cluster", "recover"}, l.args(0)...)
	if said := refusal(t, recovers...); !strings.Contains(said, "say so: --force") {
		t.Error(said)
	}
	recovers = append(recovers, "--force")
	if said := refusal(t, recovers...); !strings.Contains(said, "address already in use") {
		t.Errorf("while the node runs: %s", said)
	}
	l.nodes[0].stop()
	if said := refusal(t, recovers...); !strings.Contains(said, "most members of etcd can be reached from here") {
		t.Errorf("while the others run: %s", said)
	}
	l.begin(0)
	l.nodes[0].ready()
	for i := 1; i < 3; i++ {
		l.nodes[i].kill()
		if err := os.RemoveAll(filepath.Join(l.dir, fmt.Sprint("n", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	l.nodes[0].kill() // in order it stops too, and complains of etcd
	for range 2 {     // the second time it is what it was made
		said := command(t, recovers...)
		if !strings.Contains(said, "is the only one now") {
			t.Error(said)
		}
	}
	l.begin(0)
	l.nodes[0].ready()
	within(t, clusterPatience, "the groups go on", func() bool {
		_, code := l.ctl(0, "recover_group", "all", "--force")
		return code == 0
	})
	for i := 1; i < 3; i++ {
		if said, code := l.ctl(0, "forget_cluster_node", fmt.Sprint("n", i+1)); code != 0 {
			t.Errorf("%d: %s", code, said)
		}
		l.join(i)
		l.begin(i)
		l.nodes[i].ready()
	}
	said := ""
	within(t, clusterPatience, "three nodes are as three were", func() bool {
		said, _ = l.ctl(2, "doctor")
		return said == "nothing is wrong with 3 nodes and 6 groups\n"
	})
	l.nodes[0].kill() // what the others have is what they were sent
	for i := range queues {
		name := fmt.Sprint("lost", i)
		within(t, clusterPatience, name+" has all its messages", func() bool {
			ch := l.nodes[2].channel()
			defer ch.Close()
			q, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
			return err == nil && q.Messages == 3
		})
	}
}
