package ctl

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/warrenmq/warren/broker/settings"
)

// command is one line of the table.
type command struct {
	name  string
	group string // of the overview
	args  string // as the usage shows them
	least int    // arguments
	most  int    // -1: any number
	help  string
	tools string // the tools that have it, besides rabbitmqctl; "!" in front: not rabbitmqctl
	// offline tells that no broker is asked.
	offline bool
	banner  func(c *call) string
	run     func(c *call) (output, error)
	columns *listing // of a list
}

// The tools, as a command names them.
const (
	diagnostics = "rabbitmq-diagnostics"
	plugins     = "rabbitmq-plugins"
	queues      = "rabbitmq-queues"
	ownTool     = "warren ctl" // has all commands
	upgrade     = "rabbitmq-upgrade"
)

// commands is the table, by name.
var commands []*command

// The table is put together here and not where it is declared: a command may call others.
func init() {
	commands = slices.Concat(userCommands, vhostCommands, policyCommands, queueCommands, nodeCommands, clusterCommands, recoverCommands, healthCommands,
		definitionCommands, listCommands(), pluginCommands)
	slices.SortStableFunc(commands, func(a, b *command) int { return cmp.Compare(a.name, b.name) })
}

// find gives a tool's command.
func find(tool, name string) *command {
	for _, cmd := range commands {
		if cmd.name == name && cmd.in(tool) {
			return cmd
		}
	}
	return nil
}

// in tells whether a tool has the command. Diagnostics have all that only look.
func (cmd *command) in(tool string) bool {
	own, only := strings.CutPrefix(cmd.tools, "!")
	if slices.Contains(strings.Fields(own), tool) || tool == ownTool {
		return true
	}
	if only {
		return false
	}
	return tool == "rabbitmqctl" || tool == diagnostics && cmd.columns != nil
}

// check says what is wrong with the arguments.
func (cmd *command) check(c *call) string {
	switch {
	case len(c.args) < cmd.least:
		return "not enough arguments."
	case cmd.most >= 0 && len(c.args) > cmd.most:
		return "too many arguments."
	case cmd.columns != nil:
		return cmd.columns.check(c.args)
	}
	return ""
}

func (cmd *command) usage(i Invocation, w io.Writer) {
	fmt.Fprintf(w, "\nUsage\n\n%s\n", strings.TrimSpace(i.Tool+" [--node <node>] [--longnames] [--quiet] "+cmd.name+" "+cmd.args))
}

func (cmd *command) explain(i Invocation, w io.Writer) {
	cmd.usage(i, w)
	if cmd.help != "" {
		fmt.Fprintf(w, "\n%s\n", cmd.help)
	}
	if cmd.columns != nil {
		fmt.Fprintf(w, "\nArguments and Options\n\n<column>\n\tmust be one of %s\n", strings.Join(cmd.columns.names(), ", "))
	}
}

// help explains a command, or gives all of them.
func help(i Invocation, args []string) int {
	if len(args) > 1 {
		cmd := find(i.Tool, args[1])
		if cmd == nil {
			return unknown(i, args[1])
		}
		cmd.explain(i, i.Stdout)
		return exitOK
	}
	if len(args) == 0 {
		overview(i, i.Stderr)
		return exitUsage
	}
	overview(i, i.Stdout)
	return exitOK
}

// overview lists a tool's commands.
func overview(i Invocation, w io.Writer) {
	fmt.Fprintf(w, "\nUsage\n\n%s [--node <node>] [--timeout <timeout>] [--longnames] [--quiet] <command> [<command options>]\n\nAvailable commands:\n", i.Tool)
	groups := map[string][]*command{}
	var order []string
	for _, cmd := range commands {
		if cmd.in(i.Tool) {
			if groups[cmd.group] == nil {
				order = append(order, cmd.group)
			}
			groups[cmd.group] = append(groups[cmd.group], cmd)
		}
	}
	slices.Sort(order)
	for _, group := range order {
		fmt.Fprintf(w, "\n%s:\n\n", group)
		for _, cmd := range groups[group] {
			fmt.Fprintf(w, "   %-32s %s\n", cmd.name, cmd.help)
		}
	}
	fmt.Fprintf(w, "\nUse '%s help <command>' to learn more about a specific command\n", i.Tool)
}

// nearest gives the command that is most like a word.
func nearest(tool, word string) string {
	var names []string
	for _, cmd := range commands {
		if cmd.in(tool) {
			names = append(names, cmd.name)
		}
	}
	return settings.Nearest(word, names)
}

// elsewhere are commands of RabbitMQ that Warren has no use for, and why.
var elsewhere = map[string]string{
	"erlang_version": "there is no Erlang in it", "list_ciphers": "there is no advanced.config", "list_hashes": "there is no advanced.config",
	"eval": "there is no Erlang in it", "eval_file": "there is no Erlang in it", "exec": "there is no Elixir in it",
	"start_app": "a broker runs as long as its process does", "stop_app": "use stop", "reset": "stop the broker and remove its data directory",
	"force_reset": "stop the broker and remove its data directory", "join_cluster": "a node joins with warren cluster join, before its first start",
	"force_boot":                   "a node starts by itself as soon as most of its etcd does; if most of that is lost for good: warren cluster recover",
	"force_standalone_khepri_boot": "see warren cluster recover",
	"grow":                         "the cluster places the members of groups by itself, on every node that joins",
	"shrink":                       "drain the node, stop it, and forget_cluster_node: others take the place of its members",
	"add_member":                   "queues share groups, whose members the cluster places by itself", "delete_member": "queues share groups, whose members the cluster places by itself",
	"set_channel_interceptor_priorities": "there are no interceptors", "encode": "there is no advanced.config",
	"decode": "there is no advanced.config", "encrypt_conf_value": "there is no advanced.config", "decrypt_conf_value": "there is no advanced.config",
}
