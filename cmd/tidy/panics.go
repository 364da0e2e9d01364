package main

import (
	"go/ast"
	"slices"
)

// asserts are the names of the helper through which a bug ends in a panic, with the values in the text. A package that
// needs one has its own few lines: protocol and store share nothing below them.
//
//	func assert(ok bool, format string, values ...any)  // where speed does not matter
//	func bug(format string, values ...any)              // behind an if of one's own: nothing is boxed when all is well
var asserts = []string{"assert", "bug"}

// panics are the other functions that may panic.
var panics = places{
	"broker/logs.Bug.Again": "a bug that was caught on one goroutine ends the request that waits for it on another",
	"broker/logs.Guard":     "net/http cuts a connection so",
}

// recovers are the functions that may recover: where a connection's goroutines or a request end, and nowhere else.
var recovers = places{
	"broker/session.Session.guard":    "a bug in one half of a connection ends that connection and no other",
	"broker/logs.Catch":               "a bug in one request ends that request and no other",
	"cluster/authority.Server.answer": "a bug in the answer to a node that wants to join ends that answer",
}

func checkPanics(t *tree, r *report) {
	t.declarations(func(p *pkg, s *source, decl ast.Decl, in string) {
		if s.test {
			return
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				checkPanic(t, r, p, in, call)
			}
			return true
		})
	})
}

func checkPanic(t *tree, r *report, p *pkg, in string, call *ast.CallExpr) {
	callee, ok := call.Fun.(*ast.Ident)
	if !ok {
		return
	}
	switch {
	case callee.Name == "panic" && !(slices.Contains(asserts, in) || panics.have(p.dir, in)):
		r.at(t, call.Pos(), "a bug panics through assert or bug; what can happen is returned")
	case callee.Name == "recover" && !recovers.have(p.dir, in):
		r.at(t, call.Pos(), "only the places in the table of cmd/tidy/panics.go recover")
	}
}
