package transport

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/metadata"
)

// journal is a log that can be read.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
	told chan struct{}
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	defer func() {
		select {
		case j.told <- struct{}{}:
		default:
		}
	}()
	return j.text.Write(p)
}

// await waits until the log says something.
func (j *journal) await(what string) {
	for {
		j.mu.Lock()
		has := strings.Contains(j.text.String(), what)
		j.mu.Unlock()
		if has {
			return
		}
		<-j.told
	}
}

// speaker is a node that speaks a protocol, and logs.
func speaker(t *testing.T, id uint64, protocol string) (*node, *journal) {
	t.Helper()
	j := &journal{told: make(chan struct{}, 1)}
	h := &handler{t: t, heard: make(chan noted, 100)}
	n := &node{Transport: New(Options{Node: id, Cluster: "c", Handler: h, Logger: zerolog.New(j)}), handler: h}
	n.protocol = protocol
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.address = l.Addr().String()
	n.Listen(l)
	t.Cleanup(n.Transport.Close)
	return n, j
}

// TestNodesOfDifferentProtocols refuse each other, whoever dials, and both logs say why. No message comes through.
func TestNodesOfDifferentProtocols(t *testing.T) {
	a, logA := speaker(t, 1, "1")
	b, logB := speaker(t, 2, "2")
	a.Peer(2, b.address)
	logA.await("node 1 speaks protocol 1 between nodes, and node 2 protocol 2: they do not hear each other")
	logB.await(`"peer":1,"message":"a node is refused"`)
	if err := a.Send(2, Raft, []byte("x")); !errors.Is(err, ErrDropped) {
		t.Errorf("a message: %v", err)
	}
	b.stream = func(uint64, io.Reader) error { t.Error("a stream comes through"); return nil }
	err := a.Transport.Stream(2, func(w io.Writer) error { _, err := w.Write([]byte("x")); return err })
	if err == nil || !strings.Contains(err.Error(), "they do not hear each other") {
		t.Errorf("a stream: %v", err)
	}
	c, _ := speaker(t, 3, "1")
	a.Peer(3, c.address)
	if n := a.wait("found", Raft); n.from != 3 {
		t.Errorf("node %d was found", n.from)
	}
}

// TestNodesThatDoNotSayWhatTheySpeak are from before there were numbers: they do not look either, so who dials them does.
func TestNodesThatDoNotSayWhatTheySpeak(t *testing.T) {
	a, _ := speaker(t, 1, "1")
	if err := a.understands(2, metadata.MD{}); err == nil || !strings.Contains(err.Error(), "node 2 speaks protocol 0") {
		t.Errorf("%v", err)
	}
	if err := a.understands(2, metadata.Pairs(headerProtocol, "1")); err != nil {
		t.Error(err)
	}
	if Protocol() == 0 {
		t.Error("this program speaks none")
	}
}
