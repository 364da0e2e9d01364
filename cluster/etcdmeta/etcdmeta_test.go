package etcdmeta

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/warrenmq/warren/store/meta"
)

// server is an etcd that a test can stop and start again at the same place.
type server struct {
	t       *testing.T
	options EmbedOptions
	running *Embedded
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, options: EmbedOptions{
		Name: "one", Dir: t.TempDir(), ClientURL: "http://" + freeAddress(t), PeerURL: "http://" + freeAddress(t), Logger: zerolog.Nop(),
	}}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s *server) start() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if s.running, err = Embed(ctx, s.options); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) stop() {
	if s.running != nil {
		s.running.Close()
		s.running = nil
	}
}

// node is a store, and what its watch has said.
type node struct {
	*Store
	t *testing.T

	mu     sync.Mutex
	events []string
}

// open connects a node. Cleanups run backwards: it is closed before the server stops.
func (s *server) open(o Options) *node {
	s.t.Helper()
	client, err := Dial(clientv3.Config{Endpoints: []string{s.options.ClientURL}, DialTimeout: time.Minute})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { client.Close() })
	o.Client, o.Prefix = client, "/warren/"
	n := &node{t: s.t}
	if n.Store, err = Open(context.Background(), o); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = n.Close() })
	if _, _, err := n.Load(context.Background(), n.watch); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (n *node) watch(e meta.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var words []string
	for _, kv := range e.Changes {
		if kv.Value == nil {
			words = append(words, "-"+kv.Key)
		} else {
			words = append(words, kv.Key+"="+string(kv.Value))
		}
	}
	n.events = append(n.events, strings.Join(words, " "))
}

func (n *node) said() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.events)
}

// eventually waits until the watch has said this last.
func (n *node) eventually(want string) {
	n.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		n.mirror.mu.Lock()
		told := n.mirror.told
		n.mirror.mu.Unlock()
		if all := n.said(); len(all) > 0 && all[len(all)-1] == want {
			return
		}
		select {
		case <-told:
		case <-deadline:
			n.t.Fatalf("the watch said %q, want %q at the end", n.said(), want)
		}
	}
}

// commit applies a transaction that has to succeed, and gives its revision.
func (n *node) commit(t meta.Txn) int64 {
	n.t.Helper()
	calls := 0
	revision, err := n.Commit(context.Background(), t, func(err error) {
		if calls++; err != nil {
			n.t.Errorf("durable: %v", err)
		}
	})
	if err != nil || calls != 1 {
		n.t.Fatalf("commit: %v, durable was called %d times", err, calls)
	}
	return revision
}

func put(key, value string) meta.Op { return meta.Op{Key: key, Value: []byte(value)} }

func remove(key string) meta.Op { return meta.Op{Key: key, Delete: true} }

// all gives the pairs a node has now.
func (n *node) all() (list []string) {
	pairs, _, _ := n.Load(context.Background(), nil)
	for _, kv := range pairs {
		list = append(list, kv.Key+"="+string(kv.Value))
	}
	return list
}

func TestWhatIsCommittedIsSeenAtOnceAndElsewhere(t *testing.T) {
	s := newServer(t)
	a, b := s.open(Options{}), s.open(Options{})
	a.commit(meta.Txn{Ops: []meta.Op{put("x", "1"), put("y", "1")}})
	if got := a.said(); !slices.Equal(got, []string{"x=1 y=1"}) {
		t.Errorf("whoever commits sees %q", got)
	}
	b.eventually("x=1 y=1")
	a.commit(meta.Txn{Ops: []meta.Op{remove("x"), {Key: "empty"}}})
	b.eventually("-x empty=")
	a.commit(meta.Txn{Ops: []meta.Op{remove("not there")}})
	a.commit(meta.Txn{Ops: []meta.Op{put("twice", "1"), put("twice", "2")}})
	b.eventually("twice=2")
	if got, want := s.open(Options{}).all(), []string{"empty=", "twice=2", "y=1"}; !slices.Equal(got, want) {
		t.Errorf("a node that comes later has %q, want %q", got, want)
	}
}

func TestGuards(t *testing.T) {
	s := newServer(t)
	a, b := s.open(Options{}), s.open(Options{})
	first := a.commit(meta.Txn{Ops: []meta.Op{put("x", "1")}, Guards: []meta.Guard{{Key: "x"}}})
	b.eventually("x=1")
	for what, guard := range map[string]meta.Guard{"absent": {Key: "x"}, "older": {Key: "x", Revision: first - 1}, "present": {Key: "y", Revision: 1}} {
		if _, err := b.Commit(context.Background(), meta.Txn{Ops: []meta.Op{put("x", "2")}, Guards: []meta.Guard{guard}}, nil); !errors.Is(err, meta.ErrConflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	b.commit(meta.Txn{Ops: []meta.Op{put("x", "3")}, Guards: []meta.Guard{{Key: "x", Revision: first}, {Key: "y"}}})
	if _, err := a.Commit(context.Background(), meta.Txn{Ops: []meta.Op{put("x", "4")}, Guards: []meta.Guard{{Key: "x", Revision: first}}}, nil); !errors.Is(err, meta.ErrConflict) {
		t.Errorf("what changed elsewhere: %v", err)
	}
	if got := a.said(); got[len(got)-1] != "x=3" {
		t.Errorf("after a conflict a node knows %q", got)
	}
}

// TestAMemberAloneGivesUp when it is told to, though the majority that it waits for is not there.
func TestAMemberAloneGivesUp(t *testing.T) {
	peer := "http://" + freeAddress(t)
	o := EmbedOptions{
		Name: "one", Dir: t.TempDir(), ClientURL: "http://" + freeAddress(t), PeerURL: peer,
		Members: "one=" + peer + ",two=http://" + freeAddress(t) + ",three=http://" + freeAddress(t), Logger: zerolog.Nop(),
	}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := Embed(ctx, o)
		ended <- err
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it waits on")
	}
}

// TestAConflictWhileWatchesBegin: etcd drops questions for the progress of watches that have yet to catch up, so that nobody may
// wait for an answer to one.
func TestAConflictWhileWatchesBegin(t *testing.T) {
	s := newServer(t)
	client, err := Dial(clientv3.Config{Endpoints: []string{s.options.ClientURL}, DialTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	ctx, stop := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	writer.Go(func() {
		for ctx.Err() == nil {
			_, _ = client.Put(ctx, "elsewhere", "") // so that no watch begins with the newest revision
		}
	})
	conflict := meta.Txn{Ops: []meta.Op{put("x", "1")}, Guards: []meta.Guard{{Key: "x", Revision: 1}}}
	var stores sync.WaitGroup
	for i := range 100 {
		n, err := Open(context.Background(), Options{Client: client, Prefix: fmt.Sprintf("/%d/", i)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		stores.Go(func() {
			if _, err := n.Commit(context.Background(), conflict, nil); !errors.Is(err, meta.ErrConflict) {
				t.Errorf("store %d: %v", i, err)
			}
		})
	}
	stop()
	writer.Wait()
	stores.Wait()
}

func TestEphemeralPairsGoWithTheirNode(t *testing.T) {
	s := newServer(t)
	a, b := s.open(Options{}), s.open(Options{})
	a.commit(meta.Txn{Ops: []meta.Op{{Key: "mine", Value: []byte("1"), Ephemeral: true}, put("stays", "1")}})
	b.eventually("mine=1 stays=1")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b.eventually("-mine")
}

// TestAPairGoesWithAnother: with the node whose that one is, not with the one that has written it.
func TestAPairGoesWithAnother(t *testing.T) {
	s := newServer(t)
	a, b, c := s.open(Options{}), s.open(Options{}), s.open(Options{})
	a.commit(meta.Txn{Ops: []meta.Op{{Key: "first", Value: []byte("1"), Ephemeral: true}, put("lasts", "1")}})
	b.commit(meta.Txn{Ops: []meta.Op{
		{Key: "with first", Value: []byte("1"), Ephemeral: true, With: "first"},
		{Key: "with what lasts", Value: []byte("1"), Ephemeral: true, With: "lasts"},
	}})
	c.eventually("with first=1 with what lasts=1")
	late := s.open(Options{}) // who reads it all knows it too
	late.commit(meta.Txn{Ops: []meta.Op{{Key: "late with first", Value: []byte("1"), Ephemeral: true, With: "first"}}})
	for _, n := range []*node{late, b} {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c.eventually("-with what lasts")
	if got := c.all(); !slices.Equal(got, []string{"first=1", "lasts=1", "late with first=1", "with first=1"}) {
		t.Errorf("when who wrote them is gone: %q", got)
	}
	c.stop() // it does not hear that a is gone
	c.runs.Wait()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := c.Commit(context.Background(), meta.Txn{Ops: []meta.Op{{Key: "x", Value: []byte("1"), Ephemeral: true, With: "first"}}}, nil)
	if !errors.Is(err, meta.ErrConflict) {
		t.Errorf("with what is gone: %v", err)
	}
	if got := s.open(Options{}).all(); !slices.Equal(got, []string{"lasts=1"}) {
		t.Errorf("left is %q", got)
	}
}

// TestALostLeaseIsReplaced: the node sees its ephemeral pairs go, and can make others.
func TestALostLeaseIsReplaced(t *testing.T) {
	s := newServer(t)
	a := s.open(Options{})
	a.commit(meta.Txn{Ops: []meta.Op{{Key: "old", Value: []byte("1"), Ephemeral: true}}})
	old := a.lease.id()
	if _, err := a.Client.Revoke(context.Background(), old); err != nil {
		t.Fatal(err)
	}
	a.eventually("-old")
	for a.lease.id() == old { // until the node has noticed
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, _ = a.Client.Get(ctx, "x")
		cancel()
	}
	a.commit(meta.Txn{Ops: []meta.Op{{Key: "new", Value: []byte("1"), Ephemeral: true}}})
	if got := a.all(); !slices.Equal(got, []string{"new=1"}) {
		t.Errorf("%q", got)
	}
}

// TestALeaseOutlivesEtcd: it was away for longer than the lease, and the node's ephemeral pairs stay.
func TestALeaseOutlivesEtcd(t *testing.T) {
	s := newServer(t)
	const seconds = 3
	a := s.open(Options{TTL: seconds * time.Second})
	a.commit(meta.Txn{Ops: []meta.Op{{Key: "x", Value: []byte("1"), Ephemeral: true}}})
	ctx := context.Background()
	other, err := a.Client.Grant(ctx, seconds) // nobody looks after it once it seems lost
	if err != nil {
		t.Fatal(err)
	}
	answers, err := a.Client.KeepAlive(ctx, other.ID)
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	for range answers { // until it seems lost
	}
	s.start()
	for over := false; !over; { // what begins anew with etcd and is not renewed ends
		soon, cancel := context.WithTimeout(ctx, time.Second)
		left, err := a.Client.TimeToLive(soon, other.ID)
		cancel()
		over = err == nil && left.TTL == -1
	}
	a.commit(meta.Txn{Ops: []meta.Op{put("y", "1")}})
	if got := a.said(); !slices.Equal(got, []string{"x=1", "y=1"}) {
		t.Errorf("%q", got)
	}
}

// TestAWatchThatFellBehindCompaction is told the difference as one event.
func TestAWatchThatFellBehindCompaction(t *testing.T) {
	s := newServer(t)
	a, b := s.open(Options{}), s.open(Options{})
	a.commit(meta.Txn{Ops: []meta.Op{put("stays", "1"), put("goes", "1"), put("changes", "1")}})
	b.eventually("stays=1 goes=1 changes=1")
	b.stop() // b hears nothing any more
	b.runs.Wait()
	a.commit(meta.Txn{Ops: []meta.Op{remove("goes")}})
	last := a.commit(meta.Txn{Ops: []meta.Op{put("changes", "2"), put("comes", "1")}})
	if _, err := a.Client.Compact(context.Background(), last, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	b.ctx, b.stop = context.WithCancel(context.Background())
	b.runs.Go(b.follow)
	b.eventually("changes=2 comes=1 -goes")
	a.commit(meta.Txn{Ops: []meta.Op{put("later", "1")}})
	b.eventually("later=1")
}

func TestEtcdIsAway(t *testing.T) {
	s := newServer(t)
	a := s.open(Options{Timeout: 2 * time.Second})
	a.commit(meta.Txn{Ops: []meta.Op{put("x", "1")}})
	s.stop()
	_, err := a.Commit(context.Background(), meta.Txn{Ops: []meta.Op{put("x", "2")}}, func(error) { t.Error("it is said to be durable") })
	if !errors.Is(err, meta.ErrUnavailable) {
		t.Fatalf("while etcd is away: %v", err)
	}
	if got := a.all(); !slices.Equal(got, []string{"x=1"}) {
		t.Errorf("what is known is %q", got)
	}
	s.start()
	for {
		if _, err = a.Commit(context.Background(), meta.Txn{Ops: []meta.Op{put("x", "3")}}, nil); err == nil {
			break
		}
		if !errors.Is(err, meta.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	a.eventually("x=3")
}
