package main

import "go/ast"

// sequential packages start no goroutine: they are called, answer, and are done. Their tests may.
var sequential = []string{
	"protocol/...",
	"broker/message/...",
	"broker/ledger/...",
	"broker/queue/...",
	"broker/routing/...",
	"broker/topology/...",
}

func checkGoroutines(t *tree, r *report) {
	t.sources(func(p *pkg, s *source) {
		if s.test || !inDirs(sequential, p.dir) {
			return
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				r.at(t, g.Pos(), "%s starts no goroutine", p.dir)
			}
			return true
		})
	})
}
