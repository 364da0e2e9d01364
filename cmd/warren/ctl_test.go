package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// image is the commands of a container, and the environment they run in.
type image struct {
	t   *testing.T
	dir string
	env []string
}

// newImage gives the binary the names that it has in a container.
func newImage(t *testing.T, env ...string) *image {
	t.Helper()
	i := &image{t: t, dir: t.TempDir()}
	for _, name := range []string{"docker-entrypoint.sh", "rabbitmq-server", "rabbitmqctl", "rabbitmq-diagnostics", "rabbitmq-plugins", "rabbitmqadmin"} {
		if err := os.Symlink(binary, filepath.Join(i.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	i.env = append([]string{
		"PATH=" + i.dir + ":" + os.Getenv("PATH"), "HOME=" + i.dir, "GORACE=halt_on_error=1 exitcode=66 atexit_sleep_ms=0", "RABBITMQ_MNESIA_BASE=" + filepath.Join(i.dir, "data"),
		"RABBITMQ_CONFIG_FILES=" + filepath.Join(i.dir, "conf.d"), "RABBITMQ_CONFIG_FILE=" + filepath.Join(i.dir, "rabbitmq"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(i.dir, "enabled_plugins"), "WARREN_MANAGEMENT_LISTEN=127.0.0.1:0",
		"WARREN_METRICS_LISTEN=127.0.0.1:0", "RABBITMQ_CONF_ENV_FILE=" + filepath.Join(i.dir, "rabbitmq-env.conf"),
	}, env...)
	return i
}

// start runs the server as a container does, and waits until it is ready.
func (i *image) start() *process {
	i.t.Helper()
	p := &process{t: i.t, cmd: exec.Command(filepath.Join(i.dir, "docker-entrypoint.sh"), "rabbitmq-server"), exited: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = i.dir, i.env
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // ProcessState has what there is to know
		close(p.exited)
	}()
	i.t.Cleanup(func() { p.kill() })
	p.ready()
	if m := listening.FindStringSubmatch(p.stdout.String()); m != nil {
		p.addr = strings.Replace(m[1], "[::]", "127.0.0.1", 1)
	}
	return p
}

// exec runs a command in the container.
func (i *image) exec(line string, more ...string) (out string, code int) {
	i.t.Helper()
	args := append(strings.Fields(line), more...)
	cmd := exec.Command(filepath.Join(i.dir, args[0]), args[1:]...)
	cmd.Dir, cmd.Env = i.dir, i.env
	both, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		i.t.Fatal(err)
	}
	return string(both), cmd.ProcessState.ExitCode()
}

// must runs a command that has to succeed.
func (i *image) must(line string, more ...string) string {
	i.t.Helper()
	out, code := i.exec(line, more...)
	if code != 0 {
		i.t.Fatalf("%s: exit code %d: %s", line, code, out)
	}
	return out
}

func TestTheImagesConventions(t *testing.T) {
	i := newImage(t, "RABBITMQ_DEFAULT_USER=app", "RABBITMQ_DEFAULT_PASS=canary", "RABBITMQ_DEFAULT_VHOST=orders", "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT=0")
	write(t, i.dir, "conf.d/10-defaults.conf", "loopback_users.guest = false\nlog.console = true\n")
	write(t, i.dir, "rabbitmq.conf", "heartbeat = 7\n")
	p := i.start()
	conn, err := amqp.Dial("amqp://app:canary@" + p.addr + "/orders")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.Config.Heartbeat != 7*time.Second {
		t.Errorf("heartbeat %v", conn.Config.Heartbeat)
	}
	for _, c := range [][2]string{
		{"rabbitmq-diagnostics -q ping", "Ping succeeded\n"},
		{"rabbitmq-diagnostics -q check_running", "is fully booted and running\n"},
		{"rabbitmq-diagnostics -q check_port_connectivity", "Successfully connected to ports "},
		{"rabbitmq-diagnostics -q check_local_alarms", "reported no local alarms\n"},
		{"rabbitmq-diagnostics -q check_virtual_hosts", "reported all vhosts as running"},
		{"rabbitmqctl await_startup", ""},
		{"rabbitmqctl -q list_users", "user\ttags\napp\t[administrator]\n"},
		{"rabbitmqctl -q list_vhosts", "name\norders\n"},
		{"rabbitmqctl status", "RabbitMQ version: 4.3.6"},
		{"rabbitmqctl status", "10-defaults.conf"},
		{"rabbitmq-diagnostics -q log_location", "<stdout>"},
		{"rabbitmqctl version", "4.3.6"},
		{"rabbitmqctl cluster_status", "Running Nodes"},
		{"rabbitmqctl environment", "default_pass = ***"},
		{"rabbitmqctl report", "Listing queues for vhost"},
		{"rabbitmq-plugins enable rabbitmq_management", "built in"},
		{"rabbitmqadmin -V orders declare queue name=q", "queue declared\n"},
		{"rabbitmqadmin -V orders list queues", "| q    | 0        |"},
		{"rabbitmq-diagnostics memory_breakdown", ""},
		{"rabbitmq-diagnostics listeners", "protocol: amqp, purpose: AMQP 0-9-1"},
	} {
		if out := i.must(c[0]); !strings.Contains(out, c[1]) || strings.Contains(out, "canary") {
			t.Errorf("%s says %q", c[0], out)
		}
	}
	if !strings.Contains(p.stdout.String(), "config file(s) : "+filepath.Join(i.dir, "rabbitmq.conf")) {
		t.Errorf("the log does not say which files were read: %s", p.stdout.String())
	}
	if text, err := os.ReadFile(filepath.Join(i.dir, "enabled_plugins")); err != nil || string(text) != "[rabbitmq_management].\n" {
		t.Errorf("%q, %v", text, err)
	}
	if out, code := i.exec("docker-entrypoint.sh echo", "hello", "world"); code != 0 || out != "hello world\n" {
		t.Errorf("another command: %d, %q", code, out)
	}
	i.must("rabbitmqctl stop")
	if code := p.ends(); code != 0 || strings.Contains(p.stdout.String(), "canary") {
		t.Errorf("exit code %d: %s", code, p.stdout.String())
	}
	if out, code := i.exec("rabbitmq-diagnostics -q ping"); code != 69 {
		t.Errorf("nobody is there: exit code %d: %s", code, out)
	}
}

// TestUsersAndPermissions from the command line hold for clients at once.
func TestUsersAndPermissions(t *testing.T) {
	i := newImage(t, "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT=0")
	p := i.start()
	url := "amqp://u:secret@" + p.addr + "/v%2F1"
	i.must("rabbitmqctl add_vhost v/1 --description", "what for")
	i.must("rabbitmqctl add_user u secret")
	if _, err := amqp.Dial(url); err == nil {
		t.Error("without permissions")
	}
	i.must("rabbitmqctl set_permissions -p v/1 u", "^q", ".*", ".*")
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare("q1", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	publish(t, ch, "q1", "a", "b")
	i.must("rabbitmqctl set_policy -p v/1 --apply-to queues short", "^q", `{"max-length":1}`)
	eventually(t, "the policy holds", func() bool {
		q, err := ch.QueueDeclarePassive("q1", true, false, false, false, nil)
		return err == nil && q.Messages == 1
	})
	var rows []map[string]any
	if err := json.Unmarshal([]byte(i.must("rabbitmqctl list_queues -p v/1 name messages policy durable --formatter json")), &rows); err != nil || len(rows) != 1 ||
		rows[0]["name"] != "q1" || rows[0]["messages"] != 1.0 || rows[0]["policy"] != "short" || rows[0]["durable"] != true {
		t.Errorf("%v, %v", rows, err)
	}
	i.must("rabbitmqctl purge_queue -p v/1 q1")
	if out := i.must("rabbitmqctl -q list_connections user vhost state"); out != "user\tvhost\tstate\nu\tv/1\trunning\n" {
		t.Errorf("connections: %q", out)
	}
	told := conn.NotifyClose(make(chan *amqp.Error, 1))
	if out := i.must("rabbitmqctl close_all_connections -p v/1", "go away"); !strings.Contains(out, "Closed 1 connections") {
		t.Error(out)
	}
	if err := <-told; err == nil || err.Code != amqp.ConnectionForced || !strings.Contains(err.Reason, "go away") {
		t.Errorf("told %v", err)
	}
	if out, code := i.exec("rabbitmqctl authenticate_user u wrong"); code != 65 {
		t.Errorf("exit code %d: %s", code, out)
	}
	i.must("rabbitmqctl authenticate_user u secret")
	i.must("rabbitmqctl change_password u other")
	if _, err := amqp.Dial(url); err == nil {
		t.Error("with the old password")
	}
	i.must("rabbitmqctl export_definitions definitions.json")
	i.must("rabbitmqctl delete_vhost v/1")
	i.must("rabbitmqctl delete_user u")
	i.must("rabbitmqctl import_definitions definitions.json")
	again, err := amqp.Dial(strings.Replace(url, "secret", "other", 1))
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	p.stop()
}

// TestDefinitionsAtTheStart: what a file says is there when the first client comes, and there is no guest.
func TestDefinitionsAtTheStart(t *testing.T) {
	i := newImage(t, "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT=0")
	write(t, i.dir, "d.json", `{"users":[{"name":"u","password":"secret","tags":"administrator"}],"vhosts":[{"name":"v"}],
		"permissions":[{"user":"u","vhost":"v","configure":".*","write":".*","read":".*"}],
		"queues":[{"name":"q","vhost":"v","durable":true,"auto_delete":false,"arguments":{"x-max-length":2}}],
		"exchanges":[{"name":"x","vhost":"v","type":"fanout","durable":true,"auto_delete":false,"internal":false,"arguments":{}}],
		"bindings":[{"source":"x","vhost":"v","destination":"q","destination_type":"queue","routing_key":"","arguments":{}}]}`)
	write(t, i.dir, "rabbitmq.conf", "load_definitions = d.json\n")
	for range 2 { // the second start finds everything there
		p := i.start()
		conn, err := amqp.Dial("amqp://u:secret@" + p.addr + "/v")
		if err != nil {
			t.Fatal(err)
		}
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ch.QueueDeclarePassive("q", true, false, false, false, nil); err != nil {
			t.Error(err)
		}
		if _, err := amqp.Dial("amqp://guest:guest@" + p.addr); err == nil {
			t.Error("guest is there")
		}
		conn.Close()
		p.stop()
	}
	write(t, i.dir, "d.json", `{"users":`)
	if out, code := i.exec("docker-entrypoint.sh rabbitmq-server"); code != 1 || !strings.Contains(out, "the definitions cannot be imported") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// TestLogLevelsChange while the broker runs.
func TestLogLevelsChange(t *testing.T) {
	i := newImage(t, "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT=0")
	p := i.start()
	p.dial().Close()
	eventually(t, "a connection is in the log", func() bool { return strings.Contains(p.stdout.String(), "connection closed") })
	i.must("rabbitmqctl set_log_level connection error")
	before := p.stdout.String()
	p.dial().Close()
	p.stop()
	if after := strings.TrimPrefix(p.stdout.String(), before); strings.Contains(after, "connection open") {
		t.Errorf("still in the log: %s", after)
	}
}

// TestTheAuditLog has who did what, over AMQP and over HTTP, and no secret.
func TestTheAuditLog(t *testing.T) {
	i := newImage(t, "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT=0", "WARREN_LOG_AUDIT=audit.log")
	p := i.start()
	ch := p.channel()
	if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	publish(t, ch, "q", "a")
	if _, err := ch.QueuePurge("q", false); err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDelete("q", false, false, false); err != nil {
		t.Fatal(err)
	}
	if err := ch.ExchangeDeclare("x", "direct", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.ExchangeDelete("x", false, false); err != nil {
		t.Fatal(err)
	}
	if _, err := amqp.Dial("amqp://guest:canary@" + p.addr); err == nil {
		t.Error("with a wrong password")
	}
	i.must("rabbitmqctl add_user u canary")
	i.must("rabbitmqctl set_permissions u", ".*", ".*", ".*")
	i.must("rabbitmqctl export_definitions -")
	i.must("rabbitmqctl -q list_users")
	p.stop()
	text, err := os.ReadFile(filepath.Join(i.dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"action":"user.login","ok":true,"user":"guest","from":"127.0.0.1","detail":"PLAIN"`,
		`"action":"queue.purge","ok":true,"user":"guest","from":"127.0.0.1","vhost":"/","name":"q","detail":"1 messages"`,
		`"action":"queue.delete","ok":true,"user":"guest","from":"127.0.0.1","vhost":"/","name":"q"`,
		`"action":"exchange.delete","ok":true,"user":"guest","from":"127.0.0.1","vhost":"/","name":"x"`,
		`"action":"user.login","ok":false,"user":"guest","from":"127.0.0.1","detail":"PLAIN","refused":"invalid credentials"`,
		`"action":"http","ok":true,"user":"rmq-cli","from":"127.0.0.1","name":"/api/users/u","detail":"PUT","status":201`,
		`"name":"/api/permissions/%2F/u","detail":"PUT"`,
		`"name":"/api/definitions","detail":"GET"`,
	} {
		if strings.Count(string(text), want) != 1 {
			t.Errorf("%s is not there once", want)
		}
	}
	if strings.Contains(string(text), "canary") || strings.Contains(string(text), "/api/overview") || t.Failed() {
		t.Errorf("the audit log is\n%s", text)
	}
}

// TestNewPasswordsAreHashedHard, unless RabbitMQ is to understand them.
func TestNewPasswordsAreHashedHard(t *testing.T) {
	for setting, want := range map[string]string{"": "warren_password_hashing_argon2id", "sha512": "rabbit_password_hashing_sha512"} {
		i := newImage(t, "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT=0", "RABBITMQ_DEFAULT_USER=app", "RABBITMQ_DEFAULT_PASS=one")
		if setting != "" {
			i.env = append(i.env, "WARREN_PASSWORD_HASH="+setting)
		}
		p := i.start()
		i.must("rabbitmqctl add_user u two")
		var d struct {
			Users []struct {
				Name      string
				Algorithm string `json:"hashing_algorithm"`
			}
		}
		if err := json.Unmarshal([]byte(i.must("rabbitmqctl export_definitions -")), &d); err != nil || len(d.Users) != 2 {
			t.Fatalf("%+v, %v", d, err)
		}
		for _, u := range d.Users {
			if u.Algorithm != want {
				t.Errorf("%s has %s, want %s", u.Name, u.Algorithm, want)
			}
		}
		i.must("rabbitmqctl authenticate_user u two")
		i.must("rabbitmqctl authenticate_user app one")
		p.stop()
	}
}

// TestAreasOfTheLog: logins and channels have levels of their own.
func TestAreasOfTheLog(t *testing.T) {
	i := newImage(t, "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT=0", "WARREN_LOG_USER_LEVEL=none", "WARREN_LOG_CONSOLE_FORMATTER=json")
	p := i.start()
	fails := func() {
		if _, err := amqp.Dial("amqp://guest:wrong@" + p.addr); err == nil {
			t.Fatal("with a wrong password")
		}
		if _, err := p.channel().QueueDeclarePassive("none", true, false, false, false, nil); err == nil {
			t.Fatal("there is no such queue")
		}
	}
	fails()
	i.must("rabbitmqctl set_log_level channel none")
	i.must("rabbitmqctl set_log_level user warning")
	fails()
	p.stop()
	out := p.stdout.String()
	for _, c := range []struct {
		line, reason string
	}{{`"message":"login refused"`, `"error":"invalid credentials"`}, {`"message":"channel closed"`, `"reason":"no queue 'none' in vhost '/'"`}} {
		if strings.Count(out, c.line) != 1 || strings.Count(out, c.reason) != 1 {
			t.Errorf("%s is not there once, with its reason:\n%s", c.line, out)
		}
	}
}
