package management

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/protocol"
)

// TestTheDescriptionIsTheRouter: every route is in it, nothing else is, and every operation has its own name.
func TestTheDescriptionIsTheRouter(t *testing.T) {
	w := newWorld(t)
	var described struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Summary     string
			Parameters  []struct{ Name, In string }
			Security    []any
		}
	}
	w.must(json.Unmarshal([]byte(w.as("", "GET", "/openapi.json", "").body), &described))
	seen := map[string]bool{}
	for i := range w.router.routes {
		r := &w.router.routes[i]
		o, ok := described.Paths["/api"+r.path][strings.ToLower(r.method)]
		if !ok || o.Summary == "" || seen[o.OperationID] || (len(o.Security) > 0) != (r.need != nobody) {
			t.Errorf("%s %s is described as %+v", r.method, r.path, o)
		}
		seen[o.OperationID] = true
		inPath := 0
		for _, p := range o.Parameters {
			if p.In == "path" {
				inPath++
			}
		}
		if inPath != strings.Count(r.path, "{") {
			t.Errorf("%s: %d parameters", r.path, inPath)
		}
		delete(described.Paths["/api"+r.path], strings.ToLower(r.method))
	}
	for path, left := range described.Paths {
		if len(left) > 0 {
			t.Errorf("%s has more: %v", path, left)
		}
	}
	if !strings.HasPrefix(described.OpenAPI, "3.") {
		t.Error(described.OpenAPI)
	}
}

func TestMethodsAndPaths(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"OPTIONS", "/queues", 200, "HEAD, GET, OPTIONS"},
		{"OPTIONS", "/queues/%2F/q", 200, "HEAD, GET, PUT, DELETE, OPTIONS"},
		{"POST", "/overview", 405, "HEAD, GET, OPTIONS"},
		{"PATCH", "/queues/%2F/q", 405, "HEAD, GET, PUT, DELETE, OPTIONS"},
		{"GET", "/nosuch", 404, ""}, {"GET", "/queues/%2F/q/none", 404, ""}, {"GET", "/queues/%zz", 404, "HEAD, GET, OPTIONS"},
		{"HEAD", "/overview", 200, "HEAD, GET, OPTIONS"}, {"GET", "/users/", 200, "HEAD, GET, OPTIONS"},
		{"GET", "", 301, ""}, {"GET", "/", 301, ""},
	} {
		r := httptest.NewRequest(c.method, "/api/x", nil)
		r.URL = &url.URL{Path: "/api" + c.path}
		if u, err := url.Parse("/api" + c.path); err == nil {
			r.URL = u
		}
		r.SetBasicAuth("guest", "guest")
		out := httptest.NewRecorder()
		w.ServeHTTP(out, r)
		if out.Code != c.status || out.Header().Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, allows %q", c.method, c.path, out.Code, out.Header().Get("Allow"))
		}
	}
}

// TestBodies that are not what they should be are refused, whatever they are.
func TestBodies(t *testing.T) {
	w := newWorld(t)
	bodies := []string{"", "null", "[]", "5", `"x"`, "{", `{"a":`, "{} {}", `{"durable":5,"arguments":5}`, `{"arguments":{"a":null}}`, strings.Repeat("[", 100_000), "\xff\xfe"}
	for i := range w.router.routes {
		r := &w.router.routes[i]
		if r.method != "PUT" && r.method != "POST" {
			continue
		}
		path := strings.NewReplacer("{vhost}", "%2F", "{node}", w.Node).Replace(r.path)
		for _, body := range bodies {
			if got := w.as("guest", r.method, path, body); got.status >= 500 {
				t.Errorf("%s %s %.20s: %d %s", r.method, path, body, got.status, got.body)
			}
		}
	}
	large := `{"value":"` + strings.Repeat("x", bodyMax) + `"}`
	if got := w.as("guest", "PUT", "/global-parameters/large", large); got.status != 413 {
		t.Errorf("a body of %d MiB: %d", len(large)>>20, got.status)
	}
}

func TestPublishAndGet(t *testing.T) {
	w := newWorld(t)
	w.do(201, "PUT", "/queues/%2F/q", `{"durable":true}`)
	publish := func(key, properties, payload, encoding string) reply {
		t.Helper()
		return w.as("guest", "POST", "/exchanges/%2F/amq.default/publish", fmt.Sprintf(`{"routing_key":%q,"properties":%s,"payload":%q,"payload_encoding":%q}`, key, properties, payload, encoding))
	}
	if r := publish("nowhere", "{}", "x", "string"); r.body != `{"routed":false}` {
		t.Error(r)
	}
	properties := `{"content_type":"text/plain","delivery_mode":2,"priority":3,"correlation_id":"c","expiration":"60000","timestamp":1700000000,"headers":{"a":1,"b":[true,"x",{"c":1.5}]}}`
	for _, body := range []string{"one", "two", "three"} {
		if r := publish("q", properties, body, "string"); r.body != `{"routed":true}` {
			t.Fatal(r)
		}
	}
	if r := publish("q", "[]", "AP8B", "base64"); r.body != `{"routed":true}` {
		t.Error(r)
	}
	get := func(count int, mode string) []any {
		t.Helper()
		var list []any
		body := w.do(200, "POST", "/queues/%2F/q/get", fmt.Sprintf(`{"count":%d,"ackmode":%q,"encoding":"auto"}`, count, mode)).body
		w.must(json.Unmarshal([]byte(body), &list))
		return list
	}
	all := get(10, "ack_requeue_true")
	if len(all) != 4 || at(all, 0, "payload") != "one" || at(all, 3, "payload") != "AP8B" || at(all, 3, "payload_encoding") != "base64" || at(all, 3, "payload_bytes") != 3.0 {
		t.Fatalf("%v", all)
	}
	if at(all, 0, "message_count") != 3.0 || at(all, 0, "redelivered") != false || at(all, 0, "exchange") != "" || at(all, 0, "routing_key") != "q" {
		t.Errorf("%v", all[0])
	}
	var want any
	w.must(json.Unmarshal([]byte(properties), &want))
	if fmt.Sprint(at(all, 0, "properties")) != fmt.Sprint(want) {
		t.Errorf("properties %v, want %v", at(all, 0, "properties"), want)
	}
	if first := get(1, "reject_requeue_false"); at(first, 0, "payload") != "one" || at(first, 0, "redelivered") != true {
		t.Errorf("%v", first)
	}
	if first := get(1, "ack_requeue_false"); at(first, 0, "payload") != "two" {
		t.Errorf("%v", first)
	}
	w.do(204, "DELETE", "/queues/%2F/q/contents", "")
	if left := get(5, "ack_requeue_true"); len(left) != 0 {
		t.Errorf("%v left", left)
	}
	w.do(204, "DELETE", "/queues/%2F/q", "")
	w.do(404, "GET", "/queues/%2F/q", "")
}

// TestPermissionsHoldHereToo: whoever may not over AMQP may not here.
func TestPermissionsHoldHereToo(t *testing.T) {
	w := newWorld(t)
	w.do(201, "PUT", "/queues/%2F/q", `{"durable":true}`)
	w.user("u", tagManagement)
	w.do(201, "PUT", "/permissions/%2F/u", `{"configure":"^$","write":"^$","read":"^$"}`)
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"PUT", "/queues/%2F/n", `{}`, 401, `{"error":"not_authorised","reason":"Access refused."}`},
		{"DELETE", "/queues/%2F/q", "", 401, `{"error":"not_authorised","reason":"Access refused."}`},
		{"DELETE", "/queues/%2F/q/contents", "", 401, `{"error":"not_authorised","reason":"Access refused."}`},
		{"PUT", "/exchanges/%2F/n", `{}`, 401, `{"error":"not_authorised","reason":"Access refused."}`},
		{"POST", "/bindings/%2F/e/amq.direct/q/q", `{}`, 401, `{"error":"not_authorised","reason":"Access refused."}`},
		{"POST", "/queues/%2F/q/get", `{"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}`, 401, `{"error":"not_authorised","reason":"ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'u'"}`},
		{"POST", "/exchanges/%2F/amq.direct/publish", `{"properties":{},"routing_key":"k","payload":"x","payload_encoding":"string"}`, 400, `{"error":"bad_request","reason":"403 ACCESS_REFUSED - write access to exchange 'amq.direct' in vhost '/' refused for user 'u'"}`},
	} {
		if r := w.as("u", c.method, c.path, c.body); r.status != c.status || r.body != c.says {
			t.Errorf("%s %s: %d %s", c.method, c.path, r.status, r.body)
		}
	}
}

func TestPagesSortingAndColumns(t *testing.T) {
	w := newWorld(t)
	for i := range 25 {
		w.do(201, "PUT", fmt.Sprintf("/queues/%%2F/q%02d", i), `{"durable":true}`)
	}
	w.do(201, "PUT", "/queues/%2F/other", `{"arguments":{"x-max-length":3}}`)
	names := func(path string) (list []string) {
		t.Helper()
		value := w.get(path)
		if o, paged := value.(map[string]any); paged {
			value = o["items"]
		}
		for _, o := range value.([]any) {
			list = append(list, o.(map[string]any)["name"].(string))
		}
		return list
	}
	if got := names("/queues?page=2&page_size=10&columns=name"); len(got) != 10 || got[0] != "q09" {
		t.Errorf("%v", got)
	}
	if got := names("/queues?page=1&name=Q2&columns=name"); !slices.Equal(got, []string{"q20", "q21", "q22", "q23", "q24"}) {
		t.Errorf("%v", got)
	}
	if got := names("/queues?page=1&name=%5Eq.%5B13%5D%24&use_regex=true"); !slices.Equal(got, []string{"q01", "q03", "q11", "q13", "q21", "q23"}) {
		t.Errorf("%v", got)
	}
	if got := names("/queues?sort=name&sort_reverse=true&page=1&page_size=2"); !slices.Equal(got, []string{"q24", "q23"}) {
		t.Errorf("%v", got)
	}
	if got := names("/queues?sort=arguments.x-max-length&sort_reverse=true"); got[0] != "other" {
		t.Errorf("%v", got)
	}
	page := w.get("/queues?page=3&page_size=10&name=q").(map[string]any)
	if page["filtered_count"] != 25.0 || page["total_count"] != 26.0 || page["page_count"] != 3.0 || page["item_count"] != 5.0 {
		t.Errorf("%v", page)
	}
	if got := w.do(200, "GET", "/queues/%2F/other?columns=name,arguments.x-max-length,none", "").body; got != `{"arguments":{"x-max-length":3},"name":"other"}` {
		t.Error(got)
	}
	for query, says := range map[string]string{
		"page=0": "Invalid pagination parameters: page number 0, page size undefined", "page=x": "Pagination parameters are invalid",
		"page=1&page_size=501": "Invalid pagination parameters: page number 1, page size 501",
		"page=9":               "Page out of range, page: 9 page size: 100, len: 26",
	} {
		if got := w.do(400, "GET", "/queues?"+query, "").body; !strings.Contains(got, says) {
			t.Errorf("%s: %s", query, got)
		}
	}
}

// TestConnectionsAreShownAndClosed, with a reason that the client reads.
func TestConnectionsAreShownAndClosed(t *testing.T) {
	w := newWorld(t)
	w.do(201, "PUT", "/queues/%2F/q", `{"durable":true}`)
	c := w.client("guest", "/")
	for _, m := range []protocol.Method{
		&protocol.BasicQos{PrefetchCount: 7}, &protocol.ConfirmSelect{}, &protocol.BasicConsume{Queue: "q", ConsumerTag: "ct"},
	} {
		if _, err := c.call(1, m); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually("the consumer is counted", func() bool { return at(w.get("/channels"), 0, "consumer_count") == 1.0 })
	connection := at(w.get("/connections"), 0)
	name, _ := at(connection, "name").(string)
	channel := at(w.get("/channels"), 0)
	for what, got := range map[string]any{
		"user": at(connection, "user"), "state": at(connection, "state"), "protocol": at(connection, "protocol"),
		"prefetch": at(channel, "prefetch_count"), "confirm": at(channel, "confirm"), "number": at(channel, "number"),
		"tag":  at(w.get("/consumers"), 0, "consumer_tag"),
		"of":   at(w.get("/consumers"), 0, "channel_details", "connection_name"),
		"owns": at(w.get("/channels/"+url.PathEscape(name+" (1)")), "consumer_details", 0, "queue", "name"),
	} {
		want := map[string]any{
			"user": "guest", "state": "running", "protocol": "AMQP 0-9-1", "prefetch": 7.0, "confirm": true, "number": 1.0,
			"tag": "ct", "of": name, "owns": "q",
		}[what]
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	if n := at(w.get("/overview"), "object_totals", "connections"); n != 1.0 {
		t.Errorf("%v connections", n)
	}
	r := httptest.NewRequest("DELETE", "/api/connections/"+url.PathEscape(name), nil)
	r.SetBasicAuth("guest", "guest")
	r.Header.Set("X-Reason", "enough")
	out := httptest.NewRecorder()
	w.ServeHTTP(out, r)
	if out.Code != 204 {
		t.Fatalf("closing: %d", out.Code)
	}
	if _, err := c.next(); err == nil || err.Error() != (&protocol.Error{Code: 320, Text: "CONNECTION_FORCED - enough"}).Error() {
		t.Errorf("the client reads %v", err)
	}
	w.eventually("it is gone", func() bool { return len(w.get("/connections").([]any)) == 0 })
	w.do(404, "DELETE", "/connections/none", "")
}

// TestRates are what happened between two samples.
func TestRates(t *testing.T) {
	w := newWorld(t)
	w.do(201, "PUT", "/queues/%2F/q", `{"durable":true}`)
	c := w.client("guest", "/")
	tick := func() {
		w.now.Add(stats.Interval.Milliseconds())
		w.sampler.sample(t.Context())
	}
	publish := func() {
		if routed, err := c.publish("", "q", protocol.Properties{0, 0}, []byte("x")); err != nil || !routed {
			t.Fatal(routed, err)
		}
	}
	publish()
	tick()
	for range 10 {
		publish()
	}
	published := func() any { return at(w.get("/vhosts/%2F"), "message_stats", "publish") }
	w.eventually("they are counted", func() bool { return published() == 11.0 })
	tick()
	query := "?lengths_age=10&lengths_incr=5&msg_rates_age=10&msg_rates_incr=5"
	for what, of := range map[string]any{
		"queue": w.get("/queues/%2F/q" + query), "overview": w.get("/overview" + query), "vhost": w.get("/vhosts/%2F" + query),
		"channel": at(w.get("/channels"+query), 0),
	} {
		if n, rate := at(of, "message_stats", "publish"), at(of, "message_stats", "publish_details", "rate"); n != 11.0 || rate != 2.0 {
			t.Errorf("%s: %v published, %v a second", what, n, rate)
		}
		if samples, _ := at(of, "message_stats", "publish_details", "samples").([]any); len(samples) != 2 || at(samples, 0, "sample") != 11.0 {
			t.Errorf("%s: samples %v", what, samples)
		}
	}
	if n, rate := at(w.get("/queues/%2F/q"), "messages"), at(w.get("/queues/%2F/q"), "messages_details", "rate"); n != 11.0 || rate != 2.0 {
		t.Errorf("%v messages, %v a second", n, rate)
	}
	if in := at(w.get("/exchanges/%2F/amq.default"), "message_stats", "publish_in"); in != 11.0 {
		t.Errorf("%v into the exchange", in)
	}
	tick()
	if rate := at(w.get("/queues/%2F/q"), "message_stats", "publish_details", "rate"); rate != 0.0 {
		t.Errorf("%v a second in rest", rate)
	}
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	w.do(200, "GET", "/health/checks/alarms", "")
	w.Alarms.Set(limits.Memory, true)
	r := w.do(503, "GET", "/health/checks/alarms", "")
	if !strings.Contains(r.body, `"resource":"memory"`) || !strings.Contains(r.body, `"status":"failed"`) {
		t.Error(r.body)
	}
	w.Alarms.Set(limits.Memory, false)
	w.do(200, "GET", "/health/checks/port-listener/5672", "")
	w.do(503, "GET", "/health/checks/port-listener/1", "")
	w.do(200, "GET", "/health/checks/protocol-listener/amqp091,amqp", "")
	w.do(503, "GET", "/health/checks/protocol-listener/mqtt", "")
	w.do(200, "GET", "/health/checks/ready-to-serve-clients", "")
	w.Registry.Limit = 1
	w.client("guest", "/")
	w.do(503, "GET", "/health/checks/below-node-connection-limit", "")
}

// TestBindingsByTheirProperties: each of several between the same ends is found by its own name, as the list gives it and
// as Location does.
func TestBindingsByTheirProperties(t *testing.T) {
	w := newWorld(t)
	w.do(201, "PUT", "/queues/%2F/q", `{"durable":true}`)
	for _, body := range []string{
		`{}`, `{"routing_key":"a b/~%"}`, `{"routing_key":"k"}`, `{"routing_key":"k","arguments":{"n":1}}`,
		`{"routing_key":"k","arguments":{"n":"1"}}`, `{"arguments":{"n":1}}`, `{"routing_key":"ä.#"}`,
	} {
		r := w.do(201, "POST", "/bindings/%2F/e/amq.topic/q/q", body)
		w.do(200, "GET", "/bindings/%2F/e/amq.topic/q/"+r.header.Get("Location"), "")
	}
	list := w.get("/bindings/%2F/e/amq.topic/q/q").([]any)
	if len(list) != 7 {
		t.Fatalf("%d bindings", len(list))
	}
	for i := range list {
		path := "/bindings/%2F/e/amq.topic/q/q/" + url.PathEscape(at(list, i, "properties_key").(string))
		if got := w.get(path); fmt.Sprint(got) != fmt.Sprint(list[i]) {
			t.Errorf("%s gives %v, want %v", path, got, list[i])
		}
		w.do(204, "DELETE", path, "")
	}
	if left := w.get("/bindings/%2F/e/amq.topic/q/q").([]any); len(left) != 0 {
		t.Errorf("%v left", left)
	}
}

// TestRequestsHoldNoConnections: what the API does over AMQP leaves nothing behind.
func TestRequestsHoldNoConnections(t *testing.T) {
	w := newWorld(t)
	w.do(201, "PUT", "/queues/%2F/q", `{"durable":true}`)
	for range 20 {
		w.do(200, "POST", "/exchanges/%2F/amq.default/publish", `{"routing_key":"q","properties":{},"payload":"x","payload_encoding":"string"}`)
		w.do(400, "POST", "/exchanges/%2F/amq.default/publish", `{"routing_key":"q","properties":{"expiration":"x"},"payload":"x","payload_encoding":"string"}`)
		w.do(200, "POST", "/queues/%2F/q/get", `{"count":1,"ackmode":"ack_requeue_false","encoding":"auto"}`)
	}
	w.live.Wait() // every session has ended
	w.Registry.Each(func(*session.Session) { t.Error("a connection is open") })
}

// TestTheClustersName is what connections are told, from then on.
func TestTheClustersName(t *testing.T) {
	w := newWorld(t)
	if name := at(w.get("/cluster-name"), "name"); name != "test" {
		t.Errorf("called %v", name)
	}
	w.do(204, "PUT", "/cluster-name", `{"name":"ours"}`)
	if name := at(w.get("/overview"), "cluster_name"); name != "ours" {
		t.Errorf("called %v", name)
	}
	c := &client{conn: w.pipe(session.New), size: protocol.FrameMinSize}
	defer c.conn.Close()
	if _, err := c.conn.Write([]byte(protocolHeader)); err != nil {
		t.Fatal(err)
	}
	m, err := c.next()
	start, is := m.(*protocol.ConnectionStart)
	if err != nil || !is {
		t.Fatal(m, err)
	}
	if name, _ := start.ServerProperties.Decode().Get("cluster_name"); name != "ours" {
		t.Errorf("a connection is told %v", name)
	}
}
