package main

import (
	"path"
	"slices"
	"strings"
)

// emptyNames say where something was put, not what it is. A package owns one noun.
var emptyNames = strings.Fields("util utils common helper helpers types interfaces manager managers base misc shared")

func checkNames(t *tree, r *report) {
	for _, p := range t.packages {
		for _, name := range []string{p.name, path.Base(p.dir)} {
			if slices.Contains(emptyNames, name) {
				r.add(p.files[0].path, 1, "package name %q says nothing: name what it owns", name)
				break
			}
		}
	}
}
