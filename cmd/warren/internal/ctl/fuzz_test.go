package ctl

import (
	"strings"
	"testing"
)

// FuzzAdminOptions: whatever stands on rabbitmqadmin's command line, only options there are come out, and what is no option
// comes out as it was.
func FuzzAdminOptions(f *testing.F) {
	f.Add("-H\nhost\ndeclare\nqueue\nname=q")
	f.Add("--vhost=v\n-q\nlist\nqueues")
	f.Add("-\n--\n-V\n=")
	known := map[string]bool{}
	for _, names := range []map[string]string{adminFlags, adminSwitches} {
		for _, name := range names {
			known[name] = true
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\n")
		flags, rest, err := adminOptions(args)
		if err != nil {
			return
		}
		for name := range flags {
			if !known[name] {
				t.Errorf("%q has the option %q", args, name)
			}
		}
		for _, word := range rest {
			if !strings.Contains(line, word) {
				t.Errorf("%q has the word %q", args, word)
			}
		}
	})
}
