package ctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// admin is a call of rabbitmqadmin, in the grammar of its first version: options, a verb, a noun, and key=value.
type admin struct {
	Invocation
	client *client
	vhost  string // "": none was given
	format string
	quiet  bool
	values map[string]string
	names  []string // arguments that are not key=value
}

// adminFlags are the options with a value, by all their names.
var adminFlags = map[string]string{
	"-H": "host", "--host": "host", "-P": "port", "--port": "port", "-V": "vhost", "--vhost": "vhost", "-u": "username", "--username": "username",
	"-p": "password", "--password": "password", "-U": "base-uri", "--base-uri": "base-uri", "-f": "format", "--format": "format",
	"-c": "config", "--config": "config", "-N": "node", "--node": "node", "--path-prefix": "path-prefix", "--request-timeout": "timeout",
	"-t": "timeout", "-d": "depth", "--depth": "depth", "-S": "sort", "--sort": "sort",
	"--ssl-ca-cert-file": "ca", "--ssl-cert-file": "cert", "--ssl-key-file": "key",
}

// adminSwitches are those without.
var adminSwitches = map[string]string{
	"-q": "quiet", "--quiet": "quiet", "-s": "ssl", "--ssl": "ssl", "-k": "ssl-insecure", "--ssl-insecure": "ssl-insecure",
	"-R": "sort-reverse", "--sort-reverse": "sort-reverse", "--ssl-disable-hostname-verification": "ssl-insecure", "-h": "help", "--help": "help", "--version": "version",
}

const adminHelp = `Usage: rabbitmqadmin [options] subcommand

  declare, delete   exchange, queue, binding, vhost, user, permission, parameter, policy, operator_policy, vhost_limit: key=value ...
  list              queues, exchanges, bindings, connections, channels, consumers, users, vhosts, permissions, policies, ... [column ...]
  show overview     [column ...]
  close connection  name=...
  purge queue       name=...
  publish           routing_key=... [exchange=amq.default] [payload=...] [properties={}] [payload_encoding=string]
  get               queue=... [count=1] [ackmode=ack_requeue_true] [encoding=auto]
  export, import    FILE

  -H HOST -P PORT -u USER -p PASSWORD -V VHOST  -s TLS  -k any certificate  -U http://host:port  -q quiet
  -f table|tsv|long|raw_json|pretty_json|bash
`

func runAdmin(i Invocation) int {
	a := &admin{Invocation: i, values: map[string]string{}, format: "table"}
	flags, rest, err := adminOptions(i.Args)
	if err == nil && flags["help"] == "" && flags["version"] == "" && len(rest) > 0 {
		if err = a.connect(flags); err == nil {
			err = a.run(rest)
		}
	}
	var wrong *adminUsage
	switch {
	case errors.As(err, &wrong):
		fmt.Fprintf(i.Stderr, "\nERROR: %s\n\nrabbitmqadmin --help for help\n\n", err)
		return 1
	case err != nil:
		fmt.Fprintf(i.Stderr, "*** %s\n", err)
		return 1
	case flags["version"] != "":
		fmt.Fprintln(i.Stdout, "rabbitmqadmin of", i.Version)
		return 0
	case flags["help"] != "" || len(rest) > 0 && rest[0] == "help":
		fmt.Fprint(i.Stdout, adminHelp)
		return 0
	case len(rest) == 0:
		fmt.Fprint(i.Stderr, adminHelp)
		return 1
	}
	return 0
}

func adminOptions(args []string) (flags map[string]string, rest []string, err error) {
	flags = map[string]string{}
	for len(args) > 0 {
		text := args[0]
		args = args[1:]
		name, value, assigned := strings.Cut(text, "=")
		switch {
		case adminSwitches[text] != "":
			flags[adminSwitches[text]] = "true"
		case adminFlags[name] != "" && strings.HasPrefix(text, "--") && assigned:
			flags[adminFlags[name]] = value
		case adminFlags[text] != "":
			if len(args) == 0 {
				return nil, nil, usage("option %s wants a value", text)
			}
			flags[adminFlags[text]], args = args[0], args[1:]
		case strings.HasPrefix(text, "-") && !strings.Contains(text, "="):
			return nil, nil, usage("no such option: %s", text)
		default:
			rest = append(rest, text)
		}
	}
	return flags, rest, nil
}

// adminUsage is what is wrong with the command line.
type adminUsage struct{ text string }

func (u *adminUsage) Error() string { return u.text }

func usage(format string, args ...any) error { return &adminUsage{fmt.Sprintf(format, args...)} }

// adminTimeout is how long a request may take.
const adminTimeout = 2 * time.Minute

// connect asks whom the options name. If they name nobody, the local broker is asked over its socket, if there is one.
func (a *admin) connect(flags map[string]string) error {
	a.vhost, a.quiet = flags["vhost"], flags["quiet"] != ""
	if f := flags["format"]; f != "" {
		a.format = f
	}
	named := slices.ContainsFunc([]string{"host", "port", "username", "password", "base-uri", "ssl"}, func(f string) bool { return flags[f] != "" })
	if !named && a.Getenv(variableURL) == "" && a.Socket != "" {
		if _, err := os.Stat(a.Socket); err == nil {
			a.client = socketClient(a.Socket, adminTimeout)
			return nil
		}
	}
	u := url.URL{Scheme: "http", Host: or(flags["host"], "localhost") + ":" + or(flags["port"], "15672"), Path: flags["path-prefix"]}
	if flags["ssl"] != "" {
		u.Scheme = "https"
	}
	base := flags["base-uri"]
	if base == "" && !named {
		base = a.Getenv(variableURL)
	}
	if base != "" {
		parsed, err := url.Parse(base)
		if err != nil {
			return err
		}
		u = *parsed
	}
	if flags["username"] != "" || u.User == nil {
		u.User = url.UserPassword(or(flags["username"], "guest"), or(flags["password"], "guest"))
	}
	cl, err := newClient(u.String(), adminTimeout)
	if err != nil {
		return err
	}
	if flags["ssl-insecure"] != "" {
		cl.trust()
	}
	a.client = cl
	return nil
}

func or(value, other string) string {
	if value == "" {
		return other
	}
	return value
}

// run does what verb and noun say.
func (a *admin) run(args []string) error {
	verb := args[0]
	args = args[1:]
	nouns := map[string]func(string) error{"declare": a.declare, "delete": a.remove, "list": a.list, "show": a.show, "close": a.close, "purge": a.purge}
	alone := map[string]func() error{"publish": a.publish, "get": a.get, "export": a.export, "import": a.load}
	if do := alone[verb]; do != nil {
		a.take(args)
		return a.explain(do())
	}
	do := nouns[verb]
	if do == nil {
		if verb == "help" {
			return nil
		}
		return usage("Subcommand %q not recognised.", verb)
	}
	if len(args) == 0 {
		return usage("%s what?", verb)
	}
	a.take(args[1:])
	return a.explain(do(args[0]))
}

func (a *admin) take(args []string) {
	for _, arg := range args {
		if key, value, found := strings.Cut(arg, "="); found {
			a.values[key] = value
		} else {
			a.names = append(a.names, arg)
		}
	}
}

// explain gives a refusal in rabbitmqadmin's words.
func (a *admin) explain(err error) error {
	var r *refusal
	var f *failure
	switch {
	case errors.As(err, &r) && r.status == http.StatusNotFound:
		//lint:ignore ST1005 RabbitMQ's words
		return fmt.Errorf("Not found: %s", or(r.reason, "there is no such object"))
	case errors.As(err, &r):
		return fmt.Errorf("%s: %s", or(r.title, "bad_request"), r.Error())
	case errors.As(err, &f) && f.code == exitData:
		//lint:ignore ST1005 RabbitMQ's words
		return fmt.Errorf("Access refused: %s", f.text)
	}
	return err
}

// say tells what was done.
func (a *admin) say(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.Stdout, format+"\n", args...)
	}
}

// want gives values that must be there.
func (a *admin) want(keys ...string) ([]string, error) {
	list := make([]string, len(keys))
	for i, key := range keys {
		value, given := a.values[key]
		if !given {
			return nil, usage("mandatory argument %q is required", key)
		}
		list[i] = value
	}
	return list, nil
}

// host is the vhost in question.
func (a *admin) host() string {
	if v := a.values["vhost"]; v != "" {
		return v
	}
	return or(a.vhost, "/")
}

func (a *admin) publish() error {
	v, err := a.want("routing_key")
	if err != nil {
		return err
	}
	payload, given := a.values["payload"]
	if !given {
		text, err := io.ReadAll(a.Stdin)
		if err != nil {
			return err
		}
		payload = string(text)
	}
	properties, err := decoded(or(a.values["properties"], "{}"))
	if err != nil {
		return err
	}
	var answer struct{ Routed bool }
	err = a.client.do(http.MethodPost, api("exchanges", a.host(), or(a.values["exchange"], "amq.default"), "publish"), object{
		"routing_key": v[0], "payload": payload, "properties": properties, "payload_encoding": or(a.values["payload_encoding"], "string"),
	}, &answer)
	switch {
	case err != nil:
		return err
	case answer.Routed:
		a.say("Message published")
	default:
		a.say("Message published but NOT routed")
	}
	return nil
}

func (a *admin) get() error {
	v, err := a.want("queue")
	if err != nil {
		return err
	}
	var rows []object
	if err := a.client.do(http.MethodPost, api("queues", a.host(), v[0], "get"), object{
		"count": json.Number(or(a.values["count"], "1")), "ackmode": or(a.values["ackmode"], "ack_requeue_true"), "encoding": or(a.values["encoding"], "auto"),
	}, &rows); err != nil {
		return err
	}
	if file := a.values["payload_file"]; file != "" {
		if len(rows) != 1 {
			return fmt.Errorf("the queue gave %d messages, payload_file wants one", len(rows))
		}
		return os.WriteFile(file, []byte(text(rows[0]["payload"])), 0o600)
	}
	return a.display(rows, []string{"routing_key", "exchange", "message_count", "payload", "payload_bytes", "payload_encoding", "properties", "redelivered"})
}

func (a *admin) export() error {
	if len(a.names) != 1 {
		return errors.New("export wants a file")
	}
	path := api("definitions")
	if a.vhost != "" {
		path = api("definitions", a.vhost)
	}
	var raw json.RawMessage
	if err := a.client.get(path, &raw); err != nil {
		return err
	}
	if err := os.WriteFile(a.names[0], raw, 0o600); err != nil {
		return err
	}
	a.say("Exported definitions for %s to %q", a.where(), a.names[0])
	return nil
}

func (a *admin) where() string {
	if a.client.local {
		return "localhost"
	}
	return strings.TrimPrefix(strings.TrimPrefix(a.client.base, "http://"), "https://")
}

func (a *admin) load() error {
	if len(a.names) != 1 {
		return errors.New("import wants a file")
	}
	text, err := os.ReadFile(a.names[0])
	if err != nil {
		return err
	}
	path := api("definitions")
	if a.vhost != "" {
		path = api("definitions", a.vhost)
	}
	if err := a.client.do(http.MethodPost, path, text, nil); err != nil {
		return err
	}
	a.say("Uploaded definitions from %q to %s. The import process may take some time. Consult server logs to track progress.", a.where(), a.names[0])
	return nil
}
