// Package containers runs testcontainers-go's module for RabbitMQ with the image that CONTAINER_IMAGE names.
package containers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/modules/rabbitmq"
)

func start(t *testing.T, opts ...testcontainers.ContainerCustomizer) *rabbitmq.RabbitMQContainer {
	t.Helper()
	image := os.Getenv("CONTAINER_IMAGE")
	if image == "" {
		t.Fatal("CONTAINER_IMAGE does not name an image")
	}
	c, err := rabbitmq.Run(context.Background(), image, opts...)
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// oneMessage goes through a broker.
func oneMessage(t *testing.T, conn *amqp.Connection, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	q, err := ch.QueueDeclare("", false, false, true, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	c, err := ch.PublishWithDeferredConfirm("", q.Name, true, false, amqp.Publishing{Body: []byte("one")})
	if err != nil || !c.Wait() {
		t.Fatalf("not confirmed: %v", err)
	}
	if m, ok, err := ch.Get(q.Name, true); err != nil || !ok || string(m.Body) != "one" {
		t.Errorf("%v %v %q", err, ok, m.Body)
	}
}

func must[T any](t *testing.T) func(value T, err error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// run runs a command in the container.
func run(t *testing.T, c testcontainers.Container, command ...string) string {
	t.Helper()
	code, out, err := c.Exec(context.Background(), command, exec.Multiplexed())
	if err != nil {
		t.Fatal(err)
	}
	text := string(must[[]byte](t)(io.ReadAll(out)))
	if code != 0 {
		t.Errorf("%s: exit code %d, %s", command, code, text)
	}
	return text
}

// command is one that the module's users let it run once the broker is ready.
func command(words ...string) testcontainers.CustomizeRequestOption {
	return testcontainers.WithAfterReadyCommand(testcontainers.NewRawCommand(words))
}

func TestConnecting(t *testing.T) {
	c := start(t, rabbitmq.WithAdminUsername("admin"), rabbitmq.WithAdminPassword("password"))
	conn, err := amqp.Dial(must[string](t)(c.AmqpURL(context.Background())))
	oneMessage(t, conn, err)
	logs := must[[]byte](t)(io.ReadAll(must[io.ReadCloser](t)(c.Logs(context.Background()))))
	if !strings.Contains(string(logs), "config file(s) : /etc/rabbitmq/rabbitmq-testcontainers.conf") {
		t.Errorf("the log is %s", logs)
	}
}

// TestCommands: those of the module's own tests.
func TestCommands(t *testing.T) {
	c := start(t,
		command("rabbitmqadmin", "declare", "vhost", "name=vhost1"),
		command("rabbitmqadmin", "declare", "vhost_limit", "vhost=vhost1", "name=max-connections", "value=1"),
		command("rabbitmqadmin", "declare", "vhost", "name=vhost2", "tracing=true"),
		command("rabbitmqadmin", "declare", "exchange", "name=direct-exchange", "type=direct"),
		command("rabbitmqadmin", "--vhost=vhost1", "declare", "exchange", "name=topic-exchange-2", "type=topic", "auto_delete=false", "internal=false", "durable=true", "arguments={}"),
		command("rabbitmqadmin", "declare", "queue", "name=queue1"),
		command("rabbitmqadmin", "--vhost=vhost1", "declare", "queue", "name=queue3", "auto_delete=true", "durable=false", `arguments={"x-message-ttl":1000}`),
		command("rabbitmqadmin", "declare", "binding", "source=direct-exchange", "destination=queue1"),
		command("rabbitmqadmin", "--vhost=vhost1", "declare", "binding", "source=topic-exchange-2", "destination=queue3", "routing_key=ss7", "destination_type=queue", "arguments={}"),
		command("rabbitmqadmin", "declare", "user", "name=user1", "password=password1", "tags="),
		command("rabbitmqadmin", "declare", "permission", "vhost=vhost1", "user=user1", "configure=.*", "write=.*", "read=.*"),
		command("rabbitmqadmin", "declare", "policy", "name=max length policy", "pattern=^dog", "priority=1", "apply-to=queues", `definition={"max-length":1}`),
		command("rabbitmqadmin", "declare", "operator_policy", "name=operator policy 1", "pattern=^queue1", "priority=1", "apply-to=queues", `definition={"message-ttl":1000}`),
		command("rabbitmq-plugins", "enable", "rabbitmq_random_exchange"),
	)
	for list, names := range map[string]string{
		"vhosts": "vhost1 vhost2", "queues": "queue1 queue3", "exchanges": "direct-exchange topic-exchange-2", "bindings": "ss7", "users": "user1",
		"policies": "max length policy", "operator_policies": "operator policy 1",
	} {
		shown := run(t, c, "rabbitmqadmin", "list", list)
		for name := range strings.FieldsSeq(names) {
			if !strings.Contains(shown, name) {
				t.Errorf("%s are %s", list, shown)
			}
		}
	}
	if out := run(t, c, "rabbitmqctl", "-q", "list_permissions", "-p", "vhost1"); !strings.Contains(out, "user1\t.*\t.*\t.*\n") {
		t.Errorf("permissions are %s", out)
	}
	if out := run(t, c, "rabbitmq-plugins", "is_enabled", "rabbitmq_random_exchange"); !strings.Contains(out, "rabbitmq_random_exchange is enabled") {
		t.Errorf("plugins: %s", out)
	}
}

// TestTLS: the module copies certificates into the container.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	raw := must[[]byte](t)(x509.MarshalPKCS8PrivateKey(key))
	write := func(name, kind string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert := write("cert.pem", "CERTIFICATE", der)
	c := start(t, rabbitmq.WithSSL(rabbitmq.SSLSettings{
		CACertFile: cert, CertFile: cert, KeyFile: write("key.pem", "PRIVATE KEY", raw),
		VerificationMode: rabbitmq.SSLVerificationModePeer, FailIfNoCert: false, VerificationDepth: 1,
	}))
	roots := x509.NewCertPool()
	roots.AddCert(must[*x509.Certificate](t)(x509.ParseCertificate(der)))
	conn, err := amqp.DialTLS(must[string](t)(c.AmqpsURL(context.Background())), &tls.Config{RootCAs: roots})
	oneMessage(t, conn, err)
}
