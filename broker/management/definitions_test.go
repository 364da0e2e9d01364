package management

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol"
)

// sortedObjects prints the objects of a list, in an order that does not depend on theirs.
func sortedObjects(t *testing.T, list any) []string {
	t.Helper()
	objects, _ := list.([]any)
	out := []string{}
	for _, o := range objects {
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(text))
	}
	slices.Sort(out)
	return out
}

// TestDefinitionsOfRabbitMQ come back as they were, into an empty broker, twice; what is in them works.
func TestDefinitionsOfRabbitMQ(t *testing.T) {
	file, err := os.ReadFile("testdata/rabbitmq-4.3.6.json")
	if err != nil {
		t.Fatal(err)
	}
	var given map[string]any
	if err := json.Unmarshal(file, &given); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	for range 2 {
		w.do(204, "POST", "/definitions", string(file))
	}
	exported := w.get("/definitions").(map[string]any)
	for _, list := range []string{"users", "vhosts", "permissions", "topic_permissions", "parameters", "global_parameters", "policies", "queues", "exchanges", "bindings"} {
		got := sortedObjects(t, exported[list])
		got = slices.DeleteFunc(got, func(o string) bool {
			return strings.Contains(o, `"guest"`) || o == `{"limits":{},"metadata":{"default_queue_type":"classic","description":"","tags":[]},"name":"/"}`
		})
		if want := sortedObjects(t, given[list]); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", list, got, want)
		}
	}
	r := w.as("", "GET", "/whoami", "")
	if r.status != 401 {
		t.Error(r)
	}
	if _, err := w.Authority.Password("du", "secret", nil); err != nil {
		t.Errorf("the imported password does not fit: %v", err)
	}
	if got := at(w.get("/queues/da/cl"), "effective_policy_definition", "max-length"); got != 10.0 {
		t.Errorf("the imported policy sets max-length %v", got)
	}
	again := newWorld(t)
	again.do(204, "POST", "/definitions", w.do(200, "GET", "/definitions", "").body)
	if one, two := w.get("/definitions/da"), again.get("/definitions/da"); fmt.Sprint(one) != fmt.Sprint(two) {
		t.Errorf("what was exported comes back as\n%v\nnot\n%v", two, one)
	}
}

// TestDefinitionsOfAVHost go into another vhost.
func TestDefinitionsOfAVHost(t *testing.T) {
	w := newWorld(t)
	w.do(201, "PUT", "/vhosts/one", `{"description":"first"}`)
	w.do(201, "PUT", "/vhosts/two", "")
	w.do(201, "PUT", "/queues/one/q", `{"durable":true,"arguments":{"x-max-length":3}}`)
	w.do(201, "PUT", "/exchanges/one/x", `{"type":"topic","durable":true,"internal":true}`)
	w.do(201, "PUT", "/exchanges/one/fleeting", `{"type":"topic"}`)
	c := w.client("guest", "one")
	for _, m := range []protocol.Method{
		&protocol.QueueDeclare{Queue: "owned", Exclusive: true}, &protocol.QueueBind{Queue: "owned", Exchange: "fleeting"},
	} {
		if _, err := c.call(1, m); err != nil {
			t.Fatal(err)
		}
	}
	w.do(201, "POST", "/bindings/one/e/x/q/q", `{"routing_key":"k"}`)
	w.do(201, "PUT", "/policies/one/p", `{"pattern":".","definition":{"max-length":1}}`)
	w.do(204, "PUT", "/vhost-limits/one/max-queues", `{"value":5}`)
	file := w.do(200, "GET", "/definitions/one", "").body
	for _, no := range []string{`"vhost"`, "owned", "guest"} {
		if strings.Contains(file, no) {
			t.Errorf("%s is in %s", no, file)
		}
	}
	c.close()
	w.do(204, "POST", "/definitions/two", file)
	two := w.get("/definitions/two").(map[string]any)
	if len(two["queues"].([]any)) != 1 || len(two["exchanges"].([]any)) != 2 || len(two["bindings"].([]any)) != 1 ||
		len(two["policies"].([]any)) != 1 || at(two, "limits", "max-queues") != 5.0 || at(two, "exchanges", 1, "internal") != true {
		t.Errorf("%v", two)
	}
}

// TestWhatIsWrongWithDefinitions is said in RabbitMQ's words, and never a failure of the server.
func TestWhatIsWrongWithDefinitions(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		status     int
		file, says string
	}{
		{204, `{}`, ""},
		{400, `{`, `{"error":"bad_request","reason":"failed_to_parse_json"}`},
		{400, `[1]`, `{"error":"bad_request","reason":"failed_to_parse_json"}`},
		{400, `null`, `{"error":"bad_request","reason":"failed_to_parse_json"}`},
		{400, `{"queues":5}`, ""},
		{400, `{"queues":[5]}`, ""},
		{400, `{"users":[{"name":"u"}]}`, `{"error":"bad_request","reason":"tags_not_present"}`},
		{400, `{"users":[{"name":"u","password_hash":"!!","tags":""}]}`, `{"error":"bad_request","reason":"{not_base64,<<\"!!\">>}"}`},
		{400, `{"queues":[{"name":"q","vhost":"none"}]}`, `{"error":"bad_request","reason":"Please create virtual host \"none\" prior to importing definitions."}`},
		{400, `{"queues":[{"name":"q","vhost":"/","arguments":{"x-expires":0}}]}`, `{"error":"bad_request","reason":"precondition_failed: invalid arg 'x-expires' for queue 'q' in vhost '/': {value_zero,0}"}`},
		{204, `{"queues":[{"name":"amq.q","vhost":"/"}]}`, ""},
		{400, `{"exchanges":[{"name":"x","vhost":"/","type":"nope"}]}`, `{"error":"bad_request","reason":"precondition_failed: unknown exchange type 'nope'"}`},
		{400, `{"permissions":[{"user":"nobody","vhost":"/","configure":"","write":"","read":""}]}`, `{"error":"bad_request","reason":"{no_such_user,<<\"nobody\">>}"}`},
		{400, `{"permissions":[{"user":"guest","vhost":"/","configure":"(","write":"","read":""}]}`, `{"error":"bad_request","reason":"{invalid_regexp,\"(\",{\"missing closing parenthesis\",1}}"}`},
		{400, `{"parameters":[{"component":"foo","vhost":"/","name":"n","value":{}}]}`, `{"error":"bad_request","reason":"Validation failed\n\ncomponent foo not found\n (vhost: \"/\" / component: \"foo\" / key: \"n\")"}`},
		{400, `{"policies":[{"name":"p","vhost":"/","pattern":".","definition":{"bogus":1}}]}`, `{"error":"bad_request","reason":"Validation failed\n\n[{<<\"bogus\">>,1}] are not recognised policy settings\n (vhost: \"/\" key: \"p\")"}`},
		{400, `{"bindings":[{"source":"nox","vhost":"/","destination":"noq","destination_type":"queue","routing_key":"k"}]}`, `{"error":"bad_request","reason":"{resources_missing,[{not_found,{resource,<<\"/\">>,exchange,<<\"nox\">>}},\n                    {not_found,{resource,<<\"/\">>,queue,<<\"noq\">>}}]}"}`},
		{204, `{"bindings":[{"source":"","vhost":"/","destination":"noq","destination_type":"queue","routing_key":"noq"}]}`, ""},
	} {
		if r := w.as("guest", "POST", "/definitions", c.file); r.status != c.status || c.says != "" && r.body != c.says {
			t.Errorf("%s: %d %s\nwant %d %s", c.file, r.status, r.body, c.status, c.says)
		}
	}
	if r := w.as("guest", "POST", "/definitions/none", `{}`); r.status != 404 {
		t.Error(r)
	}
	if r := w.as("guest", "GET", "/definitions/none", ""); r.status != 400 {
		t.Error(r)
	}
}
