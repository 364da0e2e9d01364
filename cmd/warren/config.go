package main

import (
	"fmt"
	"os"

	"github.com/warrenmq/warren/broker/settings"
)

// config shows settings: all there are, or those in force.
func config(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("warren config wants one of list, effective")
	}
	flags, rest, err := settings.ReadFlags(args[1:])
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("unexpected argument %q", rest[0])
	}
	switch args[0] {
	case "list":
		return settings.WriteList(os.Stdout)
	case "effective":
		from := ownSources()
		from.Flags = flags
		values, err := settings.Load(from)
		if err != nil {
			return err
		}
		for _, warning := range values.Warnings {
			fmt.Fprintln(os.Stderr, "warren:", warning)
		}
		return values.WriteEffective(os.Stdout)
	}
	return fmt.Errorf("unexpected argument %q: warren config wants one of list, effective", args[0])
}
