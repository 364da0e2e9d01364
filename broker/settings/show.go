package settings

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteEffective writes what is in force, in the form of a configuration file: every setting that has a value, where it
// comes from behind it, secrets masked.
func (v *Values) WriteEffective(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, value := range v.All() {
		text := value.Shown()
		if text == "" || strings.ContainsAny(text, " \t#") {
			text = "'" + text + "'"
		}
		if _, err := fmt.Fprintf(table, "%s = %s\t# %s\n", value.Key, text, value.Where); err != nil {
			return err
		}
	}
	return table.Flush()
}

// WriteList writes the list: a row for each setting.
func WriteList(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tFLAG\tVARIABLES\tTYPE\tDEFAULT\tRELOAD\tMEANING")
	for i := range List {
		s := &List[i]
		flag, reload, fallback := "", "", s.Default
		if s.Flag() != "" {
			flag = "--" + s.Flag()
		}
		if s.Reload {
			reload = "yes"
		}
		if s.Secret && fallback != "" {
			fallback = Masked
		}
		kind := s.Kind.String()
		if s.Kind == Choice {
			kind = strings.Join(s.Choices, "|")
		}
		key := s.Name
		if s.FlagOnly {
			key = "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", key, flag, strings.Join(s.Variables(), " "), kind, fallback, reload, s.Text)
	}
	return table.Flush()
}
