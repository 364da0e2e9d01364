package settings

import (
	_ "embed" // known.txt
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// known are RabbitMQ's keys that Warren reads over, one a line.
//
//go:embed known.txt
var known string

var withoutEffect = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for name := range strings.FieldsSeq(known) {
		if Find(name) == nil {
			names[name] = true
		}
	}
	return names
})

// isKnown tells whether a key is RabbitMQ's, though it does nothing here.
func isKnown(key string) bool {
	if withoutEffect()[key] {
		return true
	}
	words := strings.Split(key, ".")
	for name := range withoutEffect() {
		if strings.Contains(name, "$") && fits(strings.Split(name, "."), words) {
			return true
		}
	}
	return false
}

// Sources are where values come from.
type Sources struct {
	// Flags are the command line's, by the settings' names.
	Flags map[string]string
	// Environ is the environment: NAME=value each.
	Environ []string
	// Files are where a file is looked for if nothing names one; the first that is there is read.
	Files []string
	// EnvFile is where RabbitMQ's file of variables is looked for if RABBITMQ_CONF_ENV_FILE does not say; "" is nowhere.
	EnvFile string
	// Defaults stand in for those of the list, by the settings' names.
	Defaults map[string]string
}

// loading is a Load under way.
type loading struct {
	values  *Values
	environ map[string]string
}

// Load reads all sources. What is odd but can be borne is in Values.Warnings; what cannot is the error.
func Load(from Sources) (*Values, error) {
	l := loading{&Values{set: map[string]Value{}, defaults: from.Defaults}, map[string]string{}}
	for _, pair := range from.Environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			l.environ[name] = value
		}
	}
	if err := l.envFile(from.EnvFile); err != nil {
		return nil, err
	}
	if err := l.files(from); err != nil {
		return nil, err
	}
	if err := l.variables(); err != nil {
		return nil, err
	}
	for name, value := range from.Flags {
		s := Find(name)
		if s == nil {
			return nil, fmt.Errorf("there is no setting %q", name)
		}
		if err := l.put(s, name, value, "--"+s.Flag(), fromFlag); err != nil {
			return nil, err
		}
	}
	return l.values, l.values.agree()
}

// name finds a setting that says where to look for others: it stands on the command line or in the environment.
func (l *loading) name(from Sources, name string) (value, where string) {
	if value, ok := from.Flags[name]; ok {
		return value, "--" + Find(name).Flag()
	}
	for _, v := range slices.Backward(Find(name).Variables()) {
		if value := l.environ[v]; value != "" {
			return value, v
		}
	}
	return "", ""
}

// files reads the configuration file and those of the directory.
func (l *loading) files(from Sources) error {
	file, where := l.name(from, "config")
	dir, dirWhere := l.name(from, "config_dir")
	if dir == "" {
		dir = from.Defaults["config_dir"]
	}
	if file == "" {
		for _, f := range from.Files {
			if _, err := os.Stat(f); err == nil {
				file = f
				break
			}
		}
	}
	if file != "" && file != "none" {
		list, err := filesOf(file)
		if err != nil {
			// RabbitMQ starts without a file that is not there
			if where == "--config" || where == "WARREN_CONFIG" || !errors.Is(err, os.ErrNotExist) {
				return &ParseError{where, err.Error()}
			}
			l.warn("%s: %v", where, err)
		}
		if err := l.read(list); err != nil {
			return err
		}
		if beside := filepath.Join(filepath.Dir(file), "conf.d"); dir == "" && isDir(beside) {
			dir = beside
		}
	}
	if dir == "" || dir == "none" {
		return nil
	}
	list, err := filesOf(dir)
	if err != nil {
		if dirWhere == "--config-dir" || dirWhere == "WARREN_CONFIG_DIR" {
			return &ParseError{dirWhere, err.Error()}
		}
		return nil
	}
	return l.read(list)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func (l *loading) read(files []string) error {
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // the operator names it
		if err != nil {
			return err
		}
		l.values.Files = append(l.values.Files, file)
		lines, err := parse(file, text)
		if err != nil {
			return err
		}
		for _, one := range lines {
			if err := l.line(file, one); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *loading) line(file string, one line) error {
	where := fmt.Sprintf("%s:%d", file, one.number)
	s := Find(one.key)
	switch {
	case s != nil && !s.FlagOnly:
		return l.put(s, one.key, one.value, where, fromFile)
	case s != nil:
		l.warn("%s: %s has no effect in a file", where, one.key)
	case isKnown(one.key):
		l.warn("%s: %s has no effect in Warren", where, one.key)
	default:
		hint := ""
		if nearest := NearestKey(one.key); nearest != "" {
			hint = "; did you mean " + nearest + "?"
		}
		l.warn("%s: %s is not known%s", where, one.key, hint)
	}
	return nil
}

// variables reads the environment.
func (l *loading) variables() error {
	mine := map[string]bool{}
	for i := range List {
		s := &List[i]
		for _, name := range s.Variables() {
			mine[name], mine[name+"_FILE"] = true, s.Secret
			value, ok, err := l.variable(s, name)
			if err != nil {
				return err
			}
			if !ok || value == "" && !strings.HasPrefix(name, "WARREN_") {
				continue
			}
			if err := l.put(s, s.Name, value, name, fromVariable); err != nil {
				return err
			}
		}
	}
	var names []string
	for name := range mine {
		names = append(names, name)
	}
	slices.Sort(names)
	for name := range l.environ {
		if strings.HasPrefix(name, "WARREN_") && !mine[name] {
			l.warn("the variable %s is not known%s", name, didYouMean(Nearest(name, names)))
		}
	}
	slices.Sort(l.values.Warnings)
	return nil
}

func didYouMean(nearest string) string {
	if nearest == "" {
		return ""
	}
	return "; did you mean " + nearest + "?"
}

// variable gives the value of a variable. A secret may stand in a file that NAME_FILE names.
func (l *loading) variable(s *Setting, name string) (string, bool, error) {
	value, ok := l.environ[name]
	file := l.environ[name+"_FILE"]
	if ok || file == "" || !s.Secret {
		return value, ok, nil
	}
	text, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return "", false, &ParseError{name + "_FILE", err.Error()}
	}
	return strings.TrimRight(string(text), "\r\n"), true, nil
}

// put notes a value, if the setting can have it.
func (l *loading) put(s *Setting, key, value, where string, from origin) error {
	if err := s.check(value); err != nil && (value != "" || s.Kind != Addresses && s.Kind != Networks) {
		shown := fmt.Sprintf("%q", value)
		if s.Secret {
			shown = "the value"
		}
		return &ParseError{where, fmt.Sprintf("%s: %s %s", key, shown, err)}
	}
	l.values.set[key] = Value{Key: key, Text: value, Where: where, Setting: s, from: from}
	return nil
}

func (l *loading) warn(format string, args ...any) {
	l.values.Warnings = append(l.values.Warnings, fmt.Sprintf(format, args...))
}
