package management

import (
	"io"
	"net"
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
