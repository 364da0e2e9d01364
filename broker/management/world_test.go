package management

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/store/meta"
	"github.com/warrenmq/warren/store/oplog"
)

// world is the API over a broker of parts: one group, metadata in memory, a clock that is moved by hand.
type world struct {
	t testing.TB
	*Server
	groups *groups
	env    *session.Env
	now    atomic.Int64
	live   sync.WaitGroup
}

// groups is one group for all queues.
type groups struct{ one *group.Group }

// Handle implements session.Groups.
func (g *groups) Handle(uint64) (dispatch.Handle, error) { return dispatch.Whole{Group: g.one}, nil }

// Counts implements session.Groups.
func (g *groups) Counts(_ uint64, id queue.ID, done func(queue.Counts, bool)) {
	if g.one.Ask(func(s *queue.Set) { c, _ := s.Counts(id); done(c, true) }) != nil {
		done(queue.Counts{}, false)
	}
}

const started = 1_700_000_000_000

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, groups: &groups{}}
	w.now.Store(started)
	clock := w.now.Load
	editor, err := topology.Open(context.Background(), meta.NewMemory(nil, 0), topology.Options{
		Node: 1, Place: func(*topology.Catalog, *topology.Queue) uint64 { return 1 }, Forbidden: topology.Forbidden(nil),
	})
	w.must(err)
	inboxes := group.NewInboxes(1)
	w.groups.one, err = group.Open(1, oplog.DirectHost{Clock: clock}, []uint64{1}, inboxes, group.Hooks{
		Catalog: editor.Catalog, FirstSession: 1, Fatal: func(err error) { panic(err) },
		QueueGone: func(queue.ID, func()) {}, DeadLetters: func(*group.Group, queue.ID) {},
	}, zerolog.Nop())
	w.must(err)
	editor.Listen(func(c topology.Change) { w.groups.one.Follow(c.Queues) })
	registry := session.NewRegistry(0)
	editor.Listen(registry.Follow)
	authority := &auth.Authority{Catalog: editor.Catalog}
	var numbers atomic.Uint64
	numbers.Store(100)
	w.env = &session.Env{
		Settings: session.Settings{
			FrameMax: 131072, ChannelMax: 100, Heartbeat: 0, MaxMessageSize: 1 << 20, HandshakeTimeout: 10 * time.Second,
			Product: "RabbitMQ", Version: "4.3.6",
		},
		Node: 1, Editor: editor, Authority: authority, Groups: w.groups, Inboxes: inboxes, Logger: zerolog.Nop(),
		Registry: registry, Alarms: &limits.Alarms{}, Replies: session.NewReplies(1), Numbers: &numbers,
	}
	w.Server = New(Options{
		Editor: editor, Authority: authority, Registry: registry, Alarms: w.env.Alarms, Logger: zerolog.Nop(), Clock: clock,
		Groups: func() []*group.Group { return []*group.Group{w.groups.one} }, Dial: func(net.Addr) net.Conn { return w.pipe(session.NewLocal) },
		Listeners: func() []Listener {
			return []Listener{{Protocol: "amqp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5672}}}
		},
		Limits:   func() (memory, diskFree uint64) { return 0, 0 },
		Identity: Identity{Node: "warren@test", Cluster: "test", Product: "RabbitMQ", Version: "4.3.6", DefaultQueueType: "classic", Started: time.Now()},
	})
	w.user("guest", "administrator")
	_, err = editor.PutVHost(context.Background(), "/", nil, nil)
	w.must(err)
	w.permit("guest", "/")
	t.Cleanup(w.end)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) end() {
	w.Registry.Each(func(s *session.Session) { s.Abort() })
	w.live.Wait()
	w.must(w.groups.one.Close())
}

// user makes a user whose password is its name.
func (w *world) user(name string, tags ...string) {
	w.t.Helper()
	hash, err := auth.Hash(auth.SHA256, name)
	w.must(err)
	_, err = w.Editor.PutUser(context.Background(), name, func(r *topology.UserRecord) error {
		r.PasswordHash, r.Algorithm, r.Tags = hash, auth.SHA256, tags
		return nil
	}, nil)
	w.must(err)
}

func (w *world) permit(user, vhost string) {
	w.t.Helper()
	_, err := w.Editor.PutPermission(context.Background(), vhost, user, ".*", ".*", ".*", nil)
	w.must(err)
}

// pipe is a client's end of a new connection.
func (w *world) pipe(open func(*session.Env, net.Conn) *session.Session) net.Conn {
	client, server := net.Pipe()
	w.live.Go(open(w.env, server).Serve)
	return client
}

// client connects as an application does.
func (w *world) client(user, vhost string) *client {
	w.t.Helper()
	c := &client{conn: w.pipe(session.New), size: 8192}
	w.must(c.open(user, user, vhost))
	w.t.Cleanup(func() { _ = c.conn.Close() })
	return c
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

// httpRequest is a request that asks for a path.
func (w *world) httpRequest(path string) *http.Request {
	return httptest.NewRequest(http.MethodGet, "/api"+path, nil)
}

// as does a request as a user; "" brings no credentials.
func (w *world) as(user, method, path, body string) reply {
	r := httptest.NewRequest(method, "/api"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if user != "" {
		r.SetBasicAuth(user, user)
	}
	out := httptest.NewRecorder()
	w.ServeHTTP(out, r)
	return reply{out.Code, out.Header(), strings.TrimSpace(out.Body.String())}
}

// do does a request as guest and demands a status.
func (w *world) do(status int, method, path, body string) reply {
	w.t.Helper()
	r := w.as("guest", method, path, body)
	if r.status != status {
		w.t.Fatalf("%s %s %s: %d %s, want %d", method, path, body, r.status, r.body, status)
	}
	return r
}

// get gives what a path answers with.
func (w *world) get(path string) any {
	w.t.Helper()
	var value any
	w.must(json.Unmarshal([]byte(w.do(200, "GET", path, "").body), &value))
	return value
}

// at follows names and indexes into a decoded value.
func at(value any, path ...any) any {
	for _, step := range path {
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

// eventually waits for what happens on other goroutines.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("never: %s", what)
		}
	}
}
