//go:build linux

package main

import (
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// apart lets two nodes hear nobody but each other, or everybody again.
func (n *network) apart(i, j int, apart bool) {
	n.t.Helper()
	for k, other := range n.lan.hosts {
		if k == i || k == j {
			continue
		}
		for _, h := range []*host{n.lan.hosts[i], n.lan.hosts[j]} {
			if apart {
				h.cut(other)
				other.cut(h)
			} else {
				h.mend(other)
				other.mend(h)
			}
		}
	}
}

// TestGivenUpWhileTheyLive: two of three nodes are cut off with a client, and given up, though they live and are a majority: they go on
// for themselves. When they hear of it they drop what they had, and are members of what the third has gone on with.
func TestGivenUpWhileTheyLive(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	const queues = 6
	n := startNetwork(t)
	t.Cleanup(n.tell)
	l := &losing{trio: trio{t: t, dir: n.dir, ports: n.ports, nodes: n.nodes}, front: n.front}
	l.ch = l.confirms()
	l.fill(queues, 3)
	theirs := n.nodes[1].dial()
	closed := theirs.NotifyClose(make(chan *amqp.Error, 1))
	ch, err := theirs.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		t.Fatal(err)
	}
	n.apart(1, 2, true)
	for i := range queues {
		answer, err := ch.PublishWithDeferredConfirm("", fmt.Sprint("lost", i), true, false, amqp.Publishing{Body: []byte("theirs")})
		if err != nil || !answer.Wait() {
			t.Fatalf("those that are cut off are a majority: %v", err)
		}
	}
	within(t, clusterPatience, "they are given up", func() bool {
		_, code := n.ctl(0, "recover_group", "all", "--force")
		return code == 0
	})
	for i := range queues {
		l.publish(fmt.Sprint("lost", i), "ours")
	}
	n.apart(1, 2, false)
	if err := <-closed; err == nil {
		t.Error("a client whose messages were lost goes on")
	}
	said := ""
	within(t, clusterPatience, "all groups are whole", func() bool {
		said, _ = n.ctl(0, "doctor")
		return said == "nothing is wrong with 4 nodes and 6 groups\n"
	})
	n.nodes[0].kill() // what the others have is what they were sent
	for i := range queues {
		name, got := fmt.Sprint("lost", i), []string{}
		within(t, clusterPatience, name+" gives its messages", func() bool {
			ch := n.nodes[1].channel()
			defer ch.Close()
			m, ok, err := ch.Get(name, true)
			if ok && err == nil {
				got = append(got, string(m.Body))
			}
			return len(got) == 4
		})
		if fmt.Sprint(got) != "[0 1 2 ours]" {
			t.Errorf("%s gives %v", name, got)
		}
	}
}
