package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/oplog"
)

// incoming is a state that another member has sent, and that lies in a space where nobody reads it yet.
type incoming struct {
	head    entries.Head
	message *raftpb.Message
	done    chan error // one place: nil once it counts
}

var (
	errBusy      = errors.New("raftlog: another stream for the group is under way")
	errNotNeeded = errors.New("raftlog: the member has what the stream brings, or follows another leader")
)

// ReceiveStream takes what another node's Network.Stream was given. When it returns without an error, the state counts and
// is on the disk. What it leaves behind otherwise is removed, by the next start at the latest.
func (h *Host) ReceiveStream(from uint64, r io.Reader) error {
	m, message, err := h.readStreamHead(from, r)
	if err != nil {
		return err
	}
	if err := h.beginReceiving(m.group); err != nil {
		return err
	}
	defer h.endReceiving(m.group)
	into, err := m.spaceFor(message)
	if err != nil {
		return err
	}
	in := &incoming{message: message, done: make(chan error, 1)}
	wipe(into) // of what was torn
	if in.head, err = into.Take(r, m.proceed); err != nil {
		wipe(into)
		return err
	}
	if s := message.GetSnapshot().GetMetadata(); s.GetIndex() != in.head.Index || s.GetTerm() != in.head.Term {
		wipe(into)
		return fmt.Errorf("group %d: what came is of entry %d, announced was %d", m.group, in.head.Index, s.GetIndex())
	}
	m.applier.do(func() { // from now on nothing is written to where the group lies now, but entries
		m.applier.installing = true
		m.worker.answered([]step{{member: m, arrived: in}})
	})
	if err = m.await(in.done); errors.Is(err, errNotNeeded) {
		wipe(into)
	}
	return err
}

func wipe(s *entries.Store) {
	b := s.NewBatch()
	s.ClearTo(b)
	s.WriteLazily(b)
}

// readStreamHead reads what stands in front of a state.
func (h *Host) readStreamHead(from uint64, r io.Reader) (*member, *raftpb.Message, error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, nil, fmt.Errorf("a stream from node %d: %w", from, err)
	}
	at, n := address(binary.LittleEndian.Uint64(head[:])), binary.LittleEndian.Uint32(head[8:])
	if n > streamMessageMax {
		return nil, nil, fmt.Errorf("a stream from node %d: a message of %d bytes", from, n)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, nil, fmt.Errorf("a stream from node %d: %w", from, err)
	}
	message := &raftpb.Message{}
	err := proto.Unmarshal(data, message)
	if err == nil && (message.GetFrom() != from || message.GetTo() != h.Node || message.GetType() != raftpb.MsgSnap) {
		err = fmt.Errorf("it is from %d to %d, and a %s", message.GetFrom(), message.GetTo(), message.GetType())
	}
	if err != nil {
		return nil, nil, fmt.Errorf("a stream from node %d: %w", from, err)
	}
	m, err := h.member(at.group())
	if err == nil && m.address() != at {
		err = fmt.Errorf("a stream from node %d: group %d is in era %d here, and was sent in era %d", from, m.group, m.era, at.era())
	}
	return m, message, err
}

// beginReceiving sees to it that one stream comes in for a group at a time, and that Close waits for it.
func (h *Host) beginReceiving(group uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.ended:
		return oplog.ErrClosed
	case h.receiving[group]:
		return errBusy
	}
	h.receiving[group] = true
	h.running.Add(1)
	return nil
}

func (h *Host) endReceiving(group uint64) {
	h.mu.Lock()
	delete(h.receiving, group)
	h.mu.Unlock()
	h.running.Done()
}

// proceed tells whether it is still worth the while to write what comes.
func (m *member) proceed() error {
	select {
	case <-m.host.closed:
		return oplog.ErrClosed
	case <-m.gone:
		return oplog.ErrClosed
	default:
		return nil
	}
}

// await waits for the worker or the applier to say something, for as long as they are there.
func (m *member) await(said chan error) error {
	select {
	case err := <-said:
		return err
	case <-m.gone:
	case <-m.host.closed:
	}
	return oplog.ErrClosed
}

// spaceFor gives where a state may be written. One that is not needed raft answers at once.
func (m *member) spaceFor(message *raftpb.Message) (into *entries.Store, err error) {
	said := make(chan error, 1)
	m.worker.call(func() {
		if m.closed {
			said <- oplog.ErrClosed
			return
		}
		now := m.raft.BasicStatus()
		if message.GetSnapshot().GetMetadata().GetIndex() <= now.GetCommit() || message.GetTerm() < now.GetTerm() {
			m.worker.answered([]step{{member: m, messages: []*raftpb.Message{message}}})
			said <- errNotNeeded
			return
		}
		into = m.entries.In(m.entries.Space() + 1)
		said <- nil
	})
	return into, m.await(said)
}

// offer lets raft decide about a state that has come. It takes it in the Ready that follows, or not at all.
func (m *member) offer(r *round, in *incoming) {
	m.ready(r) // raft is not to hear of two things at once
	m.incoming = in
	if err := m.raft.Step(in.message); err != nil {
		m.logger.Debug().Err(err).Msg("raft did not take a state")
	}
	m.ready(r)
	if m.incoming != nil {
		m.incoming = nil
		m.applier.do(func() {
			m.applier.installing = false
			in.done <- errNotNeeded
		})
	}
}

// place adds to a batch what makes the state that was offered the member's log, if that is what raft wants written.
func (m *member) place(b *pebble.Batch, snapshot *raftpb.Snapshot) *incoming {
	if snapshot == nil || raft.IsEmptySnap(snapshot) {
		return nil
	}
	in := m.incoming
	m.incoming = nil
	if in == nil || in.head.Index != snapshot.GetMetadata().GetIndex() {
		bug("group %d: raft takes a snapshot at %d that nobody has offered", m.group, snapshot.GetMetadata().GetIndex())
	}
	m.entries = m.entries.In(in.head.Space)
	m.entries.PlaceTo(b, &in.head)
	m.log.replace(m.entries, &in.head, snapshot.GetMetadata().GetConfState())
	m.time.catchUp(in.head.Time)
	m.changed = true
	m.logger.Info().Uint64("index", in.head.Index).Msg("the state that another member has sent takes the place of the log")
	return in
}

// install makes the machine go on from a state that counts now. owner: the applier's goroutine
func (a *applier) install(in *incoming) {
	old, head := a.entries, &in.head
	a.entries = old.In(head.Space)
	conf, err := parseConf(head.Conf)
	if err == nil {
		err = a.machine.Restore(a.entries.SnapshotReader(*head))
	}
	if err != nil {
		a.member.host.Fatal(fmt.Errorf("group %d: what another member has sent cannot be restored: %w", a.member.group, err))
		return
	}
	a.conf = conf
	a.stand(head)
	a.reckon(head)
	a.state, a.sparse, a.marks = 0, nil, nil
	a.writing, a.packing, a.installing = false, false, false
	wipe(old)
	in.done <- nil
}
