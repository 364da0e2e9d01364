package ctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const healthGroup = "Monitoring, observability and health checks"

var healthCommands = []*command{
	{name: "ping", group: healthGroup, help: "Checks that the broker answers", tools: diagnostics,
		banner: func(c *call) string {
			return c1("Will ping %s. This only checks that it answers. " + fmt.Sprintf("Timeout: %.0f ms.", c.seconds()*1000))(c)
		},
		run: func(c *call) (output, error) {
			if _, err := c.node(); err != nil {
				return output{}, err
			}
			return output{text: "Ping succeeded", value: object{"result": "ok"}}, nil
		}},
	{name: "check_running", group: healthGroup, help: "Checks that the broker is running", tools: "!" + diagnostics, run: checkRunning,
		banner: c1("Checking if RabbitMQ is running on node %s ...")},
	{name: "is_running", group: healthGroup, help: "Tells whether the broker is running", tools: "!" + diagnostics, run: checkRunning,
		banner: c1("Asking node %s for its status ...")},
	{name: "is_booting", group: healthGroup, help: "Tells whether the broker is starting", tools: "!" + diagnostics, banner: c1("Asking node %s for its boot status ..."),
		run: func(c *call) (output, error) {
			name, err := c.node()
			return say("RabbitMQ on node %s is fully booted (check with is_running), stopped or has not started booting yet", name), err
		}},
	{name: "node_health_check", group: healthGroup, help: "DEPRECATED. This command is a no-op.", tools: diagnostics,
		run: func(c *call) (output, error) {
			_, err := c.node()
			return say("This command is DEPRECATED and is a no-op."), err
		}},
	{name: "check_local_alarms", group: healthGroup, help: "Checks that no resource alarm is in effect", tools: "!" + diagnostics, run: checkAlarms("Node %s reported no local alarms", false),
		banner: c1("Asking node %s to report any local resource alarms ...")},
	{name: "check_alarms", group: healthGroup, help: "Checks that no resource alarm is in effect", tools: "!" + diagnostics,
		run: checkAlarms("Node %s reported no alarms, local or clusterwide", true), banner: c1("Asking node %s to report any local resource alarms ...")},
	{name: "alarms", group: healthGroup, help: "Lists resource alarms", tools: "!" + diagnostics, banner: c1("Asking node %s to report any known resource alarms ..."),
		run: func(c *call) (output, error) {
			o, n, err := c.self()
			if err != nil {
				return output{}, err
			}
			own, all := append([]string{}, n.alarms()...), []string{}
			if all, err = c.everyAlarm(all); err != nil {
				return output{}, err
			}
			if len(all) == 0 {
				return output{text: fmt.Sprintf("Node %s reported no alarms, local or clusterwide", o.Node), value: object{"result": "ok", "local": own, "global": all}}, nil
			}
			return output{text: fmt.Sprintf("Node %s reported alarms:\n\n%s", o.Node, strings.Join(all, "\n")), value: object{"result": "ok", "local": own, "global": all}}, nil
		}},
	{name: "check_port_connectivity", group: healthGroup, args: "[--address <address>]", help: "Connects to all listeners", tools: "!" + diagnostics, run: checkConnectivity,
		banner: c1("Testing TCP connections to all active listeners on node %s using hostname resolution ...")},
	{name: "check_port_listener", group: healthGroup, args: "<port>", least: 1, most: 1, help: "Checks that somebody listens on a port", tools: "!" + diagnostics, run: checkPort,
		banner: func(c *call) string {
			return c1("Asking node %s if there's an active listener on port " + c.args[0] + " ...")(c)
		}},
	{name: "check_protocol_listener", group: healthGroup, args: "<protocol>", least: 1, most: 1, help: "Checks that a protocol is listened for", tools: "!" + diagnostics, run: checkProtocol,
		banner: func(c *call) string {
			return c1("Asking node %s if there's an active listener for protocol " + strings.ReplaceAll(c.args[0], "%", "%%") + " ...")(c)
		}},
	{name: "listeners", group: healthGroup, help: "Lists listeners", tools: diagnostics, run: listListeners, banner: c1("Asking node %s to report its protocol listeners ...")},
	{name: "check_virtual_hosts", group: healthGroup, help: "Checks that all vhosts are running", tools: "!" + diagnostics,
		banner: c1("Checking if all vhosts are running on node %s ..."), run: checkAPI("virtual-hosts", "Node %s reported all vhosts as running")},
	{name: "check_if_node_is_quorum_critical", group: healthGroup, help: "Checks whether queues would lose their quorum without the node",
		tools: "!" + diagnostics + " " + queues, banner: c1("Checking if node %s is critical for quorum of any queues/streams ..."),
		run: checkAPI("node-is-quorum-critical", "Node %s reported no queues, streams with minimum quorum")},
	{name: "has_reached_target_cluster_size", group: healthGroup, help: "Checks that the nodes there are to be are there, and that groups have their size",
		tools: diagnostics + " " + upgrade, banner: c1("Checking if target cluster size has been reached on node %s ..."),
		run: checkAPI("reached-target-cluster-size", "Target cluster size has been reached on node %s")},
	{name: "check_certificate_expiration", group: healthGroup, args: "--within <number> [--unit <unit>]", help: "Checks that no certificate ends soon", tools: "!" + diagnostics,
		run: func(c *call) (output, error) {
			unit, within := c.more["unit"], c.more["within"]
			if unit == "" {
				unit = "weeks"
			}
			if within == "" {
				within = "4"
			}
			return checkAPI("certificate-expiration/"+within+"/"+unit, "No certificates are expiring within "+within+" "+unit+" on node %s.")(c)
		}},
	{name: "memory_breakdown", group: healthGroup, args: "[--unit <unit>]", help: "Shows what memory is used for", tools: "!" + diagnostics,
		banner: c1("Reporting memory breakdown on node %s..."), run: memoryBreakdown},
	{name: "server_version", group: healthGroup, help: "Displays the version of RabbitMQ whose behaviour the broker shows", tools: "!" + diagnostics,
		banner: c1("Asking node %s for its RabbitMQ version..."),
		run: func(c *call) (output, error) {
			o, err := c.overview()
			return say("%s", o.Version), err
		}},
}

func checkRunning(c *call) (output, error) {
	name, err := c.node()
	return output{text: fmt.Sprintf("RabbitMQ on node %s is fully booted and running", name), value: object{"result": "ok", "node": name}}, err
}

// everyAlarm adds the alarms of all nodes to a list: those of this one by their names, those of others with theirs.
func (c *call) everyAlarm(list []string) ([]string, error) {
	var nodes []nodeOf
	if err := c.client.get(api("nodes"), &nodes); err != nil {
		return nil, err
	}
	for _, n := range nodes {
		for _, alarm := range n.alarms() {
			if n.Name != c.client.nodeName {
				alarm += " on " + n.Name
			}
			list = append(list, alarm)
		}
	}
	return list, nil
}

func checkAlarms(fine string, everywhere bool) func(c *call) (output, error) {
	return func(c *call) (output, error) {
		o, n, err := c.self()
		if err != nil {
			return output{}, err
		}
		list := n.alarms()
		if everywhere {
			if list, err = c.everyAlarm(nil); err != nil {
				return output{}, err
			}
		}
		if len(list) > 0 {
			return output{}, failPlain(exitUnavailable, "Node %s reported alarms: %s", o.Node, strings.Join(list, ", "))
		}
		return output{text: fmt.Sprintf(fine, o.Node), value: object{"result": "ok"}}, nil
	}
}

// checkAPI is one of the API's health checks.
func checkAPI(path, fine string) func(c *call) (output, error) {
	return func(c *call) (output, error) {
		name, err := c.node()
		if err != nil {
			return output{}, err
		}
		err = c.client.get("/api/health/checks/"+path, nil)
		var r *refusal
		if errors.As(err, &r) && r.status == http.StatusServiceUnavailable {
			return output{}, failPlain(exitUnavailable, "%s", r.Error())
		}
		return output{text: fmt.Sprintf(fine, name), value: object{"result": "ok"}}, asData(err)
	}
}

// connectTime is how long a listener may take to accept.
const connectTime = 5 * time.Second

func checkConnectivity(c *call) (output, error) {
	name, list, err := c.listeners()
	if err != nil {
		return output{}, err
	}
	var b strings.Builder
	var good, bad []string
	for _, l := range list {
		if address := c.more["address"]; address != "" {
			l.IP = address
		}
		host := l.IP
		if l.iface() == "[::]" {
			host = "localhost"
		}
		fmt.Fprintf(&b, "Will connect to %s:%d\n", host, l.Port)
		if reach(l, connectTime) == nil {
			good = append(good, strconv.Itoa(l.Port))
		} else {
			bad = append(bad, fmt.Sprintf("Interface: %s, port: %d, protocol: %s", l.iface(), l.Port, l.Protocol))
		}
	}
	slices.Sort(good)
	if len(bad) > 0 || len(list) == 0 {
		return output{}, failPlain(exitUnavailable, "%sConnection attempt failed to the following listeners on node %s:\n%s", b.String(), name, strings.Join(bad, "\n"))
	}
	fmt.Fprintf(&b, "Successfully connected to ports %s on node %s (using node hostname resolution)", strings.Join(good, ", "), name)
	return output{text: b.String(), value: object{"result": "ok", "node": name}}, nil
}

func checkPort(c *call) (output, error) {
	port, err := strconv.Atoi(c.args[0])
	if err != nil {
		return output{}, fail(exitData, "%q is no port", c.args[0])
	}
	name, list, err := c.listeners()
	if err != nil {
		return output{}, err
	}
	var ports []string
	for _, l := range list {
		if l.Port == port {
			return output{text: fmt.Sprintf("A listener for port %d is running on node %s.", port, name), value: object{"result": "ok", "port": port}}, nil
		}
		ports = append(ports, strconv.Itoa(l.Port))
	}
	slices.Sort(ports)
	return output{}, failPlain(exitUnavailable, "No listener for port %d is active on node %s. Found listeners that use the following ports: %s", port, name, strings.Join(ports, ", "))
}

// aliases are other names of protocols.
var aliases = map[string]string{
	"amqp091": "amqp", "amqp0.9.1": "amqp", "amqp0-9-1": "amqp", "amqps": "amqp/ssl", "amqp/tls": "amqp/ssl", "http/tls": "https",
}

func checkProtocol(c *call) (output, error) {
	wanted := strings.ToLower(c.args[0])
	if other := aliases[wanted]; other != "" {
		wanted = other
	}
	name, list, err := c.listeners()
	if err != nil {
		return output{}, err
	}
	var found []string
	for _, l := range list {
		if l.Protocol == wanted {
			return output{text: fmt.Sprintf("A listener for protocol %s is running on node %s.", c.args[0], name), value: object{"result": "ok", "protocol": c.args[0]}}, nil
		}
		if !slices.Contains(found, l.Protocol) {
			found = append(found, l.Protocol)
		}
	}
	slices.Sort(found)
	return output{}, fail(exitUnavailable, "No listener for protocol %s is active on node %s. Found listeners for the following protocols: %s", c.args[0], name, strings.Join(found, ", "))
}

func memoryBreakdown(c *call) (output, error) {
	name, err := c.node()
	if err != nil {
		return output{}, err
	}
	var answer struct {
		Memory object `json:"memory"`
	}
	if err := c.client.get(api("nodes", name, "memory"), &answer); err != nil {
		return output{}, asData(err)
	}
	var b strings.Builder
	for _, key := range sorted(answer.Memory) {
		if n, ok := answer.Memory[key].(json.Number); ok {
			bytes, _ := n.Int64() // what is no whole number is not shown in bytes either
			fmt.Fprintf(&b, "%s: %s\n", key, gb(bytes))
		}
	}
	return output{text: b.String(), value: answer.Memory}, nil
}

func listListeners(c *call) (output, error) {
	name, list, err := c.listeners()
	if err != nil {
		return output{}, err
	}
	lines, objects := []string{}, []object{}
	for _, l := range list {
		lines, objects = append(lines, l.String()), append(objects, l.object())
	}
	return output{text: strings.Join(lines, "\n"), value: object{"result": "ok", "node": name, "listeners": objects}}, nil
}
