// Package audit owns the record of who did what that matters for security: logins, changes of users, permissions, policies
// and other metadata over HTTP, deletions, purges, exports.
//
//  1. Whoever does such a thing calls Log.Record with an Event, once it is known how it ended.
//  2. Log writes one JSON object a line, with the time in front.
//
// It never holds a password, a body or a token, and nothing waits for it but its own writer.
package audit

import (
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/rs/zerolog"
)

// Event is one line. Fields that are empty are left out.
type Event struct {
	// Action is a noun and what was done to it: user.login, queue.delete, queue.purge, exchange.delete, http.
	Action string
	// User is who did it, or said so.
	User string
	// From is where the user came from: an address.
	From string
	// VHost and Name are what it was done to.
	VHost, Name string
	// Detail is what else there is to know, such as a login's mechanism.
	Detail string
	// Refused is why it was not done; "" if it was.
	Refused string
	// Status is the answer's over HTTP.
	Status int
}

// Log takes events. A nil Log takes them and forgets them.
type Log struct{ logger zerolog.Logger }

// New makes a Log that writes to w, whose Write is called by one goroutine at a time.
func New(w io.Writer) *Log {
	return &Log{zerolog.New(zerolog.SyncWriter(w)).With().Timestamp().Logger()}
}

// Record notes an event.
func (l *Log) Record(e Event) {
	if l == nil {
		return
	}
	line := l.logger.Log().Str("action", e.Action).Bool("ok", e.Refused == "")
	for _, field := range [...]struct{ name, value string }{
		{"user", e.User}, {"from", e.From}, {"vhost", e.VHost}, {"name", e.Name}, {"detail", e.Detail}, {"refused", e.Refused},
	} {
		if field.value != "" {
			line = line.Str(field.name, field.value)
		}
	}
	if e.Status != 0 {
		line = line.Int("status", e.Status)
	}
	line.Send()
}

// Handler records what next does that changes something, or that shows everything at once.
func Handler(l *Log, next http.Handler) http.Handler {
	if l == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !audited(r) {
			next.ServeHTTP(w, r)
			return
		}
		answer := &answer{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		user, _, _ := r.BasicAuth()
		e := Event{Action: "http", User: user, From: host(r.RemoteAddr), Name: r.URL.EscapedPath(), Detail: r.Method, Status: answer.status}
		if answer.status >= http.StatusBadRequest {
			e.Refused = http.StatusText(answer.status)
		}
		l.Record(e)
	})
}

// audited tells whether a request is one to remember: not the reading ones, but exports are; not messages.
func audited(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return strings.Contains(r.URL.Path, "/definitions") || strings.Contains(r.URL.Path, "/all-configuration")
	case http.MethodOptions:
		return false
	}
	return !strings.HasSuffix(r.URL.Path, "/publish") && !strings.HasSuffix(r.URL.Path, "/get")
}

func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

// answer notes the status of what is written.
type answer struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
