package topology

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/warrenmq/warren/protocol"
)

// erlangColumns is how wide a list may be before its elements stand below each other.
const erlangColumns = 78

// jsonTerm prints a decoded JSON value as RabbitMQ's refusals show it: an Erlang term.
func jsonTerm(value any) string {
	switch v := value.(type) {
	case nil, jsonNull:
		return "null"
	case string:
		if v == "" {
			return "<<>>"
		}
		return protocol.ErlangBinary([]byte(v))
	case []any:
		parts := make([]string, len(v))
		for i, element := range v {
			parts[i] = jsonTerm(element)
		}
		return erlangList(parts)
	case map[string]any:
		parts := make([]string, 0, len(v))
		for _, name := range sortedNames(v) {
			parts = append(parts, jsonTerm(name)+" => "+jsonTerm(v[name]))
		}
		return "#{" + strings.Join(parts, ",") + "}"
	case json.Number:
		return v.String()
	}
	return fmt.Sprint(value)
}

// erlangList joins printed terms, below each other if they do not fit into a line.
func erlangList(parts []string) string {
	line := "[" + strings.Join(parts, ",") + "]"
	if len(line) <= erlangColumns {
		return line
	}
	return "[" + strings.Join(parts, ",\n ") + "]"
}

// propertyList prints the named values as a list of pairs.
func propertyList(values map[string]any, names []string) string {
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = "{" + jsonTerm(name) + "," + jsonTerm(values[name]) + "}"
	}
	return erlangList(parts)
}

func sortedNames[T any](m map[string]T) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
