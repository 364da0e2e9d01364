package ctl

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// client asks a broker over HTTP.
type client struct {
	base     string // such as http://127.0.0.1:15672
	user     *url.Userinfo
	local    bool // over the socket, where no credentials are needed
	http     http.Client
	nodeName string
	relayTo  string // the node that is meant, if it is not the one that is asked
}

// defaultTimeout is how long a command may take.
const defaultTimeout = 60 * time.Second

// variableURL names the broker if nothing else does.
const variableURL = "WARREN_URL"

// connect finds the broker: by --url, by the variable, over the local socket.
func connect(c *call) (*client, error) {
	timeout := defaultTimeout
	if c.timeout > 0 {
		timeout = time.Duration(c.timeout * float64(time.Second))
	}
	address := c.url
	if address == "" {
		address = c.Getenv(variableURL)
	}
	if c.cmd.offline {
		return nil, nil
	}
	if address != "" {
		return newClient(address, timeout)
	}
	cl := socketClient(c.Socket, timeout)
	cl.aim(c.options.node)
	return cl, nil
}

// aim lets the local node hand on what is asked, if another node of its cluster is meant. It does not if nobody answers, or the
// name is not known: who needs the node will say so.
func (cl *client) aim(wanted string) {
	if wanted == "" {
		return
	}
	var o overviewOf
	var nodes []nodeOf
	if cl.get(api("overview"), &o) != nil || called(o.Node, wanted) || cl.get(api("nodes"), &nodes) != nil {
		return
	}
	for _, n := range nodes {
		if called(n.Name, wanted) {
			cl.relayTo = n.Name
			return
		}
	}
}

// called tells whether a node is meant by a name: its own, or the part before the @.
func called(node, wanted string) bool { return node == wanted || strings.HasPrefix(node, wanted+"@") }

// newClient asks over TCP: http://user:password@host:15672.
func newClient(address string, timeout time.Duration) (*client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fail(exitUsage, "the address is not of the form http://user:password@host:15672")
	}
	cl := &client{base: u.Scheme + "://" + u.Host + strings.TrimSuffix(u.Path, "/"), user: u.User, http: http.Client{Timeout: timeout}}
	if cl.user == nil {
		cl.user = url.UserPassword("guest", "guest")
	}
	return cl, nil
}

// socketClient asks over a unix socket.
func socketClient(path string, timeout time.Duration) *client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		if path == "" {
			return nil, os.ErrNotExist
		}
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	return &client{base: "http://local", local: true, http: http.Client{Timeout: timeout, Transport: transport}}
}

// trust takes any certificate.
func (cl *client) trust() {
	cl.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // it was asked for
}

// refusal is an answer that is none of 2xx.
type refusal struct {
	status        int
	title, reason string
}

func (r *refusal) Error() string {
	if r.reason == "" {
		return fmt.Sprintf("the broker answers %d %s", r.status, http.StatusText(r.status))
	}
	return r.reason
}

// status gives the status of a refusal, 0 of anything else.
func status(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.status
	}
	return 0
}

// bodyMax bounds what is read of an answer.
const bodyMax = 1 << 30

// do asks. What comes back is decoded into out, if there is one; a json.RawMessage takes it as it is.
func (cl *client) do(method, path string, in, out any, headers ...string) error {
	var body io.Reader
	switch in := in.(type) {
	case nil:
	case []byte:
		body = bytes.NewReader(in)
	default:
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(context.Background(), method, cl.base+path, body)
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if cl.relayTo != "" {
		r.Header.Set("X-Warren-Node", cl.relayTo)
	}
	if cl.user != nil {
		password, _ := cl.user.Password()
		r.SetBasicAuth(cl.user.Username(), password)
	}
	answer, err := cl.http.Do(r)
	if err != nil {
		return cl.unreachable(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, bodyMax))
	if err != nil {
		return cl.unreachable(err)
	}
	if answer.StatusCode/100 != 2 {
		return refused(answer.StatusCode, text)
	}
	if raw, ok := out.(*json.RawMessage); ok {
		*raw = text
		return nil
	}
	if out == nil || len(text) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(out)
}

func refused(code int, text []byte) error {
	r := &refusal{status: code}
	var body struct {
		Error  string
		Reason any
	}
	if json.Unmarshal(text, &body) == nil {
		r.title = body.Error
		switch reason := body.Reason.(type) {
		case string:
			r.reason = reason
		case nil:
		default:
			again, _ := json.Marshal(reason) // it was JSON
			r.reason = string(again)
		}
	}
	if code == http.StatusUnauthorized {
		if r.reason == "" {
			r.reason = "the broker wants other credentials"
		}
		return fail(exitData, "%s", r.reason)
	}
	return r
}

// unreachable explains that nobody answers.
func (cl *client) unreachable(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fail(exitTempfail, "the operation timed out")
	}
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	if cl.local {
		return failPlain(exitUnavailable, "Error: unable to perform an operation on the local node: %v\n\n"+
			"Is it running, with the same data directory, and are you the same user or root? To reach another one: --url or %s", err, variableURL)
	}
	return failPlain(exitUnavailable, "Error: unable to perform an operation on %s: %v", cl.base, err)
}

// get asks for something.
func (cl *client) get(path string, out any) error { return cl.do(http.MethodGet, path, nil, out) }

// put sets something.
func (cl *client) put(path string, in any) error { return cl.do(http.MethodPut, path, in, nil) }

// remove deletes something.
func (cl *client) remove(path string, headers ...string) error {
	return cl.do(http.MethodDelete, path, nil, nil, headers...)
}

// api makes a path of words.
func api(words ...string) string {
	var b strings.Builder
	b.WriteString("/api")
	for _, w := range words {
		b.WriteString("/" + url.PathEscape(w))
	}
	return b.String()
}

// node gives the name of the node that answers, and checks that it is the one that is meant.
func (c *call) node() (string, error) {
	if c.client.nodeName == "" {
		var o struct {
			Node string `json:"node"`
		}
		if err := c.client.get(api("overview"), &o); err != nil {
			if c.client.relayTo != "" && status(err) == http.StatusServiceUnavailable {
				err = failPlain(exitUnavailable, "Error: unable to perform an operation on node '%s': %v", c.client.relayTo, err)
			}
			return "", err
		}
		c.client.nodeName = o.Node
	}
	name := c.client.nodeName
	if wanted := c.options.node; wanted != "" && !called(name, wanted) {
		return "", failPlain(exitUnavailable, "Error: unable to perform an operation on node '%s': the node here is '%s', and knows of no such node "+
			"that it could ask; to reach another one: --url or %s", wanted, name, variableURL)
	}
	return name, nil
}
