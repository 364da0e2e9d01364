package management

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// variables are those in the path of a route.
var variables = regexp.MustCompile(`\{[^}]*\}`)

// hostileNames are what somebody may write where a name belongs, as they stand in a path.
var hostileNames = []string{
	"%3Cscript%3Ealert(1)%3C%2Fscript%3E", "..", "%2E%2E%2F%2E%2E%2Fetc%2Fpasswd", "%00", "a%00b", "%0d%0aX-Evil%3A%201", "%FF%FE", "%F0%9F%90%87",
	strings.Repeat("x", 256), strings.Repeat("%2F", 300), "%25%32%46", "'%20OR%201%3D1--", "{{7*7}}", "%2F",
}

// judgeHostile demands of an answer that the client is told what it did wrong, in JSON that no browser takes for a page.
func judgeHostile(t *testing.T, what string, got reply) {
	t.Helper()
	if got.status >= 500 && got.status != 503 {
		t.Errorf("%.200s: %d %.200s", what, got.status, got.body)
	}
	for name := range got.header {
		if strings.EqualFold(name, "X-Evil") {
			t.Errorf("%.200s: a header was smuggled in", what)
		}
	}
	if got.body == "" {
		return
	}
	var body any
	kind := got.header.Get("Content-Type")
	if err := json.Unmarshal([]byte(got.body), &body); strings.HasPrefix(kind, "application/json") && err != nil || strings.HasPrefix(kind, "text/html") {
		t.Errorf("%.200s: %s, %.200s, %v", what, kind, got.body, err)
	}
	o, isObject := body.(map[string]any)
	if got.status >= 400 && got.status != 405 && (!isObject || o["reason"] == nil && o["status"] == nil) {
		t.Errorf("%.200s: %d without a reason, %.200s", what, got.status, got.body)
	}
}

// TestHostileNames in every variable of every path.
func TestHostileNames(t *testing.T) {
	w := newWorld(t)
	for i := range w.router.routes {
		r := &w.router.routes[i]
		for _, name := range hostileNames {
			path := variables.ReplaceAllLiteralString(r.path, name)
			judgeHostile(t, r.method+" "+path, w.raw(r.method, path, `{"pattern":"a","definition":{},"tags":"","value":1,"name":"x"}`))
		}
	}
}

// TestHostileBodies: ten megabytes of several kinds, deep nesting, and values of wrong types in every field.
func TestHostileBodies(t *testing.T) {
	w := newWorld(t)
	large := strings.Repeat("x", 10<<20)
	for what, body := range map[string]string{
		"ten megabytes of nothing": strings.Repeat(" ", 10<<20), "ten megabytes of brackets": strings.Repeat("[", 10<<20), "a long string": `"` + large + `"`,
		"a long argument": `{"arguments":{"x":"` + large + `"}}`, "a long name of an argument": `{"arguments":{"` + large + `":1}}`,
		"deep arguments": `{"arguments":` + strings.Repeat(`{"a":`, 9_000) + "1" + strings.Repeat("}", 9_000) + `}`,
		"wrong types":    `{"durable":{},"auto_delete":[],"arguments":"x","type":7,"node":true}`,
	} {
		for _, path := range []string{"/queues/%2F/q", "/exchanges/%2F/x", "/policies/%2F/p", "/definitions", "/bindings/%2F/e/amq.direct/q/q"} {
			method := "PUT"
			if strings.HasPrefix(path, "/d") || strings.HasPrefix(path, "/b") {
				method = "POST"
			}
			got := w.as("guest", method, path, body)
			judgeHostile(t, method+" "+path+" "+what, got)
			if empty := what == "ten megabytes of nothing"; !empty && got.status < 400 && path != "/definitions" {
				t.Errorf("%s %s takes %s: %d %.100s", method, path, what, got.status, got.body)
			}
		}
	}
}

// raw does a request whose path is taken as it is written; what no client can send is answered with 400.
func (w *world) raw(method, path, body string) reply {
	u, err := url.Parse("/api" + path)
	if err != nil {
		return reply{status: 400}
	}
	r := httptest.NewRequest(method, "/api/x", strings.NewReader(body))
	r.URL = u
	r.SetBasicAuth("guest", "guest")
	out := httptest.NewRecorder()
	w.ServeHTTP(out, r)
	return reply{out.Code, out.Header(), strings.TrimSpace(out.Body.String())}
}

// FuzzRequest asks a route with names, a query and a body that are anything.
func FuzzRequest(f *testing.F) {
	f.Add(0, "%2F", "a", "page=1&columns=a.b", "{}")
	f.Add(40, "%00", "..", "sort=x&use_regex=true&name=(", `{"arguments":{"x":[1,{"y":null}]},"durable":"true"}`)
	f.Add(90, "%2F", "q", "lengths_age=1&lengths_incr=0", `{"count":1,"ackmode":"x","properties":{"headers":{"a":1e400}}}`)
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, route int, one, other, query, body string) {
		r := &w.router.routes[int(uint(route)%uint(len(w.router.routes)))]
		first := true
		path := variables.ReplaceAllStringFunc(r.path, func(string) string {
			name := other
			if first {
				name, first = one, false
			}
			return name
		})
		got := w.raw(r.method, path+"?"+query, body)
		judgeHostile(t, r.method+" "+path+"?"+query+" "+body, got)
	})
}
