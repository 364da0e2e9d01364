package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/broker/settings"
)

// configured makes a Config of lines of a file and of variables.
func configured(t *testing.T, from settings.Sources, file string) broker.Config {
	t.Helper()
	from.Files = []string{write(t, t.TempDir(), "c.conf", file)}
	v, err := settings.Load(from)
	if err != nil {
		t.Fatal(err)
	}
	c, err := configure(v, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatSettingsMean(t *testing.T) {
	c := configured(t, settings.Sources{}, strings.ReplaceAll(`heartbeat = 0; max_channels_per_connection = 9; max_message_size = 1MiB; consumer_timeout = undefined;
		handshake_timeout = 1500; loopback_users.app = true; loopback_users.guest = false; deprecated_features.permit.global_qos = false;
		total_memory_available_override_value = 1000; vm_memory_high_watermark.relative = 0.25; disk_free_limit.relative = 2;
		default_queue_type = quorum; cluster_name = hive; password_hash = sha256; anonymous_login_user = none; login_failures_user = 0`, ";", "\n"))
	if !c.NoHeartbeat || c.Session.ChannelMax != 9 || c.Session.MaxMessageSize != 1<<20 || c.ConsumerTimeout >= 0 || c.Session.HandshakeTimeout != 1500*time.Millisecond {
		t.Errorf("sessions: %+v, %v", c.Session, c.ConsumerTimeout)
	}
	if !slices.Equal(c.LoopbackOnly, []string{"app"}) || c.Permit["global_qos"] || c.Anonymous != "none" || c.LoginLimits.User != 0 || c.LoginLimits.Address != 60 {
		t.Errorf("logins: %q, %v, %q, %+v", c.LoopbackOnly, c.Permit, c.Anonymous, c.LoginLimits)
	}
	if c.MemoryLimit != 250 || c.DiskFreeLimit != 2000 || c.DefaultQueueType != "quorum" || c.ClusterName != "hive" || c.PasswordHash != "rabbit_password_hashing_sha256" {
		t.Errorf("limits %d, %d; %q, %q, %q", c.MemoryLimit, c.DiskFreeLimit, c.DefaultQueueType, c.ClusterName, c.PasswordHash)
	}
	if err := c.Validate(); err != nil || c.Session.Heartbeat != 0 {
		t.Errorf("heartbeat %d, %v", c.Session.Heartbeat, err)
	}
	c = configured(t, settings.Sources{}, "")
	if c.NoHeartbeat || c.Session.Heartbeat != 60 || c.ConsumerTimeout != 30*time.Minute || !slices.Equal(c.LoopbackOnly, []string{"guest"}) || c.MemoryLimit == 0 ||
		c.DiskFreeLimit != 50_000_000 || c.WithoutDefaults || !slices.Equal(c.Defaults.Record.Tags, []string{"administrator"}) {
		t.Errorf("without a word: %+v", c)
	}
	if c = configured(t, settings.Sources{Flags: map[string]string{"ephemeral": "true"}}, "loopback_users = none"); c.DiskFreeLimit != 0 || len(c.LoopbackOnly) != 0 {
		t.Errorf("nothing on disk, everybody from everywhere: %d, %q", c.DiskFreeLimit, c.LoopbackOnly)
	}
}

func TestWhereClientsComeIn(t *testing.T) {
	both := "listeners.tcp.a = 1\nlisteners.tcp.b = ::1:2\n"
	both = strings.Replace(both, "::1:2", "[::1]:2", 1)
	for _, c := range []struct {
		what, file string
		environ    []string
		flags      map[string]string
		amqp, api  string
	}{
		{"nothing is said", "", nil, nil, "127.0.0.1:5672", "127.0.0.1:15672"},
		{"a file", both, nil, nil, ":1 [::1]:2", "127.0.0.1:15672"},
		{"a flag wins over a file", both, nil, map[string]string{"listen": "h:3"}, "h:3", "127.0.0.1:15672"},
		{"a variable wins over a file", both, []string{"WARREN_LISTEN=h:4,h:5"}, nil, "h:4 h:5", "127.0.0.1:15672"},
		{"RabbitMQ's port", "", []string{"RABBITMQ_NODE_PORT=6"}, nil, ":6", "127.0.0.1:15672"},
		{"RabbitMQ's address", "", []string{"RABBITMQ_NODE_IP_ADDRESS=1.2.3.4"}, nil, "1.2.3.4:5672", "127.0.0.1:15672"},
		{"a file wins over RabbitMQ's port", both, []string{"RABBITMQ_NODE_PORT=6"}, nil, ":1 [::1]:2", "127.0.0.1:15672"},
		{"the API's port", "management.tcp.port = 7", nil, nil, "127.0.0.1:5672", ":7"},
		{"the API's address", "management.tcp.ip = 1.2.3.4", nil, nil, "127.0.0.1:5672", "1.2.3.4:15672"},
		{"no API", "", nil, map[string]string{"management_listen": ""}, "127.0.0.1:5672", ""},
		{"free ports", "", nil, map[string]string{"listen": "127.0.0.1:0"}, "127.0.0.1:0", "127.0.0.1:0"},
	} {
		config := configured(t, settings.Sources{Environ: c.environ, Flags: c.flags}, c.file)
		var amqp, api []string
		for _, l := range config.Listeners {
			amqp = append(amqp, l.Address)
		}
		for _, l := range config.Management {
			api = append(api, l.Address)
		}
		if strings.Join(amqp, " ") != c.amqp || strings.Join(api, " ") != c.api {
			t.Errorf("%s: AMQP on %q, the API on %q", c.what, amqp, api)
		}
	}
}
