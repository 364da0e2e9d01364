package management

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// column is a field of objects, to sort them by: numbers if all of them are numbers, or else keys.
type column struct {
	numbers []float64
	keys    []sortKey
}

// columnOf makes a column of values.
func columnOf(values []any) column {
	keys := make([]sortKey, len(values))
	for i, value := range values {
		keys[i] = makeSortKey(value)
	}
	return column{keys: keys}
}

func (c *column) len() int { return max(len(c.numbers), len(c.keys)) }

// compare says which of two comes first. Those that are equal stay as they were.
func (c *column) compare(a, b int) int {
	if c.numbers != nil {
		return cmp.Or(cmp.Compare(c.numbers[a], c.numbers[b]), cmp.Compare(a, b))
	}
	return cmp.Or(c.keys[a].compare(&c.keys[b]), cmp.Compare(a, b))
}

// order puts in order by a field what then stands from one place up to another; the rest is before or behind, in no order.
// Unless there is a short way to the field, objects are made and dropped again.
func (l *list) order(indexes []int, field []string, from, to int) {
	c := l.column(indexes, field)
	places := make([]int, c.len())
	for i := range places {
		places[i] = i
	}
	split(places, from, c.compare)
	split(places[from:], to-from, c.compare)
	slices.SortFunc(places[from:to], c.compare)
	for i, was := range places {
		places[i] = indexes[was]
	}
	copy(indexes, places)
}

// column gives a field of each, by a short way if there is one. Names are known.
func (l *list) column(indexes []int, field []string) column {
	if len(field) == 1 && field[0] == "name" {
		keys := make([]sortKey, len(indexes))
		for i, at := range indexes {
			keys[i] = sortKey{kind: sortText, text: l.names[at]}
		}
		return column{keys: keys}
	}
	if l.keys != nil {
		if c, ok := l.keys(indexes, field); ok {
			return c
		}
	}
	return columnOf(l.fields(indexes, field))
}

// split puts those that come first before the others. No two of them are equal. What it costs grows with the length, and
// not as that of sorting does: what is asked for is a page.
func split(list []int, first int, compare func(a, b int) int) {
	for low, high := 0, len(list); low < first && first < high; {
		part := list[low:high]
		last, below := len(part)-1, 0
		at := rand.IntN(len(part))
		part[at], part[last] = part[last], part[at]
		for i := range last {
			if compare(part[i], part[last]) < 0 {
				part[i], part[below] = part[below], part[i]
				below++
			}
		}
		part[below], part[last] = part[last], part[below]
		if middle := low + below; first <= middle {
			high = middle
		} else {
			low = middle + 1
		}
	}
}

// fields gives a field of each.
func (l *list) fields(indexes []int, field []string) []any {
	values := make([]any, 0, len(indexes))
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
	case float64:
		return v, true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	return 0, false
}
