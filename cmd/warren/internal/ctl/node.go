package ctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const nodesGroup, clusterGroup, configGroup = "Nodes", "Cluster", "Configuration and Environment"

var nodeCommands = []*command{
	{name: "status", group: listsGroup, help: "Displays status of a node", tools: diagnostics, run: nodeStatus,
		banner: c1("Status of node %s ...")},
	{name: "environment", group: configGroup, help: "Displays the settings in force", tools: diagnostics, run: environment,
		banner: c1("Application environment of node %s ...")},
	{name: "set_cluster_name", group: configGroup, args: "<name>", least: 1, most: 1, help: "Sets the cluster name",
		banner: func(c *call) string { return fmt.Sprintf("Setting cluster name to %s ...", c.args[0]) },
		run: func(c *call) (output, error) {
			return output{}, c.client.put(api("cluster-name"), object{"name": c.args[0]})
		}},
	{name: "set_log_level", group: configGroup, args: "<log_level> | <category> <log_level>", least: 1, most: 2, help: "Sets log level in the running node",
		banner: func(c *call) string { return fmt.Sprintf("Setting log level to %q ...", c.args[len(c.args)-1]) },
		run: func(c *call) (output, error) {
			wish := object{"level": c.args[len(c.args)-1], "area": "default"}
			if len(c.args) == 2 {
				wish["area"] = c.args[0]
			}
			err := c.control("log-level", wish)
			var f *failure
			if errors.As(err, &f) && f.code == exitData {
				f.code = exitUsage // as RabbitMQ has it
			}
			return output{}, err
		}},
	{name: "set_vm_memory_high_watermark", group: configGroup, args: "<fraction> | absolute <value>", least: 1, most: 2,
		help: "Sets the memory from which on publishers are blocked, until the broker ends",
		banner: func(c *call) string {
			return c1("Setting memory threshold on %s to ")(c) + c.args[len(c.args)-1] + " ..."
		},
		run: func(c *call) (output, error) {
			return limit(c, "absolute", "vm_memory_high_watermark.relative", "vm_memory_high_watermark.absolute")
		}},
	{name: "set_disk_free_limit", group: configGroup, args: "<disk_limit> | mem_relative <fraction>", least: 1, most: 2,
		help: "Sets the free disk space below which publishers are blocked, until the broker ends",
		banner: func(c *call) string {
			return c1("Setting disk free limit on %s to ")(c) + c.args[len(c.args)-1] + " ..."
		},
		run: func(c *call) (output, error) {
			return limit(c, "mem_relative", "disk_free_limit.absolute", "disk_free_limit.relative")
		}},
	{name: "rotate_logs", group: nodesGroup, help: "Opens log files anew, and reads the settings again", banner: c1("Rotating logs for node %s ..."),
		run: func(c *call) (output, error) { return output{}, c.control("reload", nil) }},
	{name: "suspend_listeners", group: operationsGroup, help: "Lets no new connections in, on no listener, until resume_listeners",
		banner: c1("Will suspend client connection listeners on node %s. The node will no longer accept client connections!"),
		run:    func(c *call) (output, error) { return output{}, c.control("suspend-listeners", nil) }},
	{name: "resume_listeners", group: operationsGroup, help: "Lets new connections in again",
		banner: c1("Will resume client connection listeners on node %s. The node will now accept client connections"),
		run:    func(c *call) (output, error) { return output{}, c.control("resume-listeners", nil) }},
	{name: "stop", group: nodesGroup, args: "[<pidfile>]", most: 1, help: "Stops the broker, and waits for its end", run: stop,
		banner: c1("Stopping and halting node %s ...")},
	{name: "shutdown", group: nodesGroup, help: "Stops the broker, and waits for its end", run: stop, banner: c1("Shutting down node %s ...")},
	{name: "await_startup", group: nodesGroup, help: "Waits for the node to be ready", tools: diagnostics, run: awaitStartup},
	{name: "wait", group: nodesGroup, args: "[<pidfile>]", most: 1, help: "Waits for the node to be ready", run: awaitStartup},
	{name: "version", group: "Help", help: "Displays the version", tools: strings.Join([]string{diagnostics, plugins}, " "), offline: true,
		run: func(c *call) (output, error) { return say("%s", or(c.Compatible, c.Version)), nil }},
	{name: "log_location", group: listsGroup, help: "Shows log file locations", tools: "!" + diagnostics, banner: c1("Log file location(s) on node %s ..."),
		run: func(c *call) (output, error) {
			_, n, err := c.self()
			return output{text: strings.Join(n.LogFiles, "\n"), value: object{"paths": n.LogFiles}}, err
		}},
	{name: "report", group: listsGroup, help: "A server status report, for support", tools: diagnostics, run: report,
		banner: c1("Reporting server status of node %s ...")},
}

// c1 is a banner that has the node's name in it.
func c1(format string) func(c *call) string {
	return func(c *call) string {
		name, err := c.node()
		if err != nil {
			return "" // the command itself will say so
		}
		return fmt.Sprintf(format, name)
	}
}

// overviewOf is what a node says of the whole.
type overviewOf struct {
	Node      string                                                            `json:"node"`
	Cluster   string                                                            `json:"cluster_name"`
	Version   string                                                            `json:"rabbitmq_version"`
	Product   string                                                            `json:"product_version"`
	Totals    struct{ Connections, Channels, Exchanges, Queues, Consumers int } `json:"object_totals"`
	Listeners []listener                                                        `json:"listeners"`
}

type listener struct {
	Node     string `json:"node"`
	Protocol string `json:"protocol"`
	IP       string `json:"ip_address"`
	Port     int    `json:"port"`
}

// purposes are what protocols are for, in RabbitMQ's words.
var purposes = map[string]string{
	"amqp": "AMQP 0-9-1", "amqp/ssl": "AMQP 0-9-1 over TLS", "http": "HTTP API", "https": "HTTP API over TLS (HTTPS)",
	"http/prometheus": "Prometheus exporter API over HTTP", "clustering": "inter-node and CLI tool communication",
}

// iface is the address as RabbitMQ's tools show it: all interfaces are [::].
func (l listener) iface() string {
	switch l.IP {
	case "", "::", "0.0.0.0":
		return "[::]"
	}
	return l.IP
}

func (l listener) object() object {
	return object{"node": l.Node, "port": l.Port, "protocol": l.Protocol, "interface": l.iface(), "purpose": purposes[l.Protocol]}
}

func (l listener) String() string {
	return fmt.Sprintf("Interface: %s, port: %d, protocol: %s, purpose: %s", l.iface(), l.Port, l.Protocol, purposes[l.Protocol])
}

func (c *call) overview() (o overviewOf, err error) {
	if _, err = c.node(); err == nil {
		err = c.client.get(api("overview"), &o)
	}
	return o, err
}

// own are the listeners of the node that was asked.
func (o overviewOf) own() []listener {
	return slices.DeleteFunc(slices.Clone(o.Listeners), func(l listener) bool { return l.Node != o.Node })
}

// listeners are those of the node.
func (c *call) listeners() (string, []listener, error) {
	o, err := c.overview()
	return o.Node, o.own(), err
}

// nodeOf is what a node says of itself.
type nodeOf struct {
	Name         string      `json:"name"`
	Version      string      `json:"rabbitmq_version"`
	Own          string      `json:"warren_version"`
	PID          json.Number `json:"os_pid"`
	Uptime       int64       `json:"uptime"` // milliseconds
	Processors   int         `json:"processors"`
	MemUsed      int64       `json:"mem_used"`
	MemLimit     int64       `json:"mem_limit"`
	MemAlarm     bool        `json:"mem_alarm"`
	DiskFree     int64       `json:"disk_free"`
	DiskLimit    int64       `json:"disk_free_limit"`
	DiskAlarm    bool        `json:"disk_free_alarm"`
	ProcUsed     int64       `json:"proc_used"`
	Running      bool        `json:"running"`
	DataDir      string      `json:"db_dir"`
	Plugins      []string    `json:"enabled_plugins"`
	LogFiles     []string    `json:"log_files"`
	ConfigFiles  []string    `json:"config_files"`
	BeingDrained bool        `json:"being_drained"`
	Damage       []string    `json:"damage"`
}

func (n nodeOf) alarms() (list []string) {
	if n.MemAlarm {
		list = append(list, "memory")
	}
	if n.DiskAlarm {
		list = append(list, "disk")
	}
	return list
}

func (c *call) self() (o overviewOf, n nodeOf, err error) {
	if o, err = c.overview(); err == nil {
		err = c.client.get(api("nodes", o.Node), &n)
	}
	return o, n, err
}

// gb shows bytes as RabbitMQ's tools do.
func gb(bytes int64) string {
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(float64(bytes)/1e9, 'f', 4, 64), "0"), ".") + " gb"
}

// section writes a title and what is under it.
func section(b *strings.Builder, title string, lines ...string) {
	if len(lines) == 0 {
		lines = []string{"(none)"}
	}
	fmt.Fprintf(b, "%s\n\n%s\n\n", title, strings.Join(lines, "\n"))
}

func bullets(list []string) (lines []string) {
	for _, e := range list {
		lines = append(lines, " * "+e)
	}
	return lines
}

func nodeStatus(c *call) (output, error) {
	o, n, err := c.self()
	if err != nil {
		return output{}, err
	}
	var vhosts []object
	if err := c.client.get(api("vhosts"), &vhosts); err != nil {
		return output{}, err
	}
	var b strings.Builder
	section(&b, "Runtime", "OS PID: "+n.PID.String(), fmt.Sprintf("Uptime (seconds): %d", n.Uptime/1000),
		fmt.Sprintf("Is under maintenance?: %v", n.BeingDrained), "RabbitMQ version: "+o.Version, "Node name: "+o.Node, "Broker: "+c.Version)
	section(&b, "Plugins", "Enabled plugins:", "", strings.Join(bullets(n.Plugins), "\n"))
	section(&b, "Data directory", "Node data directory: "+n.DataDir)
	section(&b, "Config files", bullets(n.ConfigFiles)...)
	section(&b, "Log file(s)", bullets(n.LogFiles)...)
	section(&b, "Alarms", n.alarms()...)
	if len(n.Damage) > 0 {
		section(&b, "Damage", n.Damage...)
	}
	section(&b, "Memory", "Total memory used: "+gb(n.MemUsed), "Memory high watermark setting: computed to: "+gb(n.MemLimit))
	section(&b, "Free Disk Space", "Low free disk space watermark: "+gb(n.DiskLimit), "Free disk space: "+gb(n.DiskFree))
	section(&b, "Totals", fmt.Sprintf("Connection count: %d", o.Totals.Connections), fmt.Sprintf("Queue count: %d", o.Totals.Queues),
		fmt.Sprintf("Virtual host count: %d", len(vhosts)))
	lines, listeners := []string{}, []object{}
	for _, l := range o.own() {
		lines, listeners = append(lines, l.String()), append(listeners, l.object())
	}
	section(&b, "Listeners", lines...)
	alarms := n.alarms()
	if alarms == nil {
		alarms = []string{}
	}
	return output{text: b.String(), value: object{
		"pid": n.PID, "uptime": n.Uptime / 1000, "rabbitmq_version": o.Version, "product_version": o.Product, "is_under_maintenance": n.BeingDrained,
		"active_plugins": n.Plugins, "data_directory": n.DataDir, "config_files": n.ConfigFiles, "log_files": n.LogFiles, "alarms": alarms, "damage": n.Damage,
		"memory": object{"total": object{"rss": n.MemUsed, "allocated": n.MemUsed}, "strategy": "rss"}, "vm_memory_high_watermark_limit": n.MemLimit,
		"disk_free": n.DiskFree, "disk_free_limit": n.DiskLimit, "listeners": listeners, "tags": []string{},
		"totals": object{"connection_count": o.Totals.Connections, "queue_count": o.Totals.Queues, "virtual_host_count": len(vhosts)},
	}}, nil
}

// environment shows the settings, as the broker gives them: secrets are masked.
func environment(c *call) (output, error) {
	var settings object
	if err := c.client.get("/control/settings", &settings); err != nil {
		if err := c.client.get(api("config", "effective"), &settings); err != nil {
			return output{}, asData(err)
		}
	}
	var b strings.Builder
	for _, key := range sorted(settings) {
		fmt.Fprintf(&b, "%s = %s\n", key, text(settings[key]))
	}
	return output{text: b.String(), value: settings}, nil
}

// control asks for what only the local operator may.
func (c *call) control(what string, wish any) error {
	if _, err := c.node(); err != nil {
		return err
	}
	err := c.client.do(http.MethodPost, "/control/"+what, wish, nil)
	if code := status(err); code == http.StatusNotFound || code == http.StatusMethodNotAllowed {
		return fail(exitUnavailable, "that can be done over the local socket only")
	}
	return asData(err)
}

// stop ends the broker and waits until nobody answers any more.
func stop(c *call) (output, error) {
	if err := c.control("stop", nil); err != nil {
		return output{}, err
	}
	err := c.until(func() bool { return c.client.get(api("overview"), nil) != nil })
	if len(c.args) == 1 {
		err = errors.Join(err, c.until(func() bool { _, err := os.Stat(c.args[0]); return err != nil }))
	}
	return output{}, err
}

// pollEvery is how often a waiting command looks.
const pollEvery = 50 * time.Millisecond

// until waits until something holds, no longer than the command's timeout.
func (c *call) until(holds func() bool) error {
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	over := time.After(time.Duration(c.seconds() * float64(time.Second)))
	for !holds() {
		select {
		case <-again.C:
		case <-over:
			return fail(exitTempfail, "timed out")
		}
	}
	return nil
}

// awaitTime is how long await_startup waits if nobody says.
const awaitTime = 300

func awaitStartup(c *call) (output, error) {
	if c.timeout == 0 {
		c.timeout = awaitTime
	}
	return output{}, c.until(func() bool { return c.client.get(api("overview"), nil) == nil })
}

// report is all that somebody who is to help will ask for.
func report(c *call) (output, error) {
	var b strings.Builder
	for _, name := range []string{"status", "cluster_status", "environment", "list_vhosts", "list_connections", "list_queues", "list_exchanges", "list_bindings", "list_policies"} {
		cmd := find("rabbitmqctl", name)
		inner := *c
		inner.cmd, inner.args, inner.Stdout, inner.formatter = cmd, nil, &b, ""
		if cmd.banner != nil {
			fmt.Fprintln(&b, cmd.banner(&inner))
		}
		out, err := cmd.run(&inner)
		if err == nil {
			err = out.write(&inner)
		}
		if err != nil {
			fmt.Fprintln(&b, err)
		}
		b.WriteString("\n")
	}
	return output{text: b.String()}, nil
}

// reach tells whether a port answers, as seen from here.
func reach(l listener, timeout time.Duration) error {
	host := l.IP
	switch host {
	case "", "::", "0.0.0.0":
		host = "127.0.0.1"
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(l.Port)), timeout)
	if err == nil {
		err = conn.Close()
	}
	return err
}

// limit sets one of two settings: the second if the word that stands for it comes before the value.
func limit(c *call, word, first, second string) (output, error) {
	key, value := first, c.args[0]
	if len(c.args) == 2 {
		if c.args[0] != word {
			return output{}, fail(exitUsage, "unexpected argument %q, expected %q", c.args[0], word)
		}
		key, value = second, c.args[1]
	}
	return output{}, c.control("override", object{key: value})
}
