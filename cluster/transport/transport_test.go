package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// patience bounds every wait for what must happen.
const patience = 20 * time.Second

// noted is what a handler heard.
type noted struct {
	from uint64
	lane Lane
	data []byte
	what string
}

// handler notes what it hears.
type handler struct {
	t      testing.TB
	heard  chan noted
	early  []noted // what a test has not waited for yet
	stream func(from uint64, r io.Reader) error
}

func (h *handler) Receive(from uint64, lane Lane, data []byte) {
	h.heard <- noted{from: from, lane: lane, data: bytes.Clone(data), what: "received"}
}
func (h *handler) Found(peer uint64, lane Lane) {
	h.heard <- noted{from: peer, lane: lane, what: "found"}
}
func (h *handler) Lost(peer uint64, lane Lane) {
	h.heard <- noted{from: peer, lane: lane, what: "lost"}
}
func (h *handler) Stream(from uint64, r io.Reader) error { return h.stream(from, r) }

// wait gives the next that is of a kind, on a lane.
func (h *handler) wait(what string, lane Lane) noted {
	h.t.Helper()
	for i, n := range h.early {
		if n.what == what && n.lane == lane {
			h.early = append(h.early[:i:i], h.early[i+1:]...)
			return n
		}
	}
	deadline := time.After(patience)
	for {
		select {
		case n := <-h.heard:
			if n.what == what && n.lane == lane {
				return n
			}
			h.early = append(h.early, n)
		case <-deadline:
			h.t.Fatalf("nothing was %s on lane %d", what, lane)
		}
	}
}

// node is a transport that listens.
type node struct {
	*Transport
	*handler
	address string
}

func newNode(t testing.TB, id uint64, cluster, address string) *node {
	t.Helper()
	h := &handler{t: t, heard: make(chan noted, 1<<20)}
	n := &node{Transport: New(Options{Node: id, Cluster: cluster, Handler: h, Logger: zerolog.Nop()}), handler: h}
	var l net.Listener
	var err error
	for deadline := time.Now().Add(patience); ; { // the port of a node that has just ended may not be free yet
		if l, err = net.Listen("tcp", address); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	n.address = l.Addr().String()
	n.Listen(l)
	t.Cleanup(n.Transport.Close)
	return n
}

func TestMessagesArriveInOrder(t *testing.T) {
	a, b := newNode(t, 1, "c", "127.0.0.1:0"), newNode(t, 2, "c", "127.0.0.1:0")
	a.Peer(2, b.address)
	a.wait("found", Raft)
	const n = 20_000
	for i := range n {
		data := binary.LittleEndian.AppendUint32(nil, uint32(i))
		if err := a.Send(2, Raft, data, make([]byte, i%300)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		got := b.wait("received", Raft)
		if got.from != 1 || len(got.data) != 4+i%300 || binary.LittleEndian.Uint32(got.data) != uint32(i) {
			t.Fatalf("message %d: from %d, %d bytes", i, got.from, len(got.data))
		}
	}
	if err := a.Send(3, Raft, nil); !errors.Is(err, ErrUnknownPeer) {
		t.Errorf("to a node nobody knows: %v", err)
	}
}

// TestABurst: many messages at once, and a large one, are more than is sent as one piece.
func TestABurst(t *testing.T) {
	a, b := newNode(t, 1, "c", "127.0.0.1:0"), newNode(t, 2, "c", "127.0.0.1:0")
	a.Peer(2, b.address)
	a.wait("found", Raft)
	var sizes []int
	for range 80 {
		sizes = append(sizes, 1<<20)
	}
	sizes = append(sizes, 70<<20, 1)
	data := make([]byte, 70<<20)
	for _, size := range sizes {
		if err := a.Send(2, Raft, data[:size]); err != nil {
			t.Fatal(err)
		}
	}
	for i, size := range sizes {
		if got := b.wait("received", Raft); len(got.data) != size {
			t.Fatalf("message %d has %d octets, not %d", i, len(got.data), size)
		}
	}
}

func TestLanesArePartedAndEmptyMessagesArrive(t *testing.T) {
	a, b := newNode(t, 1, "c", "127.0.0.1:0"), newNode(t, 2, "c", "127.0.0.1:0")
	a.Peer(2, b.address)
	for lane := range lanes {
		a.wait("found", lane)
		if err := a.Send(2, lane, nil); err != nil {
			t.Fatal(err)
		}
		if got := b.wait("received", lane); len(got.data) != 0 {
			t.Errorf("lane %d: %q", lane, got.data)
		}
	}
}

// TestAPeerThatEndsIsLostAtOnce, and found when it is there again.
func TestAPeerThatEndsIsLostAtOnce(t *testing.T) {
	a, b := newNode(t, 1, "c", "127.0.0.1:0"), newNode(t, 2, "c", "127.0.0.1:0")
	a.Peer(2, b.address)
	a.wait("found", Calls)
	b.Transport.Close()
	a.wait("lost", Calls)
	if err := a.Send(2, Calls, []byte("x")); !errors.Is(err, ErrDropped) {
		t.Errorf("to a node that is not there: %v", err)
	}
	b = newNode(t, 2, "c", b.address)
	a.wait("found", Calls)
	if err := a.Send(2, Calls, []byte("again")); err != nil {
		t.Fatal(err)
	}
	if got := b.wait("received", Calls); string(got.data) != "again" {
		t.Errorf("%q", got.data)
	}
	a.Keep(func(node uint64) bool { return node != 2 })
	a.wait("lost", Calls)
}

func TestNodesOfOtherClustersAreNotHeard(t *testing.T) {
	a, b := newNode(t, 1, "one", "127.0.0.1:0"), newNode(t, 2, "other", "127.0.0.1:0")
	a.Peer(2, b.address)
	err := a.Transport.Stream(2, func(w io.Writer) error { _, err := w.Write([]byte("x")); return err })
	if err == nil || !strings.Contains(err.Error(), `of cluster "other", not of "one"`) {
		t.Errorf("%v", err)
	}
	if err := a.Send(2, Raft, []byte("x")); !errors.Is(err, ErrDropped) {
		t.Errorf("a message: %v", err)
	}
}

// TestAnotherNodeAtTheAddress is not taken for the one that is meant: that one lost its directory, and this one took its place.
func TestAnotherNodeAtTheAddress(t *testing.T) {
	a, b := newNode(t, 1, "c", "127.0.0.1:0"), newNode(t, 3, "c", "127.0.0.1:0")
	a.Peer(2, b.address)
	err := a.Transport.Stream(2, func(w io.Writer) error { _, err := w.Write([]byte("x")); return err })
	if err == nil || !strings.Contains(err.Error(), "this is node 3, not 2") {
		t.Errorf("%v", err)
	}
	if err := a.Send(2, Raft, []byte("x")); !errors.Is(err, ErrDropped) {
		t.Errorf("a message: %v", err)
	}
}

func TestStreams(t *testing.T) {
	a, b := newNode(t, 1, "c", "127.0.0.1:0"), newNode(t, 2, "c", "127.0.0.1:0")
	a.Peer(2, b.address)
	long := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	var got []byte
	b.stream = func(from uint64, r io.Reader) (err error) {
		got, err = io.ReadAll(r)
		return err
	}
	send := func(w io.Writer) error {
		for rest := long; len(rest) > 0; {
			n := min(len(rest), 100_003)
			if _, err := w.Write(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	}
	if err := a.Transport.Stream(2, send); err != nil || !bytes.Equal(got, long) {
		t.Fatalf("%v, %d bytes of %d", err, len(got), len(long))
	}
	failed := make(chan error, 1)
	b.stream = func(from uint64, r io.Reader) error {
		_, err := io.ReadAll(r)
		failed <- err
		return err
	}
	err := a.Transport.Stream(2, func(w io.Writer) error { _, _ = w.Write(long); return errors.New("no more") })
	if err == nil || <-failed == nil {
		t.Errorf("a stream that its writer gave up: %v", err)
	}
	b.stream = func(uint64, io.Reader) error { return fmt.Errorf("not wanted") }
	if err := a.Transport.Stream(2, send); err == nil || !strings.Contains(err.Error(), "not wanted") {
		t.Errorf("a stream that its reader refused: %v", err)
	}
}

func BenchmarkSend(b *testing.B) {
	for _, size := range []int{16, 1024, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			to := newNode(b, 2, "c", "127.0.0.1:0")
			from := newNode(b, 1, "c", "127.0.0.1:0")
			from.Peer(2, to.address)
			from.wait("found", Raft)
			data := make([]byte, size)
			b.SetBytes(int64(size))
			under := 0
			for range b.N {
				if err := from.Send(2, Raft, data); err != nil {
					b.Fatal(err)
				}
				for under++; under > 1000 || under > 0 && len(to.heard) > 0; under-- {
					<-to.heard
				}
			}
			for ; under > 0; under-- {
				<-to.heard
			}
		})
	}
}
