package ctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

const policiesGroup, parametersGroup = "Policies", "Parameters"

var policyCommands = []*command{
	{name: "set_policy", group: policiesGroup, args: "[--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>",
		least: 3, most: 3, help: "Sets or updates a policy", banner: policyBanner("policy"),
		run: func(c *call) (output, error) { return output{}, c.setPolicy("policies") }},
	{name: "set_operator_policy", group: policiesGroup, args: "[--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>",
		least: 3, most: 3, help: "Sets an operator policy that overrides a subset of arguments in user policies", banner: policyBanner("operator policy override"),
		run: func(c *call) (output, error) { return output{}, c.setPolicy("operator-policies") }},
	{name: "clear_policy", group: policiesGroup, args: "[--vhost <vhost>] <name>", least: 1, most: 1, help: "Clears (removes) a policy",
		banner: func(c *call) string { return fmt.Sprintf("Clearing policy %q on vhost %q ...", c.args[0], c.host()) },
		run:    func(c *call) (output, error) { return output{}, c.clearParameter("policies", c.host(), c.args[0]) }},
	{name: "clear_operator_policy", group: policiesGroup, args: "[--vhost <vhost>] <name>", least: 1, most: 1, help: "Clears an operator policy",
		banner: func(c *call) string {
			return fmt.Sprintf("Clearing operator policy %q on vhost %q ...", c.args[0], c.host())
		},
		run: func(c *call) (output, error) {
			return output{}, c.clearParameter("operator-policies", c.host(), c.args[0])
		}},
	{name: "set_parameter", group: parametersGroup, args: "[--vhost <vhost>] <component_name> <name> <value>", least: 3, most: 3, help: "Sets a runtime parameter.",
		banner: func(c *call) string {
			return fmt.Sprintf("Setting runtime parameter %q for component %q to \"%s\" in vhost %q ...", c.args[1], c.args[0], c.args[2], c.host())
		},
		run: func(c *call) (output, error) {
			return output{}, c.setParameter(c.args[2], api("parameters", c.args[0], c.host(), c.args[1]),
				object{"component": c.args[0], "vhost": c.host(), "name": c.args[1]})
		}},
	{name: "clear_parameter", group: parametersGroup, args: "[--vhost <vhost>] <component_name> <name>", least: 2, most: 2, help: "Clears a runtime parameter.",
		banner: func(c *call) string {
			return fmt.Sprintf("Clearing runtime parameter %q for component %q on vhost %q ...", c.args[1], c.args[0], c.host())
		},
		run: func(c *call) (output, error) {
			return output{}, c.clearParameter("parameters", c.args[0], c.host(), c.args[1])
		}},
	{name: "set_global_parameter", group: parametersGroup, args: "<name> <value>", least: 2, most: 2, help: "Sets a runtime parameter.",
		banner: func(c *call) string {
			return fmt.Sprintf("Setting global runtime parameter %q to \"%s\" ...", c.args[0], c.args[1])
		},
		run: func(c *call) (output, error) {
			return output{}, c.setParameter(c.args[1], api("global-parameters", c.args[0]), object{"name": c.args[0]})
		}},
	{name: "clear_global_parameter", group: parametersGroup, args: "<name>", least: 1, most: 1, help: "Clears a global runtime parameter",
		banner: func(c *call) string { return fmt.Sprintf("Clearing global runtime parameter %q ...", c.args[0]) },
		run:    func(c *call) (output, error) { return output{}, c.clearParameter("global-parameters", c.args[0]) }},
}

func policyBanner(what string) func(c *call) string {
	return func(c *call) string {
		return fmt.Sprintf("Setting %s %q for pattern %q to \"%s\" with priority %q for vhost %q ...", what, c.args[0], c.args[1], c.args[2], c.priority(), c.host())
	}
}

func (c *call) priority() string {
	if p, given := c.more["priority"]; given {
		return p
	}
	return "0"
}

func (c *call) setPolicy(kind string) error {
	definition, err := parseObject(c.args[2])
	if err != nil {
		return err
	}
	policy := object{"pattern": c.args[1], "definition": definition, "priority": json.Number(c.priority())}
	if to, given := c.more["apply-to"]; given {
		policy["apply-to"] = to
	}
	return invalid(c.client.put(api(kind, c.host(), c.args[0]), policy))
}

// invalid gives a refusal as RabbitMQ's tools give what does not pass its checks.
func invalid(err error) error {
	var r *refusal
	if !errors.As(err, &r) {
		return err
	}
	reason := strings.TrimSpace(r.Error())
	if !strings.HasPrefix(reason, "Validation failed") {
		reason = "Validation failed\n\n" + reason
	}
	return fail(exitUnavailable, "%s\n", reason)
}

func (c *call) setParameter(value, path string, parameter object) error {
	decoder := json.NewDecoder(strings.NewReader(value))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return fail(exitUnavailable, "Could not parse JSON document: {error,{failed_to_decode_json,<<%q>>}}", value)
	}
	parameter["value"] = v
	return invalid(c.client.put(path, parameter))
}

func (c *call) clearParameter(words ...string) error {
	err := c.client.remove(api(words...))
	if status(err) == http.StatusNotFound {
		return fail(exitUnavailable, "Parameter does not exist")
	}
	return invalid(err)
}
