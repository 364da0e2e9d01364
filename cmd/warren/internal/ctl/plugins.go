package ctl

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const pluginsGroup = "Plugin Management"

// builtIn are RabbitMQ's plugins whose work Warren does without being asked, and what others there are in RabbitMQ 4.3.
var (
	builtIn = strings.Fields("rabbitmq_consistent_hash_exchange rabbitmq_delayed_message_exchange rabbitmq_event_exchange rabbitmq_management " +
		"rabbitmq_management_agent rabbitmq_message_deduplication rabbitmq_prometheus rabbitmq_random_exchange rabbitmq_recent_history_exchange " +
		"rabbitmq_web_dispatch")
	notThere = strings.Fields("rabbitmq_amqp1_0 rabbitmq_auth_backend_cache rabbitmq_auth_backend_http rabbitmq_auth_backend_internal_loopback " +
		"rabbitmq_auth_backend_ldap rabbitmq_auth_backend_oauth2 rabbitmq_auth_mechanism_ssl rabbitmq_exchange_federation rabbitmq_federation " +
		"rabbitmq_federation_common rabbitmq_federation_management rabbitmq_federation_prometheus rabbitmq_jms_topic_exchange rabbitmq_mqtt " +
		"rabbitmq_peer_discovery_aws rabbitmq_peer_discovery_common rabbitmq_peer_discovery_consul rabbitmq_peer_discovery_etcd " +
		"rabbitmq_peer_discovery_k8s rabbitmq_queue_federation rabbitmq_sharding rabbitmq_shovel rabbitmq_shovel_management " +
		"rabbitmq_shovel_prometheus rabbitmq_stomp rabbitmq_stream rabbitmq_stream_management rabbitmq_top rabbitmq_tracing rabbitmq_trust_store " +
		"rabbitmq_web_mqtt rabbitmq_web_mqtt_examples rabbitmq_web_stomp rabbitmq_web_stomp_examples")
)

// MissingPlugins gives the plugins that a file of enabled plugins names and whose work Warren does not do.
func MissingPlugins(file string) []string { return missing(readPlugins(file)) }

func missing(names []string) (list []string) {
	for _, name := range names {
		if !slices.Contains(builtIn, name) {
			list = append(list, name)
		}
	}
	return list
}

var pluginCommands = []*command{
	{name: "list", group: pluginsGroup, args: "[pattern] [--verbose] [--minimal] [--enabled] [--implicitly-enabled]", most: 1, help: "Lists plugins and their state",
		tools: "!" + plugins, offline: true, run: listPlugins},
	{name: "enable", group: pluginsGroup, args: "<plugin1> [ <plugin2>] | --all [--offline] [--online]", most: -1, help: "Enables one or more plugins",
		tools: "!" + plugins, offline: true, run: func(c *call) (output, error) { return changePlugins(c, "Enabling", true) }},
	{name: "disable", group: pluginsGroup, args: "<plugin1> [ <plugin2>] | --all [--offline] [--online]", most: -1, help: "Disables one or more plugins",
		tools: "!" + plugins, offline: true, run: func(c *call) (output, error) { return changePlugins(c, "Disabling", false) }},
	{name: "set", group: pluginsGroup, args: "<plugin1> [ <plugin2>] [--offline] [--online]", most: -1, help: "Enables one or more plugins, disables the rest",
		tools: "!" + plugins, offline: true, run: func(c *call) (output, error) { return changePlugins(c, "Enabling", true) }},
	{name: "is_enabled", group: pluginsGroup, args: "<plugin1> [ <plugin2>] [--offline] [--online]", least: 1, most: -1,
		help: "Health check that exits with a non-zero code if provided plugins are not enabled on target node", tools: "!" + plugins, offline: true, run: pluginsEnabled},
	{name: "directories", group: pluginsGroup, args: "[--offline] [--online]", help: "Displays plugin directory and enabled plugin file paths",
		tools: "!" + plugins, offline: true, run: func(c *call) (output, error) {
			return say("Plugins are built in.\nEnabled plugins file: %s", c.PluginsFile), nil
		}},
}

func listPlugins(c *call) (output, error) {
	pattern := ".*"
	if len(c.args) > 0 {
		pattern = c.args[0]
	}
	matches, err := regexp.Compile(pattern)
	if err != nil {
		return output{}, fail(exitData, "%v", err)
	}
	all := slices.Sorted(slices.Values(slices.Concat(builtIn, notThere)))
	all = slices.DeleteFunc(all, func(name string) bool { return !matches.MatchString(name) })
	if c.has("enabled") || c.has("implicitly-enabled") {
		all = slices.DeleteFunc(all, func(name string) bool { return !slices.Contains(builtIn, name) })
	}
	if c.formatter == "json" {
		list := []object{}
		for _, name := range all {
			state := "not_enabled"
			if slices.Contains(builtIn, name) {
				state = "enabled"
			}
			list = append(list, object{"name": name, "enabled": state, "running": state == "enabled"})
		}
		return output{value: object{"format": "normal", "plugins": list, "status": "running"}}, nil
	}
	var b strings.Builder
	if c.has("minimal") {
		return say("%s", strings.Join(all, "\n")), nil
	}
	if !c.quiet {
		fmt.Fprintf(&b, "Listing plugins with pattern %q ...\n Configured: E = explicitly enabled; e = implicitly enabled\n | Status: * = running\n |/\n", pattern)
	}
	for _, name := range all {
		state := "  "
		if slices.Contains(builtIn, name) {
			state = "E*"
		}
		fmt.Fprintf(&b, "[%s] %s\n", state, name)
	}
	return output{text: b.String()}, nil
}

// changePlugins refuses what is not there, and says so of what is always there. The file that RabbitMQ keeps is written
// where it can be, for tools that read it.
func changePlugins(c *call, doing string, enable bool) (output, error) {
	lacking := missing(c.args)
	if enable && len(lacking) > 0 {
		return output{}, fail(exitUnavailable, "Warren has no plugins, and does not do what these do: %s", strings.Join(lacking, ", "))
	}
	if enable {
		_ = writePlugins(c.PluginsFile, slices.Concat(readPlugins(c.PluginsFile), c.args)) // nothing here depends on it
	}
	if c.quiet {
		return output{}, nil
	}
	why := "They are built in, and always on."
	if len(lacking) > 0 {
		why = "Warren has no plugins; what others do that it does too is built in, and always on."
	}
	text := fmt.Sprintf("%s plugins:\n%s\n\n%s Plugin configuration unchanged.", doing, strings.Join(c.args, "\n"), why)
	return output{text: text, value: object{"mode": "online", "enabled": c.args}}, nil
}

var pluginName = regexp.MustCompile(`rabbitmq_\w+`)

func readPlugins(file string) []string {
	text, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil
	}
	return pluginName.FindAllString(string(text), -1)
}

func writePlugins(file string, names []string) error {
	if file == "" {
		return nil
	}
	slices.Sort(names)
	text := "[" + strings.Join(slices.Compact(names), ",") + "].\n"
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // it holds no secret
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644) //nolint:gosec // it holds no secret
}

func pluginsEnabled(c *call) (output, error) {
	for _, name := range c.args {
		if !slices.Contains(builtIn, name) {
			return output{}, failPlain(exitUnavailable, "Plugin %s is not enabled", name)
		}
	}
	if len(c.args) == 1 {
		return say("Plugin %s is enabled", c.args[0]), nil
	}
	return say("Plugins %s are enabled", strings.Join(c.args, ", ")), nil
}
