package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// write writes a file for a broker.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readyFile reads a ready file.
func readyFile(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, address, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			t.Fatalf("%s has %q", path, line)
		}
		m[name] = address
	}
	return m
}

func TestAFileOfRabbitMQ(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "rabbitmq.conf", `
listeners.tcp.1 = 127.0.0.1:0
listeners.tcp.2 = 127.0.0.1:0
default_user = app
default_pass = canary-password
default_vhost = orders
default_user_tags.monitoring = true
default_permissions.configure = ^$
channel_max = 11
hartbeat = 5
log.console.formatter = json
management.tcp.ip = 127.0.0.1
management.tcp.port = 0
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = 0
`)
	write(t, dir, "conf.d/10-more.conf", "channel_max = 12\n")
	p := launch(t, dir, "--config", file, "--ready-file", "ready")
	p.ready()
	found := readyFile(t, filepath.Join(dir, "ready"))
	if len(found) < 2 || found["AMQP"] == "" || found["AMQP_2"] == "" {
		t.Fatalf("addresses %v", found)
	}
	for _, name := range []string{"AMQP", "AMQP_2"} {
		conn, err := amqp.Dial("amqp://app:canary-password@" + found[name] + "/orders")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if conn.Config.ChannelMax != 12 {
			t.Errorf("channel_max %d", conn.Config.ChannelMax)
		}
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err == nil {
			t.Error("the permissions are not those of the file")
		}
	}
	if _, err := amqp.Dial("amqp://guest:guest@" + found["AMQP"]); err == nil {
		t.Error("guest is there")
	}
	p.stop()
	if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
		t.Error("the ready file stays when nobody is ready")
	}
	out := p.stdout.String()
	if !strings.Contains(out, "rabbitmq.conf:10: hartbeat is not known; did you mean heartbeat?") || strings.Contains(out, "canary") {
		t.Errorf("the log is\n%s", out)
	}
	for line := range strings.Lines(out) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestEffectiveSettings(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "c.conf", "default_pass = canary\nheartbeat = 9\n")
	cmd := exec.Command(binary, "config", "effective", "--config", "c.conf", "--frame-max", "9999")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "WARREN_CHANNEL_MAX=77")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fields := func(line string) string { return strings.Join(strings.Fields(line), " ") }
	said := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		said[fields(line)] = true
	}
	for _, want := range []string{
		"default_pass = *** # c.conf:1", "heartbeat = 9 # c.conf:2", "frame_max = 9999 # --frame-max", "channel_max = 77 # WARREN_CHANNEL_MAX",
		"default_vhost = / # default",
	} {
		if !said[want] {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if bytes.Contains(out, []byte("canary")) {
		t.Error("the password is shown")
	}
	list, err := exec.Command(binary, "config", "list").Output()
	if err != nil || !bytes.Contains(list, []byte("vm_memory_high_watermark.relative")) || !bytes.Contains(list, []byte("RABBITMQ_DEFAULT_USER")) {
		t.Errorf("%v: %s", err, list)
	}
}

func TestImpossibleSettingsStopTheStart(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "c.conf", "heartbeat = 9\nframe_max = tall\n")
	write(t, dir, "tls.conf", "listeners.ssl.default = 0\n")
	for _, c := range []struct {
		says string
		args []string
	}{
		{`c.conf:2: frame_max: "tall" is no whole number`, []string{"--config", "c.conf"}},
		{"ssl_options.certfile", []string{"--ephemeral", "--listen", "127.0.0.1:0", "--config", "tls.conf"}},
		{"no such file", []string{"--config", "none.conf"}},
		{"no such file", []string{"--ephemeral", "--listen-tls", "127.0.0.1:0", "--ssl-options-certfile", "x", "--ssl-options-keyfile", "y"}},
		{"did you mean --", []string{"--ephemerall"}},
		{"unexpected argument", []string{"config", "what"}},
		{"log.default.level", []string{"--log-default-level", "loud"}},
	} {
		p := launch(t, dir, c.args...)
		if code, said := p.ends(), p.stderr.String(); code != 1 || !strings.Contains(strings.ReplaceAll(said, "did you mean ", "did you mean --"), c.says) || strings.Count(said, "\n") != 1 {
			t.Errorf("%q: exit code %d, said %q", c.args, code, said)
		}
	}
}

// TestReload: SIGHUP takes what a running broker can take, and says what it cannot.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "c.conf", "channel_max = 10\nlog.connection.level = info\n")
	p := run(t, dir, "--ephemeral", "--config", file, "--log-audit", "audit.log")
	before := p.dial()
	eventually(t, "the connection is in the log", func() bool { return strings.Contains(p.stdout.String(), "connection open") })
	write(t, dir, "c.conf", "channel_max = 20\nlog.connection.level = error\nmax_connections = 3\n"+
		"vm_memory_high_watermark.absolute = 77GB\ntotal_memory_available_override_value = 100GB\n")
	if err := os.Rename(filepath.Join(dir, "audit.log"), filepath.Join(dir, "audit.log.1")); err != nil {
		t.Fatal(err)
	}
	p.hangUp("settings read again")
	quiet := strings.Count(p.stdout.String(), "connection open")
	after := p.dial()
	if before.Config.ChannelMax != 10 || after.Config.ChannelMax != 20 {
		t.Errorf("channel_max was %d, is %d", before.Config.ChannelMax, after.Config.ChannelMax)
	}
	out := p.stdout.String()
	if n := strings.Count(out, "connection open"); n != quiet || n != 1 {
		t.Errorf("the log's level is not taken: %s", out)
	}
	if !strings.Contains(out, "taken") || !strings.Contains(out, "holds from the next start on") || !strings.Contains(out, "max_connections") {
		t.Errorf("the log is %s", out)
	}
	if _, node := p.ask("/nodes/warren@localhost?columns=mem_limit"); node != `{"mem_limit":77000000000}` {
		t.Errorf("the API shows %s", node)
	}
	for _, name := range []string{"audit.log", "audit.log.1"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || strings.Count(string(text), `"action":"user.login"`) != 1 {
			t.Errorf("%s: %v, %s", name, err, text)
		}
	}
	write(t, dir, "c.conf", "channel_max = none\n")
	p.hangUp("c.conf:1: channel_max")
	if conn := p.dial(); conn.Config.ChannelMax != 20 {
		t.Errorf("channel_max is %d after a file that cannot be", conn.Config.ChannelMax)
	}
	p.stop()
}

// hangUp sends SIGHUP and waits for what the log says then.
func (p *process) hangUp(says string) {
	p.t.Helper()
	before := strings.Count(p.stdout.String(), says)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, "the log says "+says, func() bool { return strings.Count(p.stdout.String(), says) > before })
}

// TestTLS: a listener beside the plain one, and behind a proxy.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	write(t, dir, "c.conf", "listeners.tcp.default = 127.0.0.1:0\nlisteners.ssl.default = 127.0.0.1:0\n"+
		"ssl_options.certfile = cert.pem\nssl_options.keyfile = key.pem\nproxy_protocol = true\nmanagement.ssl.ip = 127.0.0.1\nmanagement.ssl.port = 0\n"+
		"prometheus.ssl.ip = 127.0.0.1\nprometheus.ssl.port = 0\n")
	p := launch(t, dir, "--ephemeral", "--config", "c.conf", "--ready-file", "ready")
	p.ready()
	found := readyFile(t, filepath.Join(dir, "ready"))
	if !strings.Contains(p.stdout.String(), "started TLS (SSL) listener on "+found["AMQPS"]) {
		t.Errorf("the log is %s", p.stdout.String())
	}
	roots := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(cert)
	through := func(client string) (*amqp.Connection, error) {
		return amqp.DialConfig("amqps://guest:guest@"+found["AMQPS"], amqp.Config{
			TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"},
			Dial: func(network, address string) (net.Conn, error) {
				conn, err := net.Dial(network, address)
				if err == nil {
					_, err = conn.Write([]byte("PROXY TCP4 " + client + " 192.0.2.1 4711 5671\r\n"))
				}
				return conn, err
			},
		})
	}
	api := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}}}
	metrics, err := api.Get("https://" + found["METRICSS"] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(metrics.Body)
	metrics.Body.Close()
	if err != nil || metrics.StatusCode != http.StatusOK || !strings.Contains(string(page), "\nrabbitmq_identity_info{") || found["METRICS"] != "" {
		t.Errorf("metrics over TLS: %s, %v, listeners %v", metrics.Status, err, found)
	}
	if _, err := http.Get("http://" + found["METRICSS"] + "/metrics"); err == nil {
		t.Error("metrics are there without TLS")
	}
	for path, want := range map[string]int{
		"overview": http.StatusOK, "health/checks/certificate-expiration/0/days": http.StatusOK,
		"health/checks/certificate-expiration/1/days": http.StatusServiceUnavailable, // it ends in an hour
	} {
		answer, err := api.Get("https://guest:guest@" + found["HTTPS"] + "/api/" + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want || found["HTTP"] != "" {
			t.Errorf("%s gives %d; listeners %v", path, answer.StatusCode, found)
		}
	}
	conn, err := through("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, err := through("192.0.2.7"); err == nil {
		t.Error("guest may come from afar, through a proxy")
	}
	eventually(t, "the refusal is in the log with the client's address", func() bool {
		return strings.Contains(p.stdout.String(), "192.0.2.7:4711") && strings.Contains(p.stdout.String(), "can only connect via localhost")
	})
	p.stop()
}

// TestSideBySide: brokers that take free ports take nothing else that there is only once.
func TestSideBySide(t *testing.T) {
	dir := t.TempDir()
	seen := map[string]bool{}
	for _, ready := range []string{"one", "two"} {
		p := launch(t, dir, "--ephemeral", "--listen", "127.0.0.1:0", "--ready-file", ready)
		p.ready()
		for name, address := range readyFile(t, filepath.Join(dir, ready)) {
			if seen[address] || strings.HasSuffix(address, ":15672") || strings.HasSuffix(address, ":15692") {
				t.Errorf("%s is %s", name, address)
			}
			seen[address] = true
		}
	}
	if len(seen) < 4 {
		t.Errorf("addresses %v", seen)
	}
}

// TestWhereTheAPIIs: RabbitMQ's keys for its address and its prefix, and none at all.
func TestWhereTheAPIIs(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "c.conf", "listeners.tcp.default = 127.0.0.1:0\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = 0\nmanagement.path_prefix = /mq\n")
	p := launch(t, dir, "--ephemeral", "--config", "c.conf", "--ready-file", "ready")
	p.ready()
	base := "http://guest:guest@" + readyFile(t, filepath.Join(dir, "ready"))["HTTP"]
	for path, want := range map[string]int{"/mq/api/overview": 200, "/api/overview": 404} {
		answer, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s gives %d", path, answer.StatusCode)
		}
	}
	p.stop()
	p = launch(t, dir, "--ephemeral", "--listen", "127.0.0.1:0", "--management-listen=", "--ready-file", "ready")
	p.ready()
	if found := readyFile(t, filepath.Join(dir, "ready")); found["HTTP"] != "" || found["AMQP"] == "" {
		t.Errorf("addresses %v", found)
	}
	p.stop()
}
