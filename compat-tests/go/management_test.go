package compat

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	put, post, remove = http.MethodPut, http.MethodPost, http.MethodDelete
	created, changed  = http.StatusCreated, http.StatusNoContent
)

type object = map[string]any

// TestManagementLogins: who has no tag, or no password that fits, is not let in.
func TestManagementLogins(t *testing.T) {
	t.Parallel()
	m := manage(t)
	user, password := m.newUser("")
	for _, c := range []struct {
		m    *management
		says any
	}{
		{m.as("", ""), nil},
		{m.as(user, "wrong"), "not_authorized"},
		{m.as(unique("nobody"), "x"), "not_authorized"},
		{m.as(user, password), "not_authorised"},
	} {
		r := c.m.try(http.MethodGet, "/whoami", nil)
		if r.status != http.StatusUnauthorized || follow(r.body, "error") != c.says {
			t.Errorf("%s: %d %s", c.m.user, r.status, r.raw)
		}
	}
	m.must(changed, put, "/users/"+user, object{"password": password, "tags": "management,own"})
	if r := m.as(user, password).get("/whoami"); follow(r, "name") != user || fmt.Sprint(follow(r, "tags")) != "[management own]" {
		t.Errorf("whoami: %v", r)
	}
}

// TestManagementTags: what each tag lets one do.
func TestManagementTags(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	m := manage(t)
	_, vhost := m.vhost()
	users := map[string]*management{"administrator": m}
	for _, tag := range []string{"management", "policymaker", "monitoring"} {
		user, password := m.newUser(tag)
		m.must(created, put, "/permissions/"+vhost+"/"+user, everything)
		users[tag] = m.as(user, password)
	}
	for _, c := range []struct{ method, path, tags string }{
		{"GET", "/overview", "management policymaker monitoring administrator"},
		{"GET", "/nodes", "monitoring administrator"},
		{"GET", "/users", "administrator"},
		{"GET", "/policies/" + vhost, "management policymaker monitoring administrator"},
		{"GET", "/parameters", "policymaker administrator"},
		{"GET", "/vhosts/" + vhost, "administrator"},
		{"GET", "/definitions", "administrator"},
		{"GET", "/queues/" + vhost, "management policymaker monitoring administrator"},
	} {
		for tag, user := range users {
			want := http.StatusUnauthorized
			if strings.Contains(c.tags, tag) {
				want = http.StatusOK
			}
			if r := user.try(c.method, c.path, nil); r.status != want {
				t.Errorf("%s %s as %s: %d %s, want %d", c.method, c.path, tag, r.status, r.raw, want)
			}
		}
	}
	_, other := m.vhost()
	if r := users["management"].try("GET", "/queues/"+other, nil); r.status != http.StatusNotFound {
		t.Errorf("a vhost that one may not enter: %d %s", r.status, r.raw)
	}
}

func TestManagementDeclaresWhatAMQPSees(t *testing.T) {
	t.Parallel()
	m := manage(t)
	vhost, inPath := m.vhost()
	c := m.enter(vhost)
	m.must(created, put, "/queues/"+inPath+"/q", object{"durable": true, "arguments": object{"x-max-length": 5}})
	m.must(changed, put, "/queues/"+inPath+"/q", object{"durable": true, "arguments": object{"x-max-length": 5}})
	r := m.must(http.StatusBadRequest, put, "/queues/"+inPath+"/q", object{"durable": false})
	if reason, _ := follow(r.body, "reason").(string); !strings.HasPrefix(reason, "inequivalent arg 'durable' for queue 'q'") {
		t.Errorf("redeclared: %s", r.raw)
	}
	_, err := c.QueueDeclarePassive("q", true, false, false, false, nil)
	c.must(err, "the queue that was declared over HTTP")
	m.must(created, put, "/exchanges/"+inPath+"/x", object{"type": "topic", "durable": true})
	r = m.must(created, post, "/bindings/"+inPath+"/e/x/q/q", object{"routing_key": "a.#", "arguments": object{}})
	if location := r.header.Get("Location"); location != "q/a.%2523" {
		t.Errorf("Location is %q", location)
	}
	c.must(c.Publish("x", "a.b", true, false, amqp.Publishing{Body: []byte("routed")}), "publish")
	m.shows(1.0, "/queues/"+inPath+"/q", "messages")
	for _, b := range m.get("/bindings/" + inPath + "/e/x/q/q").([]any) {
		m.must(changed, remove, "/bindings/"+inPath+"/e/x/q/q/"+url.PathEscape(follow(b, "properties_key").(string)), nil)
	}
	if left := m.get("/bindings/" + inPath + "/e/x/q/q").([]any); len(left) != 0 {
		t.Errorf("bindings left: %v", left)
	}
	m.must(changed, remove, "/queues/"+inPath+"/q/contents", nil)
	m.must(changed, remove, "/queues/"+inPath+"/q", nil)
	m.must(http.StatusNotFound, remove, "/queues/"+inPath+"/q", nil)
	m.must(changed, remove, "/exchanges/"+inPath+"/x", nil)
}

func TestManagementPublishesAndGets(t *testing.T) {
	t.Parallel()
	m := manage(t)
	vhost, inPath := m.vhost()
	c := m.enter(vhost)
	m.must(created, put, "/queues/"+inPath+"/q", object{"durable": true})
	message := object{
		"routing_key": "q", "payload": "hello", "payload_encoding": "string",
		"properties": object{"content_type": "text/plain", "delivery_mode": 2, "headers": object{"n": 1, "s": "x", "f": 1.5}},
	}
	if r := m.must(http.StatusOK, post, "/exchanges/"+inPath+"/amq.default/publish", message); follow(r.body, "routed") != true {
		t.Errorf("publish: %s", r.raw)
	}
	got := m.must(http.StatusOK, post, "/queues/"+inPath+"/q/get", object{"count": 5, "ackmode": "ack_requeue_true", "encoding": "auto"})
	if follow(got.body, 0, "payload") != "hello" || follow(got.body, 0, "properties", "headers", "f") != 1.5 || follow(got.body, 0, "redelivered") != false {
		t.Errorf("get: %s", got.raw)
	}
	d, ok, err := c.Get("q", true)
	if err != nil || !ok || string(d.Body) != "hello" || !d.Redelivered || d.Headers["n"] != int64(1) {
		t.Errorf("over AMQP: %v %v %v", d, ok, err)
	}
	message["routing_key"] = "nowhere"
	if r := m.must(http.StatusOK, post, "/exchanges/"+inPath+"/amq.default/publish", message); follow(r.body, "routed") != false {
		t.Errorf("publish to nowhere: %s", r.raw)
	}
	message["properties"] = object{"expiration": "soon"}
	if r := m.must(http.StatusBadRequest, post, "/exchanges/"+inPath+"/amq.default/publish", message); !strings.Contains(r.raw, "406 PRECONDITION_FAILED - invalid expiration 'soon'") {
		t.Errorf("a bad expiration: %s", r.raw)
	}
}

// TestManagementPolicies hold at once for queues that are there, and end at once.
func TestManagementPolicies(t *testing.T) {
	t.Parallel()
	m := manage(t)
	vhost, inPath := m.vhost()
	c := m.enter(vhost)
	_, err := c.QueueDeclare("limited", true, false, false, false, nil)
	c.must(err, "queue.declare")
	path := "/policies/" + inPath + "/few"
	m.must(created, put, path, object{"pattern": "^lim", "definition": object{"max-length": 2}, "apply-to": "queues"})
	m.shows("few", "/queues/"+inPath+"/limited", "policy")
	m.shows(2.0, "/queues/"+inPath+"/limited", "effective_policy_definition", "max-length")
	c.must(c.Confirm(false), "confirm.select")
	for i := range 5 {
		confirmed, err := c.PublishWithDeferredConfirm("", "limited", true, false, amqp.Publishing{Body: fmt.Append(nil, i)})
		c.must(err, "publish")
		confirmed.Wait()
	}
	m.shows(2.0, "/queues/"+inPath+"/limited", "messages")
	m.must(created, put, "/operator-policies/"+inPath+"/fewer", object{"pattern": "^lim", "definition": object{"max-length": 1}, "apply-to": "queues"})
	m.shows(1.0, "/queues/"+inPath+"/limited", "messages")
	for _, bad := range []object{
		{"pattern": "*", "definition": object{"max-length": 1}}, {"pattern": "x", "definition": object{"nonsense": 1}},
		{"pattern": "x", "definition": object{"max-length": -1}}, {"pattern": "x"},
	} {
		m.must(http.StatusBadRequest, put, path, bad)
	}
	m.must(changed, remove, path, nil)
	m.must(http.StatusNotFound, remove, path, nil)
	m.shows(nil, "/queues/"+inPath+"/limited", "policy")
}

func TestManagementLimits(t *testing.T) {
	t.Parallel()
	m := manage(t)
	vhost, inPath := m.vhost()
	c := m.enter(vhost)
	m.must(changed, put, "/vhost-limits/"+inPath+"/max-queues", object{"value": 1})
	_, err := c.QueueDeclare("one", true, false, false, false, nil)
	c.must(err, "the first queue")
	_, err = c.QueueDeclare("two", true, false, false, false, nil)
	var refusal *amqp.Error
	if !errors.As(err, &refusal) || refusal.Code != amqp.PreconditionFailed {
		t.Errorf("the second queue: %v", err)
	}
	if r := m.get("/vhost-limits/" + inPath); follow(r, 0, "value", "max-queues") != 1.0 {
		t.Errorf("limits: %v", r)
	}
	m.must(changed, remove, "/vhost-limits/"+inPath+"/max-queues", nil)
	user, password := m.newUser("")
	m.must(created, put, "/permissions/"+inPath+"/"+user, everything)
	m.must(changed, put, "/user-limits/"+user+"/max-connections", object{"value": 1})
	if _, err := connectTo(t, vhost, user, password); err != nil {
		t.Fatal(err)
	}
	if _, err := connectTo(t, vhost, user, password); err == nil {
		t.Error("a second connection of a user who may have one")
	}
	m.must(http.StatusBadRequest, put, "/user-limits/"+user+"/max-nonsense", object{"value": 1})
}

// TestManagementPermissions hold for connections that come, topic permissions too.
func TestManagementPermissions(t *testing.T) {
	t.Parallel()
	m := manage(t)
	vhost, inPath := m.vhost()
	user, password := m.newUser("")
	if _, err := connectTo(t, vhost, user, password); err == nil {
		t.Error("a connection to a vhost that the user may not enter")
	}
	m.must(created, put, "/permissions/"+inPath+"/"+user, object{"configure": "^own", "write": ".*", "read": ".*"})
	m.must(created, put, "/topic-permissions/"+inPath+"/"+user, object{"exchange": "amq.topic", "write": "^{username}", "read": ".*"})
	conn, err := connectTo(t, vhost, user, password)
	if err != nil {
		t.Fatal(err)
	}
	c := channelOf(t, conn)
	_, err = c.QueueDeclare("own queue", true, false, false, false, nil)
	c.must(err, "a queue that the user may declare")
	_, err = c.QueueDeclare("other queue", true, false, false, false, nil)
	var refusal *amqp.Error
	if !errors.As(err, &refusal) || refusal.Code != amqp.AccessRefused {
		t.Errorf("a queue that the user may not declare: %v", err)
	}
	for key, allowed := range map[string]bool{user + ".x": true, "other.x": false} {
		ch := channelOf(t, conn)
		ch.must(ch.Confirm(false), "confirm.select")
		confirmed, err := ch.PublishWithDeferredConfirm("amq.topic", key, false, false, amqp.Publishing{})
		ch.must(err, "publish")
		if confirmed.Wait() != allowed {
			t.Errorf("publishing with the key %s: allowed %v", key, !allowed)
		}
	}
}

// TestManagementShowsAndClosesConnections.
func TestManagementShowsAndClosesConnections(t *testing.T) {
	t.Parallel()
	m := manage(t)
	vhost, inPath := m.vhost()
	c := m.enter(vhost)
	_, err := c.QueueDeclare("q", true, false, false, false, nil)
	c.must(err, "queue.declare")
	c.must(c.Qos(7, 0, false), "qos")
	_, err = c.Consume("q", "the tag", false, false, false, false, nil)
	c.must(err, "consume")
	m.shows("running", "/vhosts/"+inPath+"/connections", 0, "state")
	m.shows(7.0, "/consumers/"+inPath, 0, "prefetch_count")
	m.shows("the tag", "/consumers/"+inPath, 0, "consumer_tag")
	m.shows(1.0, "/vhosts/"+inPath+"/channels", 0, "consumer_count")
	name, _ := follow(m.get("/vhosts/"+inPath+"/connections"), 0, "name").(string)
	if got := m.get("/connections/" + url.PathEscape(name)); follow(got, "user") != m.user || follow(got, "vhost") != vhost || follow(got, "protocol") != "AMQP 0-9-1" {
		t.Errorf("the connection: %v", got)
	}
	closed := c.conn.NotifyClose(make(chan *amqp.Error, 1))
	m.must(changed, remove, "/connections/"+url.PathEscape(name), nil)
	if why := <-closed; why == nil || why.Code != amqp.ConnectionForced || !strings.Contains(why.Reason, "Closed via management plugin") {
		t.Errorf("the client reads %v", why)
	}
}

// TestManagementDefinitions of one vhost go into another.
func TestManagementDefinitions(t *testing.T) {
	t.Parallel()
	m := manage(t)
	_, from := m.vhost()
	_, to := m.vhost()
	m.must(created, put, "/queues/"+from+"/q", object{"durable": true, "arguments": object{"x-queue-type": "quorum", "x-max-length": 9}})
	m.must(created, put, "/exchanges/"+from+"/x", object{"type": "headers", "durable": true})
	m.must(created, post, "/bindings/"+from+"/e/x/q/q", object{"routing_key": "", "arguments": object{"x-match": "all", "k": 5}})
	m.must(created, put, "/policies/"+from+"/p", object{"pattern": ".", "definition": object{"max-length": 3}, "priority": 4})
	m.must(changed, post, "/definitions/"+to, m.get("/definitions/"+from))
	for _, path := range []string{"/queues/%s/q", "/exchanges/%s/x"} {
		one, two := m.get(fmt.Sprintf(path, from)), m.get(fmt.Sprintf(path, to))
		for _, field := range []string{"name", "type", "durable", "auto_delete", "arguments"} {
			if fmt.Sprint(follow(one, field)) != fmt.Sprint(follow(two, field)) {
				t.Errorf("%s: %s is %v, was %v", path, field, follow(two, field), follow(one, field))
			}
		}
	}
	if b := m.get("/bindings/" + to + "/e/x/q/q"); follow(b, 0, "arguments", "k") != 5.0 {
		t.Errorf("bindings: %v", b)
	}
	if p := m.get("/policies/" + to + "/p"); follow(p, "priority") != 4.0 {
		t.Errorf("policy: %v", p)
	}
}

// TestManagementPagesAndColumns.
func TestManagementPagesAndColumns(t *testing.T) {
	t.Parallel()
	m := manage(t)
	_, vhost := m.vhost()
	for i := range 5 {
		m.must(created, put, fmt.Sprintf("/queues/%s/q%d", vhost, i), object{"durable": true})
	}
	page := m.get("/queues/" + vhost + "?page=2&page_size=2&columns=name&sort=name")
	if follow(page, "total_count") != 5.0 || follow(page, "page_count") != 3.0 || follow(page, "items", 0, "name") != "q2" || len(follow(page, "items", 0).(map[string]any)) != 1 {
		t.Errorf("page: %v", page)
	}
	if found := m.get("/queues/" + vhost + "?page=1&name=%5Eq%5B13%5D&use_regex=true"); follow(found, "filtered_count") != 2.0 {
		t.Errorf("filter: %v", found)
	}
	m.must(http.StatusBadRequest, "GET", "/queues/"+vhost+"?page=9", nil)
}

func TestManagementHealth(t *testing.T) {
	t.Parallel()
	connect(t).since4()
	m := manage(t)
	for _, check := range []string{"alarms", "local-alarms", "protocol-listener/amqp", "node-is-quorum-critical", "ready-to-serve-clients"} {
		if got := m.get("/health/checks/" + check); follow(got, "status") != "ok" {
			t.Errorf("%s: %v", check, got)
		}
	}
	if r := m.must(http.StatusServiceUnavailable, "GET", "/health/checks/port-listener/1", nil); follow(r.body, "status") != "failed" {
		t.Errorf("port 1: %s", r.raw)
	}
	_, vhost := m.vhost()
	if got := m.get("/aliveness-test/" + vhost); follow(got, "status") != "ok" {
		t.Errorf("aliveness: %v", got)
	}
}

// TestNumbersMayBeText: rabbitmqadmin writes the numbers it was given as they came.
func TestNumbersMayBeText(t *testing.T) {
	t.Parallel()
	m := manage(t)
	c := connect(t)
	q := c.queue(nil)
	c.fill(q, "hello", "world")
	path := "/queues/%2F/" + q + "/get"
	got := m.must(http.StatusOK, http.MethodPost, path, map[string]any{
		"count": "1", "ackmode": "ack_requeue_false", "encoding": "auto", "truncate": "3",
	}).body
	equal(t, "messages", len(got.([]any)), 1)
	equal(t, "payload", follow(got, 0, "payload"), any("hel"))
	r := m.must(http.StatusBadRequest, http.MethodPost, path, map[string]any{"count": "x", "ackmode": "ack_requeue_false", "encoding": "auto"})
	equal(t, "reason", follow(r.body, "reason", 0), any("not_integer"))
}
