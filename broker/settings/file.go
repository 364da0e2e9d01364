package settings

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// line is a setting as a file has it.
type line struct {
	key, value string
	number     int
}

// ParseError says what is wrong with a place of a configuration file, a variable or a flag.
type ParseError struct {
	Where string // such as rabbitmq.conf:12 or WARREN_LISTEN
	What  string
}

// Error implements error.
func (e *ParseError) Error() string { return e.Where + ": " + e.What }

// parse reads lines "key = value". A # begins a comment at the start of a line, and behind a value after white space. A
// value may stand between quotes, ' or ", and then is what is between them.
func parse(name string, text []byte) (lines []line, err error) {
	scanner := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	scanner.Buffer(nil, 1<<20)
	for number := 1; scanner.Scan(); number++ {
		content := strings.TrimSpace(scanner.Text())
		if content == "" || content[0] == '#' {
			continue
		}
		key, value, found := strings.Cut(content, "=")
		key = strings.TrimSpace(key)
		if !found || key == "" || strings.ContainsAny(key, " \t\"'") {
			return nil, &ParseError{fmt.Sprintf("%s:%d", name, number), fmt.Sprintf("%q is not of the form key = value", content)}
		}
		value, problem := unquote(strings.TrimSpace(value))
		if problem != "" {
			return nil, &ParseError{fmt.Sprintf("%s:%d", name, number), key + ": " + problem}
		}
		lines = append(lines, line{key, value, number})
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return lines, nil
}

// unquote takes quotes or a comment off a value.
func unquote(value string) (text, problem string) {
	if value != "" && (value[0] == '\'' || value[0] == '"') {
		end := strings.IndexByte(value[1:], value[0])
		if end < 0 {
			return "", "the quote does not end"
		}
		rest := strings.TrimSpace(value[end+2:])
		if rest != "" && rest[0] != '#' {
			return "", fmt.Sprintf("there is %q behind the quote", rest)
		}
		return value[1 : end+1], ""
	}
	for i := 1; i < len(value); i++ {
		if value[i] == '#' && (value[i-1] == ' ' || value[i-1] == '\t') {
			return strings.TrimSpace(value[:i]), ""
		}
	}
	if value != "" && value[0] == '#' {
		return "", ""
	}
	return value, ""
}

// filesOf gives the files that a path names: itself, what a pattern matches, or the *.conf of a directory, sorted. With or
// without .conf at its end, as RabbitMQ takes it.
func filesOf(path string) ([]string, error) {
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() && strings.HasSuffix(path, ".config") {
			return nil, fmt.Errorf("%s: a configuration in Erlang's form is not read; write it as rabbitmq.conf, with lines key = value", path)
		}
		if !info.IsDir() {
			return []string{path}, nil
		}
		path = filepath.Join(path, "*.conf")
	} else if _, err := os.Stat(path + ".conf"); err == nil {
		return []string{path + ".conf"}, nil
	} else if !strings.ContainsAny(path, "*?[") {
		return nil, err
	}
	list, err := filepath.Glob(path)
	slices.Sort(list)
	return list, err
}
