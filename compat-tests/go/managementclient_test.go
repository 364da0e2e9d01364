package compat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// management is the broker's management API, as one of its users.
type management struct {
	t              *testing.T
	base           string
	user, password string
}

// manage reaches the API whose address is in COMPAT_HTTP_URL, as the user of AMQP_URL; without one the test is skipped.
func manage(t *testing.T) *management {
	t.Helper()
	base := os.Getenv("COMPAT_HTTP_URL")
	if base == "" {
		t.Skip("COMPAT_HTTP_URL is not set: no management API to ask")
	}
	uri, err := amqp.ParseURI(brokerURL)
	if err != nil {
		t.Fatal(err)
	}
	return &management{t, base + "/api", uri.Username, uri.Password}
}

// as is the API as another user sees it.
func (m *management) as(user, password string) *management {
	return &management{m.t, m.base, user, password}
}

// reply is what came back: the status, the body as JSON if it is some.
type reply struct {
	status int
	header http.Header
	body   any
	raw    string
}

func (m *management) try(method, path string, body any) reply {
	m.t.Helper()
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			m.t.Fatal(err)
		}
		in = bytes.NewReader(data)
	}
	r, err := http.NewRequest(method, m.base+path, in)
	if err != nil {
		m.t.Fatal(err)
	}
	if m.user != "" {
		r.SetBasicAuth(m.user, m.password)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	out, err := http.DefaultClient.Do(r)
	if err != nil {
		m.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	if err != nil {
		m.t.Fatalf("%s %s: %v", method, path, err)
	}
	answer := reply{status: out.StatusCode, header: out.Header, raw: string(data)}
	_ = json.Unmarshal(data, &answer.body) // an empty body stays nil
	return answer
}

// must demands a status.
func (m *management) must(status int, method, path string, body any) reply {
	m.t.Helper()
	r := m.try(method, path, body)
	if r.status != status {
		m.t.Fatalf("%s %s %v: %d %s, want %d", method, path, body, r.status, r.raw, status)
	}
	return r
}

// get gives what a path answers with.
func (m *management) get(path string) any {
	m.t.Helper()
	return m.must(http.StatusOK, http.MethodGet, path, nil).body
}

// shows waits until a path shows a value where the steps lead: statistics are a few seconds late.
func (m *management) shows(want any, path string, steps ...any) {
	m.t.Helper()
	again := time.NewTicker(quietTime)
	defer again.Stop()
	deadline := time.After(patience)
	for {
		got := follow(m.try(http.MethodGet, path, nil).body, steps...)
		if got == want {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			m.t.Errorf("%s shows %v at %v, want %v", path, got, steps, want)
			return
		}
	}
}

// follow goes by names and indexes into a decoded value.
func follow(value any, steps ...any) any {
	for _, step := range steps {
		switch s := step.(type) {
		case string:
			o, _ := value.(map[string]any)
			value = o[s]
		case int:
			l, _ := value.([]any)
			if s >= len(l) {
				return nil
			}
			value = l[s]
		}
	}
	return value
}

// vhost makes a vhost for the test, in which the user may do everything.
func (m *management) vhost() (name, inPath string) {
	m.t.Helper()
	name = unique("vhost/")
	inPath = url.PathEscape(name)
	m.must(http.StatusCreated, http.MethodPut, "/vhosts/"+inPath, map[string]any{})
	m.t.Cleanup(func() { m.try(http.MethodDelete, "/vhosts/"+inPath, nil) })
	m.try(http.MethodPut, "/permissions/"+inPath+"/"+m.user, everything)
	return name, inPath
}

var everything = map[string]any{"configure": ".*", "write": ".*", "read": ".*"}

// newUser makes a user for the test.
func (m *management) newUser(tags string) (name, password string) {
	m.t.Helper()
	name, password = unique("user"), unique("password")
	m.must(http.StatusCreated, http.MethodPut, "/users/"+name, map[string]any{"password": password, "tags": tags})
	m.t.Cleanup(func() { m.try(http.MethodDelete, "/users/"+name, nil) })
	return name, password
}

// connectTo connects to a vhost as a user.
func connectTo(t *testing.T, vhost, user, password string) (*amqp.Connection, error) {
	t.Helper()
	uri, err := amqp.ParseURI(brokerURL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := amqp.DialConfig(fmt.Sprintf("amqp://%s:%d/", uri.Host, uri.Port), amqp.Config{
		Vhost: vhost, SASL: []amqp.Authentication{&amqp.PlainAuth{Username: user, Password: password}},
	})
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

// enter connects to a vhost as the user of the API.
func (m *management) enter(vhost string) *client {
	m.t.Helper()
	conn, err := connectTo(m.t, vhost, m.user, m.password)
	if err != nil {
		m.t.Fatalf("connect to %s: %v", vhost, err)
	}
	return channelOf(m.t, conn)
}
