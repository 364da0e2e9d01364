package ctl

import (
	"io"
	"strings"
	"testing"
	"time"
)

// FuzzAdminOptions: whatever stands on rabbitmqadmin's command line, only options there are come out, and what is no option
// comes out as it was.
func FuzzAdminOptions(f *testing.F) {
	f.Add("-H\nhost\ndeclare\nqueue\nname=q")
	f.Add("--vhost=v\n-q\nlist\nqueues")
	f.Add("-\n--\n-V\n=")
	known := map[string]bool{}
	for _, names := range []map[string]string{adminFlags, adminSwitches} {
		for _, name := range names {
			known[name] = true
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\n")
		flags, rest, err := adminOptions(args)
		if err != nil {
			return
		}
		for name := range flags {
			if !known[name] {
				t.Errorf("%q has the option %q", args, name)
			}
		}
		for _, word := range rest {
			if !strings.Contains(line, word) {
				t.Errorf("%q has the word %q", args, word)
			}
		}
	})
}

// FuzzCommandLine: whatever stands on the command line of the other tools, only options there are come out, what is no option
// comes out as it was and in order, times are times, and a command that is found has what it needs.
func FuzzCommandLine(f *testing.F) {
	f.Add(0, "list_queues\n-p\nv\nname\nmessages\n-q")
	f.Add(0, "set_policy\n--vhost=v\np\n^a\n{}\n--priority\n-1\n--apply-to=queues")
	f.Add(1, "-q\n--timeout\n1e300\ncheck_port_connectivity")
	f.Add(1, "--timeout=nan\n--\n-x")
	f.Add(2, "enable\n-inf\n--\n--all")
	known := map[string]bool{}
	for _, names := range []map[string]string{switches, values} {
		for _, name := range names {
			known[name] = true
		}
	}
	tools := []string{"rabbitmqctl", diagnostics, plugins, queues, upgrade, ownTool}
	f.Fuzz(func(t *testing.T, tool int, line string) {
		args := strings.Split(line, "\n")
		o, rest, err := parse(args)
		at := 0
		for _, word := range rest {
			for at < len(args) && args[at] != word {
				at++
			}
			if at++; at > len(args) {
				t.Fatalf("%q has the words %q", args, rest)
			}
		}
		if err != nil {
			return
		}
		for name := range o.more {
			if !known[name] {
				t.Errorf("%q has the option %q", args, name)
			}
		}
		if !(o.timeout >= 0 && time.Duration(o.timeout*float64(time.Second)) >= 0) {
			t.Errorf("%q has the timeout %v", args, o.timeout)
		}
		if len(rest) == 0 {
			return
		}
		i := Invocation{Tool: tools[uint(tool)%uint(len(tools))], Args: args, Stdout: io.Discard, Stderr: io.Discard}
		cmd := find(i.Tool, rest[0])
		if cmd == nil {
			if unknown(i, rest[0]) == exitOK {
				t.Errorf("%q is no command, and none the worse for it", rest[0])
			}
			return
		}
		c := &call{Invocation: i, options: o, args: rest[1:], cmd: cmd}
		if cmd.check(c) == "" && (len(c.args) < cmd.least || cmd.most >= 0 && len(c.args) > cmd.most) {
			t.Errorf("%q is taken with %d arguments", args, len(c.args))
		}
		cmd.explain(i, io.Discard)
	})
}
