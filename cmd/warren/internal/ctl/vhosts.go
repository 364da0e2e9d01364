package ctl

import (
	"fmt"
	"net/http"
	"strings"
)

const vhostsGroup = "Virtual hosts"

var vhostCommands = []*command{
	{name: "add_vhost", group: vhostsGroup, args: "<vhost> [--description <description> --tags \"<tag1>,<tag2>,<...>\" --default-queue-type <quorum|classic|stream>]",
		least: 1, most: 1, help: "Creates a virtual host", run: addVHost,
		banner: func(c *call) string { return fmt.Sprintf("Adding vhost %q ...", c.args[0]) }},
	{name: "update_vhost_metadata", group: vhostsGroup, args: "<vhost> [--description <description>] [--tags \"<tag1>,<tag2>,<...>\"] [--default-queue-type <quorum|classic|stream>]",
		least: 1, most: 1, help: "Updates metadata (tags, description, default queue type) of a virtual host",
		banner: func(c *call) string { return fmt.Sprintf("Updating metadata of vhost %q ...", c.args[0]) },
		run: func(c *call) (output, error) {
			if err := c.vhostExists(c.args[0]); err != nil {
				return output{}, err
			}
			return addVHost(c)
		}},
	{name: "set_vhost_tags", group: vhostsGroup, args: "<vhost> <tag> [...]", least: 1, most: -1, help: "Sets virtual host tags",
		banner: func(c *call) string {
			return fmt.Sprintf("Setting tags for vhost %q to [%s] ...", c.args[0], strings.Join(c.args[1:], ", "))
		},
		run: func(c *call) (output, error) {
			if err := c.vhostExists(c.args[0]); err != nil {
				return output{}, err
			}
			return output{}, asData(c.client.put(api("vhosts", c.args[0]), object{"tags": strings.Join(c.args[1:], ",")}))
		}},
	{name: "delete_vhost", group: vhostsGroup, args: "<vhost>", least: 1, most: 1, help: "Deletes a virtual host",
		banner: func(c *call) string { return fmt.Sprintf("Deleting vhost %q ...", c.args[0]) },
		run: func(c *call) (output, error) {
			err := c.client.remove(api("vhosts", c.args[0]))
			if status(err) == http.StatusNotFound {
				err = failPlain(exitData, "Virtual host '%s' does not exist", c.args[0])
			}
			return output{}, asData(err)
		}},
	{name: "enable_vhost_deletion_protection", group: vhostsGroup, args: "<vhost>", least: 1, most: 1, help: "Protects a virtual host from deletion",
		run: func(c *call) (output, error) {
			return output{}, asData(c.client.do(http.MethodPost, api("vhosts", c.args[0], "deletion", "protection"), nil, nil))
		}},
	{name: "disable_vhost_deletion_protection", group: vhostsGroup, args: "<vhost>", least: 1, most: 1, help: "Removes deletion protection from a virtual host",
		run: func(c *call) (output, error) {
			return output{}, asData(c.client.remove(api("vhosts", c.args[0], "deletion", "protection")))
		}},
	{name: "set_vhost_limits", group: vhostsGroup, args: "[--vhost <vhost>] <definition>", least: 1, most: 1, help: "Sets virtual host limits",
		banner: func(c *call) string {
			return fmt.Sprintf("Setting vhost limits to \"%s\" for vhost %q ...", c.args[0], c.host())
		},
		run: func(c *call) (output, error) { return output{}, c.setLimits("vhost-limits", c.host(), c.args[0]) }},
	{name: "list_vhost_limits", group: vhostsGroup, args: "[--vhost <vhost>] [--global]", help: "Displays configured virtual host limits",
		banner: func(c *call) string {
			if c.has("global") {
				return "Listing limits for all vhosts ..."
			}
			return fmt.Sprintf("Listing limits for vhost %q ...", c.host())
		},
		run: func(c *call) (output, error) {
			if c.has("global") {
				return c.listLimits("vhost-limits", "vhost", "")
			}
			return c.listLimits("vhost-limits", "vhost", c.host())
		}},
	{name: "clear_vhost_limits", group: vhostsGroup, args: "[--vhost <vhost>]", help: "Clears virtual host limits",
		banner: func(c *call) string { return fmt.Sprintf("Clearing vhost %q limits ...", c.host()) },
		run: func(c *call) (output, error) {
			return output{}, c.clearLimits("vhost-limits", c.host(), "all", "max-connections", "max-queues")
		}},
	{name: "trace_on", group: vhostsGroup, args: "[--vhost <vhost>]", help: "Starts tracing: messages are copied to amq.rabbitmq.trace",
		banner: func(c *call) string { return fmt.Sprintf("Starting tracing for vhost %q ...", c.host()) },
		run:    func(c *call) (output, error) { return c.trace(true, "Trace enabled for vhost %s") }},
	{name: "trace_off", group: vhostsGroup, args: "[--vhost <vhost>]", help: "Stops tracing",
		banner: func(c *call) string { return fmt.Sprintf("Stopping tracing for vhost %q ...", c.host()) },
		run:    func(c *call) (output, error) { return c.trace(false, "Trace disabled for vhost %s") }},
}

// vhostExists is an error if it does not.
func (c *call) vhostExists(name string) error {
	err := c.client.get(api("vhosts", name), nil)
	if status(err) == http.StatusNotFound {
		return failPlain(exitData, "Virtual host '%s' does not exist", name)
	}
	return err
}

func addVHost(c *call) (output, error) {
	vhost := object{}
	for option, key := range map[string]string{"description": "description", "tags": "tags", "default-queue-type": "default_queue_type"} {
		if value, given := c.more[option]; given {
			vhost[key] = value
		}
	}
	return output{}, asData(c.client.put(api("vhosts", c.args[0]), vhost))
}

func (c *call) trace(on bool, done string) (output, error) {
	if err := c.vhostExists(c.host()); err != nil {
		return output{}, err
	}
	if err := c.client.put(api("vhosts", c.host()), object{"tracing": on}); err != nil {
		return output{}, err
	}
	return say(done, c.host()), nil
}
