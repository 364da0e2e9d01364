package main

import (
	"go/ast"
	"go/token"
)

// checkTests wants tests that neither sleep nor are skipped without a word. Waiting on time.After alone is sleeping;
// as one case of a select it is a deadline.
func checkTests(t *tree, r *report) {
	t.declarations(func(_ *pkg, s *source, decl ast.Decl, _ string) {
		if s.test {
			ast.Inspect(decl, func(n ast.Node) bool { return checkWait(t, r, n) })
		}
	})
}

func checkWait(t *tree, r *report, n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CommClause:
		for _, stmt := range n.Body {
			ast.Inspect(stmt, func(n ast.Node) bool { return checkWait(t, r, n) })
		}
		return false
	case *ast.UnaryExpr:
		if call, ok := n.X.(*ast.CallExpr); ok && n.Op == token.ARROW && calls(call, "time", "After") {
			r.at(t, n.Pos(), "a test does not sleep: wait for what should happen")
		}
	case *ast.CallExpr:
		if calls(n, "time", "Sleep") {
			r.at(t, n.Pos(), "a test does not sleep: wait for what should happen")
		}
		if calls(n, "", "SkipNow") || calls(n, "", "Skip") && len(n.Args) == 0 {
			r.at(t, n.Pos(), "a skipped test says why")
		}
	}
	return true
}

// calls tells whether call is on.name(...); an empty on stands for any.
func calls(call *ast.CallExpr, on, name string) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || f.Sel.Name != name {
		return false
	}
	x, ok := f.X.(*ast.Ident)
	return on == "" || ok && x.Name == on
}
