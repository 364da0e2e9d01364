package ctl

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

var clusterCommands = []*command{
	{name: "cluster_status", group: clusterGroup, help: "Displays all the nodes in the cluster, together with the currently running nodes",
		tools: diagnostics, run: clusterStatus, banner: c1("Cluster status of node %s ...")},
	{name: "forget_cluster_node", group: clusterGroup, args: "<existing_cluster_member_node>", least: 1, most: 1,
		help:   "Takes a node that does not run out of the cluster, for good",
		banner: func(c *call) string { return fmt.Sprintf("Removing node %s from the cluster", c.args[0]) },
		run: func(c *call) (output, error) {
			return output{}, asData(c.client.remove(api("warren", "nodes", c.args[0])))
		}},
	{name: "drain", group: operationsGroup, help: "Puts the node in maintenance mode: it leads nothing, and takes no clients", tools: "!" + upgrade,
		banner: c1("Will put node %s into maintenance mode. The node will no longer serve any client traffic!"),
		run:    func(c *call) (output, error) { return output{}, c.atNode("drain") }},
	{name: "revive", group: operationsGroup, help: "Ends maintenance mode", tools: "!" + upgrade,
		banner: c1("Will put node %s back into regular operating mode. The node will again serve client traffic."),
		run:    func(c *call) (output, error) { return output{}, c.atNode("revive") }},
	{name: "await_online_quorum_plus_one", group: operationsGroup, help: "Waits until the node can be stopped and every group goes on", tools: "!" + upgrade,
		banner: c1("Will wait for a quorum + 1 of nodes to be online for all quorum queues on node %s ..."), run: awaitQuorum},
	{name: "rebalance", group: operationsGroup, args: "< all | classic | quorum | stream > [--vhost-pattern <pattern>] [--queue-pattern <pattern>]", least: 1, most: 1,
		help: "Hands groups over so that every node leads as many", tools: "!" + queues, run: rebalance,
		banner: func(c *call) string { return fmt.Sprintf("Rebalancing %s queues...", c.args[0]) }},
	{name: "quorum_status", group: healthGroup, args: "[--vhost <vhost>] <queue>", least: 1, most: 1, help: "Displays the members of a quorum queue",
		tools: "!" + diagnostics + " " + queues, run: quorumStatus,
		banner: func(c *call) string { return fmt.Sprintf("Status of quorum queue %s on node ...", c.args[0]) }},
	{name: "transfer_leadership", group: clusterGroup, args: "<group> <node>", least: 2, most: 2, help: "Makes a member the leader of a group, for good",
		tools: queues, banner: func(c *call) string { return fmt.Sprintf("Group %s goes to %s ...", c.args[0], c.args[1]) },
		run: func(c *call) (output, error) {
			return output{}, asData(c.client.do(http.MethodPost, api("warren", "groups", c.args[0], "leader", c.args[1]), nil, nil))
		}},
	{name: "list_groups", group: listsGroup, help: "Lists the groups of queues: who leads, and how far the members are", tools: diagnostics + " " + queues,
		banner: constant("Listing groups ..."), run: listGroups},
	{name: "doctor", group: healthGroup, help: "Says what is wrong, and what to do; exits with 1 if anything is", tools: diagnostics, run: doctor},
}

// atNode asks for what a node is to do: the one that is asked.
func (c *call) atNode(what string) error {
	name, err := c.node()
	if err != nil {
		return err
	}
	return asData(c.client.do(http.MethodPost, api("warren", "nodes", name, what), nil, nil))
}

// awaitEvery is how often awaitQuorum asks.
const awaitEvery = 500 * time.Millisecond

// awaitQuorum waits until the node is not critical for any group.
func awaitQuorum(c *call) (output, error) {
	if _, err := c.node(); err != nil {
		return output{}, err
	}
	ticker := time.NewTicker(awaitEvery)
	defer ticker.Stop()
	over := time.After(time.Duration(c.seconds() * float64(time.Second)))
	for {
		err := c.client.get(api("health", "checks", "node-is-quorum-critical"), nil)
		if status(err) != http.StatusServiceUnavailable {
			return output{}, err
		}
		select {
		case <-ticker.C:
		case <-over:
			return output{}, failPlain(exitTempfail, "Error: %s", err)
		}
	}
}

func rebalance(c *call) (output, error) {
	if !slices.Contains([]string{"all", "classic", "quorum", "stream"}, c.args[0]) {
		return output{}, fail(exitUsage, "type %s is not supported", c.args[0])
	}
	if err := c.client.do(http.MethodPost, api("rebalance", "queues"), nil, nil); err != nil {
		return output{}, err
	}
	groups, err := c.groups()
	counts := map[string]int{}
	for _, g := range groups {
		for _, m := range g.Members {
			counts[m.Node] += 0
		}
		if g.Leader != "" {
			counts[g.Leader]++
		}
	}
	out := output{columns: []string{"Node name", "Number of groups led"}, rows: [][]any{}}
	for _, name := range sortedNames(counts) {
		out.rows = append(out.rows, []any{name, counts[name]})
	}
	return out, err
}

func sortedNames[V any](m map[string]V) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func quorumStatus(c *call) (output, error) {
	var rows []object
	err := c.client.get(api("queues", "quorum", c.host(), c.args[0], "status"), &rows)
	var r *refusal
	if errors.As(err, &r) {
		return output{}, fail(exitData, "%s", r.Error())
	}
	out := output{columns: []string{
		"Node Name", "Raft State", "Membership", "Last Log Index", "Last Written", "Last Applied", "Commit Index", "Snapshot Index", "Term", "Machine Version", "Group Size",
	}, rows: [][]any{}}
	for _, row := range rows {
		values := make([]any, len(out.columns))
		for i, name := range out.columns {
			values[i] = row[name]
		}
		out.rows = append(out.rows, values)
	}
	return out, err
}

// groupOf is a group as the API shows it.
type groupOf struct {
	Group   uint64 `json:"group"`
	Leader  string `json:"leader"`
	Size    int    `json:"size"`
	Term    uint64 `json:"term"`
	Queues  int    `json:"queues"`
	Status  string `json:"status"`
	Members []struct {
		Node  string `json:"node"`
		State string `json:"state"`
		Lag   uint64 `json:"lag"`
	} `json:"members"`
	RefusedOn []string `json:"refused_on"`
}

// stands is how a group is, and where what is new for it is refused.
func (g *groupOf) stands() string {
	if len(g.RefusedOn) == 0 {
		return g.Status
	}
	return g.Status + ", refused on " + strings.Join(g.RefusedOn, ", ")
}

func (c *call) groups() (groups []groupOf, err error) {
	err = c.client.get(api("warren", "groups"), &groups)
	return groups, err
}

// shown is a group's members in words: those that are not as they should be say how they are.
func (g *groupOf) shown() (members []string) {
	for _, m := range g.Members {
		switch {
		case m.State != "leader" && m.State != "follower":
			members = append(members, m.Node+" ("+m.State+")")
		case m.Lag > 0:
			members = append(members, fmt.Sprintf("%s (lag %d)", m.Node, m.Lag))
		default:
			members = append(members, m.Node)
		}
	}
	return members
}

func listGroups(c *call) (output, error) {
	groups, err := c.groups()
	out := output{columns: []string{"group", "leader", "size", "members", "term", "queues", "status"}, rows: [][]any{}}
	for i := range groups {
		g := &groups[i]
		out.rows = append(out.rows, []any{g.Group, g.Leader, g.Size, g.shown(), g.Term, g.Queues, g.stands()})
	}
	return out, err
}

// doctor says what is wrong. The exit code is 1 if anything is.
func doctor(c *call) (output, error) {
	var found struct {
		Status   string `json:"status"`
		Nodes    int    `json:"nodes"`
		Groups   int    `json:"groups"`
		Findings []struct {
			Severity string `json:"severity"`
			Node     string `json:"node,omitempty"`
			What     string `json:"what"`
			Do       string `json:"do"`
		} `json:"findings"`
	}
	if err := c.client.get(api("warren", "doctor"), &found); err != nil {
		return output{}, err
	}
	var b strings.Builder
	for _, f := range found.Findings {
		fmt.Fprintf(&b, "%s: %s\n    %s\n", f.Severity, f.What, f.Do)
	}
	if len(found.Findings) == 0 {
		b.WriteString("nothing is wrong")
		if found.Groups > 0 { // there is a cluster
			fmt.Fprintf(&b, " with %d nodes and %d groups", found.Nodes, found.Groups)
		}
	}
	out := output{text: b.String(), value: found}
	if len(found.Findings) == 0 {
		return out, nil
	}
	return output{}, errors.Join(out.write(c), &failure{code: 1})
}

// clusterStatus shows the nodes, as RabbitMQ's tools do, and the groups.
func clusterStatus(c *call) (output, error) {
	o, err := c.overview()
	if err != nil {
		return output{}, err
	}
	var nodes []nodeOf
	if err := c.client.get(api("nodes"), &nodes); err != nil {
		return output{}, err
	}
	groups, err := c.groups()
	if err != nil && status(err) != http.StatusNotFound {
		return output{}, err
	}
	var features []object
	if err := c.client.get(api("feature-flags"), &features); err != nil && status(err) != http.StatusNotFound {
		return output{}, err
	}
	s := statusOf{versions: object{}, cores: object{}, maintenance: object{}, listeners: object{}, alarms: []string{}}
	for _, n := range nodes {
		s.add(&n, c.Version)
	}
	var b strings.Builder
	section(&b, "Basics", "Cluster name: "+o.Cluster, fmt.Sprintf("Total CPU cores available cluster-wide: %d", s.allCores))
	section(&b, "Disk Nodes", s.disk...)
	section(&b, "Running Nodes", s.running...)
	section(&b, "Versions", s.versionLines...)
	section(&b, "CPU Cores", s.coreLines...)
	section(&b, "Maintenance status", s.maintenanceLines...)
	section(&b, "Alarms", s.alarms...)
	section(&b, "Network Partitions")
	var lines []string
	for _, l := range o.Listeners {
		lines = append(lines, fmt.Sprintf("Node: %s, interface: %s, port: %d, protocol: %s, purpose: %s", l.Node, l.iface(), l.Port, l.Protocol, purposes[l.Protocol]))
		list, _ := s.listeners[l.Node].([]object)
		s.listeners[l.Node] = append(list, l.object())
	}
	section(&b, "Listeners", lines...)
	lines = nil
	for i := range groups {
		g := &groups[i]
		lines = append(lines, fmt.Sprintf("Group: %d, leader: %s, size: %d, members: %s, queues: %d, status: %s", g.Group, or(g.Leader, "none"), g.Size, strings.Join(g.shown(), " "), g.Queues, g.Status))
	}
	if len(lines) > 0 {
		section(&b, "Groups", lines...)
	}
	return output{text: b.String(), value: object{
		"cluster_name": o.Cluster, "disk_nodes": s.disk, "running_nodes": s.running, "alarms": s.alarms, "partitions": object{}, "cluster_tags": []string{},
		"listeners": s.listeners, "cpu_cores": s.cores, "maintenance_status": s.maintenance, "versions": s.versions, "groups": groups,
		"feature_flags": features,
	}}, nil
}

// statusOf is what clusterStatus gathers of the nodes.
type statusOf struct {
	disk, running                             []string
	versionLines, coreLines, maintenanceLines []string
	versions, cores, maintenance, listeners   object
	alarms                                    []string
	allCores                                  int
}

func (s *statusOf) add(n *nodeOf, own string) {
	s.disk = append(s.disk, n.Name)
	inMaintenance := "not under maintenance"
	if n.BeingDrained {
		inMaintenance = "marked for maintenance"
	}
	s.maintenance[n.Name] = inMaintenance
	s.maintenanceLines = append(s.maintenanceLines, fmt.Sprintf("Node: %s, status: %s", n.Name, inMaintenance))
	if !n.Running {
		return
	}
	s.running = append(s.running, n.Name)
	s.versionLines = append(s.versionLines, fmt.Sprintf("%s: RabbitMQ %s (%s)", n.Name, n.Version, or(n.Own, own)))
	s.versions[n.Name] = object{"rabbitmq_name": "RabbitMQ", "rabbitmq_version": n.Version}
	s.coreLines = append(s.coreLines, fmt.Sprintf("Node: %s, available CPU cores: %d", n.Name, n.Processors))
	s.cores[n.Name] = n.Processors
	s.allCores += n.Processors
	for _, alarm := range n.alarms() {
		s.alarms = append(s.alarms, map[string]string{"memory": "Memory alarm on node ", "disk": "Free disk space alarm on node "}[alarm]+n.Name)
	}
}
