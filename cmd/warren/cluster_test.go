package main

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// faults is how many faults TestClusterUnderFaults makes; `make cluster-test` asks for more.
var faults = flag.Int("faults", 3, "how many faults TestClusterUnderFaults makes")

// clusterPatience bounds every wait for what three nodes and their etcd should do: all of them share one machine.
const clusterPatience = 2 * time.Minute

// trio is three nodes on loopback, with etcd embedded, that have joined one after another and talk over TLS.
type trio struct {
	t     *testing.T
	dir   string
	ports []string // AMQP, HTTP, nodes, etcd, etcd's members; of each node
	mu    sync.Mutex
	nodes []*process
	enter map[int][]string // what the commands of the nodes begin with
	runs  map[int]string   // the programs of nodes that are not the one that is tested
	flags []string         // for an etcd elsewhere; nil: it is embedded, and the nodes join with certificates
}

const portsOfNode = 4

func startTrio(t *testing.T) *trio {
	t.Helper()
	c := &trio{t: t, dir: t.TempDir(), nodes: make([]*process, 3)}
	c.hold(3)
	c.start()
	return c
}

// hold finds ports for as many nodes.
func (c *trio) hold(nodes int) {
	t := c.t
	t.Helper()
	var held []net.Listener
	for range portsOfNode * nodes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l)
		c.ports = append(c.ports, l.Addr().String())
	}
	for _, l := range held {
		l.Close()
	}
}

func (c *trio) start() {
	c.t.Helper()
	for i := range c.nodes {
		if c.flags == nil {
			c.join(i)
		}
		c.begin(i)
		c.nodes[i].ready()
	}
	c.whole()
}

// args are what a node is told that its certificate depends on.
func (c *trio) args(i int) []string {
	at := c.ports[portsOfNode*i:]
	args := []string{"--node-name", fmt.Sprintf("n%d", i+1), "--data-dir", filepath.Join(c.dir, fmt.Sprint("n", i+1)), "--cluster-listen", at[1]}
	if c.flags != nil {
		return append(args, c.flags...)
	}
	return append(args, "--etcd-embed", "--etcd-listen", at[2], "--etcd-peer-listen", at[3])
}

// join gets a node its certificate: from itself if it is the first.
func (c *trio) join(i int) {
	c.t.Helper()
	if i == 0 {
		command(c.t, append([]string{"cluster", "init"}, c.args(i)...)...)
		return
	}
	token := command(c.t, "cluster", "token", "--data-dir", filepath.Join(c.dir, "n1"))
	command(c.t, append([]string{"cluster", "join", strings.TrimSpace(token), c.ports[1]}, c.args(i)...)...)
}

// begin starts a node and does not wait for it.
func (c *trio) begin(i int) {
	c.t.Helper()
	at := c.ports[portsOfNode*i:]
	p := launchCommand(c.t, c.dir, slices.Concat(c.enter[i], []string{cmp.Or(c.runs[i], binary)}, c.args(i), []string{
		"--listen", at[0], "--management-listen", "", "--metrics-listen", "", "--cluster-lease", "3s", "--log-ra-level", "debug",
		"--cluster-patience", "3s", "--cluster-backlog", "32MiB",
	}))
	p.addr = at[0]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[i] = p
}

// whole waits until there are two groups for each node, and every one has three members: the log of consensus says so.
func (c *trio) whole() {
	c.t.Helper()
	within(c.t, clusterPatience, "every group has three members", func() bool {
		said := ""
		for _, p := range c.nodes {
			said += p.stdout.String()
		}
		for group := range 2 * len(c.nodes) {
			if !regexp.MustCompile(fmt.Sprintf(`switched to configuration voters=\(1 2 3\).*group=%d\n`, group+1)).MatchString(said) {
				return false
			}
		}
		return true
	})
}

// any gives a node that runs, other than one.
func (c *trio) any(random *rand.Rand, but int) *process {
	for {
		i := random.IntN(len(c.nodes))
		if i != but {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.nodes[i]
		}
	}
}

// anywhere gives the address of one node or another.
func (c *trio) anywhere(seed uint64) func() string {
	random := rand.New(rand.NewPCG(seed, 3))
	return func() string { return c.any(random, -1).addr }
}

// again connects where a node answers, until over is closed.
func again(where func() string, over chan struct{}, use func(*amqp.Channel)) {
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for {
		select {
		case <-over:
			return
		case <-pause.C:
		}
		conn, err := amqp.Dial("amqp://guest:guest@" + where())
		if err != nil {
			continue
		}
		gone := make(chan struct{})
		go func() {
			select {
			case <-over:
				conn.Close()
			case <-gone:
			}
		}()
		if ch, err := conn.Channel(); err == nil {
			use(ch)
		}
		close(gone)
		conn.Close()
	}
}

// fault does something to the cluster, and mends it.
func (c *trio) fault(random *rand.Rand, confirmed func() int) string {
	i := random.IntN(len(c.nodes))
	p := c.nodes[i]
	goOn := func() {
		from := confirmed()
		within(c.t, clusterPatience, "publishing goes on", func() bool { return confirmed() > from+200 })
	}
	switch random.IntN(3) {
	case 0:
		_ = p.cmd.Process.Signal(syscall.SIGSTOP)
		goOn()
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		return fmt.Sprintf("node %d stopped for a while", i+1)
	case 1:
		for _, p := range c.nodes {
			p.kill()
		}
		for i := range c.nodes {
			c.begin(i)
		}
		for _, p := range c.nodes {
			p.ready()
		}
		return "all nodes killed"
	default:
		p.kill()
		goOn()
		c.begin(i)
		c.nodes[i].ready()
		return fmt.Sprintf("node %d killed", i+1)
	}
}

// TestClusterUnderFaults publishes with confirms and consumes with acknowledgements through all nodes, while these are killed
// or stopped. What was confirmed is there, what was settled does not come back, and what comes again says so.
func TestClusterUnderFaults(t *testing.T) {
	c := startTrio(t)
	random := rand.New(rand.NewPCG(uint64(*faults), 11))
	victims := make([]*victim, 4)
	over := make(chan struct{})
	var all sync.WaitGroup
	for i := range victims {
		v := newVictim(fmt.Sprint("victim", i))
		victims[i] = v
		all.Go(func() { again(c.anywhere(uint64(2*i)), over, func(ch *amqp.Channel) { v.produce(t, ch, func() {}) }) })
		all.Go(func() { again(c.anywhere(uint64(2*i+1)), over, func(ch *amqp.Channel) { v.consume(t, ch) }) })
	}
	confirmed := func() (sum int) {
		for _, v := range victims {
			v.mu.Lock()
			sum += v.total
			v.mu.Unlock()
		}
		return sum
	}
	for range *faults {
		from := confirmed()
		within(t, clusterPatience, "publishing goes on", func() bool { return confirmed() > from+2000 })
		t.Log(c.fault(random, confirmed))
	}
	close(over)
	all.Wait()
	sum := victim{}
	c.settle([]string{"victim0", "victim1", "victim2", "victim3"})
	for _, v := range victims {
		v.empty(t, c.nodes[random.IntN(len(c.nodes))])
		sum.add(v)
	}
	sum.judge(t, fmt.Sprint(*faults, " faults"))
}

// settle waits until nobody holds messages of the queues: a node that was killed is known to be gone.
func (c *trio) settle(queues []string) {
	ch := c.nodes[0].channel()
	defer ch.Close()
	last, since := make([]int, len(queues)), time.Now()
	within(c.t, clusterPatience, "messages come back", func() bool {
		held := false
		for i, name := range queues {
			q, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
			if err != nil {
				c.t.Fatal(err)
			}
			if held = held || q.Consumers > 0; q.Messages != last[i] {
				last[i], since = q.Messages, time.Now()
			}
		}
		return !held && time.Since(since) > 5*time.Second // the lease, and more
	})
}

var led = regexp.MustCompile(`became leader at term (\d+) group=(\d+)\n`)

// leads tells how many groups a node leads, going by what all nodes say of their terms.
func (c *trio) leads(i int) (count int) {
	type reign struct{ term, node int }
	groups := map[string]reign{}
	for k, p := range c.nodes {
		for _, m := range led.FindAllStringSubmatch(p.stdout.String(), -1) {
			if term, _ := strconv.Atoi(m[1]); term > groups[m[2]].term { // digits
				groups[m[2]] = reign{term, k}
			}
		}
	}
	for _, r := range groups {
		if r.node == i {
			count++
		}
	}
	return count
}
