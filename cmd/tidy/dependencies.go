package main

import (
	"path"
	"regexp"
	"strings"
)

// dependencyList has a table row for every module that this repository requires directly, and for no other:
//
//	| `module/path` | why this one | who keeps it |
const dependencyList = "docs/dependencies.md"

// mention is a place in a file where a module is named.
type mention struct {
	path string
	line int
}

func checkDependencies(t *tree, r *report) {
	required := map[string]mention{}
	for _, file := range t.files {
		if path.Base(file) == "go.mod" && !strings.Contains(file, "testdata/") {
			requirements(t, r, file, required)
		}
	}
	listed := dependencyRows(t, r)
	for module, at := range required {
		if _, ok := listed[module]; !ok {
			r.add(at.path, at.line, "%s has no row in %s", module, dependencyList)
		}
	}
	for module, at := range listed {
		if _, ok := required[module]; !ok {
			r.add(at.path, at.line, "%s is not required any more", module)
		}
	}
}

// A requirement stands on a line of its own: "require path v1.2.3" or, in a block, "path v1.2.3".
var requirement = regexp.MustCompile(`^(?:require\s+)?(\S+\.\S+)\s+v\d\S*\s*$`)

// requirements notes the direct ones of one go.mod; those of a comment "// indirect" do not match.
func requirements(t *tree, r *report, file string, required map[string]mention) {
	text, err := t.read(file)
	if err != nil {
		r.add(file, 1, "%v", err)
		return
	}
	inBlock := false
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "require (":
			inBlock = true
		case line == ")":
			inBlock = false
		case inBlock || strings.HasPrefix(line, "require "):
			if m := requirement.FindStringSubmatch(line); m != nil {
				required[m[1]] = mention{file, i + 1}
			}
		}
	}
}

var dependencyRow = regexp.MustCompile("^\\|\\s*`([^`]+)`\\s*\\|([^|]*)\\|([^|]*)\\|\\s*$")

func dependencyRows(t *tree, r *report) map[string]mention {
	text, err := t.readOptional(dependencyList)
	if err != nil {
		r.add(dependencyList, 1, "%v", err)
	}
	listed := map[string]mention{}
	for i, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		m := dependencyRow.FindStringSubmatch(line)
		if m == nil || strings.TrimSpace(m[2]) == "" || strings.TrimSpace(m[3]) == "" {
			r.add(dependencyList, i+1, "a row is: module in backticks, why this one, who keeps it")
			continue
		}
		listed[m[1]] = mention{dependencyList, i + 1}
	}
	return listed
}
