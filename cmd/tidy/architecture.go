package main

import (
	"go/ast"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// tour is the page that walks through the code by the names of its functions; it must exist as soon as the binary does.
const (
	tour   = "docs/architecture.md"
	binary = "cmd/warren"
)

// codeName is a name in backticks such as `queue.Set` or `session.reader.run`; its first word is the last element of a
// package's path, the others a declaration and a method or field of it.
var codeName = regexp.MustCompile("`([A-Za-z_]\\w*)\\.([A-Za-z_][\\w-]*)(?:\\.([A-Za-z_]\\w*))?(?:\\([^`]*\\))?`")

// These look like code and are not: AMQP's methods of the class that shares its name with a package, and file names.
var (
	wireNames = regexp.MustCompile(`^queue\.(declare|bind|unbind|purge|delete)(-ok)?$`)
	fileNames = regexp.MustCompile(`\.(go|md|txt|json|toml|yml|yaml|conf|mod|sum|sh)$`)
)

func checkArchitecture(t *tree, r *report) {
	text, err := t.readOptional(tour)
	switch {
	case err != nil:
		r.add(tour, 1, "%v", err)
	case text == nil && t.exists(binary):
		r.add(tour, 1, "the tour of the code is missing")
	}
	index := indexNames(t)
	for i, line := range strings.Split(string(text), "\n") {
		for _, m := range codeName.FindAllStringSubmatch(line, -1) {
			name := strings.TrimSuffix(m[1]+"."+m[2]+"."+m[3], ".")
			if wireNames.MatchString(name) || fileNames.MatchString(name) {
				continue
			}
			if !index.has(m[1], name) {
				r.add(tour, i+1, "%s does not exist", name)
			}
		}
	}
}

// nameIndex knows what may stand in backticks.
type nameIndex struct {
	names    map[string]bool // "queue.Set", "queue.Set.Apply"
	packages map[string]bool // packages of this module, by last element
	foreign  map[string]bool // packages that this module imports from elsewhere: their names are not checked
}

// has accepts a name that exists. Of unknown packages it accepts what need not be code at all: words in small letters
// with dots between them, as in `basic.ack` or a routing key.
func (x nameIndex) has(pkg, name string) bool {
	if x.packages[pkg] {
		return x.names[name]
	}
	return x.foreign[pkg] || name == strings.ToLower(name)
}

func indexNames(t *tree) nameIndex {
	x := nameIndex{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	t.sources(func(p *pkg, s *source) {
		x.addImports(t, s)
		if s.test {
			return
		}
		base := path.Base(p.dir)
		x.packages[base] = true
		for _, decl := range s.syntax.Decls {
			x.addDecl(base+".", decl)
		}
	})
	return x
}

func (x nameIndex) addImports(t *tree, s *source) {
	for _, spec := range s.syntax.Imports {
		full, err := strconv.Unquote(spec.Path.Value)
		if _, inside := t.inModule(full); err != nil || inside {
			continue
		}
		parts := strings.Split(full, "/")
		if last := parts[len(parts)-1]; len(parts) > 1 && majorVersion.MatchString(last) {
			parts = parts[:len(parts)-1]
		}
		x.foreign[parts[len(parts)-1]] = true
	}
}

var majorVersion = regexp.MustCompile(`^v\d+$`)

func (x nameIndex) addDecl(prefix string, decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		x.names[prefix+funcName(d)] = true
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				x.addIdents(prefix, s.Names)
			case *ast.TypeSpec:
				x.names[prefix+s.Name.Name] = true
				x.addMembers(prefix+s.Name.Name+".", s.Type)
			}
		}
	}
}

// addMembers notes the fields of a struct and the methods of an interface.
func (x nameIndex) addMembers(prefix string, e ast.Expr) {
	var members *ast.FieldList
	switch e := e.(type) {
	case *ast.StructType:
		members = e.Fields
	case *ast.InterfaceType:
		members = e.Methods
	default:
		return
	}
	for _, m := range members.List {
		x.addIdents(prefix, m.Names)
	}
}

func (x nameIndex) addIdents(prefix string, names []*ast.Ident) {
	for _, name := range names {
		x.names[prefix+name.Name] = true
	}
}
