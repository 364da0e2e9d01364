// Package ctl owns the administration of a broker from the command line, under the names and with the words, formats and
// exit codes of RabbitMQ's tools.
//
//  1. Run takes the tool's name and its arguments.
//  2. parse takes the options apart and finds the command in the table.
//  3. The command asks the broker over its HTTP API (client), over a unix socket where it is local, else with credentials.
//  4. Its output goes through a formatter: table, json, csv.
//
// It decides nothing: what may be done and what is right is the broker's to say.
package ctl

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Exit codes, as RabbitMQ's tools have them: those of sysexits.
const (
	exitOK          = 0
	exitUsage       = 64 // the command line is wrong
	exitData        = 65 // what it says is wrong
	exitNoUser      = 67
	exitUnavailable = 69
	exitSoftware    = 70
	exitTempfail    = 75
)

// Invocation is a call of a tool.
type Invocation struct {
	// Tool is its name: rabbitmqctl, rabbitmq-diagnostics, rabbitmq-queues, rabbitmq-upgrade, rabbitmq-plugins, rabbitmqadmin.
	Tool string
	Args []string
	// Stdin holds passwords that are not arguments.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Getenv gives a variable of the environment.
	Getenv func(string) string
	// Socket is where the local broker may be reached; "" is nowhere.
	Socket string
	// PluginsFile is the file of enabled plugins.
	PluginsFile string
	// Version is that of the binary, Compatible the version of RabbitMQ whose tool this is.
	Version, Compatible string
}

// failure is what went wrong, with the exit code for it. Nothing is in front of the text of a plain one.
type failure struct {
	code  int
	text  string
	plain bool
}

func (f *failure) Error() string { return f.text }

func fail(code int, format string, args ...any) error {
	return &failure{code: code, text: fmt.Sprintf(format, args...)}
}

// failPlain is for the few texts that RabbitMQ's tools give without "Error:" in front.
func failPlain(code int, format string, args ...any) error {
	return &failure{code: code, text: fmt.Sprintf(format, args...), plain: true}
}

// Run does what is asked for, and gives the exit code.
func Run(i Invocation) int {
	if i.Tool == "rabbitmqadmin" {
		return runAdmin(i)
	}
	o, args, err := parse(i.Args)
	if err != nil {
		return misuse(i, args, err.Error())
	}
	if len(args) == 0 || args[0] == "help" {
		return help(i, args)
	}
	cmd := find(i.Tool, args[0])
	if cmd == nil {
		return unknown(i, args[0])
	}
	if o.help {
		cmd.explain(i, i.Stdout)
		return exitOK
	}
	c := &call{Invocation: i, options: o, args: args[1:], cmd: cmd}
	if problem := cmd.check(c); problem != "" {
		return misuse(i, args, problem)
	}
	return c.do()
}

// misuse says what is wrong with the command line, and how it should be.
func misuse(i Invocation, args []string, problem string) int {
	fmt.Fprintf(i.Stderr, "Error (argument validation): %s\nArguments given:\n\t%s\n", problem, strings.Join(i.Args, " "))
	if len(args) > 0 {
		if cmd := find(i.Tool, args[0]); cmd != nil {
			cmd.usage(i, i.Stderr)
		}
	}
	return exitUsage
}

// call is a command under way.
type call struct {
	Invocation
	options
	args   []string
	cmd    *command
	client *client
}

func (c *call) do() int {
	client, err := connect(c)
	if err == nil {
		c.client = client
		if c.cmd.banner != nil && !c.quiet && !c.machine() {
			if text := c.cmd.banner(c); text != "" {
				fmt.Fprintln(c.Stdout, text)
			}
		}
		var out output
		if out, err = c.cmd.run(c); err == nil {
			err = out.write(c)
		}
	}
	return c.complain(err)
}

// complain says what went wrong, as RabbitMQ's tools do, and gives the exit code.
func (c *call) complain(err error) int {
	if err == nil {
		return exitOK
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{code: exitSoftware, text: err.Error()}
	}
	if f.text == "" {
		return f.code
	}
	if f.plain {
		fmt.Fprintln(c.Stderr, f.text)
	} else {
		fmt.Fprintf(c.Stderr, "Error:\n%s\n", f.text)
	}
	return f.code
}

// unknown says that there is no such command, and which there may be.
func unknown(i Invocation, name string) int {
	if there := elsewhere[name]; there != "" {
		fmt.Fprintf(i.Stderr, "Error:\nWarren has no '%s': %s\n", name, there)
		return exitUnavailable
	}
	fmt.Fprintf(i.Stderr, "\nCommand '%s' not found. \n", name)
	if near := nearest(i.Tool, name); near != "" {
		fmt.Fprintf(i.Stderr, "Did you mean '%s'? \n\n", near)
		return exitUsage
	}
	fmt.Fprintln(i.Stderr)
	overview(i, i.Stderr)
	return exitUsage
}
