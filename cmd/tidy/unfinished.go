package main

import "regexp"

// unfinished are the words that promise work in a comment instead of doing it. What is left to do is an issue; what is
// known not to work stands in the documentation. (Written in halves, so that this file keeps its own rule.)
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`)

func checkUnfinished(t *tree, r *report) {
	t.sources(func(_ *pkg, s *source) {
		for _, group := range s.syntax.Comments {
			for _, c := range group.List {
				if word := unfinished.FindString(c.Text); word != "" {
					r.at(t, c.Pos(), "%s in a comment: do it, or open an issue", word)
				}
			}
		}
	})
}
