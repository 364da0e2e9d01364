package main

import (
	"bytes"
	"path"
	"regexp"
	"slices"
)

// leftover is what one machine leaves in a file that every machine reads.
type leftover struct {
	what   string
	regexp *regexp.Regexp
	except []string // names of files it is right in
}

var leftovers = []leftover{
	{
		what:   "a path of one machine",
		regexp: regexp.MustCompile(`(?:^|[^\w./~*$}-])/(?:home|root|work|Users)/`),
	},
	{
		what: "the address of a package registry",
		regexp: regexp.MustCompile(`\b(?:(?:proxy|sum)\.golang\.org|registry\.(?:npmjs\.org|yarnpkg\.com)` +
			`|(?:[\w-]+\.)?pypi\.org|files\.pythonhosted\.org|repo1?\.maven\.(?:org|apache\.org)` +
			`|(?:index|static)\.crates\.io|(?:deb|security)\.debian\.org|archive\.ubuntu\.com)\b`),
		except: []string{"go.sum"},
	},
}

func checkLeftovers(t *tree, r *report) {
	for _, file := range t.files {
		text, err := t.read(file)
		if err != nil {
			r.add(file, 1, "%v", err)
			continue
		}
		if bytes.IndexByte(text, 0) >= 0 {
			continue // not a text
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			for _, l := range leftovers {
				if found := l.regexp.Find(line); found != nil && !l.allowed(file) {
					r.add(file, i+1, "%s: %s", l.what, bytes.TrimSpace(found))
				}
			}
		}
	}
}

func (l leftover) allowed(file string) bool {
	return slices.Contains(l.except, path.Base(file))
}
