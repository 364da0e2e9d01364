package settings

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTheFileOfVariables is read as a shell would read it, as far as it is assignments; the environment itself wins.
func TestTheFileOfVariables(t *testing.T) {
	dir := write(t, map[string]string{
		"env.conf": "# comment\n\nNODENAME=hare@burrow\nexport RABBITMQ_DEFAULT_USER='a b'\nDEFAULT_VHOST=\"c # d\" # a comment\n" +
			"DEFAULT_PASS=from-the-file\nNODE_PORT=7001\nCONFIG_FILE=" + "DIR/c.conf\n" +
			"SERVER_ADDITIONAL_ERL_ARGS=\"+S 2\"\nLOG_BASE=$HOME/log\nif [ -f x ]; then\nMNESIA_BASE='open\nPID_FILE=a b\n",
		"c.conf": "heartbeat = 9\n",
	})
	file := filepath.Join(dir, "env.conf")
	rewrite(t, file, "DIR", dir)
	for what, from := range map[string]Sources{
		"its place":    {EnvFile: file, Environ: []string{"RABBITMQ_DEFAULT_PASS=from-the-environment"}},
		"the variable": {EnvFile: filepath.Join(dir, "none"), Environ: []string{"RABBITMQ_DEFAULT_PASS=from-the-environment", "RABBITMQ_CONF_ENV_FILE=" + file}},
	} {
		v := load(t, from)
		for key, want := range map[string]string{
			"node_name": "hare@burrow", "default_user": "a b", "default_vhost": "c # d", "default_pass": "from-the-environment",
			"node_port": "7001", "heartbeat": "9", "log.dir": "", "data_dir": "warren-data", "pid_file": "",
		} {
			if got := v.Text(key); got != want {
				t.Errorf("%s: %s is %q, want %q", what, key, got, want)
			}
		}
		for line, says := range map[string]string{
			":9:": "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS has no effect", ":10:": "worked out by a shell", ":11:": "is no assignment",
			":12:": "not closed", ":13:": `"b" stands behind`,
		} {
			if !slices.ContainsFunc(v.Warnings, func(w string) bool { return strings.HasPrefix(w, file+line) && strings.Contains(w, says) }) {
				t.Errorf("%s: no warning of line %s%s in %q", what, line, says, v.Warnings)
			}
		}
	}
	if v := load(t, Sources{EnvFile: filepath.Join(dir, "none")}); len(v.Warnings) != 0 {
		t.Errorf("a file that is not there: %q", v.Warnings)
	}
	if _, err := Load(Sources{EnvFile: dir}); err == nil {
		t.Error("a directory is read")
	}
}

// FuzzAssignment: whatever stands in a line, a name is a name, and what is taken for a value stands in the line.
func FuzzAssignment(f *testing.F) {
	for _, line := range []string{"A=b", "export A='b c' # d", `A="x`, "A", "=", "A=$B", "A=b c", "export =", "A=''"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		name, value, ok, err := assignment(line)
		if ok && (err != nil || name == "" || strings.ContainsAny(name, " ='\"$") || !strings.Contains(line, value)) {
			t.Errorf("%q is %q = %q, %v", line, name, value, err)
		}
	})
}

// rewrite puts one text in the place of another in a file.
func rewrite(t *testing.T, file, what, with string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(strings.ReplaceAll(string(text), what, with)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
