package main

import (
	"go/ast"
	"go/token"
)

// size is how many lines are the most. Well below them a file or function is already long: 400 and 40 in code.
type size struct {
	file, function int
}

// What is longer is split. Generated files have no limit; tests get longer functions because a table of cases stands
// in the function that walks it.
var (
	codeLimit = size{file: 500, function: 70}
	testLimit = size{file: 500, function: 100}
)

func checkLimits(t *tree, r *report) {
	t.sources(func(_ *pkg, s *source) {
		if s.generated {
			return
		}
		limit := codeLimit
		if s.test {
			limit = testLimit
		}
		if lines := t.positions.File(s.syntax.FileStart).LineCount(); lines > limit.file {
			r.add(s.path, 1, "%d lines, at most %d", lines, limit.file)
		}
		for _, decl := range s.syntax.Decls {
			limit.functions(t, r, decl)
		}
	})
}

// functions measures a declared function, or the function values in a variable's declaration.
func (limit size) functions(t *tree, r *report, decl ast.Decl) {
	ast.Inspect(decl, func(n ast.Node) bool {
		switch f := n.(type) {
		case *ast.FuncDecl:
			limit.measure(t, r, "function "+funcName(f), f.Pos(), f.End())
			return false // what is nested in it was counted with it
		case *ast.FuncLit:
			limit.measure(t, r, "function value", f.Pos(), f.End())
			return false
		}
		return true
	})
}

func (limit size) measure(t *tree, r *report, what string, from, to token.Pos) {
	lines := t.positions.Position(to).Line - t.positions.Position(from).Line + 1
	if lines > limit.function {
		r.at(t, from, "%s has %d lines, at most %d", what, lines, limit.function)
	}
}
