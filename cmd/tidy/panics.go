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
var panics = places{}

// recovers are the functions that may recover: where a connection's goroutines or a request end, and nowhere else.
var recovers = places{
	"broker/session.Session.guard":     "a bug in one half of a connection ends that connection and no other",
	"broker/management.Server.recover": "a bug in one request ends that request and no other",
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
