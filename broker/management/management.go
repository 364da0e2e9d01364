// Package management owns the HTTP API: what RabbitMQ's management API answers, this one answers. It decides nothing
// itself: it changes metadata through the topology.Editor, asks auth who somebody is, and speaks AMQP to the broker when
// it handles messages.
//
//  1. Serve takes connections; ServeHTTP finds the route of a request in the table of routes.
//  2. The route says what its user must be (need). Who may not is refused before anything is looked at.
//  3. The route's handler reads body and path, asks or changes the broker, and gives an answer or a failure.
//  4. A list is sorted, cut into pages and trimmed to columns on its way out; objects are made as they are written.
//  5. Meanwhile the sampler notes the numbers of everything every few seconds, for rates.
package management

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/audit"
	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/logs"
	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/topology"
)

// Options are what the API needs of the broker.
type Options struct {
	Editor    *topology.Editor
	Authority *auth.Authority
	Registry  *session.Registry
	Alarms    *limits.Alarms
	// Nodes are the nodes of the cluster. Nil: there is this one.
	Nodes *Cluster
	// Groups gives the groups that are led on this node.
	Groups func() []*group.Group
	// Damage gives the groups of which what is stored is damaged, and where. Their queues refuse. Nil: there are none.
	Damage func() map[uint64]error
	// Dial opens an AMQP connection to the broker itself, on behalf of a peer.
	Dial func(peer net.Addr) net.Conn
	// Listeners gives the addresses the node listens on.
	Listeners func() []Listener
	// Limits gives from how much memory on, and below how much free disk, publishers are blocked, in bytes. 0: no limit.
	Limits func() (memory, diskFree uint64)
	Identity
	// PathPrefix stands before all paths that Serve answers.
	PathPrefix string
	// Audit is told of what clients change, and of exports.
	Audit  *audit.Log
	Logger zerolog.Logger
	Clock  func() int64 // milliseconds since the epoch
}

// Identity is what the node tells of itself.
type Identity struct {
	Node             string // its name
	Cluster          string // the cluster's, as long as nobody has named it otherwise
	Product, Version string // as clients expect them
	Own              string // Warren's version
	DataDir          string
	DefaultQueueType string
	MaxConnections   int // 0: no limit
	TargetNodes      int // how many nodes the cluster is to have. 0: any
	LogFiles         []string
	ConfigFiles      []string
	Settings         func() map[string]string // what the operator has set, without secrets
	Forbidden        map[string]bool          // deprecated features that are not permitted
	Started          time.Time
}

// Listener is an address that a node listens on.
type Listener struct {
	Protocol string // amqp, amqp/ssl, http, …
	Addr     net.Addr
	Expiry   time.Time // of the first certificate to end; zero without TLS
}

// Server is the API of one node. It is safe for concurrent use.
type Server struct {
	Options
	router  *router
	guarded http.Handler // serve
	sampler *sampler
	http    *http.Server

	peers      peers
	tallies    tallies
	queueLists queueLists
}

// Bounds on what a client may do to the server. A request has its time to arrive, and an answer to leave.
const (
	headerTime = 10 * time.Second
	readTime   = 2 * time.Minute
	writeTime  = 5 * time.Minute
	idleTime   = 2 * time.Minute
	headerMax  = 64 << 10
	connsMax   = 1024 // connections at a time; more wait to be accepted
)

// New makes the API. Serve lets clients reach it.
func New(o Options) *Server {
	if o.Nodes == nil {
		o.Nodes = Alone(o.Node, 1)
	}
	s := &Server{Options: o, router: newRouter(allRoutes())}
	s.sampler = newSampler(s)
	s.guarded = logs.Guard(o.Logger, http.HandlerFunc(s.serve))
	s.http = &http.Server{
		Handler: http.StripPrefix(o.PathPrefix, audit.Handler(o.Audit, s)), ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: headerMax, ErrorLog: log.New(o.Logger, "", 0),
	}
	return s
}

// Serve answers what comes to the listener, until Close.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(&boundedListener{Listener: l, places: make(chan struct{}, connsMax)})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Sample notes the numbers of everything from time to time, until the context ends.
func (s *Server) Sample(ctx context.Context) { s.sampler.run(ctx) }

// Close ends the API. Requests under way have a moment to end.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.guarded.ServeHTTP(w, r) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "accept, accept-encoding, origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "script-src 'self'; object-src 'self'")
	path, found := strings.CutPrefix(r.URL.EscapedPath(), "/api")
	place, values := s.router.find(path)
	if !found || place == nil {
		s.outside(w, r)
		return
	}
	h.Set("Allow", place.allowed())
	route := place.route(r.Method)
	switch {
	case r.Method == http.MethodOptions:
		w.WriteHeader(http.StatusOK)
		return
	case route == nil:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	q := &request{server: s, http: r, values: values}
	if f := q.authorise(route.need); f != nil {
		s.refuse(w, f)
		return
	}
	a, err := route.handle(q)
	if err == nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
		err = s.Editor.Settled(r.Context())
	}
	if err == nil {
		err = s.answer(w, r, a)
	}
	if err != nil {
		f := asFailure(err)
		if f == errInternal {
			s.Logger.Error().Err(err).Str("method", r.Method).Str("path", r.URL.Path).Msg("a request failed")
		}
		s.refuse(w, f)
	}
}

// outside answers what is asked about nothing in the API: whether somebody is here, and where to read on.
func (s *Server) outside(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "", "/", "/index.html":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!DOCTYPE html>\n<title>%s management</title>\n<p>The management API is at /api, its description at <a href=\"api/openapi.json\">/api/openapi.json</a>.</p>\n", s.Product)
	case "/api", "/api/", "/api/index.html":
		http.Redirect(w, r, "/api/openapi.json", http.StatusMovedPermanently)
	default:
		errNotFound.write(w)
	}
}

// refuse sends a failure. Whoever is not let in is told how to try.
func (s *Server) refuse(w http.ResponseWriter, f *failure) {
	if f.status == http.StatusUnauthorized && f.kind == "" {
		w.Header().Set("Www-Authenticate", `Basic realm="RabbitMQ Management"`)
	}
	if f.kind == "" && f.body == nil {
		w.WriteHeader(f.status)
		return
	}
	f.write(w)
}

// answer sends an answer; an error means that nothing was sent.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, a answer) error {
	h := w.Header()
	if a.location != "" {
		h.Set("Location", a.location)
	}
	if a.download != "" {
		h.Set("Content-Disposition", "attachment; filename="+a.download)
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return nil
	}
	out := w
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && r.Method != http.MethodHead {
		packed := &gzipped{ResponseWriter: w}
		defer packed.close()
		out = packed
	}
	switch body := a.body.(type) {
	case *list:
		return body.write(out, a.status, r.URL.Query())
	case object:
		writeJSON(out, a.status, trim(body, readColumns(r.URL.Query())))
	default:
		writeJSON(out, a.status, body)
	}
	return nil
}

func bug(format string, values ...any) { panic("management: " + fmt.Sprintf(format, values...)) }
