package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// tree is the checkout under test, read once and never changed.
type tree struct {
	root      string
	module    string   // the module's path, from go.mod
	files     []string // all that is tracked or would be, slash-separated, sorted
	packages  []*pkg   // sorted by dir
	positions *token.FileSet
}

// pkg is the Go files of one directory, test files and ignored ones included.
type pkg struct {
	dir   string // slash-separated, from the root: "broker/queue"
	name  string // from the package clause, without _test
	files []*source
}

// source is one parsed Go file.
type source struct {
	path      string
	text      []byte
	syntax    *ast.File
	test      bool
	generated bool
}

// load reads the tree at root. A Go file that does not parse is an error: then no rule can say anything.
func load(root string) (*tree, error) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, fmt.Errorf("not the root of the module: %w", err)
	}
	t := &tree{root: root, module: modulePath(mod), positions: token.NewFileSet()}
	if t.files, err = list(root); err != nil {
		return nil, err
	}
	byDir := map[string]*pkg{}
	for _, file := range t.files {
		if !isSource(file) {
			continue
		}
		s, err := t.parse(file)
		if err != nil {
			return nil, err
		}
		dir := path.Dir(file)
		if byDir[dir] == nil {
			byDir[dir] = &pkg{dir: dir}
			t.packages = append(t.packages, byDir[dir])
		}
		byDir[dir].add(s)
	}
	slices.SortFunc(t.packages, func(a, b *pkg) int { return strings.Compare(a.dir, b.dir) })
	return t, nil
}

var moduleLine = regexp.MustCompile(`(?m)^module\s+(\S+)`)

func modulePath(mod []byte) string {
	if m := moduleLine.FindSubmatch(mod); m != nil {
		return string(m[1])
	}
	return ""
}

// list names the files that git tracks or would track; without git, all but what is hidden or fetched.
func list(root string) ([]string, error) {
	git := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	git.Dir = root
	out, err := git.Output()
	if err != nil {
		return walk(root)
	}
	var files []string
	for _, file := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		info, err := os.Lstat(filepath.Join(root, file))
		if err == nil && info.Mode().IsRegular() { // git also names what was just deleted
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

func walk(root string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(d.Name(), ".") && d.Name() != ".ci" && p != root
		if d.IsDir() && (hidden || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			rel, err := filepath.Rel(root, p)
			files = append(files, filepath.ToSlash(rel))
			return err
		}
		return nil
	})
	slices.Sort(files)
	return files, err
}

// isSource tells the Go files that the go command would look at.
func isSource(file string) bool {
	if path.Ext(file) != ".go" {
		return false
	}
	for _, part := range strings.Split(file, "/") {
		if part == "testdata" || part == "vendor" || part[0] == '_' || part[0] == '.' {
			return false
		}
	}
	return true
}

func (t *tree) parse(file string) (*source, error) {
	text, err := t.read(file)
	if err != nil {
		return nil, err
	}
	syntax, err := parser.ParseFile(t.positions, file, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &source{
		path:      file,
		text:      text,
		syntax:    syntax,
		test:      strings.HasSuffix(file, "_test.go"),
		generated: ast.IsGenerated(syntax),
	}, nil
}

func (p *pkg) add(s *source) {
	p.files = append(p.files, s)
	if p.name == "" || !s.test {
		p.name = strings.TrimSuffix(s.syntax.Name.Name, "_test")
	}
}

func (t *tree) read(file string) ([]byte, error) {
	return os.ReadFile(filepath.Join(t.root, filepath.FromSlash(file)))
}

// exists tells whether a file, or a directory that holds one, is in the tree.
func (t *tree) exists(name string) bool {
	return slices.ContainsFunc(t.files, func(file string) bool {
		return file == name || strings.HasPrefix(file, name+"/")
	})
}

// sources calls f for every Go file, with the package it belongs to.
func (t *tree) sources(f func(p *pkg, s *source)) {
	for _, p := range t.packages {
		for _, s := range p.files {
			f(p, s)
		}
	}
}

// readOptional answers nil for a file that is not there.
func (t *tree) readOptional(file string) ([]byte, error) {
	text, err := t.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// inDirs tells whether dir is named by a pattern: "a/b" is that directory, "a/..." it and all below, "..." all.
func inDirs(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		base, whole := strings.CutSuffix(pattern, "...")
		if base = strings.TrimSuffix(base, "/"); base == "" {
			return whole
		}
		return dir == base || whole && strings.HasPrefix(dir, base+"/")
	})
}
