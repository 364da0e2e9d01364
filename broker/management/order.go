package management

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// order sorts by a field. Unless there is a short way to it, objects are made and dropped again.
func (l *list) order(indexes []int, field []string) {
	values, ok := []any(nil), false
	if l.keys != nil {
		values, ok = l.keys(indexes, field)
	}
	if !ok {
		values = l.fields(indexes, field)
	}
	list := make([]ranked, len(indexes))
	for i, at := range indexes {
		list[i] = ranked{makeSortKey(values[i]), i, at}
	}
	slices.SortFunc(list, func(a, b ranked) int { return cmp.Or(a.key.compare(&b.key), cmp.Compare(a.was, b.was)) })
	for i := range list {
		indexes[i] = list[i].index
	}
}

// fields gives a field of each.
func (l *list) fields(indexes []int, field []string) []any {
	values := make([]any, 0, len(indexes))
	if len(field) == 1 && field[0] == "name" {
		for _, at := range indexes {
			values = append(values, l.names[at])
		}
		return values
	}
	for part := range slices.Chunk(indexes, chunk) {
		for _, o := range l.show(part) {
			values = append(values, dig(o, field))
		}
	}
	return values
}

// dig gives a field of a field.
func dig(value any, field []string) any {
	for _, name := range field {
		inner, ok := value.(object)
		if !ok {
			return nil
		}
		value = inner[name]
	}
	return value
}

// ranked is what is put in an order.
type ranked struct {
	key        sortKey
	was, index int
}

// sortKey is a value to sort by.
type sortKey struct {
	kind   sortKind
	number float64
	text   string
}

// sortKind is of what kind a value is: Erlang orders numbers, words that are no strings, strings.
type sortKind uint8

const (
	sortNumber sortKind = iota
	sortWord
	sortText
)

// makeSortKey makes a key of a value. What is missing counts as 0.
func makeSortKey(value any) sortKey {
	if n, ok := number(value); ok {
		return sortKey{kind: sortNumber, number: n}
	}
	if s, ok := value.(string); ok {
		return sortKey{kind: sortText, text: s}
	}
	return sortKey{kind: sortWord, text: fmt.Sprint(value)}
}

func (k *sortKey) compare(with *sortKey) int {
	return cmp.Or(cmp.Compare(k.kind, with.kind), cmp.Compare(k.number, with.number), strings.Compare(k.text, with.text))
}

func number(value any) (float64, bool) {
	switch v := value.(type) {
	case nil:
		return 0, true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case uint32:
		return float64(v), true
	case uint16:
		return float64(v), true
	case float:
		return float64(v), true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	return 0, false
}
