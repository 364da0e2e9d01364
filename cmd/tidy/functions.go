package main

import "go/ast"

// places are the functions in which something rare is right, each with the reason: "broker/session.conn.run": "why".
type places map[string]string

func (p places) have(dir, function string) bool {
	_, ok := p[dir+"."+function]
	return ok
}

// declarations calls f for every declaration at the top of a Go file; in is the function's name, "" if it is none.
func (t *tree) declarations(f func(p *pkg, s *source, decl ast.Decl, in string)) {
	t.sources(func(p *pkg, s *source) {
		for _, decl := range s.syntax.Decls {
			in := ""
			if function, ok := decl.(*ast.FuncDecl); ok {
				in = funcName(function)
			}
			f(p, s, decl, in)
		}
	})
}

// funcName answers "Func" or "Type.Method".
func funcName(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return f.Name.Name
	}
	return typeName(f.Recv.List[0].Type) + "." + f.Name.Name
}

// typeName answers the name in *T, T[P] or T.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.ParenExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.IndexListExpr:
		return typeName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
