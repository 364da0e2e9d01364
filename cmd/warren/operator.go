package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/warrenmq/warren/broker/audit"
	"github.com/warrenmq/warren/broker/logs"
	"github.com/warrenmq/warren/broker/settings"
)

// operator is the socket over which the user that runs the broker, and root, administer it without a password: the HTTP
// API, and under /control what is about the process.
type operator struct {
	server   *server
	http     *http.Server
	listener net.Listener
	ended    chan struct{}
	user     string
	password string
}

// socketPathMax is the longest path that a socket can have on every system.
const socketPathMax = 100

// openOperator listens. A path that is too long for a socket is no reason not to start.
func (s *server) openOperator(path string) error {
	if path == "" {
		return nil
	}
	if len(path) > socketPathMax {
		s.logger.Warn().Str("path", path).Msg("there is no control socket: its path is too long; set control_socket")
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if conn, err := net.Dial("unix", path); err == nil {
		_ = conn.Close()
		return fmt.Errorf("%s: the control socket is in use by another process", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(err, l.Close())
	}
	o := &operator{server: s, listener: trustedListener{l}, ended: make(chan struct{})}
	o.user, o.password = s.broker.Operator()
	o.http = &http.Server{
		Handler: logs.Guard(s.logger, o.handler()), ReadHeaderTimeout: operatorTime, ErrorLog: log.New(s.logger, "", 0),
	}
	go func() {
		defer close(o.ended)
		if err := o.http.Serve(o.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.logger.Error().Err(err).Msg("the control socket has ended")
		}
	}()
	s.closeAll = append(s.closeAll, o.close)
	return nil
}

// operatorTime is how long a request's head may take, and a request when the broker ends.
const operatorTime = 5 * time.Second

func (o *operator) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), operatorTime)
	defer cancel()
	err := o.http.Shutdown(ctx)
	if err != nil {
		err = o.http.Close()
	}
	<-o.ended
	return err
}

// trustedListener accepts only who runs as the same user as the broker, or as root.
type trustedListener struct{ net.Listener }

// Accept implements net.Listener.
func (l trustedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || trusted(conn) {
			return conn, err
		}
		_ = conn.Close()
	}
}

func (o *operator) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /control/stop", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		o.server.stop()
	})
	mux.HandleFunc("POST /control/reload", func(w http.ResponseWriter, _ *http.Request) {
		o.server.hangUp()
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("POST /control/log-level", o.setLogLevel)
	mux.HandleFunc("POST /control/suspend-listeners", func(w http.ResponseWriter, _ *http.Request) { answer(w, o.server.broker.SuspendListeners()) })
	mux.HandleFunc("POST /control/resume-listeners", func(w http.ResponseWriter, r *http.Request) {
		answer(w, o.server.broker.ResumeListeners(r.Context()))
	})
	mux.HandleFunc("POST /control/override", o.override)
	mux.HandleFunc("POST /control/backup", o.backup)
	mux.HandleFunc("GET /control/settings", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(o.server.shown()) // whoever asked may be gone
	})
	mux.Handle("/api/", o.server.broker.API())
	own := o.authorise(audit.Handler(o.server.journal.audit, mux))
	o.server.broker.Operate(atHome(own))
	return o.relay(own)
}

// atHome leaves to operators of the node itself what writes files.
func atHome(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/control/backup" {
			answer(w, errors.New("a backup is made on the node itself"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// headerNode names the node that a request is for, if it is another one.
const headerNode = "X-Warren-Node"

// relay hands on requests that are for another node.
func (o *operator) relay(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		node := r.Header.Get(headerNode)
		if node == "" {
			next.ServeHTTP(w, r)
			return
		}
		r.Header.Del(headerNode)
		if err := o.server.broker.Relay(w, r, node); err != nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": "unavailable", "reason": err.Error()}) // whoever asked may be gone
		}
	})
}

// authorise lets requests be the operator's, unless they bring credentials of their own to be checked.
func (o *operator) authorise(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "127.0.0.1:0"
		if r.Header.Get("Authorization") == "" {
			r.SetBasicAuth(o.user, o.password)
		}
		next.ServeHTTP(w, r)
	})
}

func (o *operator) setLogLevel(w http.ResponseWriter, r *http.Request) {
	var wish struct{ Area, Level string }
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&wish)
	if err == nil {
		err = o.server.journal.setLevel(wish.Area, wish.Level)
	}
	answer(w, err)
}

// answer says that something is done, or why not.
func answer(w http.ResponseWriter, err error) {
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": "bad_request", "reason": err.Error()}) // whoever asked may be gone
}

// setLevel changes the level of an area, by the names that settings have.
func (j *journal) setLevel(area, name string) error {
	level, err := logs.Level(settings.LevelName(name))
	if err != nil {
		return err
	}
	return j.SetLevel(area, level)
}
