package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/warrenmq/warren/broker/settings"
)

// beginnings is what new vhosts begin with.
const beginnings = `
default_limits.vhosts.1.pattern = ^device
default_limits.vhosts.1.max_connections = 10
default_limits.vhosts.1.max_queues = 11
default_limits.vhosts.10.pattern = ^dev
default_limits.vhosts.10.max_queues = 12
default_limits.vhosts.9.max_connections = 13
default_policies.operator.a-policy.vhost_pattern = ^dev
default_policies.operator.a-policy.queue_pattern = .*
default_policies.operator.a-policy.expires = 1h
default_policies.operator.a-policy.message_ttl = 1s500ms
default_policies.operator.a-policy.max_length = 10000
default_policies.operator.a-policy.max_length_bytes = 1MB
default_policies.operator.a-policy.delivery_limit = 7
default_policies.operator.a-policy.classic_queues.queue_version = 2
default_policies.operator.b-policy.queue_pattern = ^b
default_policies.operator.b-policy.apply_to = quorum_queues
default_policies.operator.b-policy.max_in_memory_length = 6
default_policies.operator.b-policy.max_in_memory_bytes = 6KB
`

// TestWhatVHostsBeginWith: default_limits and default_policies. What vhosts have is what RabbitMQ 4.3.6 gave them by the same
// lines.
func TestWhatVHostsBeginWith(t *testing.T) {
	i := newImage(t, "WARREN_LISTEN=127.0.0.1:0", "RABBITMQ_CONF_ENV_FILE=env.conf")
	write(t, i.dir, "env.conf", "")
	write(t, i.dir, "rabbitmq.conf", beginnings)
	p := i.start()
	const (
		a = `{"vhost":"V","name":"a-policy","pattern":".*","apply-to":"all","priority":0,"definition":` +
			`{"queue-version":2,"max-length-bytes":1048576,"delivery-limit":7,"max-length":10000,"message-ttl":1500,"expires":3600000}}`
		b = `{"vhost":"V","name":"b-policy","pattern":"^b","apply-to":"quorum_queues","priority":0,"definition":` +
			`{"max-in-memory-bytes":6144,"max-in-memory-length":6}}`
	)
	for _, c := range []struct{ vhost, limits, policies string }{
		{"device1", `{"max-connections":10,"max-queues":11}`, a + "," + b},
		{"dev1", `{"max-queues":12}`, a + "," + b},
		{"other", `{"max-connections":13}`, b},
		{"%2F", `{"max-connections":13}`, b},
	} {
		name := strings.ReplaceAll(c.vhost, "%2F", "/")
		if name != "/" {
			i.must("rabbitmqctl add_vhost " + name)
		}
		p.same("/vhost-limits/"+c.vhost, `[{"vhost":"`+name+`","value":`+c.limits+`}]`)
		p.same("/operator-policies/"+c.vhost, "["+strings.ReplaceAll(c.policies, `"V"`, `"`+name+`"`)+"]")
	}
	i.must("rabbitmqctl clear_vhost_limits -p dev1")
	i.must("rabbitmqctl clear_operator_policy -p dev1 a-policy")
	p.stop()
	p = i.start()
	p.same("/vhost-limits/dev1", `[]`)
	p.same("/operator-policies/dev1", "["+strings.ReplaceAll(b, `"V"`, `"dev1"`)+"]")
	p.stop()
}

// same asks for a path, and demands an answer equal to some JSON.
func (p *process) same(path, want string) {
	p.t.Helper()
	status, body := p.ask(path)
	var got, wanted any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		p.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 || !reflect.DeepEqual(got, wanted) {
		p.t.Errorf("%s: %d %s, want %s", path, status, body, want)
	}
}

// TestImpossibleBeginnings: what no vhost could begin with stops the start, where RabbitMQ fails to make vhosts.
func TestImpossibleBeginnings(t *testing.T) {
	for lines, says := range map[string]string{
		"default_policies.operator.c.queue_pattern = x":                                               "default_policies.operator.c",
		"default_policies.operator.d.apply_to = nonsense\ndefault_policies.operator.d.max_length = 7": "is none of all, exchanges",
		"default_policies.operator.d.message_ttl = 1500":                                              "is no time",
		"default_policies.operator.d.max_length_bytes = 0":                                            "more than 0",
		"default_policies.operator.d.max_length = 0":                                                  "is too low",
		"default_policies.operator.d.vhost_pattern = (":                                               "no regular expression",
		"default_limits.vhosts.1.max_queues = 0":                                                      "is too low",
		"default_limits.vhosts.1.pattern = [":                                                         "no regular expression",
	} {
		v, err := settings.Load(settings.Sources{Files: []string{write(t, t.TempDir(), "c.conf", lines)}})
		if err == nil {
			_, err = configure(v, nil)
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want it to say %q", lines, err, says)
		}
	}
}
