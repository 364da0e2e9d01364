package main

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// Every package has a package comment. In the packages that others may import, every exported name has a sentence:
// functions, methods of exported types, types, constants and variables (for these one sentence on the group is enough).
// Commands, internal packages and tests have no other readers than who works on them: what they export needs none.
func checkDocs(t *tree, r *report) {
	for _, p := range t.packages {
		if !slices.ContainsFunc(p.files, func(s *source) bool { return written(s.syntax.Doc) }) {
			r.add(p.files[0].path, 1, "package %s has no package comment", p.name)
		}
		if p.name == "main" || slices.Contains(strings.Split(p.dir, "/"), "internal") {
			continue
		}
		for _, s := range p.files {
			for _, decl := range s.syntax.Decls {
				if !s.test {
					checkDoc(t, r, decl)
				}
			}
		}
	}
}

func checkDoc(t *tree, r *report, decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if exported(d) && !written(d.Doc) {
			r.at(t, d.Pos(), "%s has no doc comment", funcName(d))
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			checkSpecDoc(t, r, d, spec)
		}
	}
}

// exported tells whether another package can call f: its name and its receiver's are exported.
func exported(f *ast.FuncDecl) bool {
	for _, name := range strings.Split(funcName(f), ".") {
		if !token.IsExported(name) {
			return false
		}
	}
	return true
}

func checkSpecDoc(t *tree, r *report, d *ast.GenDecl, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		alone := !d.Lparen.IsValid() && written(d.Doc)
		if s.Name.IsExported() && !alone && !written(s.Doc) {
			r.at(t, s.Pos(), "%s has no doc comment", s.Name.Name)
		}
	case *ast.ValueSpec:
		if written(d.Doc) || written(s.Doc) || written(s.Comment) {
			return
		}
		for _, name := range s.Names {
			if name.IsExported() {
				r.at(t, name.Pos(), "%s has no doc comment", name.Name)
			}
		}
	}
}

// written tells whether a comment says something: a directive such as //go:build is not a sentence.
func written(c *ast.CommentGroup) bool {
	return c != nil && strings.TrimSpace(c.Text()) != ""
}
