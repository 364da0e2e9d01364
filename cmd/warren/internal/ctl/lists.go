package ctl

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// listing is a list command: where its rows come from, and what they have.
type listing struct {
	name, args, help, group string
	tools                   string
	banner                  func(c *call) string
	// path is where the rows are.
	path func(c *call) string
	// base are the columns if none are asked for; more are others that there are. "column=field.field" takes a field of
	// another name, "column={}" the table of arguments of that name.
	base, more string
	// rows makes rows of what is there, where that is not a list of objects.
	rows func(c *call) ([]object, error)
	// fixed: the command takes no columns.
	fixed bool
	// absent is what is said where nothing is found.
	absent func(c *call) error
}

const listsGroup = "Monitoring, observability and health checks"

// queueColumns are the columns of list_queues.
const queueColumns = "arguments={} auto_delete consumer_capacity consumer_utilisation consumers disk_reads disk_writes durable " +
	"effective_policy_definition exclusive exclusive_consumer_pid exclusive_consumer_tag head_message_timestamp leader members memory " +
	"message_bytes message_bytes_persistent message_bytes_ram message_bytes_ready message_bytes_unacknowledged messages messages_persistent " +
	"messages_ram messages_ready messages_ready_ram messages_unacknowledged messages_unacknowledged_ram name online operator_policy owner_pid " +
	"pid=node policy state type single_active_consumer_tag vhost"

// connectionColumns are those of list_connections.
const connectionColumns = "pid=name name port host peer_port peer_host ssl ssl_protocol ssl_key_exchange ssl_cipher ssl_hash peer_cert_subject " +
	"peer_cert_issuer peer_cert_validity state channels protocol auth_mechanism user vhost timeout frame_max channel_max client_properties={} recv_oct " +
	"recv_cnt send_oct send_cnt send_pend connected_at user_provided_name node"

var listings = []listing{
	{name: "list_queues", group: listsGroup, args: "[--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]",
		help: "Lists queues and their properties", path: func(c *call) string { return api("queues", c.host()) },
		banner: func(c *call) string {
			return fmt.Sprintf("Timeout: %.1f seconds ...\nListing queues for vhost %s ...", c.seconds(), c.host())
		},
		base: "name messages", more: queueColumns, absent: func(*call) error { return nil }},
	{name: "list_exchanges", group: listsGroup, args: "[--vhost <vhost>] [--no-table-headers] [<column> ...]", help: "Lists exchanges",
		path:   func(c *call) string { return api("exchanges", c.host()) },
		banner: func(c *call) string { return fmt.Sprintf("Listing exchanges for vhost %s ...", c.host()) },
		base:   "name type", more: "name type durable auto_delete internal arguments={} policy user_who_performed_action vhost",
		absent: func(*call) error { return nil }},
	{name: "list_bindings", group: listsGroup, args: "[--vhost <vhost>] [--no-table-headers] [<column> ...]", help: "Lists all bindings on a vhost",
		path:   func(c *call) string { return api("bindings", c.host()) },
		banner: func(c *call) string { return fmt.Sprintf("Listing bindings for vhost %s...", c.host()) },
		base:   "source_name=source source_kind=~exchange destination_name=destination destination_kind=destination_type routing_key arguments={}",
		absent: func(*call) error { return nil }},
	{name: "list_connections", group: listsGroup, args: "[--no-table-headers] [<column> ...]", help: "Lists AMQP connections for the node",
		path: func(*call) string { return api("connections") }, banner: constant("Listing connections ..."),
		base: "user peer_host peer_port state", more: connectionColumns},
	{name: "list_channels", group: listsGroup, args: "[--no-table-headers] [<column> ...]", help: "Lists all channels in the node",
		path: func(*call) string { return api("channels") }, banner: constant("Listing channels ..."),
		base: "pid=name user consumer_count messages_unacknowledged",
		more: "connection=connection_details.name name number vhost transactional confirm messages_uncommitted acks_uncommitted messages_unconfirmed " +
			"prefetch_count global_prefetch_count state"},
	{name: "list_consumers", group: listsGroup, args: "[--vhost <vhost>] [--no-table-headers] [<column> ...]", help: "Lists all consumers for a vhost",
		path:   func(c *call) string { return api("consumers", c.host()) },
		banner: func(c *call) string { return fmt.Sprintf("Listing consumers in vhost %s ...", c.host()) },
		base:   "queue_name=queue.name channel_pid=channel_details.name consumer_tag ack_required prefetch_count active arguments={}",
		more:   "activity_status exclusive", absent: func(*call) error { return nil }},
	{name: "list_users", group: usersGroup, args: "[--no-table-headers]", help: "List user names and tags", fixed: true,
		path: func(*call) string { return api("users") }, banner: constant("Listing users ..."), base: "user=name tags"},
	{name: "list_vhosts", group: accessGroup, args: "[--no-table-headers] [<column> ...]", help: "Lists virtual hosts",
		path: func(*call) string { return api("vhosts") }, banner: constant("Listing vhosts ..."), base: "name",
		more: "description tags default_queue_type tracing cluster_state={} metadata={} protected_from_deletion"},
	{name: "list_permissions", group: accessGroup, args: "[--vhost <vhost>] [--no-table-headers]", help: "Lists user permissions in a virtual host", fixed: true,
		path:   func(c *call) string { return api("vhosts", c.host(), "permissions") },
		banner: func(c *call) string { return fmt.Sprintf("Listing permissions for vhost %q ...", c.host()) },
		base:   "user configure write read", absent: noVHost},
	{name: "list_user_permissions", group: accessGroup, args: "[--no-table-headers] <username>", help: "Lists permissions of a user across all virtual hosts", fixed: true,
		path:   func(c *call) string { return api("users", c.args[0], "permissions") },
		banner: func(c *call) string { return fmt.Sprintf("Listing permissions for user %q ...", c.args[0]) },
		base:   "vhost configure write read", absent: noUser},
	{name: "list_topic_permissions", group: accessGroup, args: "[--vhost <vhost>] [--no-table-headers]", help: "Lists topic permissions in a virtual host", fixed: true,
		path:   func(c *call) string { return api("vhosts", c.host(), "topic-permissions") },
		banner: func(c *call) string { return fmt.Sprintf("Listing topic permissions for vhost %q ...", c.host()) },
		base:   "user exchange write read", absent: noVHost},
	{name: "list_user_topic_permissions", group: accessGroup, args: "[--no-table-headers] <username>", help: "Lists user topic permissions", fixed: true,
		path:   func(c *call) string { return api("users", c.args[0], "topic-permissions") },
		banner: func(c *call) string { return fmt.Sprintf("Listing topic permissions for user %q ...", c.args[0]) },
		base:   "vhost exchange write read", absent: noUser},
	{name: "list_policies", group: policiesGroup, args: "[--vhost <vhost>] [--no-table-headers]", help: "Lists all policies in a virtual host", fixed: true,
		path:   func(c *call) string { return api("policies", c.host()) },
		banner: func(c *call) string { return fmt.Sprintf("Listing policies for vhost %q ...", c.host()) },
		base:   "vhost name pattern apply-to definition=$ priority", absent: noVHost},
	{name: "list_operator_policies", group: policiesGroup, args: "[--vhost <vhost>] [--no-table-headers]", help: "Lists operator policy overrides for a virtual host", fixed: true,
		path: func(c *call) string { return api("operator-policies", c.host()) },
		banner: func(c *call) string {
			return fmt.Sprintf("Listing operator policy overrides for vhost %q ...", c.host())
		},
		base: "vhost name pattern apply-to definition=$ priority", absent: noVHost},
	{name: "list_parameters", group: parametersGroup, args: "[--vhost <vhost>] [--no-table-headers]", help: "Lists runtime parameters for a virtual host", fixed: true,
		rows: func(c *call) ([]object, error) {
			return only(c, api("parameters"), func(o object) bool { return o["vhost"] == c.host() })
		},
		banner: func(c *call) string { return fmt.Sprintf("Listing runtime parameters for vhost %q ...", c.host()) },
		base:   "component name value=$"},
	{name: "list_global_parameters", group: parametersGroup, args: "[--no-table-headers]", help: "Lists global runtime parameters", fixed: true,
		path: func(*call) string { return api("global-parameters") }, banner: constant("Listing global runtime parameters ..."), base: "name value=$"},
	{name: "list_feature_flags", group: "Feature flags", args: "[--no-table-headers] [<column> ...]", help: "Lists feature flags",
		path: func(*call) string { return api("feature-flags") }, banner: constant("Listing feature flags ..."), base: "name state",
		more: "stability provided_by desc doc_url"},
	{name: "list_deprecated_features", group: "Feature flags", args: "[--no-table-headers] [<column> ...]", help: "Lists deprecated features",
		path: func(*call) string { return api("deprecated-features") }, banner: constant("Listing deprecated features ..."), base: "name deprecation_phase state",
		more: "provided_by desc doc_url"},
}

func constant(text string) func(*call) string { return func(*call) string { return text } }

func noVHost(c *call) error { return failPlain(exitData, "Virtual host '%s' does not exist", c.host()) }
func noUser(c *call) error  { return fail(exitUnavailable, "User %q does not exist", c.args[0]) } // RabbitMQ: 69 here, 67 elsewhere

// seconds is the timeout.
func (c *call) seconds() float64 {
	if c.timeout > 0 {
		return c.timeout
	}
	return defaultTimeout.Seconds()
}

// listCommands are the commands of the listings.
func listCommands() (list []*command) {
	for i := range listings {
		l := &listings[i]
		cmd := &command{name: l.name, group: l.group, args: l.args, help: l.help, tools: l.tools, most: -1, banner: l.banner, run: l.run}
		if l.fixed {
			wanted := strings.Count(l.args, " <username>")
			cmd.least, cmd.most = wanted, wanted
		} else {
			cmd.columns = l
		}
		list = append(list, cmd)
	}
	return list
}

// column is where a column's value comes from.
type column struct{ name, field string }

func columnsOf(text string) (list []column) {
	for word := range strings.FieldsSeq(text) {
		name, field, found := strings.Cut(word, "=")
		if !found || field == "{}" || field == "$" {
			field = name + strings.TrimPrefix(field, name)
		}
		list = append(list, column{name, field})
	}
	return list
}

// all gives every column there is.
func (l *listing) all() []column {
	list := columnsOf(l.base)
	for _, c := range columnsOf(l.more) {
		if !slices.ContainsFunc(list, func(have column) bool { return have.name == c.name }) {
			list = append(list, c)
		}
	}
	return list
}

func (l *listing) names() (names []string) {
	for _, c := range l.all() {
		names = append(names, c.name)
	}
	slices.Sort(names)
	return names
}

// wanted gives the names of columns in arguments, between blanks or commas.
func wanted(args []string) []string {
	return strings.FieldsFunc(strings.Join(args, " "), func(r rune) bool { return r == ' ' || r == ',' })
}

func (l *listing) check(args []string) string {
	known := l.names()
	var strange []string
	for _, name := range wanted(args) {
		if !slices.Contains(known, name) {
			strange = append(strange, name)
		}
	}
	if len(strange) > 0 {
		return fmt.Sprintf("Info key(s) %s are not supported", strings.Join(strange, ", "))
	}
	return ""
}

func (l *listing) run(c *call) (output, error) {
	columns := columnsOf(l.base)
	if names := wanted(c.args); !l.fixed && len(names) > 0 {
		columns = nil
		for _, name := range names {
			all := l.all()
			columns = append(columns, all[slices.IndexFunc(all, func(have column) bool { return have.name == name })])
		}
	}
	rows, err := l.objects(c)
	if err != nil {
		return output{}, err
	}
	out := output{}
	for _, col := range columns {
		out.columns = append(out.columns, col.name)
	}
	for _, row := range rows {
		values := make([]any, len(columns))
		for i, col := range columns {
			values[i] = col.of(row)
		}
		out.rows = append(out.rows, values)
	}
	return out, nil
}

func (l *listing) objects(c *call) (rows []object, err error) {
	if l.rows != nil {
		return l.rows(c)
	}
	err = c.client.get(l.path(c), &rows)
	if status(err) == http.StatusNotFound && l.absent != nil {
		return nil, l.absent(c)
	}
	return rows, err
}

// only gives the objects of a path that one wants.
func only(c *call, path string, wanted func(object) bool) (rows []object, err error) {
	if err := c.client.get(path, &rows); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rows, func(o object) bool { return !wanted(o) }), nil
}

// of takes the column's value out of a row: a field, a field of a field, a constant ~x, a table x{}, or JSON as text x$.
func (col column) of(row object) any {
	if word, ok := strings.CutPrefix(col.field, "~"); ok {
		return word
	}
	if name, ok := strings.CutSuffix(col.field, "{}"); ok {
		arguments, _ := row[name].(object)
		return table(arguments)
	}
	if name, ok := strings.CutSuffix(col.field, "$"); ok {
		text, err := marshal(row[name])
		if err != nil {
			return ""
		}
		return json.RawMessage(text)
	}
	var value any = row
	for name := range strings.SplitSeq(col.field, ".") {
		o, _ := value.(object)
		value = o[name]
	}
	return value
}
