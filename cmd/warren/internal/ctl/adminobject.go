package ctl

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// kind is a noun of rabbitmqadmin: where it is in the API, and what it takes.
type kind struct {
	path []string          // of the API: a word, or {key}
	body map[string]string // further keys with their defaults; "" is none
	must []string          // keys of the body that must be given
}

var kinds = map[string]kind{
	"queue":    {path: []string{"queues", "{vhost}", "{name}"}, body: map[string]string{"auto_delete": "false", "durable": "true", "arguments": "{}", "node": ""}},
	"exchange": {path: []string{"exchanges", "{vhost}", "{name}"}, body: map[string]string{"type": "", "auto_delete": "false", "durable": "true", "internal": "false", "arguments": "{}"}, must: []string{"type"}},
	"vhost":    {path: []string{"vhosts", "{name}"}, body: map[string]string{"tracing": "", "description": "", "tags": "", "default_queue_type": ""}},
	"user":     {path: []string{"users", "{name}"}, body: map[string]string{"password": "", "password_hash": "", "hashing_algorithm": "", "tags": ""}, must: []string{"tags"}},
	"permission": {path: []string{"permissions", "{vhost}", "{user}"}, body: map[string]string{"configure": "", "write": "", "read": ""},
		must: []string{"configure", "write", "read"}},
	"parameter": {path: []string{"parameters", "{component}", "{vhost}", "{name}"}, body: map[string]string{"value": ""}, must: []string{"value"}},
	"policy": {path: []string{"policies", "{vhost}", "{name}"}, body: map[string]string{"pattern": "", "definition": "", "priority": "0", "apply-to": ""},
		must: []string{"pattern", "definition"}},
	"operator_policy": {path: []string{"operator-policies", "{vhost}", "{name}"}, body: map[string]string{"pattern": "", "definition": "", "priority": "0", "apply-to": ""},
		must: []string{"pattern", "definition"}},
	"vhost_limit": {path: []string{"vhost-limits", "{vhost}", "{name}"}, body: map[string]string{"value": ""}, must: []string{"value"}},
	"user_limit":  {path: []string{"user-limits", "{user}", "{name}"}, body: map[string]string{"value": ""}, must: []string{"value"}},
}

// decoders say which keys hold no text.
var decoders = map[string]bool{
	"auto_delete": true, "durable": true, "internal": true, "arguments": true, "tracing": true, "value": true, "definition": true, "priority": true,
}

// decoded reads a value of the command line as JSON.
func decoded(text string) (any, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		//lint:ignore ST1005 RabbitMQ's words
		return nil, fmt.Errorf("Could not parse JSON:\n  %s", text)
	}
	return value, nil
}

// place is the path of a kind, with the values in it.
func (a *admin) place(k kind) (string, []string, error) {
	var words, used []string
	for _, w := range k.path {
		key, isKey := strings.CutPrefix(w, "{")
		if !isKey {
			words = append(words, w)
			continue
		}
		key = strings.TrimSuffix(key, "}")
		used = append(used, key)
		value := a.values[key]
		if key == "vhost" {
			value = a.host()
		}
		if value == "" {
			return "", nil, usage("mandatory argument %q is required", key)
		}
		words = append(words, value)
	}
	return api(words...), used, nil
}

func (a *admin) declare(noun string) error {
	if noun == "binding" {
		return a.bind()
	}
	k, known := kinds[noun]
	if !known {
		return usage("Type %s not recognised", noun)
	}
	path, used, err := a.place(k)
	if err != nil {
		return err
	}
	body := object{}
	for key := range a.values {
		if _, takes := k.body[key]; !takes && !slices.Contains(used, key) && key != "queue_type" && key != "vhost" {
			return usage("Argument %q not recognised", key)
		}
	}
	if _, err := a.want(k.must...); err != nil {
		return err
	}
	for key, fallback := range k.body {
		value, given := a.values[key]
		if !given {
			value = fallback
		}
		if value == "" && !given {
			continue
		}
		if body[key] = value; decoders[key] {
			if body[key], err = decoded(value); err != nil {
				return err
			}
		}
	}
	if t := a.values["queue_type"]; t != "" && noun == "queue" {
		arguments, _ := body["arguments"].(object)
		arguments["x-queue-type"] = t
	}
	if err := a.client.put(path, body); err != nil {
		return err
	}
	a.say("%s declared", noun)
	return nil
}

func (a *admin) bind() error {
	v, err := a.want("source", "destination")
	if err != nil {
		return err
	}
	arguments, err := decoded(or(a.values["arguments"], "{}"))
	if err != nil {
		return err
	}
	to := "q"
	if a.values["destination_type"] == "exchange" {
		to = "e"
	}
	err = a.client.do(http.MethodPost, api("bindings", a.host(), "e", v[0], to, v[1]), object{"routing_key": a.values["routing_key"], "arguments": arguments}, nil)
	if err == nil {
		a.say("binding declared")
	}
	return err
}

func (a *admin) remove(noun string) error {
	var path string
	if noun == "binding" {
		v, err := a.want("source", "destination", "properties_key")
		if err != nil {
			return err
		}
		to := "q"
		if a.values["destination_type"] == "exchange" {
			to = "e"
		}
		path = api("bindings", a.host(), "e", v[0], to, v[1], v[2])
	} else {
		k, known := kinds[noun]
		if !known {
			return usage("Type %s not recognised", noun)
		}
		var err error
		if path, _, err = a.place(k); err != nil {
			return err
		}
	}
	if err := a.client.remove(path); err != nil {
		return err
	}
	a.say("%s deleted", noun)
	return nil
}

func (a *admin) close(noun string) error {
	if noun != "connection" {
		return usage("Don't know how to close %s", noun)
	}
	v, err := a.want("name")
	if err == nil {
		err = a.client.remove(api("connections", v[0]))
	}
	if err == nil {
		a.say("connection closed")
	}
	return err
}

func (a *admin) purge(noun string) error {
	if noun != "queue" {
		return usage("Don't know how to purge %s", noun)
	}
	v, err := a.want("name")
	if err == nil {
		err = a.client.remove(api("queues", a.host(), v[0], "contents"))
	}
	if err == nil {
		a.say("queue purged")
	}
	return err
}

// adminLists are the lists there are, with their columns if none are asked for; those that know vhosts end in "@".
var adminLists = map[string]string{
	"queues@": "name messages", "exchanges@": "name type", "bindings@": "source destination routing_key", "consumers@": "consumer_tag queue.name active",
	"connections": "name user channels", "channels": "name user", "users": "name hashing_algorithm password_hash tags", "vhosts": "name messages",
	"permissions": "vhost configure read user write", "nodes": "name type mem_used", "parameters": "vhost component name value",
	"policies": "vhost name apply-to definition pattern priority", "operator_policies": "vhost name apply-to definition pattern priority",
	"vhost_limits": "vhost value", "user_limits": "user value",
}

func (a *admin) list(noun string) error {
	columns, known := adminLists[noun]
	path := api(strings.ReplaceAll(noun, "_", "-"))
	if ofVHost, has := adminLists[noun+"@"]; has {
		known, columns = true, ofVHost
		if a.vhost != "" {
			path = api(noun, a.vhost)
		}
	}
	if !known {
		return usage("Don't know how to list %s", noun)
	}
	var rows []object
	if err := a.client.get(path, &rows); err != nil {
		return err
	}
	return a.display(rows, strings.Fields(columns))
}

func (a *admin) show(noun string) error {
	if noun != "overview" {
		return usage("Don't know how to show %s", noun)
	}
	var o object
	if err := a.client.get(api("overview"), &o); err != nil {
		return err
	}
	return a.display([]object{o}, strings.Fields("rabbitmq_version cluster_name queue_totals.messages object_totals.queues"))
}

// display shows rows in the format that is wanted.
func (a *admin) display(rows []object, columns []string) error {
	if a.format == "raw_json" || a.format == "pretty_json" {
		if rows == nil {
			rows = []object{}
		}
		text, err := marshal(rows)
		if a.format == "pretty_json" && err == nil {
			var pretty []byte
			pretty, err = json.MarshalIndent(rows, "", "  ")
			text = string(pretty)
		}
		fmt.Fprintln(a.Stdout, text)
		return err
	}
	if len(a.names) > 0 {
		columns = a.names
	}
	texts := make([][]string, len(rows))
	for i, row := range rows {
		for _, name := range columns {
			texts[i] = append(texts[i], adminText(column{name, name}.of(row)))
		}
	}
	switch a.format {
	case "tsv":
		return writeTSV(a.Stdout, columns, texts)
	case "bash":
		for _, row := range texts {
			fmt.Fprint(a.Stdout, row[0]+" ")
		}
		fmt.Fprintln(a.Stdout)
		return nil
	case "long", "kvp":
		return a.long(columns, texts)
	case "table":
		if len(rows) == 0 {
			a.say("No items")
			return nil
		}
		return writeBox(a.Stdout, columns, texts, true)
	}
	return usage("Format %q not recognised", a.format)
}

// adminText shows a value as rabbitmqadmin does.
func adminText(value any) string {
	switch v := value.(type) {
	case bool:
		return map[bool]string{true: "True", false: "False"}[v]
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = text(e)
		}
		return strings.Join(parts, " ")
	}
	return text(value)
}

// long shows a column a line, or with kvp a row a line.
func (a *admin) long(columns []string, rows [][]string) error {
	width := 0
	for _, name := range columns {
		width = max(width, len(name))
	}
	for _, row := range rows {
		var parts []string
		for i, name := range columns {
			if a.format == "kvp" {
				parts = append(parts, fmt.Sprintf("%s=%q", name, row[i]))
			} else {
				parts = append(parts, fmt.Sprintf("%*s: %s", width, name, row[i]))
			}
		}
		separator := "\n"
		if a.format == "kvp" {
			separator = " "
		} else {
			fmt.Fprintln(a.Stdout, strings.Repeat("-", 80))
		}
		fmt.Fprintln(a.Stdout, strings.Join(parts, separator))
	}
	return nil
}
