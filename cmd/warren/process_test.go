package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// patience is how long a test waits for what should happen at once.
const patience = 30 * time.Second

var (
	buildFlags []string
	binary     string
)

// TestMain builds the broker once. A process that a test made may be something else.
func TestMain(m *testing.M) {
	if dir := os.Getenv(etcdKey); dir != "" {
		runEtcd(dir, os.Getenv(etcdURLKey))
	}
	if os.Getenv(insideKey) != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "warren")
	if err == nil {
		binary = filepath.Join(dir, "warren")
		build := exec.Command("go", append(append([]string{"build"}, buildFlags...), "-o", binary, ".")...)
		build.Stderr = os.Stderr
		err = build.Run()
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, "building the broker:", err)
	} else {
		code = m.Run()
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// process is a broker that runs.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	stdout  output
	stderr  output
	addr    string
	started time.Time
	exited  chan struct{}
}

// launch starts the broker in a directory and does not wait for it.
func launch(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	return launchCommand(t, dir, append([]string{binary}, args...))
}

// launchCommand is launch of any command.
func launchCommand(t *testing.T, dir string, command []string, env ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(command[0], command[1:]...), exited: make(chan struct{})} //nolint:gosec // tests run what they made
	p.cmd.Dir = dir
	p.cmd.Env = append(append(os.Environ(), env...), "GORACE=halt_on_error=1 exitcode=66 atexit_sleep_ms=0")
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // ProcessState has what there is to know
		close(p.exited)
	}()
	t.Cleanup(func() { p.kill() })
	return p
}

// listening is the line that tells the address.
var listening = regexp.MustCompile(`started TCP listener on ([^\s"]+)`)

// run starts the broker and waits until it says that it is ready.
func run(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := launch(t, dir, append([]string{"--listen", "127.0.0.1:0", "--management-listen", "127.0.0.1:0"}, args...)...)
	p.ready()
	m := listening.FindStringSubmatch(p.stdout.String())
	if m == nil {
		t.Fatalf("no address in %s", p.stdout.String())
	}
	p.addr = m[1]
	return p
}

// ready waits until the broker says that it is.
func (p *process) ready() {
	p.t.Helper()
	eventually(p.t, "the broker is ready", func() bool {
		select {
		case <-p.exited:
			p.t.Fatalf("the broker has ended: %s%s", p.stdout.String(), p.stderr.String())
		default:
		}
		return strings.Contains(p.stdout.String(), "Server startup complete")
	})
}

// dial connects as an application does.
func (p *process) dial() *amqp.Connection {
	p.t.Helper()
	conn, err := amqp.Dial("amqp://guest:guest@" + p.addr)
	if err != nil {
		p.t.Fatalf("%v; the broker said %s%s", err, p.stdout.String(), p.stderr.String())
	}
	p.t.Cleanup(func() { conn.Close() })
	return conn
}

// channel opens a channel on a connection of its own.
func (p *process) channel() *amqp.Channel {
	p.t.Helper()
	ch, err := p.dial().Channel()
	if err != nil {
		p.t.Fatal(err)
	}
	return ch
}

// kill ends the process at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

// ends waits for the process and gives its exit code.
func (p *process) ends() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("it does not end: %s%s", p.stdout.String(), p.stderr.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop ends the process in order.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if code := p.ends(); code != 0 {
		p.t.Fatalf("exit code %d: %s%s", code, p.stdout.String(), p.stderr.String())
	}
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	within(t, patience, what, holds)
}

func within(t *testing.T, bound time.Duration, what string, holds func() bool) {
	t.Helper()
	late := time.After(bound)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("does not happen: %s", what)
		}
	}
}

func TestStartAndStop(t *testing.T) {
	for _, args := range [][]string{{"--data-dir", "data"}, {"--ephemeral"}} {
		dir := t.TempDir()
		p := run(t, dir, args...)
		conn := p.dial()
		t.Logf("%v: a connection is accepted %v after the process was started", args, time.Since(p.started))
		lines := strings.Split(strings.TrimSpace(p.stdout.String()), "\n")
		complete := 0
		for i, line := range lines {
			if strings.Contains(line, "Server startup complete") {
				complete = i
			}
		}
		for _, line := range lines[complete+1:] { // nothing of the start comes behind
			if !strings.Contains(line, "conn") {
				t.Errorf("after the last line of the start: %s", line)
			}
		}
		told := conn.NotifyClose(make(chan *amqp.Error, 1))
		p.stop()
		if err := <-told; err == nil || err.Code != 320 || err.Reason != "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'" {
			t.Errorf("the client is told %v", err)
		}
		if said := p.stderr.String(); said != "" {
			t.Errorf("stderr has %s", said)
		}
	}
}

func TestDirectories(t *testing.T) {
	entries := func(dir string) (names []string) {
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			names = append(names, e.Name())
		}
		return names
	}
	dir := t.TempDir()
	p := run(t, dir, "--ephemeral")
	ch := p.channel()
	if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	publish(t, ch, "q", "a", "b", "c")
	p.stop()
	if names := entries(dir); len(names) != 0 {
		t.Errorf("--ephemeral leaves %q", names)
	}
	run(t, dir).stop()
	if names := entries(dir); len(names) != 1 || names[0] != "warren-data" {
		t.Errorf("without a flag there is %q", names)
	}
	t.Setenv("WARREN_DATA_DIR", filepath.Join(dir, "a", "b"))
	run(t, dir).stop()
	if names := entries(filepath.Join(dir, "a")); len(names) != 1 || names[0] != "b" {
		t.Errorf("WARREN_DATA_DIR gives %q", names)
	}
}

// publish publishes persistent messages and waits until they are confirmed.
func publish(t *testing.T, ch *amqp.Channel, queue string, bodies ...string) {
	t.Helper()
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	for _, body := range bodies {
		c, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{Body: []byte(body), DeliveryMode: amqp.Persistent})
		if err != nil || !c.Wait() {
			t.Fatalf("%s is not confirmed: %v", body, err)
		}
	}
}

// TestWhatCannotBeIsOneLine on stderr, and exit code 1.
func TestWhatCannotBeIsOneLine(t *testing.T) {
	dir := t.TempDir()
	running := run(t, dir, "--data-dir", "held")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(dir, "newer")
	closed := filepath.Join(dir, "closed")
	for _, made := range []string{newer, closed} {
		if err := os.Mkdir(made, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		args []string
		says string
	}{
		{"a port in use", []string{"--ephemeral", "--listen", running.addr}, "address already in use"},
		{"a port in use, with data", []string{"--data-dir", "other", "--listen", running.addr}, "address already in use"},
		{"a data directory in use", []string{"--listen", "127.0.0.1:0", "--data-dir", "held"}, "held: the data directory is in use by another process"},
		{"a data directory in a file", []string{"--listen", "127.0.0.1:0", "--data-dir", filepath.Join(file, "data")}, "not a directory"},
		{"a data directory that is a file", []string{"--listen", "127.0.0.1:0", "--data-dir", file}, "file"},
		{"a data directory that cannot be written to", []string{"--listen", "127.0.0.1:0", "--data-dir", closed}, "permission denied"},
		{"an unknown flag", []string{"--unknown"}, "unknown"},
		{"a flag without its value", []string{"--listen"}, "listen"},
		{"a value that is none", []string{"--ephemeral=perhaps"}, "perhaps"},
		{"an argument", []string{"serve", "what"}, `unexpected argument`},
		{"an address that is none", []string{"--ephemeral", "--listen", "nonsense"}, "nonsense"},
		{"a host that is unknown", []string{"--ephemeral", "--listen", "256.0.0.1:0"}, "256.0.0.1"},
	} {
		t.Run(c.what, func(t *testing.T) {
			if c.says == "permission denied" && os.Geteuid() == 0 {
				t.Skip("nothing is forbidden to root")
			}
			p := launch(t, dir, c.args...)
			code, said := p.ends(), p.stderr.String()
			if code != 1 || strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "warren: ") || !strings.Contains(said, c.says) {
				t.Errorf("exit code %d, said %q", code, said)
			}
			if strings.Contains(p.stdout.String(), "startup complete") {
				t.Errorf("but before: %s", p.stdout.String())
			}
		})
	}
	running.stop() // which nobody has disturbed
}

func TestHelp(t *testing.T) {
	p := launch(t, t.TempDir(), "-h")
	if code := p.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, flag := range []string{"-listen", "-management-listen", "-data-dir", "-ephemeral"} {
		if !strings.Contains(p.stdout.String()+p.stderr.String(), flag) {
			t.Errorf("%s is not explained", flag)
		}
	}
}
