package audit

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAnEventIsALine(t *testing.T) {
	var out strings.Builder
	l := New(&out)
	l.Record(Event{Action: "user.login", User: "u\n{\"x\":1}", From: "192.0.2.1", Detail: "PLAIN", Refused: "invalid credentials"})
	l.Record(Event{Action: "queue.purge", User: "u", VHost: "/", Name: "q"})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	var first, second map[string]any
	for i, into := range []*map[string]any{&first, &second} {
		if err := json.Unmarshal([]byte(lines[i]), into); err != nil {
			t.Fatal(err)
		}
	}
	if first["user"] != "u\n{\"x\":1}" || first["ok"] != false || first["refused"] != "invalid credentials" || first["time"] == nil || first["vhost"] != nil {
		t.Errorf("%v", first)
	}
	if second["ok"] != true || second["name"] != "q" {
		t.Errorf("%v", second)
	}
	var none *Log
	none.Record(Event{Action: "x"}) // nobody wants to know
}

func TestWhatIsRecordedOverHTTP(t *testing.T) {
	var out strings.Builder
	h := Handler(New(&out), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/users/no" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	for _, c := range []struct {
		method, path string
		line         string
	}{
		{"GET", "/api/queues", ""},
		{"HEAD", "/api/queues", ""},
		{"OPTIONS", "/api/users/u", ""},
		{"POST", "/api/exchanges/%2F/x/publish", ""},
		{"POST", "/api/queues/%2F/q/get", ""},
		{"GET", "/api/definitions", `"name":"/api/definitions","detail":"GET","status":200`},
		{"PUT", "/api/users/u", `"ok":true,"user":"admin","from":"192.0.2.9"`},
		{"DELETE", "/api/queues/%2F/q/contents", `"name":"/api/queues/%2F/q/contents","detail":"DELETE"`},
		{"PUT", "/api/users/no", `"ok":false,"user":"admin","from":"192.0.2.9","name":"/api/users/no","detail":"PUT","refused":"Unauthorized","status":401`},
	} {
		out.Reset()
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(`{"password":"canary"}`))
		r.RemoteAddr = "192.0.2.9:1234"
		r.SetBasicAuth("admin", "canary")
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got := out.String(); (c.line == "") != (got == "") || !strings.Contains(got, c.line) || strings.Contains(got, "canary") {
			t.Errorf("%s %s: %q", c.method, c.path, got)
		}
	}
	if inner := http.NotFoundHandler(); Handler(nil, inner) == nil {
		t.Error("without a log there is no handler")
	}
}
