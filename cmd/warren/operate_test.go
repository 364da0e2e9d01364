package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// open tells whether somebody listens.
func open(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// TestListenersAreSuspended: nobody gets in on any address, who is in stays in, and afterwards everybody gets in again, on
// the same addresses.
func TestListenersAreSuspended(t *testing.T) {
	i := newImage(t, "WARREN_LISTEN=127.0.0.1:0", "WARREN_READY_FILE=ready")
	p := i.start()
	ch := p.channel()
	addresses := readyFile(t, filepath.Join(i.dir, "ready"))
	if len(addresses) != 3 {
		t.Fatalf("addresses %v", addresses)
	}
	for _, c := range []struct {
		command, says string
		open          bool
	}{
		{"rabbitmqctl suspend_listeners", "Will suspend client connection listeners on node ", false},
		{"rabbitmqctl -q suspend_listeners", "", false}, // once more
		{"rabbitmqctl resume_listeners", "The node will now accept client connections\n", true},
		{"rabbitmqctl -q resume_listeners", "", true},
	} {
		if out := i.must(c.command); !strings.Contains(out, c.says) || c.says == "" && out != "" {
			t.Errorf("%s says %q", c.command, out)
		}
		for name, address := range addresses {
			if open(address) != c.open {
				t.Errorf("after %s %s is open: %v", c.command, name, !c.open)
			}
		}
		if out := i.must("rabbitmq-diagnostics listeners"); !strings.Contains(out, "protocol: amqp,") { // as RabbitMQ has it
			t.Errorf("after %s the listeners are %s", c.command, out)
		}
		if _, code := i.exec("rabbitmq-diagnostics check_port_connectivity"); (code == 0) != c.open {
			t.Errorf("after %s check_port_connectivity exits with %d", c.command, code)
		}
		if _, err := ch.QueueDeclare("q", false, false, false, false, nil); err != nil {
			t.Errorf("after %s: %v", c.command, err)
		}
	}
	p.dial()
	i.must("rabbitmqctl suspend_listeners") // and a broker that listens nowhere can be stopped
	i.must("rabbitmqctl stop")
	if code := p.ends(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stdout.String())
	}
}

// TestUsersThatVHostsBring: default_users of RabbitMQ. They are made with the first vhost they fit, get rights in each, and
// stay as they are if somebody has changed them.
func TestUsersThatVHostsBring(t *testing.T) {
	i := newImage(t, "WARREN_LISTEN=127.0.0.1:0", "RABBITMQ_CONF_ENV_FILE=env.conf")
	write(t, i.dir, "env.conf", "DEFAULT_USER=first\n")
	write(t, i.dir, "rabbitmq.conf", strings.ReplaceAll(`default_users.alice.password = canary1; default_users.alice.tags = administrator
default_users.bob.password = canary2; default_users.bob.vhost_pattern = ^qa; default_users.bob.tags = monitoring, policymaker
default_users.bob.configure = ^b; default_users.bob.write = w; default_users.carol.tags = management`, "; ", "\n"))
	p := i.start()
	want := func(command, out string) {
		t.Helper()
		if got := i.must("rabbitmqctl -q --no-table-headers " + command); got != out {
			t.Errorf("%s: %q, want %q", command, got, out)
		}
	}
	want("list_users", "alice\t[administrator]\ncarol\t[management]\nfirst\t[administrator]\n")
	want("list_permissions", "alice\t.*\t.*\t.*\ncarol\t.*\t.*\t.*\nfirst\t.*\t.*\t.*\n")
	i.must("rabbitmqctl add_vhost qa-1")
	want("list_users", "alice\t[administrator]\nbob\t[monitoring, policymaker]\ncarol\t[management]\nfirst\t[administrator]\n")
	want("list_permissions -p qa-1", "alice\t.*\t.*\t.*\nbob\t^b\tw\t.*\ncarol\t.*\t.*\t.*\n")
	i.must("rabbitmqctl authenticate_user bob canary2")
	if _, code := i.exec("rabbitmqctl authenticate_user carol", ""); code == 0 {
		t.Error("a user without a password logs in")
	}
	i.must("rabbitmqctl change_password bob other")
	i.must("rabbitmqctl clear_permissions -p qa-1 bob")
	i.must("rabbitmqctl add_vhost qa-2")
	i.must("rabbitmqctl authenticate_user bob other")
	want("list_permissions -p qa-1", "alice\t.*\t.*\t.*\ncarol\t.*\t.*\t.*\n")
	want("list_user_permissions bob", "qa-2\t^b\tw\t.*\n")
	if out := i.must("rabbitmqctl environment"); strings.Contains(out, "canary") || !strings.Contains(out, "default_users.bob.password = ***") {
		t.Errorf("the settings are shown as %s", out)
	}
	p.stop()
}

// TestExitCodes are those that rabbitmqctl of RabbitMQ 4.3.6 gave for the same lines.
func TestExitCodes(t *testing.T) {
	i := newImage(t, "WARREN_LISTEN=127.0.0.1:0")
	p := i.start()
	for line, want := range map[string]int{
		"nosuch": 64, "add_user": 64, "delete_user nobody": 0, "add_user guest x": 70, "authenticate_user guest bad": 65, "close_connection nope why": 69,
		"delete_vhost nope": 65, "set_permissions -p nope guest a b c": 69, "set_permissions -p / nobody a b c": 67, "list_queues -p nope": 0,
		"set_log_level nosuch debug": 64, "clear_policy nope": 69, "delete_queue nope": 64, "purge_queue nope": 65, "change_password nobody x": 67,
		"set_user_tags nobody x": 67, "list_user_permissions nobody": 69, "set_policy p [ {}": 69,
	} {
		if out, code := i.exec("rabbitmqctl " + line); code != want {
			t.Errorf("%s: exit code %d, want %d: %s", line, code, want, out)
		}
	}
	p.stop()
}

// TestPluginsThatAreNotThere: a file that enables what Warren does not do is no reason not to start, but it is said.
func TestPluginsThatAreNotThere(t *testing.T) {
	i := newImage(t, "WARREN_LISTEN=127.0.0.1:0")
	write(t, i.dir, "enabled_plugins", "[rabbitmq_management,rabbitmq_shovel,\n rabbitmq_federation].\n")
	p := i.start()
	out := p.stdout.String()
	for name, missing := range map[string]bool{"rabbitmq_management": false, "rabbitmq_shovel": true, "rabbitmq_federation": true} {
		if said := strings.Contains(out, "there is no such plugin") && strings.Contains(out, "plugin="+name); said != missing {
			t.Errorf("of %s it is said that it is missing: %v, in %s", name, said, out)
		}
	}
	p.stop()
}
