package ctl

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// api answers requests by "METHOD path" and notes them; what it does not know is 404.
type fakeAPI struct {
	t       *testing.T
	answers map[string]string // a number in front is the status
	asked   []string
	bodies  []string
	server  *httptest.Server
}

func newFake(t *testing.T, answers map[string]string) *fakeAPI {
	t.Helper()
	f := &fakeAPI{t: t, answers: answers}
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		key := r.Method + " " + r.URL.RequestURI()
		f.asked, f.bodies = append(f.asked, key), append(f.bodies, string(body))
		answer, known := f.answers[key]
		status, text := 200, answer
		if !known {
			status, text = 404, `{"error":"Object Not Found","reason":"Not Found"}`
		} else if len(answer) > 3 && answer[3] == ' ' {
			if err := json.Unmarshal([]byte(answer[:3]), &status); err != nil {
				t.Error(err)
			}
			text = answer[4:]
		}
		w.WriteHeader(status)
		if _, err := io.WriteString(w, text); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(f.server.Close)
	return f
}

// run calls a tool and gives what it wrote and its exit code.
func (f *fakeAPI) run(tool string, args ...string) (stdout, stderr string, code int) {
	f.t.Helper()
	var out, errs strings.Builder
	code = Run(Invocation{
		Tool: tool, Args: args, Stdin: strings.NewReader("secret\n"), Stdout: &out, Stderr: &errs, Version: "v", Compatible: "4.3.6",
		Getenv: func(name string) string {
			if name == variableURL {
				return strings.Replace(f.server.URL, "http://", "http://guest:guest@", 1)
			}
			return ""
		},
	})
	return out.String(), errs.String(), code
}

const queuesJSON = `[{"name":"a","messages":3,"durable":true,"arguments":{"x-max-length":5,"x-y":"z"},"policy":null},
	{"name":"b\tc","messages":0,"durable":false,"arguments":{}}]`

func TestLists(t *testing.T) {
	f := newFake(t, map[string]string{
		"GET /api/queues/%2F": queuesJSON, "GET /api/queues/v%2F1": "[]", "GET /api/users": `[{"name":"guest","tags":["administrator","x"]}]`,
		"GET /api/bindings/%2F": `[{"source":"","destination":"a","destination_type":"queue","routing_key":"a","arguments":{}}]`,
	})
	for _, c := range []struct{ args, want string }{
		{"list_queues", "Timeout: 60.0 seconds ...\nListing queues for vhost / ...\nname\tmessages\na\t3\nb\\tc\t0\n"},
		{"list_queues -q", "name\tmessages\na\t3\nb\\tc\t0\n"},
		{"-s list_queues", "a\t3\nb\\tc\t0\n"},
		{"list_queues --silent --vhost=v/1", ""},
		{"-q list_queues durable,arguments policy name", "durable\targuments\tpolicy\tname\ntrue\t[{\"x-max-length\",5},{\"x-y\",\"z\"}]\t\ta\nfalse\t[]\t\tb\\tc\n"},
		{"list_queues --formatter json", "[\n{\"name\":\"a\",\"messages\":3}\n,{\"name\":\"b\\tc\",\"messages\":0}\n]\n"},
		{"list_queues --formatter=json arguments", "[\n{\"arguments\":[[\"x-max-length\",\"long\",5],[\"x-y\",\"longstr\",\"z\"]]}\n,{\"arguments\":[]}\n]\n"},
		{"list_queues -p v/1 --formatter json", "[\n]\n"},
		{"list_queues --formatter csv", "\"name\",\"messages\"\n\"a\",\"3\"\n\"b\\tc\",\"0\"\n"},
		{"-q list_queues --no-table-headers", "a\t3\nb\\tc\t0\n"},
		{"-q list_queues --formatter pretty_table name", "+------+\n| name |\n+------+\n| a    |\n| b\\tc |\n+------+\n"},
		{"-q list_users", "user\ttags\nguest\t[administrator, x]\n"},
		{"-q list_bindings", "source_name\tsource_kind\tdestination_name\tdestination_kind\trouting_key\targuments\n\texchange\ta\tqueue\ta\t[]\n"},
	} {
		stdout, stderr, code := f.run("rabbitmqctl", strings.Fields(c.args)...)
		if code != 0 || stdout != c.want || stderr != "" {
			t.Errorf("%s: exit code %d, %s\n%swant\n%s", c.args, code, stderr, stdout, c.want)
		}
	}
	for _, row := range strings.Split(mustRun(t, f, "list_queues --formatter json"), "\n") {
		if row = strings.TrimPrefix(row, ","); strings.HasPrefix(row, "{") && !json.Valid([]byte(row)) {
			t.Errorf("no JSON: %s", row)
		}
	}
}

func mustRun(t *testing.T, f *fakeAPI, args string) string {
	t.Helper()
	stdout, stderr, code := f.run("rabbitmqctl", strings.Fields(args)...)
	if code != 0 {
		t.Fatalf("%s: exit code %d: %s", args, code, stderr)
	}
	return stdout
}

func TestExitCodes(t *testing.T) {
	f := newFake(t, map[string]string{
		"GET /api/users/there": `{"name":"there","tags":["a"],"limits":{"x":1},"password_hash":"h","hashing_algorithm":"rabbit_password_hashing_sha256"}`,
		"PUT /api/users/there": "204 ", "PUT /api/users/new": "201 ", "GET /api/overview": `{"node":"n@h"}`, "GET /api/whoami": `401 {"error":"not_authorized","reason":"Not_Authorized"}`,
		"PUT /api/policies/%2F/bad": `400 {"error":"bad_request","reason":"Validation failed\n\nno"}`, "GET /api/vhosts": `401 {"error":"not_authorised","reason":"Not administrator user"}`,
		"GET /api/queues/%2F": "500 x",
	})
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"add_user there secret", exitSoftware, `User "there" already exists`},
		{"add_user new secret", exitOK, ""},
		{"add_user", exitUsage, "not enough arguments."},
		{"add_user a b c", exitUsage, "too many arguments."},
		{"change_password nobody x", exitNoUser, `User "nobody" does not exist`},
		{"set_permissions nobody a b c", exitNoUser, "User nobody does not exist"},
		{"delete_user nobody", exitOK, ""},
		{"delete_vhost nowhere", exitData, "Virtual host 'nowhere' does not exist"},
		{"authenticate_user there wrong", exitData, "failed to authenticate user \"there\"\nuser 'there' - invalid credentials"},
		{"set_policy bad q {}", exitUnavailable, "Validation failed\n\nno"},
		{"set_policy bad q nonsense", exitUnavailable, "Could not parse JSON document"},
		{"clear_policy none", exitUnavailable, "Parameter does not exist"},
		{"purge_queue none", exitData, "was not found"},
		{"delete_queue none", exitUsage, "No such queue was found"},
		{"list_vhosts", exitData, "Not administrator user"},
		{"list_queues", exitSoftware, "500"},
		{"list_queues nonsense", exitUsage, "Info key(s) nonsense are not supported"},
		{"list_queues --nonsense", exitUsage, "Invalid options for this command:\n--nonsense"},
		{"list_queues --formatter xml", exitUsage, "xml"},
		{"list_queues -t soon", exitUsage, "soon"},
		{"-n other@h status", exitUnavailable, "other@h"},
		{"list_quues", exitUsage, "Did you mean 'list_queues'?"},
		{"eval 1.", exitUnavailable, "Erlang"},
		{"check_running", exitUsage, "not found"},
		{"import_definitions /does/not/exist", exitData, "does not exist"},
		{"", exitUsage, "Usage"},
		{"help", exitOK, ""},
		{"help add_user", exitOK, ""},
	} {
		_, stderr, code := f.run("rabbitmqctl", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d, want %d; said %q", c.args, code, c.code, stderr)
		}
	}
	f.server.Close()
	for _, tool := range []string{"rabbitmqctl", "rabbitmq-diagnostics"} {
		if _, stderr, code := f.run(tool, "-q", "ping"); code != exitUnavailable || !strings.Contains(stderr, "unable to perform an operation") {
			t.Errorf("%s: nobody is there: exit code %d, %s", tool, code, stderr)
		}
	}
}

// TestWhatIsAsked: what a command changes, it changes in the API's words.
func TestWhatIsAsked(t *testing.T) {
	f := newFake(t, map[string]string{
		"GET /api/users/u": `{"name":"u","tags":["a"],"limits":{"x":1},"password_hash":"h","hashing_algorithm":"alg"}`,
		"PUT /api/users/u": "204 ", "PUT /api/permissions/v%2F1/u": "204 ", "PUT /api/policies/%2F/p": "204 ", "GET /api/vhosts/v": "{}", "PUT /api/vhosts/v": "204 ",
		"PUT /api/vhost-limits/v/max-queues": "204 ", "PUT /api/vhosts/new": "201 ", "POST /api/definitions": "204 ",
	})
	for args, want := range map[string]string{
		"set_user_tags u x y":                      `PUT /api/users/u {"hashing_algorithm":"alg","password_hash":"h","tags":"x,y"}`,
		"change_password u new":                    `PUT /api/users/u {"password":"new","tags":["a"]}`,
		"change_password u":                        `PUT /api/users/u {"password":"secret","tags":["a"]}`,
		"clear_password u":                         `PUT /api/users/u {"hashing_algorithm":"alg","password_hash":"","tags":["a"]}`,
		"set_permissions -p v/1 u a b c":           `PUT /api/permissions/v%2F1/u {"configure":"a","read":"c","write":"b"}`,
		"trace_on -p v":                            `PUT /api/vhosts/v {"tracing":true}`,
		`set_vhost_limits -p v {"max-queues":2}`:   `PUT /api/vhost-limits/v/max-queues {"value":2}`,
		"add_vhost new --description d --tags a,b": `PUT /api/vhosts/new {"description":"d","tags":"a,b"}`,
		`set_policy --priority 7 --apply-to queues p ^q {"max-length":1}`: `PUT /api/policies/%2F/p {"apply-to":"queues","definition":{"max-length":1},"pattern":"^q","priority":7}`,
		"import_definitions": "POST /api/definitions secret\n",
	} {
		f.asked, f.bodies = nil, nil
		_, stderr, code := f.run("rabbitmqctl", strings.Fields(args)...)
		last := len(f.asked) - 1
		if code != 0 || last < 0 || f.asked[last]+" "+f.bodies[last] != want {
			t.Errorf("%s: exit code %d %s, asked %q %q", args, code, stderr, f.asked, f.bodies)
		}
	}
}

func TestDiagnostics(t *testing.T) {
	f := newFake(t, nil)
	port := f.server.URL[strings.LastIndex(f.server.URL, ":")+1:]
	f.answers = map[string]string{
		"GET /api/overview":                    `{"node":"n@h","rabbitmq_version":"4.3.6","listeners":[{"node":"n@h","protocol":"amqp","ip_address":"127.0.0.1","port":` + port + `}]}`,
		"GET /api/nodes/n@h":                   `{"mem_alarm":false}`,
		"GET /api/nodes":                       `[{"name":"n@h"}]`,
		"GET /api/health/checks/virtual-hosts": `503 {"status":"failed","reason":"some are down"}`,
	}
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"-q ping", "Ping succeeded\n", 0},
		{"ping --formatter json", "{\"result\":\"ok\"}\n", 0},
		{"-q check_running", "RabbitMQ on node n@h is fully booted and running\n", 0},
		{"-q check_local_alarms", "Node n@h reported no local alarms\n", 0},
		{"-q check_port_connectivity", "Will connect to 127.0.0.1:" + port + "\nSuccessfully connected to ports " + port + " on node n@h (using node hostname resolution)\n", 0},
		{"-q check_port_listener " + port, "A listener for port " + port + " is running on node n@h.\n", 0},
		{"-q check_port_listener 1", "", exitUnavailable},
		{"-q check_protocol_listener amqp091", "A listener for protocol amqp091 is running on node n@h.\n", 0},
		{"-q check_protocol_listener mqtt", "", exitUnavailable},
		{"-q check_virtual_hosts", "", exitUnavailable},
		{"-q listeners", "Interface: 127.0.0.1, port: " + port + ", protocol: amqp, purpose: AMQP 0-9-1\n", 0},
		{"-q await_startup", "", 0},
		{"-q server_version", "4.3.6\n", 0},
		{"version", "4.3.6\n", 0},
	} {
		if stdout, stderr, code := f.run(diagnostics, strings.Fields(c.args)...); code != c.code || stdout != c.want {
			t.Errorf("%s: exit code %d, %q, %q", c.args, code, stdout, stderr)
		}
	}
	f.answers["GET /api/nodes"] = `[{"name":"n@h","disk_free_alarm":true},{"name":"m@h","mem_alarm":true}]`
	if stdout, _, code := f.run(diagnostics, "-q", "alarms"); code != 0 || stdout != "Node n@h reported alarms:\n\ndisk\nmemory on m@h\n" {
		t.Errorf("with alarms: exit code %d, %s", code, stdout)
	}
	if stdout, stderr, code := f.run(diagnostics, "-q", "check_local_alarms"); code != 0 {
		t.Errorf("with an alarm elsewhere: exit code %d, %s%s", code, stdout, stderr)
	}
	f.answers["GET /api/nodes"] = `[{"name":"n@h","mem_alarm":true}]`
	if _, stderr, code := f.run(diagnostics, "-q", "check_alarms"); code != exitUnavailable || !strings.Contains(stderr, "memory") {
		t.Errorf("with an alarm: exit code %d, %s", code, stderr)
	}
}

func TestPlugins(t *testing.T) {
	f := newFake(t, nil)
	for _, c := range []struct {
		args, says string
		code       int
	}{
		{"enable --offline rabbitmq_management rabbitmq_random_exchange", "built in", 0},
		{"enable rabbitmq_mqtt", "does not do what these do: rabbitmq_mqtt", exitUnavailable},
		{"enable rabbitmq_management rabbitmq_shovel rabbitmq_federation", "do: rabbitmq_shovel, rabbitmq_federation\n", exitUnavailable},
		{"enable rabbitmq_event_exchange", "built in", 0},
		{"enable nosuch", "do: nosuch\n", exitUnavailable},
		{"disable rabbitmq_management", "They are built in", 0},
		{"disable rabbitmq_shovel", "Warren has no plugins", 0},
		{"list shovel", "[  ] rabbitmq_shovel\n[  ] rabbitmq_shovel_management\n[  ] rabbitmq_shovel_prometheus\n", 0},
		{"is_enabled rabbitmq_management", "is enabled", 0},
		{"is_enabled rabbitmq_mqtt", "is not enabled", exitUnavailable},
		{"list -q -m -E", "rabbitmq_management\n", 0},
		{"list", "[E*] rabbitmq_management\n", 0},
	} {
		stdout, stderr, code := f.run(plugins, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("%s: exit code %d, %q, %q", c.args, code, stdout, stderr)
		}
	}
}

// TestEveryPluginOfRabbitMQ: each plugin of RabbitMQ 4.3.6 is either built in or refused by its name; none is unknown.
func TestEveryPluginOfRabbitMQ(t *testing.T) {
	f := newFake(t, nil)
	listed, _, _ := f.run(plugins, "list", "-q", "-m")
	for _, name := range strings.Fields("rabbitmq_amqp1_0 rabbitmq_auth_backend_cache rabbitmq_auth_backend_http rabbitmq_auth_backend_internal_loopback " +
		"rabbitmq_auth_backend_ldap rabbitmq_auth_backend_oauth2 rabbitmq_auth_mechanism_ssl rabbitmq_consistent_hash_exchange rabbitmq_event_exchange " +
		"rabbitmq_exchange_federation rabbitmq_federation rabbitmq_federation_common rabbitmq_federation_management rabbitmq_federation_prometheus " +
		"rabbitmq_jms_topic_exchange rabbitmq_management rabbitmq_management_agent rabbitmq_mqtt rabbitmq_peer_discovery_aws rabbitmq_peer_discovery_common " +
		"rabbitmq_peer_discovery_consul rabbitmq_peer_discovery_etcd rabbitmq_peer_discovery_k8s rabbitmq_prometheus rabbitmq_queue_federation " +
		"rabbitmq_random_exchange rabbitmq_recent_history_exchange rabbitmq_sharding rabbitmq_shovel rabbitmq_shovel_management rabbitmq_shovel_prometheus " +
		"rabbitmq_stomp rabbitmq_stream rabbitmq_stream_management rabbitmq_top rabbitmq_tracing rabbitmq_trust_store rabbitmq_web_dispatch rabbitmq_web_mqtt " +
		"rabbitmq_web_mqtt_examples rabbitmq_web_stomp rabbitmq_web_stomp_examples") {
		stdout, stderr, code := f.run(plugins, "enable", name)
		works := strings.Contains(stdout, "built in") && code == 0
		if refused := strings.Contains(stderr, name) && code == exitUnavailable; works == refused {
			t.Errorf("enable %s: exit code %d, %q, %q", name, code, stdout, stderr)
		}
		if _, _, enabled := f.run(plugins, "is_enabled", name); (enabled == 0) != works || !strings.Contains(listed, name+"\n") {
			t.Errorf("%s: is_enabled exits with %d; listed are %q", name, enabled, listed)
		}
	}
}

func TestAdmin(t *testing.T) {
	f := newFake(t, map[string]string{
		"PUT /api/queues/%2F/q": "201 ", "PUT /api/queues/v/q": "201 ", "PUT /api/exchanges/%2F/x": "201 ", "POST /api/bindings/%2F/e/x/q/q": "201 ", "DELETE /api/queues/%2F/q": "204 ",
		"POST /api/exchanges/%2F/amq.default/publish": `{"routed":false}`, "GET /api/queues": `[{"vhost":"/","name":"queue1","messages":1}]`,
		"PUT /api/users/u": "201 ", "PUT /api/permissions/%2F/u": "201 ", "PUT /api/policies/%2F/p": "201 ", "DELETE /api/queues/%2F/q/contents": "204 ",
		"POST /api/queues/%2F/q/get": `[{"routing_key":"q","exchange":"","message_count":0,"payload":"hi","payload_bytes":2,"payload_encoding":"string","properties":{},"redelivered":false}]`,
		"PUT /api/vhosts/v":          "201 ",
	})
	for _, c := range []struct{ args, says, asks string }{
		{"declare queue name=q", "queue declared\n", `PUT /api/queues/%2F/q {"arguments":{},"auto_delete":false,"durable":true}`},
		{"--vhost=v declare queue name=q queue_type=quorum durable=true", "queue declared\n", `PUT /api/queues/v/q {"arguments":{"x-queue-type":"quorum"},"auto_delete":false,"durable":true}`},
		{`-V v -u guest -p guest -H 127.0.0.1 -P PORT declare queue name=q arguments={"x-a":1}`, "queue declared\n", `PUT /api/queues/v/q {"arguments":{"x-a":1},"auto_delete":false,"durable":true}`},
		{"declare exchange name=x type=topic", "exchange declared\n", `PUT /api/exchanges/%2F/x {"arguments":{},"auto_delete":false,"durable":true,"internal":false,"type":"topic"}`},
		{"declare binding source=x destination=q routing_key=#", "binding declared\n", `POST /api/bindings/%2F/e/x/q/q {"arguments":{},"routing_key":"#"}`},
		{"declare user name=u password=p tags=administrator", "user declared\n", `PUT /api/users/u {"password":"p","tags":"administrator"}`},
		{"declare permission vhost=/ user=u configure=.* write=.* read=.*", "permission declared\n", `PUT /api/permissions/%2F/u {"configure":".*","read":".*","write":".*"}`},
		{"declare vhost name=v", "vhost declared\n", `PUT /api/vhosts/v {}`},
		{`declare policy name=p pattern=^q definition={"max-length":1} apply-to=queues`, "policy declared\n", `PUT /api/policies/%2F/p {"apply-to":"queues","definition":{"max-length":1},"pattern":"^q","priority":0}`},
		{"delete queue name=q", "queue deleted\n", "DELETE /api/queues/%2F/q "},
		{"purge queue name=q", "queue purged\n", "DELETE /api/queues/%2F/q/contents "},
		{"publish routing_key=q payload=hi", "Message published but NOT routed\n", `POST /api/exchanges/%2F/amq.default/publish {"payload":"hi","payload_encoding":"string","properties":{},"routing_key":"q"}`},
		{"-q delete queue name=q", "", "DELETE /api/queues/%2F/q "},
		{"list queues", "+--------+----------+\n|  name  | messages |\n+--------+----------+\n| queue1 | 1        |\n+--------+----------+\n", "GET /api/queues "},
		{"-f tsv list queues name", "name\nqueue1\n", "GET /api/queues "},
		{"-f bash list queues name", "queue1 \n", "GET /api/queues "},
		{"get queue=q", "| q ", `POST /api/queues/%2F/q/get {"ackmode":"ack_requeue_true","count":1,"encoding":"auto"}`},
	} {
		f.asked, f.bodies = nil, nil
		port := f.server.URL[strings.LastIndex(f.server.URL, ":")+1:]
		stdout, stderr, code := f.run("rabbitmqadmin", strings.Fields(strings.Replace(c.args, "PORT", port, 1))...)
		if code != 0 || !strings.Contains(stdout, c.says) || len(f.asked) != 1 || f.asked[0]+" "+f.bodies[0] != c.asks {
			t.Errorf("%s: exit code %d, %q %q, asked %q %q", c.args, code, stdout, stderr, f.asked, f.bodies)
		}
	}
	for args, says := range map[string]string{
		"declare queue":                     `mandatory argument "name" is required`,
		"declare exchange name=x":           `mandatory argument "type" is required`,
		"declare nonsense name=x":           "Type nonsense not recognised",
		"declare queue name=q foo=1":        `Argument "foo" not recognised`,
		"declare queue name=other":          "Not found",
		"frobnicate":                        `Subcommand "frobnicate" not recognised.`,
		"-X":                                "no such option",
		"declare queue name=q arguments=no": "Could not parse JSON",
	} {
		if _, stderr, code := f.run("rabbitmqadmin", strings.Fields(args)...); code != 1 || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit code %d, %q", args, code, stderr)
		}
	}
}
