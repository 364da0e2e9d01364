package main

import (
	"cmp"
	"fmt"
	"go/token"
	"slices"
)

// finding is one place where a rule is not kept.
type finding struct {
	path string // slash-separated, from the root of the tree
	line int    // from 1
	rule string
	text string
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", f.path, f.line, f.rule, f.text)
}

// report gathers findings; rule names the one that is looking now.
type report struct {
	rule     string
	findings []finding
}

// add reports a line of a file.
func (r *report) add(path string, line int, format string, values ...any) {
	r.findings = append(r.findings, finding{path, line, r.rule, fmt.Sprintf(format, values...)})
}

// at reports a place in the parsed source.
func (r *report) at(t *tree, pos token.Pos, format string, values ...any) {
	p := t.positions.Position(pos)
	r.add(p.Filename, p.Line, format, values...)
}

func (r *report) sorted() []finding {
	slices.SortStableFunc(r.findings, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.line, b.line))
	})
	return r.findings
}
