// Command tidy holds the house rules of this repository that neither the compiler nor the linters know: who may import
// whom, how long a file may be, what needs a sentence of documentation. It reads; it never changes a file.
//
//	go run ./cmd/tidy [directory]
//
// It works in three steps:
//
//  1. load lists the files of the checkout and parses every Go file among them, also those behind build tags and those
//     of nested modules, which the go command would leave out.
//  2. Each rule looks at the tree and reports what it finds. A rule lives in a file of its own; what it allows stands in
//     a table at the top of that file, and an exception is a row of that table with its reason.
//  3. The findings are printed one a line, as "file:line: rule: text". The exit code is 1 if there is one, else 0.
package main

import (
	"fmt"
	"io"
	"os"
)

// rule is one thing the house insists on.
type rule struct {
	name  string
	check func(t *tree, r *report)
}

// rules are all of them, in the order in which their files are best read.
var rules = []rule{
	{"imports", checkImports},
	{"limits", checkLimits},
	{"names", checkNames},
	{"docs", checkDocs},
	{"format", checkFormat},
	{"goroutines", checkGoroutines},
	{"panics", checkPanics},
	{"tests", checkTests},
	{"unfinished", checkUnfinished},
	{"generated", checkGenerated},
	{"architecture", checkArchitecture},
	{"dependencies", checkDependencies},
	{"leftovers", checkLeftovers},
}

func main() {
	dir := "."
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	os.Exit(run(dir, rules, os.Stdout, os.Stderr))
}

// run checks the tree at dir and answers with the exit code.
func run(dir string, rules []rule, stdout, stderr io.Writer) int {
	t, err := load(dir)
	if err != nil {
		fmt.Fprintln(stderr, "tidy:", err)
		return 1
	}
	r := &report{}
	for _, rule := range rules {
		r.rule = rule.name
		rule.check(t, r)
	}
	for _, f := range r.sorted() {
		fmt.Fprintln(stdout, f)
	}
	if len(r.findings) > 0 {
		return 1
	}
	fmt.Fprintf(stdout, "tidy: %d rules, %d packages, %d files, nothing found\n", len(rules), len(t.packages), len(t.files))
	return 0
}
