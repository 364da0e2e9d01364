package settings

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// ErrHelp is what ReadFlags returns for --help.
var ErrHelp = errors.New("help wanted")

// ReadFlags reads --flag=value, --flag value and, for booleans, --flag, with one dash or two. It gives the values by the
// settings' names, and what follows the flags.
func ReadFlags(args []string) (values map[string]string, rest []string, err error) {
	values = map[string]string{}
	byFlag := map[string]*Setting{}
	names := []string{"help"}
	for i := range List {
		if flag := List[i].Flag(); flag != "" {
			byFlag[flag] = &List[i]
			names = append(names, flag)
		}
	}
	for len(args) > 0 {
		text := args[0]
		if text == "-" || !strings.HasPrefix(text, "-") {
			break
		}
		args = args[1:]
		if text == "--" {
			break
		}
		name, value, assigned := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(text, "-"), "-"), "=")
		if name == "h" || name == "help" {
			return nil, nil, ErrHelp
		}
		s := byFlag[name]
		if s == nil {
			return nil, nil, fmt.Errorf("the flag --%s is unknown%s; see warren --help", name, didYouMean(Nearest(name, names)))
		}
		switch {
		case assigned:
		case s.Kind == Boolean:
			value = "true"
		case len(args) == 0:
			return nil, nil, fmt.Errorf("the flag --%s wants a value", name)
		default:
			value, args = args[0], args[1:]
		}
		values[s.Name] = value
	}
	return values, args, nil
}

// common are the settings that --help explains.
var common = []string{
	"config", "listen", "listen_tls", "management_listen", "metrics_listen", "data_dir", "ephemeral", "ready_file",
	"ssl_options.certfile", "ssl_options.keyfile", "default_user", "default_pass", "load_definitions",
	"log.console.level", "log.console.formatter",
}

// WriteHelp explains the flags that are most used.
func WriteHelp(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, name := range common {
		s := Find(name)
		fallback := ""
		if s.Default != "" && !s.Secret && s.Kind != Boolean {
			fallback = " (" + s.Default + ")"
		}
		fmt.Fprintf(table, "  --%s\t%s%s\n", s.Flag(), s.Text, fallback)
	}
	return table.Flush()
}
