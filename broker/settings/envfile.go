package settings

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// envFileVariable says where RabbitMQ's file of variables is.
const envFileVariable = "RABBITMQ_CONF_ENV_FILE"

// rabbitPrefix begins RabbitMQ's variables; in its file it may be left out.
const rabbitPrefix = "RABBITMQ_"

// envFile reads RabbitMQ's file of variables, rabbitmq-env.conf: what the environment itself says wins. For RabbitMQ it is a
// program of the shell; here it is assignments, and anything else is a warning.
func (l *loading) envFile(file string) error {
	if said := l.environ[envFileVariable]; said != "" {
		file = said
	}
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file) //nolint:gosec // the operator names it
	switch {
	case errors.Is(err, os.ErrNotExist): // as for RabbitMQ
		return nil
	case err != nil:
		return &ParseError{envFileVariable, err.Error()}
	}
	l.values.Files = append(l.values.Files, file)
	used := rabbitVariables()
	said := map[string]string{}
	for i, line := range strings.Split(string(text), "\n") {
		where := fmt.Sprintf("%s:%d", file, i+1)
		name, value, ok, err := assignment(line)
		switch {
		case err != nil:
			l.warn("%s: %v", where, err)
			continue
		case !ok:
			continue
		}
		name = rabbitPrefix + strings.TrimPrefix(name, rabbitPrefix)
		if !used[name] {
			l.warn("%s: %s has no effect in Warren", where, name)
			continue
		}
		said[name] = value
	}
	for name, value := range said {
		if l.environ[name] == "" {
			l.environ[name] = value
		}
	}
	return nil
}

// rabbitVariables are those of RabbitMQ's variables that do something.
func rabbitVariables() map[string]bool {
	used := map[string]bool{}
	for i := range List {
		for _, name := range List[i].Variables() {
			used[name] = strings.HasPrefix(name, rabbitPrefix)
			used[name+"_FILE"] = used[name] && List[i].Secret
		}
	}
	return used
}

// assignment reads a line NAME=value as a shell does: with or without export, the value bare or in quotes. ok is false for a
// line without one.
func assignment(line string) (name, value string, ok bool, err error) {
	line = strings.TrimSpace(line)
	line = strings.TrimSpace(strings.TrimPrefix(line, "export "))
	if line == "" || line[0] == '#' {
		return "", "", false, nil
	}
	name, rest, found := strings.Cut(line, "=")
	if !found || name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789") != "" {
		return "", "", false, fmt.Errorf("%q is no assignment, and there is no shell to run it", line)
	}
	value, rest, err = shellWord(rest)
	if rest = strings.TrimSpace(rest); err == nil && rest != "" && rest[0] != '#' {
		err = fmt.Errorf("%q stands behind the value of %s", rest, name)
	}
	return name, value, err == nil, err
}

// shellWord takes a value from the begin of a text.
func shellWord(text string) (value, rest string, err error) {
	switch {
	case strings.HasPrefix(text, "'"):
		value, rest, found := strings.Cut(text[1:], "'")
		if !found {
			return "", "", errors.New("a quotation mark is not closed")
		}
		return value, rest, nil
	case strings.HasPrefix(text, `"`):
		found := false
		if value, rest, found = strings.Cut(text[1:], `"`); !found {
			return "", "", errors.New("a quotation mark is not closed")
		}
	default:
		if end := strings.IndexAny(text, " \t"); end >= 0 {
			value, rest = text[:end], text[end:]
		} else {
			value = text
		}
	}
	if strings.ContainsAny(value, "$`\\") {
		return "", "", fmt.Errorf("%q would have to be worked out by a shell", value)
	}
	return value, rest, nil
}
