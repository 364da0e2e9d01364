// Package metrics owns what Prometheus reads: the numbers of a node in its text format, by the names and labels that
// RabbitMQ's plugin has for them, so that dashboards and alerts for RabbitMQ work.
//
//  1. Serve takes connections; ServeHTTP finds out which of the pages is asked for: the node's numbers (aggregated), those of
//     each object, or some families of them (detailed).
//  2. collect reads what others keep: counters of stats, the machines of the groups, the open connections.
//  3. A family is a table of metrics over objects of a kind; it is written object by object, or added up.
//
// Nothing is gathered between two requests, and nothing is counted here.
package metrics

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/logs"
	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/topology"
)

// Options are what the numbers are read from.
type Options struct {
	Catalog  func() *topology.Catalog
	Registry *session.Registry
	Alarms   *limits.Alarms
	Groups   func() []*group.Group
	// Authority checks passwords, if Authenticate wants them.
	Authority *auth.Authority
	// Storage tells what the disk has to do; nil if nothing is kept there.
	Storage func() Storage
	// Ways tells how the ways to the groups are; nil if there are no other nodes.
	Ways func() []Way
	Settings
	Identity
	// Limits gives how much memory may be used and how much disk must be free, in bytes; 0: no limit.
	Limits func() (memory, disk uint64)
	Logger zerolog.Logger
}

// Settings are what an operator decides.
type Settings struct {
	Path         string // of the pages. Default /metrics
	PerObject    bool   // Path gives the numbers of each object
	Authenticate bool   // only users with the tag monitoring or administrator may look
}

// Identity is what the node tells of itself.
type Identity struct {
	Node, Cluster string // Cluster as long as nobody has named it otherwise
	Version       string // of RabbitMQ, as clients expect it
	Own           string // Warren's
	DataDir       string
	Started       time.Time
}

// Storage is what a node's disk has had to do since the start. Counters, but for those that say "now".
type Storage struct {
	Syncs       uint64
	SyncSeconds float64
	LogBytes    uint64 // written to the log
	Written     uint64 // bytes written at all
	DiskBytes   uint64 // taken now
	HeldBytes   uint64 // of entries, now
	Groups      []GroupProgress
}

// GroupProgress is how far the log of a group has come.
type GroupProgress struct {
	Group              uint64
	Term               uint64
	Written            uint64        // index of the newest entry that is on the disk
	Snapshot           uint64        // index of the newest snapshot
	Latency            time.Duration // from writing an entry to its commit, as it was a moment ago
	Committed, Applied uint64        // indexes
	Entries, Bytes     uint64        // applied
	ColdReads          uint64        // of entries that were not in memory
	// Leads tells that the group is led here, by one of so many Members that vote. Behind is how many entries the slowest of the
	// others lacks, Silent since when nothing was heard of the one that was heard longest ago.
	Leads   bool
	Members int
	Behind  uint64
	Silent  time.Duration
}

// Way is how the way from this node to a group is.
type Way struct {
	Group      uint64
	Refuses    bool   // what is new: the group has had no leader for too long
	Waiting    int    // bytes of what is not applied
	Leaderless uint64 // messages that were refused for want of a leader
	Full       uint64 // messages that were refused because too much waited
	Requests   uint64 // consumers, gets and the like that were refused
}

// Server answers Prometheus. It is safe for concurrent use.
type Server struct {
	Options
	http *http.Server
	turn chan struct{} // requests that are being answered
}

// Bounds on what a client may do. More requests than asked at a time wait.
const (
	readTime  = 10 * time.Second
	writeTime = 2 * time.Minute
	idleTime  = 2 * time.Minute
	headerMax = 16 << 10
	asked     = 2
	filterMax = 1024 // octets of a pattern
)

// New makes a server. Serve lets Prometheus reach it.
func New(o Options) *Server {
	if o.Path == "" {
		o.Path = "/metrics"
	}
	s := &Server{Options: o, turn: make(chan struct{}, asked)}
	s.http = &http.Server{
		Handler: logs.Guard(o.Logger, s), ReadHeaderTimeout: readTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: headerMax, ErrorLog: log.New(o.Logger, "", 0),
	}
	return s
}

// Serve answers what comes to the listener, until Close.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends the server. Requests under way have a moment to end.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// contentType is that of Prometheus's text format.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, found := strings.CutPrefix(r.URL.Path, s.Path)
	which := strings.TrimPrefix(rest, "/")
	switch {
	case !found || rest != "" && rest[0] != '/':
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case s.Authenticate && !s.mayLook(r):
		w.Header().Set("Www-Authenticate", `Basic realm="RabbitMQ Prometheus"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	write := pages[which]
	if write == nil {
		http.Error(w, "Unknown Registry", http.StatusNotFound)
		return
	}
	f, err := readFilter(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-r.Context().Done():
		return
	}
	s.send(w, r, func(p *page) { write(s, p, f) })
}

// send writes a page, packed if whoever asks understands it.
func (s *Server) send(w http.ResponseWriter, r *http.Request, write func(*page)) {
	w.Header().Set("Content-Type", contentType)
	out := io.Writer(w)
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			bug("%v", err)
		}
		defer func() { _ = z.Close() }() // whoever asked is gone
		out = z
	}
	p := &page{ctx: r.Context(), out: out}
	write(p)
	p.flush()
}

// mayLook tells whether a request comes from somebody who monitors.
func (s *Server) mayLook(r *http.Request) bool {
	user, password, given := r.BasicAuth()
	if !given {
		return false
	}
	peer := &net.TCPAddr{}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		peer.IP = net.ParseIP(host)
	}
	principal, err := s.Authority.Password(user, password, peer)
	return err == nil && principal.HasTag(s.Catalog(), "administrator", "monitoring")
}

// filter is what of the objects is wanted. The zero value wants all, of no family.
type filter struct {
	families map[string]bool
	vhosts   map[string]bool // nil: all
	queue    *regexp.Regexp  // nil: all
}

func readFilter(r *http.Request) (f filter, err error) {
	query := r.URL.Query()
	f.families = map[string]bool{}
	for _, name := range query["family"] {
		f.families[name] = true
	}
	for _, name := range query["vhost"] {
		if f.vhosts == nil {
			f.vhosts = map[string]bool{}
		}
		f.vhosts[name] = true
	}
	patterns := query["queue"]
	switch {
	case len(patterns) > 1:
		//lint:ignore ST1005 RabbitMQ's words
		return f, errors.New("Only one 'queue' query parameter is allowed")
	case len(patterns) == 0 || patterns[0] == "":
		return f, nil
	case len(patterns[0]) > filterMax:
		return f, errors.New("'queue' regex too long")
	}
	if f.queue, err = regexp.Compile(patterns[0]); err != nil {
		return f, fmt.Errorf("the 'queue' regex is invalid: %w", err)
	}
	return f, nil
}

// wants tells whether an object of a vhost is asked for; of queues, only those whose name fits.
func (f *filter) wants(vhost string) bool { return f.vhosts == nil || f.vhosts[vhost] }

func (f *filter) wantsQueue(vhost, name string) bool {
	return f.wants(vhost) && (f.queue == nil || f.queue.MatchString(name))
}
