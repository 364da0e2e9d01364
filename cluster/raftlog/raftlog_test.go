package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/keys"
	"github.com/warrenmq/warren/store/oplog"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// node is a host with its groups, on a disk in memory.
type node struct {
	t     testing.TB
	store *store.Store
	host  *Host
	now   atomic.Int64
	said  bytes.Buffer
	logs  []oplog.Log
}

func start(t testing.TB, fs vfs.FS, o Options) *node {
	t.Helper()
	n := &node{t: t}
	n.now.Store(1000)
	fatal := func(err error) { t.Error(err) }
	var err error
	n.store, err = store.Open("data", store.Options{FS: fs, Fatal: fatal, MemTableBytes: 1 << 20})
	must(t, err)
	o.Node, o.Store, o.Clock, o.Fatal, o.Logger = 1, n.store, n.now.Load, fatal, zerolog.New(&n.said).Level(zerolog.ErrorLevel)
	n.host = NewHost(o)
	return n
}

func (n *node) open(group uint64, m oplog.Machine) oplog.Log {
	n.t.Helper()
	log, err := n.host.Open(group, []uint64{1}, m)
	must(n.t, err)
	n.logs = append(n.logs, log)
	return log
}

func (n *node) stop() {
	n.t.Helper()
	for _, log := range n.logs {
		must(n.t, log.Close())
	}
	must(n.t, errors.Join(n.host.Close(), n.store.Close()))
}

// notes is a machine that notes what it is told, and keeps everything alive until it is told otherwise.
type notes struct {
	mu      sync.Mutex
	heard   sync.Cond
	log     oplog.Log
	opened  chan struct{}
	seen    []string // batches, with who proposed them
	times   []int64
	indexes []uint64
	spans   []oplog.Span
	leading int
	dead    int // of spans: the first so many are no longer alive
}

func newNotes() *notes {
	m := &notes{opened: make(chan struct{})}
	m.heard.L = &m.mu
	return m
}

func (m *notes) Apply(list []oplog.Entry) {
	<-m.opened
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range list {
		m.times, m.indexes = append(m.times, list[i].Time), append(m.indexes, list[i].Index)
		for _, b := range list[i].Batches {
			m.seen = append(m.seen, fmt.Sprintf("%d.%d.%d:%s", b.From.Node, b.From.Session, b.From.Seq, b.Data))
			span := oplog.Span{Index: list[i].Index, Offset: b.At, Length: uint32(len(b.Data))}
			m.spans = append(m.spans, span)
			m.log.Account(span.Index, int64(span.Length))
		}
	}
	m.heard.Broadcast()
}

func (m *notes) Lead(bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leading++
	m.heard.Broadcast()
}

func (m *notes) Snapshot(w io.Writer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := fmt.Fprintln(w, len(m.seen), m.dead)
	for i, seen := range m.seen {
		_, err = fmt.Fprintln(w, m.spans[i].Index, m.spans[i].Offset, m.spans[i].Length, seen)
	}
	return err
}

func (m *notes) Restore(r io.Reader) error {
	var count int
	if _, err := fmt.Fscanln(r, &count, &m.dead); err != nil {
		return err
	}
	for range count {
		var s oplog.Span
		var seen string
		if _, err := fmt.Fscanln(r, &s.Index, &s.Offset, &s.Length, &seen); err != nil {
			return err
		}
		m.seen, m.spans = append(m.seen, seen), append(m.spans, s)
	}
	return nil
}

func (m *notes) Live(from, to uint64, visit func(oplog.Span)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.spans[m.dead:] {
		if s.Index >= from && s.Index < to {
			visit(s)
		}
	}
}

// wait waits until so many batches were applied.
func (m *notes) wait(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.seen) < n {
		m.heard.Wait()
	}
}

// forget makes the oldest spans dead, where the machine may.
func (m *notes) forget(t *testing.T, n int) {
	t.Helper()
	on(t, m.log, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, s := range m.spans[m.dead : m.dead+n] {
			m.log.Account(s.Index, -int64(s.Length))
		}
		m.dead += n
	})
}

// on runs f on the machine's goroutine, and waits for it.
func on(t *testing.T, log oplog.Log, f func()) {
	t.Helper()
	done := make(chan struct{})
	must(t, log.Do(func() { f(); close(done) }))
	<-done
}

func (n *node) notes(group uint64) *notes {
	n.t.Helper()
	m := newNotes()
	m.log = n.open(group, m)
	close(m.opened)
	return m
}

func propose(t *testing.T, log oplog.Log, session, seq uint64, data string) {
	t.Helper()
	must(t, log.Propose(oplog.Batch{From: oplog.Origin{Node: 1, Session: session, Seq: seq}, Data: []byte(data)}))
}

// TestBatchesAreAppliedInOrderAndReadBack, now and after restarts; each session's in its order, each once.
func TestBatchesAreAppliedInOrderAndReadBack(t *testing.T) {
	fs := vfs.NewMem()
	const sessions, each = 4, 50
	for life := range 3 {
		n := start(t, fs, Options{SnapshotBytes: 2000})
		m := n.notes(5)
		m.wait(life * sessions * each)
		var all sync.WaitGroup
		for session := range uint64(sessions) {
			all.Go(func() {
				for i := range each {
					propose(t, m.log, session, uint64(life*each+i+1), strings.Repeat("x", i*10+1))
				}
			})
		}
		all.Wait()
		m.wait((life + 1) * sessions * each)
		on(t, m.log, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			for i, s := range m.spans {
				data, err := m.log.Read(s)
				if _, want, _ := strings.Cut(m.seen[i], ":"); err != nil || string(data) != want {
					t.Fatalf("%+v: %q %v, want %s", s, data, err, m.seen[i])
				}
			}
		})
		next := map[string]int{}
		for _, seen := range m.seen {
			var session, seq int
			_, _ = fmt.Sscanf(seen, "1.%d.%d:", &session, &seq)
			who := fmt.Sprint(session)
			if next[who]++; seq != next[who] {
				t.Fatalf("session %d: batch %d comes where %d should", session, seq, next[who])
			}
		}
		if m.leading != 1 {
			t.Errorf("told %d times that it leads", m.leading)
		}
		n.stop()
	}
}

// TestWhatWaitsIsMerged: many small batches are few entries.
func TestWhatWaitsIsMerged(t *testing.T) {
	n := start(t, vfs.NewMem(), Options{})
	m := n.notes(1)
	release := make(chan struct{})
	n.host.workers[0].call(func() { <-release })
	for i := range 1000 {
		propose(t, m.log, 1, uint64(i+1), "small")
	}
	propose(t, m.log, 1, 1001, strings.Repeat("l", 2*entryMax))
	close(release)
	m.wait(1001)
	if len(m.indexes) > 4 {
		t.Errorf("%d entries", len(m.indexes))
	}
	n.stop()
}

func TestAClosedLogRefuses(t *testing.T) {
	n := start(t, vfs.NewMem(), Options{})
	m := n.notes(1)
	if _, err := n.host.Open(1, []uint64{1}, newNotes()); err == nil {
		t.Error("opened twice")
	}
	propose(t, m.log, 1, 1, "x")
	m.wait(1)
	must(t, m.log.Close())
	must(t, m.log.Close())
	if err := m.log.Propose(oplog.Batch{}); !errors.Is(err, oplog.ErrClosed) {
		t.Error(err)
	}
	if err := m.log.Do(func() { t.Error("done") }); !errors.Is(err, oplog.ErrClosed) {
		t.Error(err)
	}
	again := n.notes(1)
	again.wait(1)
	n.stop()
}

// TestWhatWasTakenIsAppliedBeforeTheEnd: as in a log in memory, a batch that was not refused is there, however soon the log
// is closed, and however much waits.
func TestWhatWasTakenIsAppliedBeforeTheEnd(t *testing.T) {
	n := start(t, vfs.NewMem(), Options{FlightBytes: 64 << 10})
	m := n.notes(1)
	const each, size = 150, 40_000 // more than one round takes
	for i := range each {
		propose(t, m.log, 1, uint64(i+1), strings.Repeat("x", size))
	}
	must(t, m.log.Close())
	m.mu.Lock()
	if len(m.seen) != each {
		t.Errorf("%d of %d batches were applied", len(m.seen), each)
	}
	m.mu.Unlock()
	n.stop()
}

// account gives a group's account, once it has compacted what there is to compact.
func (n *node) account(group uint64) (list []entries.Segment, size, live int64) {
	n.t.Helper()
	done := make(chan struct{})
	if !n.host.SegmentsOf(group, func(l []entries.Segment, s, a int64) { list, size, live = l, s, a; close(done) }) {
		n.t.Fatal("no such group")
	}
	<-done
	return list, size, live
}

// TestABacklogDoesNotPinWhatIsDead: with stragglers all over it, a log takes little more than what lives, and gives the
// stragglers back as they were; also after a restart. Another group's backlog changes nothing.
func TestABacklogDoesNotPinWhatIsDead(t *testing.T) {
	fs := vfs.NewMem()
	n := start(t, fs, Options{SnapshotBytes: 100 << 10, GarbageBytes: 200 << 10})
	backlog := n.notes(2)
	propose(t, backlog.log, 1, 1, strings.Repeat("b", 1<<20))
	backlog.wait(1)
	told := newOracle()
	r := newRecorder(1, told)
	r.log = n.open(1, r)
	close(r.opened)
	const messages, size, straggler = 6000, 1000, 100
	for i := uint32(1); i <= messages; i++ {
		data := appendCommand(nil, publish, name{1, i}, bodyOf(name{1, i}, size))
		if i > 50 && (i-50)%straggler != 0 {
			data = appendCommand(data, settle, name{1, i - 50}, nil)
		}
		must(t, r.log.Propose(oplog.Batch{Data: data}))
		if i%50 == 0 {
			must(t, r.wait(func() bool { return r.last[1] == i }))
		}
		if i%2000 == 0 {
			list, held, live := n.account(1)
			if held > live+live/liveShare+1<<20 || len(list) > 20 {
				t.Errorf("%d messages: %d bytes held, %d alive, in %d segments", i, held, live, len(list))
			}
		}
	}
	must(t, r.readAll())
	n.stop()
	n = start(t, fs, Options{})
	n.notes(2).wait(1)
	again := newRecorder(1, told)
	again.log = n.open(1, again)
	close(again.opened)
	must(t, again.wait(func() bool { return again.leading }))
	must(t, told.judge(again, nil, map[byte]uint32{1: messages}))
	must(t, again.readAll())
	n.stop()
}

// TestSpaceIsFreedWithoutNewLog: settling takes few bytes, and frees many.
func TestSpaceIsFreedWithoutNewLog(t *testing.T) {
	n := start(t, vfs.NewMem(), Options{SnapshotBytes: 64 << 20, GarbageBytes: 1 << 20})
	m := n.notes(1)
	const count = 100
	for i := range count {
		propose(t, m.log, 1, uint64(i+1), strings.Repeat("x", 100_000))
	}
	m.wait(count)
	m.forget(t, count-1)
	propose(t, m.log, 1, count+1, "a-little-more")
	m.wait(count + 1)
	for {
		_, held, live := n.account(1)
		if held < live+2<<20 {
			break
		}
	}
	n.stop()
}

// TestADamagedGroupRefuses, names what is damaged, and others serve.
func TestADamagedGroupRefuses(t *testing.T) {
	fs := vfs.NewMem()
	n := start(t, fs, Options{})
	for group := uint64(1); group <= 3; group++ {
		m := n.notes(group)
		for i := range 10 {
			propose(t, m.log, 1, uint64(i+1), "some-data")
		}
		m.wait(10)
	}
	n.stop()
	n = start(t, fs, Options{})
	must(t, n.store.DB.Delete(keys.SnapshotPart(2, snapshotIndex(t, n.store, 2), 0), nil))
	must(t, n.store.DB.Set(keys.HardState(3), []byte("?"), nil))
	for group := uint64(2); group <= 3; group++ {
		if _, err := n.host.Open(group, []uint64{1}, newNotes()); !errors.Is(err, oplog.ErrDamaged) || !strings.Contains(err.Error(), fmt.Sprint("group ", group)) {
			t.Error(err)
		}
	}
	m := n.notes(1)
	m.wait(10)
	propose(t, m.log, 1, 11, "more")
	m.wait(11)
	n.stop()
}

func snapshotIndex(t *testing.T, s *store.Store, group uint64) uint64 {
	t.Helper()
	head, ok, err := entries.New(s, group).SnapshotHead()
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	return head.Index
}

// TestAGroupThatFindsDamageRefusesFromThenOn: the entry is read for a delivery.
func TestAGroupThatFindsDamageRefusesFromThenOn(t *testing.T) {
	fs := vfs.NewMem()
	n := start(t, fs, Options{})
	m := n.notes(1)
	propose(t, m.log, 1, 1, "some-data")
	m.wait(1)
	n.stop()
	n = start(t, fs, Options{})
	m, healthy := n.notes(1), n.notes(2)
	must(t, n.store.DB.Set(keys.Entry(nil, 1, m.spans[0].Index), []byte("?"), nil))
	on(t, m.log, func() {
		if _, err := m.log.Read(m.spans[0]); !errors.Is(err, entries.ErrDamaged) {
			t.Error(err)
		}
	})
	if err := m.log.Propose(oplog.Batch{Data: []byte("x")}); !errors.Is(err, oplog.ErrDamaged) {
		t.Error(err)
	}
	if !strings.Contains(n.said.String(), "the group refuses") {
		t.Error(n.said.String())
	}
	propose(t, healthy.log, 1, 1, "x")
	healthy.wait(1)
	n.stop()
}

// BenchmarkPropose is bursts of 100 messages of 1 KiB for one group on the machine's disk, 64 bursts under way: each is
// synced before it counts.
func BenchmarkPropose(b *testing.B) {
	s, err := store.Open(b.TempDir(), store.Options{})
	must(b, err)
	h := NewHost(Options{Node: 1, Store: s, Clock: func() int64 { return 1 }, Fatal: func(err error) { b.Error(err) }, Logger: zerolog.Nop()})
	m := &sink{room: make(chan struct{}, 64), opened: make(chan struct{})}
	m.log, err = h.Open(1, []uint64{1}, m)
	must(b, err)
	close(m.opened)
	burst := make([]byte, 100<<10)
	b.SetBytes(int64(len(burst)))
	for b.Loop() {
		m.room <- struct{}{}
		must(b, m.log.Propose(oplog.Batch{Data: burst}))
	}
	must(b, errors.Join(m.log.Close(), h.Close(), s.Close()))
}

// sink is a machine that settles at once.
type sink struct {
	oplog.Machine
	log    oplog.Log
	room   chan struct{}
	opened chan struct{}
}

func (s *sink) Apply(list []oplog.Entry) {
	<-s.opened
	for i := range list {
		for range list[i].Batches {
			<-s.room
		}
	}
}
func (s *sink) Lead(bool)                            {}
func (s *sink) Snapshot(w io.Writer) error           { _, err := w.Write([]byte{1}); return err }
func (s *sink) Live(_, _ uint64, _ func(oplog.Span)) {}
