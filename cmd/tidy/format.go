package main

import (
	"bytes"
	"go/format"
)

// checkFormat wants every Go file as gofmt leaves it; there is no exception.
func checkFormat(t *tree, r *report) {
	t.sources(func(_ *pkg, s *source) {
		if formatted, err := format.Source(s.text); err != nil {
			r.add(s.path, 1, "gofmt: %v", err)
		} else if !bytes.Equal(formatted, s.text) {
			r.add(s.path, firstDifference(formatted, s.text), "not as gofmt leaves it")
		}
	})
}

// firstDifference answers the first line, from 1, in which two different texts differ.
func firstDifference(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return 1 + bytes.Count(a[:n], []byte("\n"))
}
