package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// api asks a node over its socket, and gives the status and what it says.
func (c *trio) api(t *testing.T, node int, method, path string, body any) (int, any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(c.dir, fmt.Sprint("n", node+1), "control.sock")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://local/api/"+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var said any
	_ = json.NewDecoder(answer.Body).Decode(&said) // there may be nothing
	return answer.StatusCode, said
}

// does wants a request to succeed.
func (c *trio) does(t *testing.T, node int, method, path string, body any) any {
	t.Helper()
	status, said := c.api(t, node, method, path, body)
	if status/100 != 2 {
		t.Fatalf("%s %s: %d %v", method, path, status, said)
	}
	return said
}

// vhost makes a vhost that guests may use.
func (c *trio) vhost(t *testing.T, node int, name string) {
	t.Helper()
	c.does(t, node, "PUT", "vhosts/"+name, map[string]any{})
	c.does(t, node, "PUT", "permissions/"+name+"/guest", map[string]any{"configure": ".*", "write": ".*", "read": ".*"})
}

// field gives a field of nested objects, and lists of one.
func field(value any, path ...string) any {
	for _, name := range path {
		if list, is := value.([]any); is && len(list) > 0 {
			value = list[0]
		}
		o, _ := value.(map[string]any)
		value = o[name]
	}
	return value
}

// askElsewhere: the management API of a node does with queues and connections of another what it does with its own.
func askElsewhere(t *testing.T, c *trio) {
	type object = map[string]any
	g := c.at(t, 0)
	name := g.durable("asked")
	for _, body := range []string{"one", "two", "three"} {
		said := c.does(t, 1, "POST", "exchanges/%2F/amq.default/publish", object{
			"properties": object{"delivery_mode": 2}, "routing_key": name, "payload": body, "payload_encoding": "string",
		})
		if field(said, "routed") != true {
			t.Errorf("%v", said)
		}
	}
	got := c.does(t, 2, "POST", "queues/%2F/asked/get", object{"count": 2, "ackmode": "ack_requeue_true", "encoding": "auto"})
	if list, _ := got.([]any); len(list) != 2 || field(got, "payload") != "one" {
		t.Errorf("got %v", got)
	}
	ds := g.reads(name, 1)
	g.next(ds)
	within(t, clusterPatience, "the queue is shown with its consumer", func() bool {
		q := c.does(t, 1, "GET", "queues/%2F/asked", nil)
		return field(q, "messages_ready") == 2.0 && field(q, "messages_unacknowledged") == 1.0 && field(q, "node") == "n1" &&
			field(q, "consumer_details", "channel_details", "connection_name") == g.conn.LocalAddr().String()+" -> "+c.nodes[0].addr
	})
	c.does(t, 2, "DELETE", "queues/%2F/asked/contents", nil)
	if messages, _ := g.counts(name); messages != 0 {
		t.Errorf("after a purge there are %d messages", messages)
	}
	status, said := c.api(t, 1, "DELETE", "queues/%2F/asked?if-unused=true", nil)
	if status != http.StatusBadRequest || !strings.Contains(fmt.Sprint(said), "in use") {
		t.Errorf("%d %v", status, said)
	}
	c.does(t, 1, "DELETE", "queues/%2F/asked", nil)
	for _, durable := range []bool{false, true} {
		own, err := g.QueueDeclare(fmt.Sprint("owned.", durable), durable, false, true, false, nil)
		g.must(err)
		for node := range c.nodes {
			q := c.does(t, node, "GET", "queues/%2F/"+own.Name, nil)
			if field(q, "owner_pid_details", "name") != g.conn.LocalAddr().String()+" -> "+c.nodes[0].addr || field(q, "exclusive") != true {
				t.Errorf("node %d shows an exclusive queue of %v", node+1, field(q, "owner_pid_details"))
			}
		}
	}
	c.does(t, 0, "PUT", "queues/%2F/put", object{"durable": true, "node": "n2"})
	if status, said := c.api(t, 0, "PUT", "queues/%2F/nowhere", object{"durable": true, "node": "n4"}); status != http.StatusBadRequest {
		t.Errorf("%d %v", status, said)
	}
	c.does(t, 0, "POST", "vhosts/%2F/start/n3", nil)
	closed := g.conn.NotifyClose(make(chan *amqp.Error, 1))
	c.does(t, 2, "DELETE", "connections/"+strings.ReplaceAll(g.conn.LocalAddr().String()+" -> "+c.nodes[0].addr, " ", "%20"), nil)
	if err := <-closed; err == nil || err.Code != amqp.ConnectionForced {
		t.Errorf("the client hears %v", err)
	}
}

// operateElsewhere: an operator of one node says which other is meant; nobody stops a node that was not.
func operateElsewhere(t *testing.T, c *trio) {
	if said, code := c.ctl(0, "-n", "n2", "status"); code != 0 || !strings.Contains(said, "Node name: n2\n") {
		t.Errorf("%d: %s", code, said)
	}
	for _, row := range c.rows(0, "-n", "n3", "list_connections", "node") {
		if row["node"] == nil {
			t.Errorf("%v", row)
		}
	}
	for _, command := range []string{"stop", "suspend_listeners", "set_log_level info", "status"} {
		if said, code := c.ctl(0, append([]string{"-n", "n4"}, strings.Fields(command)...)...); code != 69 || !strings.Contains(said, "'n4'") {
			t.Errorf("%s of a node that is not there: %d %s", command, code, said)
		}
	}
	if said, code := c.ctl(0, "-n", "n2", "suspend_listeners"); code != 0 {
		t.Errorf("%d: %s", code, said)
	}
	if open(c.nodes[1].addr) || !open(c.nodes[0].addr) {
		t.Error("the wrong node lets nobody in")
	}
	if said, code := c.ctl(2, "-n", "n2", "resume_listeners"); code != 0 || !open(c.nodes[1].addr) {
		t.Errorf("%d: %s", code, said)
	}
}
