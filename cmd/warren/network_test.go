//go:build linux

package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// rounds is how often TestClusterOverANetwork makes each fault, and lasting how long each goes on at least; `make cluster-test`
// asks for more.
var (
	rounds  = flag.Int("rounds", 1, "how often TestClusterOverANetwork makes each fault")
	lasting = flag.Duration("lasting", 0, "how long its faults last at least")
	only    = flag.String("only", "", "which of its faults it makes; empty: all")
)

// network is a cluster whose nodes are hosts of a network: three that hold queues, one that clients speak to, and etcd.
type network struct {
	trio             // its processes live as long as the whole test
	t     *testing.T // the fault's
	lan   *lan
	front *process
	etcd  *process
	*watch
}

const (
	frontHost, etcdHost = 3, 4 // behind the three nodes
)

func startNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{trio: trio{t: t, dir: t.TempDir(), nodes: make([]*process, 3), enter: map[int][]string{}}, t: t, lan: newLAN(t, 5)}
	for i := range n.nodes {
		h := n.lan.hosts[i]
		n.ports = append(n.ports, h.addr+":5672", h.addr+":25672", "", "")
		n.enter[i] = h.enter()
		h.giveDisk(filepath.Join(n.dir, fmt.Sprint("n", i+1)), 1<<30)
	}
	url := "http://" + n.lan.hosts[etcdHost].addr + ":2379"
	n.flags = []string{"--etcd-endpoints", url, "--cluster-insecure", "--loopback-users", "none"}
	n.beginEtcd()
	n.start()
	n.beginFront()
	n.watch = newWatch()
	return n
}

func (n *network) beginEtcd() {
	n.t.Helper()
	h := n.lan.hosts[etcdHost]
	n.etcd = launchEtcd(n.trio.t, h.enter(), n.dir, "http://"+h.addr+":2379")
	n.etcd.ready()
}

func (n *network) beginFront() {
	n.t.Helper()
	h := n.lan.hosts[frontHost]
	args := []string{binary, "--listen", h.addr + ":5672", "--management-listen", "", "--metrics-listen", "", "--node-name", "front",
		"--data-dir", filepath.Join(n.dir, "front"), "--cluster-listen", h.addr + ":25672", "--cluster-lease", "3s", "--role", "frontend"}
	n.front = launchCommand(n.trio.t, n.dir, slices.Concat(h.enter(), args, n.flags))
	n.front.ready()
	n.front.addr = h.addr + ":5672"
}

// others are the hosts of the other nodes, of the frontend, and of etcd.
func (n *network) others(i int) []*host {
	return slices.DeleteFunc(slices.Clone(n.lan.hosts), func(h *host) bool { return h == n.lan.hosts[i] })
}

// fault is something that happens to one node, and ends.
type fault struct {
	name  string
	begin func(n *network, i int)
	end   func(n *network, i int)
}

// least is how long a fault lasts at least, where faults are to last.
var least = map[string]time.Duration{"killed without etcd": time.Minute}

var networkFaults = []fault{
	{"killed", func(n *network, i int) { n.nodes[i].kill() }, (*network).restart},
	{"stopped", func(n *network, i int) { n.signal(i, syscall.SIGSTOP) }, func(n *network, i int) { n.signal(i, syscall.SIGCONT) }},
	{"cut off both ways", func(n *network, i int) {
		n.hears(i, false)
		n.lan.hosts[i].cut(n.others(i)...)
		n.minority(i)
	}, func(n *network, i int) {
		n.lan.hosts[i].mend(n.others(i)...)
		n.hears(i, true)
	}},
	{
		"not heard", func(n *network, i int) { n.lan.hosts[i].cut(n.others(i)...) },
		func(n *network, i int) { n.lan.hosts[i].mend(n.others(i)...) },
	},
	{"hearing nobody", func(n *network, i int) { n.hears(i, false) }, func(n *network, i int) { n.hears(i, true) }},
	{"flapping", (*network).flap, func(*network, int) {}},
	{"its disk stalled", func(n *network, i int) { n.lan.hosts[i].freeze() }, func(n *network, i int) { n.lan.hosts[i].thaw() }},
	{"killed, and the frontend too", func(n *network, i int) {
		n.front.kill()
		n.nodes[i].kill()
		n.beginFront()
	}, (*network).restart},
	{"killed without etcd", (*network).withoutEtcd, func(n *network, i int) {
		n.beginEtcd()
		n.restart(i)
		n.declares()
	}},
	{
		"its tables damaged", func(n *network, i int) {
			n.nodes[i].kill()
			n.restart(i) // what was in the log is in tables from now on
			n.nodes[i].kill()
		},
		func(n *network, i int) { n.restartDamaged(i, ".sst", ".blob") },
	},
	{
		"its log damaged", func(n *network, i int) { n.nodes[i].kill() },
		func(n *network, i int) { n.restartDamaged(i, ".log") },
	},
	{"its directory lost", func(n *network, i int) { n.nodes[i].kill() }, func(n *network, i int) {
		for _, file := range n.files(i, "") {
			if err := os.RemoveAll(file); err != nil {
				n.t.Fatal(err)
			}
		}
		n.restart(i)
	}},
	{"killed with all others", func(n *network, _ int) {
		n.front.kill()
		for i := range n.nodes {
			n.nodes[i].kill()
		}
		for i := range n.nodes {
			n.trio.begin(i)
		}
		for i := range n.nodes {
			n.nodes[i].ready()
		}
		n.beginFront()
	}, func(*network, int) {}},
}

func (n *network) signal(i int, s syscall.Signal) {
	n.t.Helper()
	if err := n.nodes[i].cmd.Process.Signal(s); err != nil {
		n.t.Fatal(err)
	}
}

func (n *network) restart(i int) {
	n.t.Helper()
	n.trio.begin(i)
	n.nodes[i].ready()
}

// files are those in a node's data directory with the end of a name.
func (n *network) files(i int, end string) []string {
	n.t.Helper()
	list, err := filepath.Glob(filepath.Join(n.dir, fmt.Sprint("n", i+1), "*"+end))
	if err != nil || len(list) == 0 {
		n.t.Fatal("no files", err)
	}
	return list
}

// restartDamaged changes bytes in files of a node, and starts it again. It must find out, and not go on with them.
func (n *network) restartDamaged(i int, ends ...string) {
	n.t.Helper()
	for _, end := range ends {
		for _, file := range n.files(i, end) {
			data, err := os.ReadFile(file)
			if err != nil {
				n.t.Fatal(err)
			}
			for quarter := 1; quarter < 4 && len(data) > 4; quarter++ {
				data[quarter*len(data)/4] ^= 0x55
			}
			if err := os.WriteFile(file, data, 0o600); err != nil {
				n.t.Fatal(err)
			}
		}
	}
	n.restart(i)
	within(n.t, clusterPatience, "the node gives up what is damaged", func() bool {
		said := n.nodes[i].stdout.String()
		return strings.Contains(said, "begins anew") || strings.Contains(said, "was dropped; the others send theirs")
	})
}

// hears says whether what others send to a node arrives.
func (n *network) hears(i int, arrives bool) {
	n.t.Helper()
	for _, h := range n.others(i) {
		if arrives {
			h.mend(n.lan.hosts[i])
		} else {
			h.cut(n.lan.hosts[i])
		}
	}
}

// flap cuts a node off and mends it, ten times.
func (n *network) flap(i int) {
	n.t.Helper()
	ticker := time.NewTicker(300 * time.Millisecond)
	defer ticker.Stop()
	for range 10 {
		n.lan.hosts[i].cut(n.others(i)...)
		<-ticker.C
		n.lan.hosts[i].mend(n.others(i)...)
		<-ticker.C
	}
}

// minority publishes to every queue through a node that nobody else hears: while the others go on, it confirms nothing.
func (n *network) minority(i int) {
	n.t.Helper()
	conn, err := amqp.Dial("amqp://guest:guest@" + n.nodes[i].addr)
	if err != nil {
		n.t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, watchedQueues))
	for k := range watchedQueues {
		if err := ch.Publish("", fmt.Sprint("spare", k), false, false, amqp.Publishing{DeliveryMode: amqp.Persistent}); err != nil {
			n.t.Fatal(err)
		}
	}
	n.goesOn(n.t)
	select {
	case c, ok := <-confirms:
		if ok && c.Ack {
			n.t.Errorf("node %d has confirmed message %d, and nobody else has it", i+1, c.DeliveryTag)
		}
	default:
	}
}

// declares declares a queue that nobody has declared, and waits until that is done.
func (n *network) declares() {
	n.t.Helper()
	within(n.t, clusterPatience, "queues can be declared again", func() bool { return n.declare() == nil })
}

func (n *network) declare() error {
	conn, err := amqp.Dial("amqp://guest:guest@" + n.front.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	_, err = ch.QueueDeclare(fmt.Sprint("new", time.Now().UnixNano()), true, false, false, false, nil)
	return err
}

// withoutEtcd takes etcd away, and then the node. Publishing goes on; declarations are refused with a reason.
func (n *network) withoutEtcd(i int) {
	n.t.Helper()
	n.etcd.kill()
	n.goesOn(n.t)
	began := time.Now()
	err := n.declare()
	n.t.Logf("a declaration without etcd, after %v: %v", time.Since(began).Round(time.Millisecond), err)
	if err == nil || !strings.Contains(err.Error(), "etcd") {
		n.t.Errorf("a declaration without etcd: %v", err)
	}
	n.nodes[i].kill()
}

// TestClusterOverANetwork makes every fault of a network, a disk, and a process to one node after the other, while all queues
// are published to with confirms and consumed from with acknowledgements through a frontend. What was confirmed is there,
// what was settled does not come back, what comes again says so, each producer's messages are in order. How long nobody
// heard a confirm is told.
func TestClusterOverANetwork(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	n := startNetwork(t)
	spare := n.front.channel()
	for k := range watchedQueues {
		if _, err := spare.QueueDeclare(fmt.Sprint("spare", k), true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	n.load(t, func() string { return n.lan.hosts[frontHost].addr + ":5672" })
	t.Cleanup(n.tell)
	n.goesOn(n.t)
	for _, f := range networkFaults {
		if t.Failed() {
			break // what comes now says nothing
		}
		if *only == "" || strings.Contains(","+*only+",", ","+f.name+",") {
			t.Run(strings.ReplaceAll(f.name, " ", "-"), func(t *testing.T) { n.make(t, &f) })
		}
	}
	n.end()
	if !t.Failed() {
		n.settle(n.names())
		n.judge(t, n.front, "all faults")
	}
}

// tell says what the processes said last, if the test failed.
func (n *network) tell() {
	if !n.trio.t.Failed() {
		return
	}
	for _, p := range slices.Concat(n.nodes, []*process{n.front, n.etcd}) {
		lines := strings.Split(p.stdout.String(), "\n")
		lines = slices.DeleteFunc(lines, func(line string) bool {
			return strings.Contains(line, " DBG ") || strings.Contains(line, "connection open") || strings.Contains(line, "connection closed")
		})
		n.trio.t.Logf("%s\n%s\n%s", strings.Join(p.cmd.Args, " "), strings.Join(lines[max(0, len(lines)-100):], "\n"), p.stderr.String())
	}
}

// make lets a fault happen, and tells how long the queues were without a confirm, those longest which the node led.
func (n *network) make(t *testing.T, f *fault) {
	if f.name == "its disk stalled" && n.lan.hosts[0].disk == "" {
		t.Skip("this system lets the test mount no file systems, so that none can be stalled")
	}
	n.t, n.lan.t = t, t
	defer func() { n.t, n.lan.t = n.trio.t, n.trio.t }()
	for round := range *rounds {
		i := round % len(n.nodes)
		within(t, clusterPatience, "the node leads its part", func() bool { return n.leads(i) >= 2 })
		n.goesOn(n.t)
		n.anew()
		lasts := *lasting
		if lasts > 0 {
			lasts = max(lasts, least[f.name])
		}
		enough := time.After(lasts)
		f.begin(n, i)
		n.goesOn(n.t)
		<-enough
		gaps := n.gaps()
		n.anew()
		f.end(n, i)
		n.goesOn(n.t)
		within(t, clusterPatience, "the node leads its part again", func() bool { return n.leads(i) >= 2 })
		t.Logf("node %d %s: longest time without a confirm, by queue: %v; when it ended: %v", i+1, f.name, gaps, n.gaps())
	}
}
