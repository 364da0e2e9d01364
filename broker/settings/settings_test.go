package settings

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// write puts files into a directory of the test's own.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t *testing.T, from Sources) *Values {
	t.Helper()
	v, err := Load(from)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTheListIsSound(t *testing.T) {
	flags, variables := map[string]string{"help": "", "h": ""}, map[string]string{}
	for i := range List {
		s := &List[i]
		if s.Text == "" || Find(s.Name) != s {
			t.Errorf("%s: no text, or another setting hides it", s.Name)
		}
		if s.Default != "" {
			if err := s.check(s.Default); err != nil {
				t.Errorf("%s: its default %v", s.Name, err)
			}
		}
		if other, taken := flags[s.Flag()]; taken && s.Flag() != "" {
			t.Errorf("%s has the flag of %q", s.Name, other)
		}
		flags[s.Flag()] = s.Name
		for _, v := range s.Variables() {
			if other, taken := variables[v]; taken {
				t.Errorf("%s has the variable %s of %q", s.Name, v, other)
			}
			variables[v] = s.Name
		}
	}
}

func TestWhatComesLaterWins(t *testing.T) {
	dir := write(t, map[string]string{
		"rabbitmq.conf":        "heartbeat = 10\nframe_max = 9000\nchannel_max = 5\nmax_connections = 7\n",
		"conf.d/10-first.conf": "frame_max = 9001\nchannel_max = 6",
		"conf.d/20-next.conf":  "channel_max = 8",
		"conf.d/30.txt":        "channel_max = 9",
	})
	v := load(t, Sources{
		Flags: map[string]string{"heartbeat": "40"},
		Environ: []string{
			"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbitmq"), "WARREN_HEARTBEAT=30", "WARREN_FRAME_MAX=9002",
			"RABBITMQ_DEFAULT_USER=theirs", "WARREN_DEFAULT_USER=ours", "RABBITMQ_DEFAULT_VHOST=", "PATH=/bin",
		},
	})
	for key, want := range map[string]int64{"heartbeat": 40, "frame_max": 9002, "channel_max": 8, "max_connections": 7, "handshake_timeout": 10000} {
		if got := v.Number(key); got != want {
			t.Errorf("%s is %d, want %d", key, got, want)
		}
	}
	if v.Text("default_user") != "ours" || v.Text("default_vhost") != "/" {
		t.Errorf("user %q, vhost %q", v.Text("default_user"), v.Text("default_vhost"))
	}
	if !v.Above("heartbeat", "channel_max") || v.Above("max_connections", "channel_max") || v.Above("handshake_timeout", "no_matter") {
		t.Error("the order of the sources is wrong")
	}
	if len(v.Warnings) > 0 {
		t.Errorf("warnings %q", v.Warnings)
	}
}

func TestFilesAreFound(t *testing.T) {
	dir := write(t, map[string]string{"a.conf": "heartbeat = 1", "d/x.conf": "heartbeat = 2", "d/y.conf": "channel_max = 3"})
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		what string
		from Sources
		want int64
	}{
		{"none", Sources{}, 60},
		{"a place where one is", Sources{Files: []string{at("none.conf"), at("a.conf")}}, 1},
		{"a place where none is", Sources{Files: []string{at("none.conf")}}, 60},
		{"a flag", Sources{Flags: map[string]string{"config": at("d/x.conf")}, Files: []string{at("a.conf")}}, 2},
		{"without .conf", Sources{Environ: []string{"RABBITMQ_CONFIG_FILE=" + at("a")}}, 1},
		{"a pattern", Sources{Environ: []string{"RABBITMQ_CONFIG_FILES=" + at("d/*.conf")}}, 2},
		{"a directory", Sources{Flags: map[string]string{"config_dir": at("d")}}, 2},
		{"none wanted", Sources{Flags: map[string]string{"config": "none"}, Files: []string{at("a.conf")}}, 60},
		{"RabbitMQ goes on without", Sources{Environ: []string{"RABBITMQ_CONFIG_FILE=" + at("none")}}, 60},
	} {
		if got := load(t, c.from).Number("heartbeat"); got != c.want {
			t.Errorf("%s: heartbeat %d, want %d", c.what, got, c.want)
		}
	}
	if _, err := Load(Sources{Flags: map[string]string{"config": at("none.conf")}}); err == nil {
		t.Error("a file that is wanted and not there is not missed")
	}
}

func TestLines(t *testing.T) {
	lines, err := parse("f", []byte("\xef\xbb\xbf# comment\n\n a.b=c \r\nd = e # f\ng = #h\ni = j#k\nl = 'm # n' # o\np = \"q'\"\nr =\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range lines {
		got = append(got, l.key+"="+l.value)
	}
	if want := []string{"a.b=c", "d=e", "g=", "i=j#k", "l=m # n", "p=q'", "r="}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, text := range []string{"nonsense", "= 1", "a b = 1", "a = 'b", "a = 'b' c"} {
		_, err := parse("f", []byte("x = 1\n"+text))
		var where *ParseError
		if !errors.As(err, &where) || where.Where != "f:2" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestImpossibleValuesSayWhere(t *testing.T) {
	for line, want := range map[string]string{
		"frame_max = 12":                               `frame_max: "12" is too low, the least is 8192`,
		"heartbeat = 70000":                            "too high",
		"heartbeat = soon":                             "no whole number",
		"log.console = perhaps":                        "neither true nor false",
		"max_message_size = 1GiB":                      "too high",
		"max_message_size = 3 stones":                  "no size",
		"vm_memory_high_watermark.relative = much":     "no ratio",
		"default_queue_type = lazy":                    "none of classic, quorum, stream",
		"log.default.level = loud":                     "no log level",
		"listeners.tcp.default = 127.0.0.1":            "no address",
		"listeners.tcp.default = 70000":                "ports are 0 to 65535",
		"proxy_protocol_trusted = 10.0.0.0/8,everyone": "neither an address nor a network",
		"default_permissions.read = (":                 "no regular expression",
		"ssl_options.certfile = /x":                    "go together",
		"ssl_options.versions.1 = tlsv1.1":             "none of tlsv1.2",
		"consumer_timeout = whenever":                  "neither a number",
		"listeners.tcp = 5672":                         "none of none",
		"log.connection.level":                         "not of the form",
	} {
		dir := write(t, map[string]string{"c.conf": "# \n\n" + line + "\n"})
		_, err := Load(Sources{Files: []string{filepath.Join(dir, "c.conf")}})
		if err == nil || !strings.HasPrefix(err.Error(), filepath.Join(dir, "c.conf")+":3: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
	if _, err := Load(Sources{Environ: []string{"WARREN_HEARTBEAT=x"}}); err == nil || !strings.HasPrefix(err.Error(), "WARREN_HEARTBEAT: ") {
		t.Error(err)
	}
	if _, err := Load(Sources{Flags: map[string]string{"data_dir": "d", "frame_max": "x"}}); err == nil || !strings.HasPrefix(err.Error(), "--frame-max: ") {
		t.Error(err)
	}
}

func TestUnknownKeysAreNamedWithTheNearest(t *testing.T) {
	dir := write(t, map[string]string{"c.conf": strings.Join([]string{
		"hartbeat = 1", "disk_free_limt.absolute = 1GB", "loopback_user.guest = false", "listener.tcp.default = 5672",
		"mqtt.listeners.tcp.default = 1883", "cluster_formation.classic_config.nodes.1 = a@b", "something_else_altogether = 1",
		"node_port = 5672",
	}, "\n")})
	v := load(t, Sources{Files: []string{filepath.Join(dir, "c.conf")}, Environ: []string{"WARREN_DATADIR=x", "RABBITMQ_SERVICE_HOST=1"}})
	all := strings.Join(v.Warnings, "\n")
	for _, want := range []string{
		"c.conf:1: hartbeat is not known; did you mean heartbeat?",
		"did you mean disk_free_limit.absolute?", "did you mean loopback_users.guest?", "did you mean listeners.tcp.default?",
		"mqtt.listeners.tcp.default has no effect in Warren", "nodes.1 has no effect in Warren",
		"something_else_altogether is not known", "node_port has no effect in a file",
		"the variable WARREN_DATADIR is not known; did you mean WARREN_DATA_DIR?",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
	if len(v.Warnings) != 9 || strings.Contains(all, "altogether is not known;") {
		t.Errorf("warnings\n%s", all)
	}
}

// TestTimesAndBytesOfPolicies are RabbitMQ's durations and sizes, which have units of their own.
func TestTimesAndBytesOfPolicies(t *testing.T) {
	for text, want := range map[string]int64{
		"500ms": 500, "1s500ms": 1500, "2m": 120_000, "1h30m": 5_400_000, "1d": 86_400_000, "1w": 604_800_000, "1f": 1_209_600_000, "0s": 0,
		"": -1, "1500": -1, "1.5s": -1, "1s 2s": -1, "-1s": -1, "s": -1, "1x": -1, "99999999999999999999s": -1, "9999999999f": -1,
	} {
		if d, err := spanOf(text); (err != nil) != (want < 0) || err == nil && d.Milliseconds() != want {
			t.Errorf("%q is %v, %v", text, d, err)
		}
	}
	for text, want := range map[string]int64{
		"123": 123, "1B": 1, "6KB": 6144, "6k": 6144, "6KiB": 6144, "1MB": 1 << 20, "2gb": 2 << 30, "": -1, "0": -1, "MB": -1, "1XB": -1, "-1": -1,
	} {
		if n, err := bytesOf(text); (err != nil) != (want < 0) || err == nil && int64(n) != want {
			t.Errorf("%q is %d, %v", text, n, err)
		}
	}
}

func TestValues(t *testing.T) {
	v := load(t, Sources{Flags: map[string]string{
		"vm_memory_high_watermark.relative": "40%", "max_message_size": "2KB", "disk_free_limit.absolute": "2KiB", "listen": "1, :2,[::1]:3,h:4",
		"management_listen": "0", "proxy_protocol_trusted": "10.1.2.3,fd00::/8", "log.ra.level": "warning", "ephemeral": "yes",
	}})
	if v.Ratio("vm_memory_high_watermark.relative") != 0.4 || v.Size("max_message_size") != 2000 || v.Size("disk_free_limit.absolute") != 2048 {
		t.Error("numbers are wrong")
	}
	if got := v.Addresses("listen"); !slices.Equal(got, []string{":1", ":2", "[::1]:3", "h:4"}) || v.Address("management_listen") != ":0" {
		t.Errorf("addresses %q", got)
	}
	if n := v.Networks("proxy_protocol_trusted"); len(n) != 2 || n[0].String() != "10.1.2.3/32" || n[1].String() != "fd00::/8" {
		t.Errorf("networks %v", n)
	}
	if v.Level("log.ra.level") != "warn" || v.Level("log.queue.level") != "" || !v.Boolean("ephemeral") || v.Duration("config") != time.Duration(0) {
		t.Error("levels or booleans are wrong")
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	dir := write(t, map[string]string{"pass": "canary-in-a-file\n"})
	v := load(t, Sources{Environ: []string{"RABBITMQ_DEFAULT_PASS_FILE=" + filepath.Join(dir, "pass")}})
	var out strings.Builder
	if err := v.WriteEffective(&out); err != nil {
		t.Fatal(err)
	}
	if v.Text("default_pass") != "canary-in-a-file" || strings.Contains(out.String(), "canary") || !strings.Contains(out.String(), "default_pass = ***") {
		t.Errorf("password %q, shown\n%s", v.Text("default_pass"), out.String())
	}
	out.Reset()
	if err := WriteList(&out); err != nil || strings.Count(out.String(), "\n") != len(List)+1 {
		t.Errorf("%v, %d lines", err, strings.Count(out.String(), "\n"))
	}
}

// TestEffectiveIsAFile: what is shown can be read again, and says the same.
func TestEffectiveIsAFile(t *testing.T) {
	v := load(t, Sources{Flags: map[string]string{"heartbeat": "7", "cluster_name": "a # b"}})
	var out strings.Builder
	if err := v.WriteEffective(&out); err != nil {
		t.Fatal(err)
	}
	dir := write(t, map[string]string{"c.conf": out.String()})
	again := load(t, Sources{Files: []string{filepath.Join(dir, "c.conf")}})
	if again.Number("heartbeat") != 7 || again.Text("cluster_name") != "a # b" || len(again.Warnings) != 0 {
		t.Errorf("%q", again.Warnings)
	}
}

func TestDifference(t *testing.T) {
	before := load(t, Sources{Flags: map[string]string{"heartbeat": "7", "data_dir": "a", "frame_max": "9000"}})
	after := load(t, Sources{Flags: map[string]string{"heartbeat": "8", "data_dir": "b"}})
	reload, restart := before.Difference(after)
	if len(reload) != 2 || reload[0].Key != "frame_max" || reload[0].Text != "131072" || reload[1].Key != "heartbeat" {
		t.Errorf("to be taken: %+v", reload)
	}
	if len(restart) != 1 || restart[0].Key != "data_dir" {
		t.Errorf("for the next start: %+v", restart)
	}
}

func TestReadFlags(t *testing.T) {
	values, rest, err := ReadFlags([]string{"--listen", "a:1", "-heartbeat=3", "--ephemeral", "--default-user", "u", "x", "--y"})
	if err != nil || len(values) != 4 || values["listen"] != "a:1" || values["heartbeat"] != "3" || values["ephemeral"] != "true" || values["default_user"] != "u" {
		t.Errorf("%v, %v", values, err)
	}
	if !slices.Equal(rest, []string{"x", "--y"}) {
		t.Errorf("rest %q", rest)
	}
	for _, args := range [][]string{{"--lisen", "x"}, {"--listen"}, {"--listeners-tcp-default=1"}} {
		if _, _, err := ReadFlags(args); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
	if _, _, err := ReadFlags([]string{"-h"}); !errors.Is(err, ErrHelp) {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a = b # c\n'd' = \"e\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines, err := parse("f", text)
		for _, l := range lines {
			if err == nil && (l.key == "" || l.number < 1 || strings.ContainsAny(l.key, " \n")) {
				t.Errorf("%+v", l)
			}
		}
	})
}
