//go:build linux

package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// apart lets two nodes hear nobody of some others, or hear them again.
func (n *network) apart(i, j int, apart bool, from ...int) {
	n.t.Helper()
	for _, k := range from {
		other := n.lan.hosts[k]
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

// leadAgain lets two nodes lose their leaders and elect others, which tell everybody.
func (n *network) leadAgain(i, j int) {
	n.t.Helper()
	count := func(what string) int {
		return strings.Count(n.nodes[i].stdout.String(), what) + strings.Count(n.nodes[j].stdout.String(), what)
	}
	lost := strings.Count(n.nodes[i].stdout.String(), "stepped down to follower since quorum is not active")
	n.signal(j, syscall.SIGSTOP)
	within(n.t, clusterPatience, "one that is alone does not lead", func() bool {
		said := n.nodes[i].stdout.String()
		return strings.Count(said, "stepped down to follower since quorum is not active") > lost
	})
	led := count("became leader at term")
	n.signal(j, syscall.SIGCONT)
	within(n.t, clusterPatience, "the two have leaders again", func() bool { return count("became leader at term") > led })
}

// TestGivenUpWhileTheyLive: two of three nodes are cut off with a client, and given up, though they live and are a majority: they go on
// for themselves, and say so to everybody, who do not believe it. When they hear of it they drop what they had, and are members of what the third has gone on with.
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
	n.apart(1, 2, true, 0, frontHost, etcdHost)
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
	n.apart(1, 2, false, 0, frontHost)
	n.leadAgain(1, 2)
	for i := range queues {
		l.publish(fmt.Sprint("lost", i), "also ours")
	}
	n.apart(1, 2, false, etcdHost)
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
			return len(got) == 5
		})
		if fmt.Sprint(got) != "[0 1 2 ours also ours]" {
			t.Errorf("%s gives %v", name, got)
		}
	}
}
