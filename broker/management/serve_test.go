package management

import (
	"compress/gzip"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// served is the API on an address of its own.
func served(t *testing.T, w *world) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	ended := make(chan error, 1)
	go func() { ended <- w.Serve(l) }()
	t.Cleanup(func() {
		w.must(w.Close())
		w.must(<-ended)
	})
	return l.Addr().String()
}

// TestSlowClientsAreCut: one that takes for ever over its head does not keep its connection.
func TestSlowClientsAreCut(t *testing.T) {
	w := newWorld(t)
	w.http.ReadHeaderTimeout = 20 * time.Millisecond
	conn, err := net.Dial("tcp", served(t, w))
	w.must(err)
	defer conn.Close()
	_, err = conn.Write([]byte("GET /api/overview HTTP/1.1\r\nHost: x\r\nX-Slow: "))
	w.must(err)
	w.must(conn.SetReadDeadline(time.Now().Add(20 * time.Second)))
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("not cut: %v", err)
	}
}

// TestLargeHeadsAreRefused.
func TestLargeHeadsAreRefused(t *testing.T) {
	w := newWorld(t)
	conn, err := net.Dial("tcp", served(t, w))
	w.must(err)
	defer conn.Close()
	go func() {
		_, _ = io.WriteString(conn, "GET /api/overview HTTP/1.1\r\nHost: x\r\nX-Large: "+strings.Repeat("x", 2*headerMax))
	}() // it is cut in the middle
	w.must(conn.SetReadDeadline(time.Now().Add(20 * time.Second)))
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 431" {
		t.Errorf("answered with %q, %v", answer, err)
	}
}

// TestWhatIsPacked: large answers for those who understand it, and they are the same.
func TestWhatIsPacked(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/whoami", "/overview", "/exchanges", "/exchanges?page=1", "/queues"} {
		plain := w.do(200, "GET", path, "").body
		r := httptest.NewRequest("GET", "/api"+path, nil)
		r.SetBasicAuth("guest", "guest")
		r.Header.Set("Accept-Encoding", "gzip")
		out := httptest.NewRecorder()
		w.ServeHTTP(out, r)
		packed := out.Header().Get("Content-Encoding") == "gzip"
		if packed != (len(plain) >= gzipMin) {
			t.Errorf("%s: %d octets, packed %v", path, len(plain), packed)
		}
		body := io.Reader(out.Body)
		if packed {
			z, err := gzip.NewReader(body)
			w.must(err)
			body = z
		}
		unpacked, err := io.ReadAll(body)
		w.must(err)
		if path != "/overview" && string(unpacked) != plain {
			t.Errorf("%s: %s, want %s", path, unpacked, plain)
		}
	}
}

// TestSomebodyIsHere, for those who only look whether the port answers.
func TestSomebodyIsHere(t *testing.T) {
	w := newWorld(t)
	out := httptest.NewRecorder()
	w.ServeHTTP(out, httptest.NewRequest("GET", "/", nil))
	if out.Code != 200 || !strings.Contains(out.Body.String(), "/api/openapi.json") {
		t.Errorf("%d %s", out.Code, out.Body)
	}
	out = httptest.NewRecorder()
	w.ServeHTTP(out, httptest.NewRequest("GET", "/nothing", nil))
	if out.Code != 404 {
		t.Errorf("/nothing: %d", out.Code)
	}
}
