package management

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warrenmq/warren/broker/topology"
)

// list is objects that are made only when they are shown: a page of a hundred out of a hundred thousand costs a hundred.
type list struct {
	names []string // what a filter looks at
	show  func(indexes []int) []object
	keys  func(indexes []int, field []string) (c column, ok bool) // the field of each, if there is a short way to it; may be nil
	paged bool                                                    // may be cut into pages
}

// chunk is how many objects are made at a time.
const chunk = 500

// listOf is a list of objects that cost nothing to make.
func listOf(objects []object) *list {
	l := &list{names: make([]string, len(objects)), show: func(indexes []int) []object {
		out := make([]object, len(indexes))
		for i, at := range indexes {
			out[i] = objects[at]
		}
		return out
	}}
	for i, o := range objects {
		l.names[i], _ = o["name"].(string)
	}
	return l
}

// pages lets a list be cut into pages.
func (l *list) pages() *list {
	l.paged = true
	return l
}

// view is how a list is wanted.
type view struct {
	columns    [][]string
	sort       []string
	reverse    bool
	page, size int // page 0: all
	name       string
	regex      *topology.Pattern
	nothing    bool      // the filter is no pattern: it lets nothing through
	until      time.Time // patterns may be looked for until then
}

// patternTime is how long a list may take to look for a pattern in its names: some patterns take long for each.
const patternTime = 5 * time.Second

// Pages.
const (
	pageSizeDefault = 100
	pageSizeMax     = 500
)

func readView(query url.Values, paged bool) (view, error) {
	var v view
	v.columns = readColumns(query)
	if field := query.Get("sort"); field != "" {
		v.sort = strings.Split(field, ".")
	}
	v.reverse = query.Get("sort_reverse") == "true"
	if !paged || !query.Has("page") {
		return v, nil
	}
	var err, err2 error
	size := query.Get("page_size")
	v.page, err = strconv.Atoi(query.Get("page"))
	v.size = pageSizeDefault
	if size != "" {
		v.size, err2 = strconv.Atoi(size)
	} else {
		size = "undefined"
	}
	if err != nil || err2 != nil {
		return v, badRequest("Pagination parameters are invalid")
	}
	if v.page < 1 || v.size < 1 || v.size > pageSizeMax {
		return v, &failure{
			status: http.StatusBadRequest, kind: "invalid_pagination_parameters",
			reason: fmt.Sprintf("Invalid pagination parameters: page number %d, page size %s", v.page, size),
		}
	}
	v.name = strings.ToLower(query.Get("name"))
	if v.name != "" && query.Get("use_regex") == "true" {
		v.regex, err = topology.CompilePattern("(?i)" + query.Get("name"))
		v.nothing = err != nil
		v.until = time.Now().Add(patternTime)
	}
	return v, nil
}

// readColumns reads what is wanted of objects: a,b.c
func readColumns(query url.Values) (columns [][]string) {
	if !query.Has("columns") {
		return nil
	}
	for _, column := range strings.Split(query.Get("columns"), ",") {
		columns = append(columns, strings.Split(column, "."))
	}
	return columns
}

func (v *view) lets(name string) bool {
	switch {
	case v.nothing:
		return false
	case v.regex != nil:
		return v.regex.Match(name)
	case v.name != "":
		return strings.Contains(strings.ToLower(name), v.name)
	}
	return true
}

// choose gives which objects are let through.
func (l *list) choose(v *view) ([]int, error) {
	indexes := make([]int, 0, len(l.names))
	for i, name := range l.names {
		if v.page == 0 || v.lets(name) {
			indexes = append(indexes, i)
		}
		if v.regex != nil && i%64 == 63 && time.Now().After(v.until) {
			return nil, badRequest(fmt.Sprintf("looking for %s takes too long", v.regex))
		}
	}
	return indexes, nil
}

// arrange gives those objects that stand from one place up to another, once all are in the order that is wanted.
func (l *list) arrange(indexes []int, v *view, from, to int) []int {
	if v.reverse {
		from, to = len(indexes)-to, len(indexes)-from
	}
	if len(v.sort) > 0 {
		l.order(indexes, v.sort, from, to)
	}
	indexes = indexes[from:to]
	if v.reverse {
		slices.Reverse(indexes)
	}
	return indexes
}

// trim gives of an object what is wanted. An object of which nothing is left is an empty list, as RabbitMQ has it.
func trim(o object, columns [][]string) any {
	if columns == nil {
		return o
	}
	out := object{}
	byName := map[string][][]string{} // what is wanted of a field; an empty path is all of it
	for _, column := range columns {
		byName[column[0]] = append(byName[column[0]], column[1:])
	}
	for name, paths := range byName {
		if value, ok := o[name]; ok {
			out[name] = trimField(value, paths)
		}
	}
	if len(out) == 0 {
		return []any{}
	}
	return out
}

// trimField gives of a value what is wanted; lists are trimmed element by element.
func trimField(value any, paths [][]string) any {
	for _, path := range paths {
		if len(path) == 0 {
			return value
		}
	}
	switch v := value.(type) {
	case object:
		if len(v) > 0 {
			return trim(v, paths)
		}
	case []any: // as other nodes say it
		out := make([]any, len(v))
		for i, element := range v {
			o, _ := element.(object)
			out[i] = trim(o, paths)
		}
		return out
	case []object:
		out := make([]any, len(v))
		for i, element := range v {
			out[i] = trim(element, paths)
		}
		return out
	}
	return value
}

// whole is an object that is shown as a whole or not at all.
type whole map[string]any

// writeSize is how much of a list is gathered before it is sent.
const writeSize = 64 << 10

// write sends the list as it is wanted.
func (l *list) write(w http.ResponseWriter, status int, query url.Values) error {
	v, err := readView(query, l.paged)
	if err != nil {
		return err
	}
	indexes, err := l.choose(&v)
	if err != nil {
		return err
	}
	filtered := len(indexes)
	pages := (filtered + v.size - 1) / max(v.size, 1)
	from, to := 0, filtered
	if v.page > 0 {
		if v.page > max(pages, 1) {
			return &failure{
				status: http.StatusBadRequest, kind: "page_out_of_range",
				reason: fmt.Sprintf("Page out of range, page: %d page size: %d, len: %d", v.page, v.size, filtered),
			}
		}
		from = (v.page - 1) * v.size
		to = min(from+v.size, filtered)
	}
	indexes = l.arrange(indexes, &v, from, to)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	out := bufio.NewWriterSize(w, writeSize)
	defer out.Flush()
	if v.page == 0 {
		l.stream(out, indexes, v.columns)
		return nil
	}
	fmt.Fprintf(out, `{"filtered_count":%d,"item_count":%d,"items":`, filtered, len(indexes))
	l.stream(out, indexes, v.columns)
	fmt.Fprintf(out, `,"page":%d,"page_count":%d,"page_size":%d,"total_count":%d}`, v.page, pages, v.size, len(l.names))
	return nil
}

// stream writes objects, some at a time. Errors mean that whoever asked is gone.
func (l *list) stream(w io.Writer, indexes []int, columns [][]string) {
	_, _ = io.WriteString(w, "[")
	first := true
	for part := range slices.Chunk(indexes, chunk) {
		for _, o := range l.show(part) {
			if !first {
				_, _ = io.WriteString(w, ",")
			}
			first = false
			data, err := encode(trim(o, columns))
			if err != nil {
				bug("an object cannot be written: %v", err)
			}
			if _, err := w.Write(data); err != nil {
				return
			}
		}
	}
	_, _ = io.WriteString(w, "]")
}

// encode is JSON that leaves <, > and & as they are.
func encode(value any) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return []byte(strings.TrimSuffix(b.String(), "\n")), err
}
