package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/broker/settings"
)

// own are flags of warren cluster, and what other programs in these files are told.
var own = []string{"authority", "valid", "revoke", "force"}

// asking are flags of warren ctl and its other names.
var asking = []string{"formatter", "url", "force"}

// others are flags of other programs that these files call.
var others = []string{
	"from-file", "from-literal", "build", "build-arg", "volumes", // kubectl, docker
	"system", "home-dir", "shell", "now", // useradd, systemctl
}

// TestWhatIsDeployedIsThere: every flag and variable in deploy/ and in the page on clusters is one that Warren has.
func TestWhatIsDeployedIsThere(t *testing.T) {
	known, variables := map[string]bool{}, map[string]bool{"WARREN_BIN": true}
	for _, flag := range slices.Concat(own, asking, others) {
		known[flag] = true
	}
	for i := range settings.List {
		known[settings.List[i].Flag()] = true
		for _, name := range settings.List[i].Variables() {
			variables[name] = true
		}
	}
	root := filepath.Join("..", "..")
	files := []string{filepath.Join(root, "docs", "cluster.md"), filepath.Join(root, "deploy", "cluster")}
	for _, pattern := range []string{"*.yaml", "*/*.yaml", "*/*.service"} {
		more, err := filepath.Glob(filepath.Join(root, "deploy", pattern))
		if err != nil || len(more) == 0 {
			t.Fatalf("%s: %v, %q", pattern, err, more)
		}
		files = append(files, more...)
	}
	flags := regexp.MustCompile("(?:^|[\\s\"'`(\\[])--([a-z][a-z-]*)")
	names := regexp.MustCompile(`\bWARREN_[A-Z_]+\b`)
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range flags.FindAllStringSubmatch(string(text), -1) {
			if found++; !known[m[1]] {
				t.Errorf("%s: there is no flag --%s", file, m[1])
			}
		}
		for _, name := range names.FindAllString(string(text), -1) {
			if found++; !variables[name] {
				t.Errorf("%s: there is no variable %s", file, name)
			}
		}
	}
	if found < 60 {
		t.Errorf("only %d flags and variables were found", found)
	}
}

// TestSystemdIsTold when the broker is ready, and when it stops.
func TestSystemdIsTold(t *testing.T) {
	dir := t.TempDir()
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: filepath.Join(dir, "notify")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	told := func(want string) {
		t.Helper()
		data := make([]byte, 4096)
		if err := l.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		n, err := l.Read(data)
		if said := string(data[:n]); err != nil || !slices.Contains(strings.Split(said, "\n"), want) {
			t.Errorf("%q, %v; not %s", said, err, want)
		}
	}
	t.Setenv("NOTIFY_SOCKET", l.LocalAddr().String())
	p := run(t, dir, "--ephemeral", "--metrics-listen", "")
	told("READY=1")
	p.stop()
	told("STOPPING=1")
}
