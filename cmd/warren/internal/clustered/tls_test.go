package clustered

import (
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/cluster/authority"
	"github.com/warrenmq/warren/cluster/transport"
)

// heardLog is a log that a test waits for.
type heardLog struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func newHeardLog() *heardLog { return &heardLog{more: make(chan struct{}, 1)} }

func (h *heardLog) Write(data []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case h.more <- struct{}{}:
	default:
	}
	return h.text.Write(data)
}

func (h *heardLog) wait(t *testing.T, what string, parts ...string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		h.mu.Lock()
		said := h.text.String()
		h.mu.Unlock()
		found := false
		for line := range strings.Lines(said) {
			all := true
			for _, part := range parts {
				all = all && strings.Contains(line, part)
			}
			found = found || all
		}
		if found {
			return
		}
		select {
		case <-h.more:
		case <-deadline:
			t.Fatalf("%s says no %q, but %s", what, parts, said)
		}
	}
}

// found tells of the peers that a transport finds.
type found chan uint64

func (found) Receive(uint64, transport.Lane, []byte)   {}
func (f found) Found(peer uint64, _ transport.Lane)    { f <- peer }
func (found) Lost(uint64, transport.Lane)              {}
func (found) Stream(_ uint64, r io.Reader) (err error) { _, err = io.Copy(io.Discard, r); return err }
func listening(t *testing.T, tr *transport.Transport) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr.Listen(l)
	t.Cleanup(tr.Close)
	return l.Addr().String()
}

// issued is how a node with a certificate of an authority talks.
func issued(t *testing.T, a *authority.Authority, now time.Time, address string) *tls.Config {
	t.Helper()
	dir := authority.Dir(filepath.Join(t.TempDir(), "cluster"))
	names, err := authority.NamesOf(address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Issue(a, names, now, time.Hour); err != nil {
		t.Fatal(err)
	}
	i, err := authority.Open(dir.Files())
	if err != nil {
		t.Fatal(err)
	}
	return i.TLS()
}

func newAuthority(t *testing.T) *authority.Authority {
	t.Helper()
	a, err := authority.Dir(t.TempDir()).Create(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestNodesKnowEachOtherByCertificates: who has the wrong one, or none, is refused, whoever dials, and both sides say why.
func TestNodesKnowEachOtherByCertificates(t *testing.T) {
	ours, now := newAuthority(t), time.Now()
	const here = "127.0.0.1:0"
	for _, c := range []struct {
		what       string
		tls        *tls.Config
		here       []string // what the node says that is dialed
		there      []string // what the other one says that dials it
		dialed     []string // what the node says when it dials the other one
		alsoDialed []string // what the other one says then
	}{
		{"another authority", issued(t, newAuthority(t), now, here),
			[]string{"is refused", "bad certificate"}, []string{"unknown authority"},
			[]string{"unknown authority"}, []string{"is refused", "bad certificate"}},
		{"a certificate that has ended", issued(t, ours, now.Add(-100*24*time.Hour), here),
			[]string{"is refused", "certificate has expired"}, []string{"expired certificate"},
			[]string{"certificate has expired"}, []string{"is refused", "bad certificate"}},
		{"a certificate for another address", issued(t, ours, now, "192.0.2.1:0"),
			nil, nil,
			[]string{"certificate is valid for 192.0.2.1, not 127.0.0.1"}, []string{"is refused", "bad certificate"}},
		{"no certificate", nil,
			[]string{"is refused", "does not look like a TLS handshake"}, []string{"there is no connection to a node"},
			[]string{"there is no connection to a node"}, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			log, otherLog := newHeardLog(), newHeardLog()
			met, otherMet := make(found, 16), make(found, 16)
			node := transport.New(transport.Options{Node: 1, Cluster: "c", Handler: met, TLS: issued(t, ours, now, here),
				Logger: zerolog.New(log).Level(zerolog.WarnLevel)})
			other := transport.New(transport.Options{Node: 2, Cluster: "c", Handler: otherMet, TLS: c.tls,
				Logger: zerolog.New(otherLog).Level(zerolog.WarnLevel)})
			address, otherAddress := listening(t, node), listening(t, other)
			if c.here != nil {
				other.Peer(1, address)
				log.wait(t, "the node that is dialed", c.here...)
				otherLog.wait(t, "the other one that dials", c.there...)
			}
			node.Peer(2, otherAddress)
			log.wait(t, "the node that dials", c.dialed...)
			if c.alsoDialed != nil {
				otherLog.wait(t, "the other one that is dialed", c.alsoDialed...)
			}
			select {
			case <-met:
				t.Error("the node has found the other one")
			case <-otherMet:
				if c.here != nil {
					t.Error("the other one has found the node")
				}
			default:
			}
		})
	}
	met := make(found, 16)
	node := transport.New(transport.Options{Node: 1, Cluster: "c", Handler: met, TLS: issued(t, ours, now, here), Logger: zerolog.Nop()})
	other := transport.New(transport.Options{Node: 2, Cluster: "c", Handler: make(found, 16), TLS: issued(t, ours, now, here), Logger: zerolog.Nop()})
	listening(t, node)
	node.Peer(2, listening(t, other))
	select {
	case <-met:
	case <-time.After(20 * time.Second):
		t.Error("nodes with certificates of one authority do not meet")
	}
}
