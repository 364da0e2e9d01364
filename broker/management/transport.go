package management

import (
	"compress/gzip"
	"net"
	"net/http"
	"sync"
)

// gzipMin is from how many bytes on an answer is packed.
const gzipMin = 300

// gzipped packs what is written, unless the first that is written is small: then that is all.
type gzipped struct {
	http.ResponseWriter
	status int
	begun  bool
	z      *gzip.Writer // nil: it is not packed
}

// WriteHeader implements http.ResponseWriter. Nothing is sent before it is known what follows.
func (g *gzipped) WriteHeader(status int) { g.status = status }

// Write implements io.Writer.
func (g *gzipped) Write(b []byte) (int, error) {
	if !g.begun {
		g.begin(len(b) >= gzipMin)
	}
	if g.z == nil {
		return g.ResponseWriter.Write(b)
	}
	return g.z.Write(b)
}

func (g *gzipped) begin(pack bool) {
	g.begun = true
	if pack {
		g.Header().Set("Content-Encoding", "gzip")
		g.z = gzip.NewWriter(g.ResponseWriter)
	}
	if g.status != 0 {
		g.ResponseWriter.WriteHeader(g.status)
	}
}

func (g *gzipped) close() {
	if !g.begun && g.status != 0 {
		g.begin(false)
	}
	if g.z != nil {
		_ = g.z.Close() // whoever asked is gone
	}
}

// boundedListener accepts only so many connections at a time.
type boundedListener struct {
	net.Listener
	places chan struct{}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	l.places <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &placed{Conn: conn, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// placed gives its place back when it is closed.
type placed struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (p *placed) Close() error {
	defer p.leave()
	return p.Conn.Close()
}
