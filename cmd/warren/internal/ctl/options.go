package ctl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// options are what stands before, behind and between a command's arguments.
type options struct {
	node, vhost, formatter, url string
	timeout                     float64 // seconds; 0: none was given
	quiet, silent, help         bool
	noHeaders                   bool
	more                        map[string]string // options of single commands
}

// switches are options without a value, values those with one, by all their names.
var (
	switches = map[string]string{
		"q": "quiet", "quiet": "quiet", "s": "silent", "silent": "silent", "l": "longnames", "longnames": "longnames", "help": "help", "h": "help",
		"no-table-headers": "no-table-headers", "online": "online", "offline": "offline", "local": "local", "global": "global",
		"pre-hashed-password": "pre-hashed-password", "if-empty": "if-empty", "e": "if-empty", "if-unused": "if-unused", "u": "if-unused",
		"minimal": "minimal", "m": "minimal", "E": "enabled", "enabled": "enabled", "v": "verbose", "verbose": "verbose", "all": "all",
		"skip-if-unchanged": "skip-if-unchanged", "silent-wait": "silent-wait", "dry-run": "dry-run", "no-space-check": "no-space-check", "wait": "wait",
		"implicitly-enabled": "implicitly-enabled", "force": "force", "table-headers": "table-headers",
	}
	values = map[string]string{
		"n": "node", "node": "node", "p": "vhost", "vhost": "vhost", "t": "timeout", "timeout": "timeout", "formatter": "formatter",
		"url": "url", "priority": "priority", "apply-to": "apply-to", "user": "user", "description": "description", "tags": "tags",
		"default-queue-type": "default-queue-type", "format": "format", "per-connection-delay": "per-connection-delay", "limit": "limit",
		"script-name": "script-name", "erlang-cookie": "erlang-cookie", "hashing-algorithm": "hashing-algorithm", "unit": "unit",
		"protected-from-deletion": "protected-from-deletion", "address": "address", "within": "within", "vhost-pattern": "vhost-pattern", "queue-pattern": "queue-pattern",
	}
)

// parse takes options out of arguments, wherever they stand. Behind "--" there are none.
func parse(args []string) (o options, rest []string, err error) {
	o = options{more: map[string]string{}}
	var invalid []string
	for len(args) > 0 {
		text := args[0]
		args = args[1:]
		if text == "--" {
			rest = append(rest, args...)
			break
		}
		if len(text) < 2 || text[0] != '-' || isNumber(text) {
			rest = append(rest, text)
			continue
		}
		name, value, assigned := strings.Cut(strings.TrimLeft(text, "-"), "=")
		switch {
		case switches[name] != "" && !assigned:
			o.take(switches[name], "true")
		case values[name] == "":
			invalid = append(invalid, text)
		case !assigned && len(args) == 0:
			return o, nil, fmt.Errorf("option %s wants a value", text)
		default:
			if !assigned {
				value, args = args[0], args[1:]
			}
			o.take(values[name], value)
		}
	}
	if len(invalid) > 0 {
		//lint:ignore ST1005 RabbitMQ's words
		return o, rest, fmt.Errorf("Invalid options for this command:\n%s", strings.Join(invalid, ", "))
	}
	return o, rest, o.check()
}

func isNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}

func (o *options) take(name, value string) {
	switch name {
	case "node":
		o.node = value
	case "vhost":
		o.vhost = value
	case "formatter":
		o.formatter = value
	case "url":
		o.url = value
	case "quiet":
		o.quiet = true
	case "silent":
		o.quiet, o.silent = true, true
	case "help":
		o.help = true
	case "no-table-headers":
		o.noHeaders = true
	default:
		o.more[name] = value
	}
}

// formatters are the names that --formatter takes.
var formatters = []string{"table", "json", "csv", "pretty_table", "json_stream", "string", "report"}

// timeoutMax is the longest time that a command may be given: thirty years, in seconds.
const timeoutMax = 1e9

func (o *options) check() error {
	if text, given := o.more["timeout"]; given && text != "infinity" {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || !(seconds >= 0 && seconds <= timeoutMax) { // which NaN is not
			return fmt.Errorf("the timeout %q is no number of seconds", text)
		}
		o.timeout = seconds
	}
	if o.formatter != "" && !slices.Contains(formatters, o.formatter) {
		return fmt.Errorf("the formatter %q is unknown, there are %s", o.formatter, strings.Join(formatters, ", "))
	}
	return nil
}

// machine tells that a program reads the output.
func (o *options) machine() bool {
	return o.formatter == "json" || o.formatter == "csv" || o.formatter == "json_stream"
}

// has tells whether a switch was given.
func (o *options) has(name string) bool { return o.more[name] == "true" }

// host is the vhost in question.
func (o *options) host() string {
	if o.vhost == "" {
		return "/"
	}
	return o.vhost
}
