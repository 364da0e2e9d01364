package ctl

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// object is a thing of the API.
type object = map[string]any

// output is what a command has to show: rows under columns, or a value with a text for people.
type output struct {
	columns []string
	rows    [][]any
	text    string
	value   any
}

// say is an output of one text.
func say(format string, args ...any) output { return output{text: fmt.Sprintf(format, args...)} }

func (o output) write(c *call) error {
	switch {
	case o.columns != nil:
		return o.writeRows(c)
	case c.formatter == "json" && o.value != nil:
		return writeJSON(c.Stdout, o.value)
	case c.formatter == "json" && o.text != "":
		return writeJSON(c.Stdout, o.text)
	case o.text != "":
		_, err := fmt.Fprintln(c.Stdout, strings.TrimRight(o.text, "\n"))
		return err
	}
	return nil
}

func writeJSON(w io.Writer, value any) error {
	text, err := marshal(value)
	if err == nil {
		_, err = fmt.Fprintf(w, "%s\n", text)
	}
	return err
}

// marshal is JSON as it is, without the care for HTML.
func marshal(value any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return strings.TrimRight(b.String(), "\n"), err
}

func (o output) writeRows(c *call) error {
	switch c.formatter {
	case "json", "json_stream":
		return o.writeObjects(c.Stdout, c.formatter == "json")
	case "csv":
		return o.writeCSV(c)
	case "pretty_table":
		return writeBox(c.Stdout, o.columns, o.texts(), false)
	}
	if len(o.rows) == 0 {
		return nil
	}
	var b strings.Builder
	if !c.silent && !c.noHeaders {
		b.WriteString(strings.Join(o.columns, "\t") + "\n")
	}
	for _, row := range o.texts() {
		b.WriteString(strings.Join(row, "\t") + "\n")
	}
	_, err := io.WriteString(c.Stdout, b.String())
	return err
}

// writeObjects writes an object a line: in an array as RabbitMQ's tools lay it out, or each on its own.
func (o output) writeObjects(w io.Writer, array bool) error {
	var b strings.Builder
	if array {
		b.WriteString("[\n")
	}
	for i, row := range o.rows {
		if array && i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('{')
		for j, column := range o.columns {
			if j > 0 {
				b.WriteByte(',')
			}
			text, err := marshal(asJSON(row[j]))
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%q:%s", column, text)
		}
		b.WriteString("}\n")
	}
	if array {
		b.WriteString("]\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (o output) writeCSV(c *call) error {
	if len(o.rows) == 0 {
		return nil
	}
	rows := o.texts()
	if !c.silent && !c.noHeaders {
		rows = slices.Insert(rows, 0, o.columns)
	}
	for _, row := range rows { // every field stands in quotes
		for i, field := range row {
			row[i] = `"` + strings.ReplaceAll(field, `"`, `""`) + `"`
		}
		if _, err := fmt.Fprintln(c.Stdout, strings.Join(row, ",")); err != nil {
			return err
		}
	}
	return nil
}

// texts gives the rows as people read them.
func (o output) texts() [][]string {
	rows := make([][]string, len(o.rows))
	for i, row := range o.rows {
		rows[i] = make([]string, len(row))
		for j, value := range row {
			rows[i][j] = text(value)
		}
	}
	return rows
}

// table is a table of arguments, which has its own form.
type table object

// text shows a value as RabbitMQ's tools do: [a, b] is a list, [{"key",1}] a table.
func text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return escape(v)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = text(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case []string:
		return "[" + strings.Join(v, ", ") + "]"
	case table:
		return term(object(v))
	case json.RawMessage:
		return string(v)
	case object:
		out, err := marshal(v)
		if err != nil {
			return ""
		}
		return out
	}
	return fmt.Sprint(value)
}

// escape keeps a text on its line.
func escape(s string) string {
	return strings.NewReplacer("\\", "\\\\", "\t", "\\t", "\n", "\\n", "\r", "\\r").Replace(s)
}

// term shows a value within a table of arguments.
func term(value any) string {
	switch v := value.(type) {
	case nil:
		return "undefined"
	case string:
		return `"` + v + `"`
	case object:
		parts := []string{}
		for _, key := range sorted(v) {
			parts = append(parts, fmt.Sprintf("{%q,%s}", key, term(v[key])))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = term(e)
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	return fmt.Sprint(value)
}

// asJSON gives tables of arguments the form [["key","longstr","value"]].
func asJSON(value any) any {
	if raw, ok := value.(json.RawMessage); ok {
		return string(raw) // RabbitMQ's tools give it as a text
	}
	t, ok := value.(table)
	if !ok {
		if value == nil {
			return ""
		}
		return value
	}
	list := []any{}
	for _, key := range sorted(object(t)) {
		list = append(list, []any{key, typeOf(t[key]), t[key]})
	}
	return list
}

func typeOf(value any) string {
	switch v := value.(type) {
	case string:
		return "longstr"
	case bool:
		return "bool"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "double"
		}
		return "long"
	case []any:
		return "array"
	case object:
		return "table"
	}
	return "void"
}

func sorted(o object) []string {
	keys := make([]string, 0, len(o))
	for key := range o {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// writeBox draws a table with lines around its fields; titles may be centred.
func writeBox(w io.Writer, columns []string, rows [][]string, centred bool) error {
	widths := make([]int, len(columns))
	for _, row := range append([][]string{columns}, rows...) {
		for i, field := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(field))
		}
	}
	var b strings.Builder
	line := func() {
		for _, width := range widths {
			b.WriteString("+" + strings.Repeat("-", width+2))
		}
		b.WriteString("+\n")
	}
	put := func(row []string, centred bool) {
		for i, field := range row {
			room, left := widths[i]+2-utf8.RuneCountInString(field), 1
			if centred {
				left = room / 2
			}
			b.WriteString("|" + strings.Repeat(" ", left) + field + strings.Repeat(" ", room-left))
		}
		b.WriteString("|\n")
	}
	line()
	put(columns, centred)
	line()
	for _, row := range rows {
		put(row, false)
	}
	if len(rows) > 0 {
		line()
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeTSV writes rows with tabs, for programs.
func writeTSV(w io.Writer, columns []string, rows [][]string) error {
	out := csv.NewWriter(w)
	out.Comma = '\t'
	if err := out.Write(columns); err != nil {
		return err
	}
	return out.WriteAll(rows)
}
