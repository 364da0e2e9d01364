package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// generateLine starts the comment that says how a file is made. Generators are part of this module and run with
// "go run": nothing has to be installed.
const generateLine = "//go:generate "

// checkGenerated runs go generate in a copy of the tree, and wants the copy to be equal to the tree afterwards.
func checkGenerated(t *tree, r *report) {
	dirs := generators(t)
	if len(dirs) == 0 {
		return
	}
	copied, err := os.MkdirTemp("", "tidy-generated-")
	if err != nil {
		r.add("go.mod", 1, "%v", err)
		return
	}
	defer os.RemoveAll(copied)
	if err := t.copyTo(copied); err != nil {
		r.add("go.mod", 1, "%v", err)
		return
	}
	for _, dir := range dirs {
		generate := exec.Command("go", "generate", "./"+dir)
		generate.Dir = copied
		if out, err := generate.CombinedOutput(); err != nil {
			r.add(dir, 1, "go generate: %v: %s", err, bytes.TrimSpace(out))
			return
		}
	}
	if err := t.compare(copied, r); err != nil {
		r.add("go.mod", 1, "%v", err)
	}
}

// generators answers with the directories that have a go:generate line.
func generators(t *tree) []string {
	var dirs []string
	for _, p := range t.packages {
		if p.generates() {
			dirs = append(dirs, p.dir)
		}
	}
	return dirs
}

func (p *pkg) generates() bool {
	for _, s := range p.files {
		for _, group := range s.syntax.Comments {
			for _, c := range group.List {
				if strings.HasPrefix(c.Text, generateLine) {
					return true
				}
			}
		}
	}
	return false
}

func (t *tree) copyTo(dir string) error {
	for _, file := range t.files {
		text, err := t.read(file)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// compare reports every file of the copy that the tree does not have, or has with another text.
func (t *tree) compare(copied string, r *report) error {
	return filepath.WalkDir(copied, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		made, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(copied, p)
		if err != nil {
			return err
		}
		file := filepath.ToSlash(rel)
		have, err := t.read(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.add(file, 1, "go generate makes this file and the tree does not have it: run make generate")
		case err != nil:
			return err
		case !bytes.Equal(have, made):
			r.add(file, firstDifference(have, made), "not what go generate makes: run make generate")
		}
		return nil
	})
}
