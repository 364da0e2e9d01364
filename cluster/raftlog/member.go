package raftlog

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"
	"go.etcd.io/raft/v3"

	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/oplog"
)

const (
	// entryMax is how large an entry becomes by merging batches.
	entryMax = 256 << 10
	// roundMax is how much is proposed in one round.
	roundMax       = 4 << 20
	electionTicks  = 10
	heartbeatTicks = 2
)

// member is this node's member of a group. owner: worker, but for Propose, Read, Account, Do and Close
type member struct {
	host    *Host
	worker  *worker
	group   uint64
	era     uint64 // of the group, as it is stored here
	logger  zerolog.Logger
	entries *entries.Store
	log     *raftLog
	raft    *raft.RawNode
	applier *applier
	touched bool
	closed  bool
	drained chan struct{} // Close waits for it

	leading   bool
	handing   int    // ticks since it began to hand over, and nobody has taken it
	term      uint64 // in which it leads
	told      bool   // the machine knows that it leads
	since     uint64 // at which tick it began to lead, or ended
	time      logTime
	probe     probe
	incoming  *incoming         // was offered to raft
	wish      []uint64          // who should be voters; nil: nobody has said
	awaiting  uint64            // the tick at which a change of members is proposed anew; 0: none is under way
	dismissed bool              // others say that this node is no member any more
	heard     map[uint64]uint64 // at which tick other members were last heard
	changed   bool              // since view was made
	view      atomic.Pointer[Status]
	gone      chan struct{} // closed when the member is

	mu        sync.Mutex // guards what follows
	waiting   []oplog.Batch
	flight    int64 // bytes proposed that are not committed
	closing   bool
	following bool  // another member leads, or none
	refuses   error // why nothing is proposed any more
}

// openMember restores a member from the disk.
func openMember(h *Host, w *worker, group uint64, members []uint64, machine oplog.Machine) (*member, error) {
	m := &member{
		host: h, worker: w, group: group, logger: h.Logger.With().Uint64("group", group).Logger(),
		time: logTime{clock: h.Clock}, heard: map[uint64]uint64{}, gone: make(chan struct{}),
	}
	s := entries.New(h.Store, group)
	s.PartBytes = h.PartBytes
	var err error
	if m.log, err = openLog(s, members); err != nil {
		return nil, err
	}
	if m.era, err = s.Era(); err != nil {
		return nil, err
	}
	m.entries = m.log.entries
	m.applier = newApplier(m, machine)
	if head := m.log.head; head != nil {
		if err := machine.Restore(m.entries.SnapshotReader(*head)); err != nil {
			return nil, err
		}
		m.applier.reckon(head)
	}
	if err := m.log.check(); err != nil {
		return nil, err
	}
	m.applier.progress.term.Store(m.log.hard.Term)
	m.applier.progress.written.Store(m.log.last)
	m.following = !m.log.decides(h.Node)
	m.time.begin(m.log.time)
	m.raft, err = raft.NewRawNode(&raft.Config{
		ID: h.Node, ElectionTick: electionTicks, HeartbeatTick: heartbeatTicks, Storage: m.log, Applied: m.log.compacted.index,
		AsyncStorageWrites: true, MaxSizePerMsg: 1 << 20, MaxCommittedSizePerReady: roundMax, MaxInflightMsgs: 64,
		CheckQuorum: true, PreVote: true, Logger: raftLogger{m.logger}, DisableProposalForwarding: true,
	})
	m.changed = true
	return m, err
}

// begin is the first thing the worker does with a member: one that is alone leads without asking anybody.
func (m *member) begin() {
	m.worker.members[m.group] = m
	if m.log.decides(m.host.Node) {
		if err := m.raft.Campaign(); err != nil {
			m.logger.Error().Err(err).Msg("the only member could not become leader")
		}
	}
	m.worker.goRoundFor(m)
}

// damaged makes the group refuse what is proposed: what is stored of it is not what was written. Others go on.
func (m *member) damaged(err error) {
	if err = damage(err); !errors.Is(err, oplog.ErrDamaged) {
		return
	}
	m.mu.Lock()
	first := m.refuses == nil
	if first {
		m.refuses = err
	}
	m.mu.Unlock()
	if first {
		m.logger.Error().Err(err).Msg("the group refuses: what is stored of it is damaged")
	}
}

// damage gives an error about stored bytes the name that the contract of logs has for it.
func damage(err error) error {
	if errors.Is(err, entries.ErrDamaged) && !errors.Is(err, oplog.ErrDamaged) {
		return fmt.Errorf("%w: %w", oplog.ErrDamaged, err)
	}
	return err
}

// Read implements oplog.Log.
func (m *member) Read(s oplog.Span) ([]byte, error) { return m.applier.read(s) }

// Near implements oplog.Log.
func (m *member) Near(s oplog.Span) ([]byte, bool) { return m.applier.near(s) }

// Now implements oplog.Log.
func (m *member) Now() int64 { return m.time.now() }

// Account implements oplog.Log.
func (m *member) Account(index uint64, bytes int64) { m.applier.segments.Account(index, bytes) }

// Damage implements oplog.Log.
func (m *member) Damage() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if errors.Is(m.refuses, oplog.ErrDamaged) {
		return m.refuses
	}
	return nil
}

// Do implements oplog.Log.
func (m *member) Do(f func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing {
		return oplog.ErrClosed
	}
	m.applier.do(f)
	return nil
}

// endIfDrained lets Close go on once all that was taken has been applied. A group with peers does not wait for these: what it
// has proposed they may commit without it.
func (m *member) endIfDrained() {
	if m.drained == nil {
		return
	}
	m.mu.Lock()
	waiting := len(m.waiting) > 0
	m.mu.Unlock()
	if m.log.decides(m.host.Node) && (waiting || m.raft.BasicStatus().Applied < m.log.last) {
		return
	}
	close(m.drained)
	m.drained = nil
}

// Close implements oplog.Log: it applies what is under way, takes a snapshot, and stops.
func (m *member) Close() error {
	m.mu.Lock()
	closed := m.closing
	m.closing, m.refuses = true, oplog.ErrClosed
	m.mu.Unlock()
	if closed {
		return nil
	}
	drained := make(chan struct{})
	m.worker.call(func() { m.drained = drained })
	m.worker.proposal(m)
	<-drained
	m.applier.stop()
	done := make(chan struct{})
	m.worker.call(func() {
		m.closed = true
		delete(m.worker.members, m.group)
		close(m.gone)
		close(done)
	})
	<-done
	m.host.forget(m.group)
	return nil
}
