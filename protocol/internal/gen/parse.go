package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// method is one method of the table.
type method struct {
	class, name     string
	classID, number int
	spec            string
	replies         []string
	content, borrow bool
	doc             string
	fields          []field
}

// field is one argument of a method, in wire order.
type field struct {
	name string // "-" for a reserved one
	kind string
}

var fieldKinds = []string{"bit", "octet", "short", "long", "longlong", "shortstr", "longstr", "table"}

// parse reads the table. The form of a line says what it is: a class begins
// with "class", a method has a colon, and the rest are fields.
func parse(table string) ([]method, error) {
	var methods []method
	var class string
	var classID int
	for i, line := range strings.Split(table, "\n") {
		words := strings.Fields(line)
		var err error
		switch {
		case len(words) == 0 || words[0] == "#":
			continue
		case words[0] == "class" && len(words) == 3:
			class = words[1]
			classID, err = strconv.Atoi(words[2])
		case strings.Contains(line, " : "):
			var m method
			m, err = parseMethod(line)
			m.class, m.classID = class, classID
			methods = append(methods, m)
		case len(words) == 2 && len(methods) > 0 && slices.Contains(fieldKinds, words[1]):
			m := &methods[len(methods)-1]
			m.fields = append(m.fields, field{name: words[0], kind: words[1]})
		default:
			err = fmt.Errorf("neither class, method nor field")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", i+1, line, err)
		}
	}
	return methods, nil
}

func parseMethod(line string) (method, error) {
	head, doc, _ := strings.Cut(line, " : ")
	words := strings.Fields(head)
	if len(words) < 2 {
		return method{}, fmt.Errorf("a method needs a name and a number")
	}
	number, err := strconv.Atoi(words[1])
	m := method{name: words[0], number: number, doc: doc}
	for _, flag := range words[2:] {
		key, value, _ := strings.Cut(flag, "=")
		switch {
		case key == "spec":
			m.spec = value
		case key == "reply":
			m.replies = strings.Split(value, ",")
		case flag == "content":
			m.content = true
		case flag == "borrow":
			m.borrow = true
		default:
			return m, fmt.Errorf("unknown flag %q", flag)
		}
	}
	return m, err
}

// wireName is the specification's name, such as "basic.publish".
func (m method) wireName() string { return m.class + "." + m.name }

// goName is the name of the struct type, such as BasicPublish.
func (m method) goName() string { return camel(m.class) + camel(m.name) }

func (f field) reserved() bool { return f.name == "-" }

func (f field) goName() string { return camel(f.name) }

// camel turns "delivery-tag" into "DeliveryTag" and "class-id" into "ClassID".
func camel(name string) string {
	var b strings.Builder
	for _, word := range strings.Split(name, "-") {
		if word == "id" {
			b.WriteString("ID")
			continue
		}
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}
