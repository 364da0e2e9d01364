package management

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/warrenmq/warren/broker/limits"
)

// complaint is something that is wrong, and what to do about it.
type complaint struct {
	Severity string `json:"severity"` // error: something does not work, or soon will not; warning: it is worth a look
	Node     string `json:"node,omitempty"`
	What     string `json:"what"`
	Do       string `json:"do"`
}

const (
	isError   = "error"
	isWarning = "warning"
)

// condition is what a node says of itself to the doctor.
type condition struct {
	TimeMs   int64            `json:"time_ms"`
	Version  string           `json:"version"` // of Warren
	Metadata string           `json:"metadata,omitempty"`
	Expiry   map[string]int64 `json:"expiry"` // when certificates end, in milliseconds, by what they are for
	Damage   []string         `json:"damage"`
	Alarms   []string         `json:"alarms"`
	Low      []string         `json:"low"` // what is near an alarm
	Full     bool             `json:"full"`

	answers bool
	apartMs int64 // by how much its clock differs from this node's, at least
}

var askCondition = question[struct{}, condition]{name: "condition", answer: (*Server).conditionHere}

func init() { register(askCondition) }

// Bounds of what is well.
const (
	reachTime   = 2 * time.Second     // how long etcd has for an answer
	clocksApart = time.Second         // how much clocks may differ
	expiresSoon = 14 * 24 * time.Hour // how long certificates should hold
	nearAlarm   = 1.2                 // how far from an alarm memory and disk should be, as a factor
)

// conditionHere is how this node is.
func (s *Server) conditionHere(ctx context.Context, _ struct{}) (condition, error) {
	c := condition{Version: s.Own, Expiry: map[string]int64{}, Damage: s.damages(), Alarms: []string{}, Low: s.low(), Full: s.Registry.Full()}
	for _, k := range []limits.Kind{limits.Memory, limits.Disk} {
		if s.Alarms.Raised(k) {
			c.Alarms = append(c.Alarms, k.String())
		}
	}
	for _, l := range s.Listeners() {
		if !l.Expiry.IsZero() {
			c.Expiry[l.Protocol+" on "+l.Addr.String()] = l.Expiry.UnixMilli()
		}
	}
	if !s.Nodes.single() {
		if ends := s.Nodes.Expiry(); !ends.IsZero() {
			c.Expiry["other nodes"] = ends.UnixMilli()
		}
		ctx, cancel := context.WithTimeout(ctx, reachTime)
		defer cancel()
		if err := s.Nodes.Reach(ctx); err != nil {
			c.Metadata = oneLine(err)
		}
	}
	c.TimeMs = time.Now().UnixMilli()
	return c, nil
}

// low tells what is near an alarm.
func (s *Server) low() []string {
	list := []string{}
	memory, disk := s.Limits()
	if used, err := limits.ResidentMemory(); err == nil && memory > 0 && float64(used)*nearAlarm > float64(memory) {
		list = append(list, limits.Memory.String())
	}
	if free, _, err := limits.DiskSpace(s.DataDir); err == nil && disk > 0 && float64(free) < float64(disk)*nearAlarm {
		list = append(list, limits.Disk.String())
	}
	return list
}

// conditions asks all nodes that live how they are.
func (s *Server) conditions(ctx context.Context) map[uint64]*condition {
	all := map[uint64]*condition{}
	own, _ := s.conditionHere(ctx, struct{}{}) // it has no errors
	own.answers = true
	all[s.Nodes.Self] = &own
	var mu sync.Mutex // of all
	var asking errands
	for _, node := range s.others() {
		asking.Go(func() {
			began := time.Now()
			c, err := askCondition.of(ctx, s, node, struct{}{})
			ended := time.Now()
			c.answers = err == nil
			if c.answers { // it looked at its clock somewhere between the two
				c.apartMs = max(c.TimeMs-ended.UnixMilli(), began.UnixMilli()-c.TimeMs, 0)
			}
			mu.Lock()
			defer mu.Unlock()
			all[node] = &c
		})
	}
	asking.Wait()
	return all
}

// examine says what is wrong, the worst first.
func (q *request) examine() (answer, error) {
	s := q.server
	all := s.conditions(q.context())
	list := []complaint{}
	versions := map[string][]string{}
	nodes := s.Nodes.Nodes()
	for _, n := range nodes {
		c := all[n.ID]
		if of := strange(n, nodes, s.Nodes.Self); len(of) > 0 {
			list = append(list, of...)
			continue
		}
		list = append(list, complaintsOf(n, c)...)
		if c != nil && c.answers {
			versions[c.Version] = append(versions[c.Version], n.Name)
		}
	}
	if len(versions) > 1 {
		var words []string
		for version, nodes := range versions {
			words = append(words, version+" on "+strings.Join(nodes, ", "))
		}
		slices.Sort(words)
		list = append(list, complaint{isWarning, "", "the nodes have different versions: " + strings.Join(words, "; "), "bring all of them to the newest, one after another"})
	}
	names, queues := s.names(), s.queuesOfGroups()
	groups := s.groupViews(q.context())
	for _, g := range groups {
		list = append(list, g.complaints(names, queues[g.id])...)
	}
	for _, n := range s.Nodes.Nodes() {
		list = append(list, stranded(n, groups)...)
	}
	slices.SortStableFunc(list, func(a, b complaint) int { return strings.Compare(a.Severity, b.Severity) })
	errors := slices.ContainsFunc(list, func(c complaint) bool { return c.Severity == isError })
	status := "ok"
	switch {
	case errors:
		status = isError
	case len(list) > 0:
		status = isWarning
	}
	return ok(object{"status": status, "nodes": len(s.Nodes.Nodes()), "groups": len(groups), "findings": list})
}

// strange says that a node does not hear the one that is asked, because they speak different protocols.
func strange(n Node, nodes []Node, self uint64) (list []complaint) {
	for _, own := range nodes {
		if own.ID == self && n.Alive && n.Protocol != own.Protocol {
			list = append(list, complaint{isError, n.Name, fmt.Sprintf("node %s speaks protocol %d between nodes, and node %s protocol %d: they do not hear each other",
				n.Name, n.Protocol, own.Name, own.Protocol), "bring both to versions that go together"})
		}
	}
	return list
}

// complaintsOf says what is wrong with a node.
func complaintsOf(n Node, c *condition) (list []complaint) {
	say := func(severity, what, do string) { list = append(list, complaint{severity, n.Name, what, do}) }
	switch {
	case !n.Alive:
		say(isError, "node "+n.Name+" is down", "start it; if it does not come back: forget_cluster_node "+n.Name)
		return list
	case c == nil || !c.answers:
		say(isError, "node "+n.Name+" lives and does not answer", "look at its log and its load, and at the network between the nodes")
		return list
	}
	if n.Drained {
		say(isWarning, "node "+n.Name+" is drained: it leads nothing and takes no clients", "rabbitmq-upgrade revive on it, when the work on it is done")
	}
	if c.Metadata != "" {
		say(isError, "node "+n.Name+" does not reach etcd: "+c.Metadata, "messages go on, declarations do not: see that most members of etcd run and can be reached")
	}
	for _, alarm := range c.Alarms {
		say(isError, "node "+n.Name+" has an alarm: "+alarm+" runs low, and publishers are blocked on all nodes", remedies[alarm])
	}
	for _, low := range c.Low {
		if !slices.Contains(c.Alarms, low) {
			say(isWarning, "node "+n.Name+" is near an alarm: "+low, remedies[low])
		}
	}
	for _, damage := range c.Damage {
		say(isError, "node "+n.Name+" holds damaged data: "+damage, "queues that refuse are listed by rabbitmq-diagnostics status; see warren store export, and the disk")
	}
	if c.Full {
		say(isWarning, "node "+n.Name+" has as many connections as it may have", "close some, or raise connection_max")
	}
	if c.apartMs > clocksApart.Milliseconds() {
		say(isWarning, fmt.Sprintf("the clock of node %s is %d ms apart from the clock of the node that was asked", n.Name, c.apartMs),
			"let both follow the same time server; messages do not suffer, timestamps and certificates do")
	}
	list = append(list, expiring(n, c)...)
	return list
}

// remedies are what helps where something runs low.
var remedies = map[string]string{
	"memory": "let consumers take messages, end idle connections, or give it more memory (vm_memory_high_watermark)",
	"disk":   "let consumers take messages, purge queues nobody reads, or make room on the disk (disk_free_limit)",
}

// expiring says which certificates of a node end soon.
func expiring(n Node, c *condition) (list []complaint) {
	for _, what := range sortedKeys(c.Expiry) {
		ends := time.UnixMilli(c.Expiry[what])
		left := time.Until(ends)
		if left > expiresSoon {
			continue
		}
		severity, word := isWarning, "ends"
		if left <= 0 {
			severity, word = isError, "has ended"
		}
		do := "put a new one in place of its files, and rabbitmqctl rotate_logs, or SIGHUP"
		if what == "other nodes" {
			do = "see that a node that can sign is running (warren cluster init); or warren cluster join with a new token"
		}
		list = append(list, complaint{severity, n.Name, fmt.Sprintf("the certificate of node %s for %s %s at %s", n.Name, what, word, ends.UTC().Format(time.RFC3339)), do})
	}
	return list
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) (keys []K) {
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// complaints says what is wrong with a group.
func (g *groupView) complaints(names func(uint64) string, queues int) (list []complaint) {
	of := fmt.Sprintf("group %d (%d queues)", g.id, queues)
	refused := strings.Join(g.named(names, g.refused), ", ")
	hopeless, lost := g.hopeless(of, refused, names)
	switch {
	case lost:
		list = append(list, hopeless)
	case g.leader == 0 && refused != "":
		list = append(list, complaint{isError, "", of + " has no leader: what is new for its queues is refused on " + refused, "start the nodes that hold it: " + strings.Join(g.named(names, g.wanted.Members), ", ")})
	case g.leader == 0:
		list = append(list, complaint{isError, "", of + " has no leader: its queues wait", "start the nodes that hold it: " + strings.Join(g.named(names, g.wanted.Members), ", ")})
	case refused != "":
		list = append(list, complaint{isError, "", of + " is led by " + names(g.leader) + ", which does not answer " + refused + ": what is new for its queues is refused there", "look at the network between these nodes"})
	}
	var missing, behind []string
	for _, node := range g.sorted(names) {
		m := g.members[node]
		switch {
		case m.state == "learner":
			behind = append(behind, names(node)+" is being filled")
		case m.state == "down" || m.state == "absent" || m.state == "silent":
			missing = append(missing, names(node)+" is "+m.state)
		case m.lag > lagMax:
			behind = append(behind, fmt.Sprintf("%s lacks %d entries", names(node), m.lag))
		}
	}
	if len(missing) > 0 {
		do := "start these nodes, or forget them, so that others take their place"
		if m := g.members[g.wanted.Alone]; m != nil && m.state == "down" {
			do = "start them: nobody else has all of it"
		}
		list = append(list, complaint{isWarning, "", of + " is below its strength: " + strings.Join(missing, ", "), do})
	}
	if had := len(g.wanted.Members); g.wanted.short(had) {
		list = append(list, complaint{isWarning, "", fmt.Sprintf("%s is to have %d members, and only %d nodes can have it", of, g.wanted.Reachable, had),
			"start or revive the nodes that hold groups"})
	}
	if len(behind) > 0 {
		list = append(list, complaint{isWarning, "", of + ": " + strings.Join(behind, ", "), "wait; if it does not pass, look at that node's disk and network"})
	}
	return list
}

func (g *groupView) named(names func(uint64) string, nodes []uint64) []string {
	list := []string{}
	for _, node := range nodes {
		list = append(list, names(node))
	}
	slices.Sort(list)
	return list
}
