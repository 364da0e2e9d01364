package management

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// tags are the users of the tests, by the tag they have; "none" has none.
var tags = []string{"none", tagManagement, tagPolicymaker, tagMonitoring, tagAdministrator}

// lets is who a need lets in, said another way than the code says it.
func lets(n need, tag string, entered, self bool) bool {
	if n == nobody {
		return true
	}
	admin, mon, pol := tag == tagAdministrator, tag == tagMonitoring || tag == tagAdministrator, tag == tagPolicymaker || tag == tagAdministrator
	switch {
	case tag == "" || tag == "none":
		return false
	case n == anyUser:
		return true
	case n == vhostUser:
		return admin || entered
	case n == vhostMonitor:
		return mon || entered
	case n == monitor:
		return mon
	case n == policymaker:
		return pol && (admin || entered)
	case n == administrator:
		return admin
	case n == ownUser:
		return mon || self
	}
	return admin || self
}

// crowd is a world with a user of each tag, who may use the vhost mine, and not theirs.
func crowd(t *testing.T) *world {
	w := newWorld(t)
	for _, vhost := range []string{"mine", "theirs"} {
		w.do(201, "PUT", "/vhosts/"+vhost, "")
	}
	for _, tag := range tags {
		if tag == "none" {
			w.user(tag)
		} else {
			w.user(tag, tag)
		}
		w.permit(tag, "mine")
	}
	return w
}

// TestEveryRouteWithEveryTag asks every route as every kind of user, about a vhost of its own and one of others, and about
// itself and others. Who is let in is said above; what then happens must be no failure of the server.
func TestEveryRouteWithEveryTag(t *testing.T) {
	w := crowd(t)
	asked := 0
	for i := range w.router.routes {
		r := &w.router.routes[i]
		for _, tag := range append([]string{""}, tags...) {
			for _, vhost := range []string{"mine", "theirs"} {
				for _, self := range []bool{true, false} {
					user := "guest"
					if self && tag != "" {
						user = tag
					}
					path := strings.NewReplacer("{vhost}", vhost, "{user}", user, "{node}", w.Node).Replace(r.path)
					if !self && !strings.Contains(r.path, "{user}") || vhost == "theirs" && !strings.Contains(r.path, "{vhost}") {
						continue
					}
					asked++
					got := w.as(tag, r.method, path, "")
					judge(t, r, tag, path, got, lets(r.need, tag, vhost == "mine" || !strings.Contains(r.path, "{vhost}"), user == tag))
					if r.method != "GET" && got.status < 300 {
						w = crowd(t)
					}
				}
			}
		}
	}
	if asked < 1000 {
		t.Errorf("only %d questions", asked)
	}
}

// judge compares an answer with whether the user should have been let in.
func judge(t *testing.T, r *route, tag, path string, got reply, let bool) {
	t.Helper()
	what := fmt.Sprintf("%s %s as %q: %d %s", r.method, path, tag, got.status, got.body)
	var body struct{ Error, Reason any }
	_ = json.Unmarshal([]byte(got.body), &body) // an empty body has neither
	hidden := got.status == 404 && body.Error == "not_found" && body.Reason == "Not Found"
	refused := got.status == 401 && body.Reason != "Access refused." && body.Reason != "Not_Authorized"
	switch {
	case got.status >= 500 && got.status != 503:
		t.Errorf("%s: a failure", what)
	case r.path == "/login": // it answers who may come in itself
	case let && (hidden || refused):
		t.Errorf("%s: refused", what)
	case !let && !hidden && !refused:
		t.Errorf("%s: let in", what)
	case tag == "" && !let && got.header.Get("Www-Authenticate") == "":
		t.Errorf("%s: does not say how to log in", what)
	}
}

func TestLogin(t *testing.T) {
	w := crowd(t)
	for _, c := range []struct {
		user   string
		status int
		says   string
	}{
		{"", 401, ""},
		{"nobody", 401, `{"error":"not_authorized","reason":"Not_Authorized"}`},
		{"none", 401, `{"error":"not_authorised","reason":"Not management user"}`},
		{tagManagement, 200, `{"is_internal_user":true,"name":"management","tags":["management"]}`},
	} {
		if r := w.as(c.user, "GET", "/whoami", ""); r.status != c.status || r.body != c.says {
			t.Errorf("%q: %d %s", c.user, r.status, r.body)
		}
	}
}

// TestWhatOthersHaveIsNotShown to who does not monitor.
func TestWhatOthersHaveIsNotShown(t *testing.T) {
	w := crowd(t)
	w.permit("guest", "theirs")
	for _, vhost := range []string{"mine", "theirs"} {
		w.do(201, "PUT", "/queues/"+vhost+"/q", `{"durable":true}`)
		w.do(201, "PUT", "/policies/"+vhost+"/p", `{"pattern":"","definition":{"max-length":1}}`)
	}
	for _, path := range []string{"/queues", "/bindings", "/policies", "/exchanges", "/vhosts", "/consumers", "/vhost-limits"} {
		if r := w.as(tagManagement, "GET", path, ""); r.status != 200 || strings.Contains(r.body, "theirs") {
			t.Errorf("%s shows %s", path, r.body)
		}
		if r := w.as(tagMonitoring, "GET", path, ""); r.status != 200 {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	w.client("guest", "theirs")
	w.client(tagManagement, "mine")
	for _, path := range []string{"/connections", "/channels"} {
		var own, all []map[string]any
		w.must(json.Unmarshal([]byte(w.as(tagManagement, "GET", path, "").body), &own))
		w.must(json.Unmarshal([]byte(w.as(tagMonitoring, "GET", path, "").body), &all))
		if len(own) != 1 || own[0]["user"] != tagManagement || len(all) != 2 {
			t.Errorf("%s: %d own, %d in all", path, len(own), len(all))
		}
	}
}
