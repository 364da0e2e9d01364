package raftlog

import (
	"errors"
	"fmt"
	"sync"

	"github.com/rs/zerolog"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

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
	logger  zerolog.Logger
	entries *entries.Store
	log     *raftLog
	raft    *raft.RawNode
	applier *applier
	touched bool
	closed  bool
	drained chan struct{} // Close waits for it

	leading bool
	term    uint64 // in which it leads
	told    bool   // the machine knows that it leads
	time    logTime

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
		entries: entries.New(h.Store, group), time: logTime{clock: h.Clock},
	}
	m.entries.PartBytes = h.PartBytes
	var err error
	var head *entries.Head
	if m.log, head, err = openLog(m.entries, members); err != nil {
		return nil, err
	}
	m.applier = newApplier(m, machine, head)
	if head != nil {
		if err := machine.Restore(m.entries.SnapshotReader(*head)); err != nil {
			return nil, err
		}
		m.applier.reckon(head)
	}
	if err := m.log.check(); err != nil {
		return nil, err
	}
	m.following = !m.log.alone(h.Node)
	m.time.begin(m.log.time)
	m.raft, err = raft.NewRawNode(&raft.Config{
		ID: h.Node, ElectionTick: electionTicks, HeartbeatTick: heartbeatTicks, Storage: m.log, Applied: m.log.applied(),
		AsyncStorageWrites: true, MaxSizePerMsg: 1 << 20, MaxCommittedSizePerReady: roundMax, MaxInflightMsgs: 64,
		CheckQuorum: true, PreVote: true, Logger: raftLogger{m.logger}, DisableProposalForwarding: true,
	})
	return m, err
}

// begin is the first thing the worker does with a member: one that is alone leads without asking anybody.
func (m *member) begin() {
	m.worker.members[m.group] = m
	if m.log.alone(m.host.Node) {
		if err := m.raft.Campaign(); err != nil {
			m.logger.Error().Err(err).Msg("the only member could not become leader")
		}
	}
	var r round
	r.touch(m)
	m.worker.goRound(&r)
}

// Propose implements oplog.Log.
func (m *member) Propose(b oplog.Batch) error {
	m.mu.Lock()
	if m.refuses != nil || m.following {
		err := m.refuses
		m.mu.Unlock()
		if err == nil {
			err = oplog.ErrNotLeading
		}
		return err
	}
	m.waiting = append(m.waiting, b)
	first := len(m.waiting) == 1
	m.mu.Unlock()
	if first {
		m.worker.proposal(m)
	}
	return nil
}

// propose merges what waits into entries, as long as not too much is under way.
func (m *member) propose() {
	if !m.leading {
		return
	}
	batches := m.takeWaiting()
	for len(batches) > 0 {
		n, size := 1, oplog.BatchSize(&batches[0])
		for n < len(batches) && size+oplog.BatchSize(&batches[n]) <= entryMax {
			size += oplog.BatchSize(&batches[n])
			n++
		}
		data := oplog.AppendEntry(make([]byte, 0, oplog.EntrySize(batches[:n])), m.time.stamp(), batches[:n])
		if err := m.raft.Propose(data); err != nil {
			m.putBack(batches)
			return
		}
		batches = batches[n:]
	}
}

func (m *member) takeWaiting() []oplog.Batch {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flight >= m.host.FlightBytes {
		return nil
	}
	bytes, n := int64(0), 0
	for n < len(m.waiting) && bytes < roundMax {
		bytes += int64(len(m.waiting[n].Data))
		n++
	}
	taken := m.waiting[:n:n]
	m.waiting = m.waiting[n:]
	if len(m.waiting) == 0 {
		m.waiting = nil
	}
	m.flight += bytes
	return taken
}

func (m *member) putBack(batches []oplog.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range batches {
		m.flight -= int64(len(batches[i].Data))
	}
	m.waiting = append(batches, m.waiting...)
}

// landed notes bytes that were committed; batches that waited for that may go on.
func (m *member) landed(bytes int64) {
	m.mu.Lock()
	m.flight = max(m.flight-bytes, 0)
	more := len(m.waiting) > 0
	m.mu.Unlock()
	if more {
		m.worker.proposal(m)
	}
}

// ready does what raft wants done.
func (m *member) ready(r *round) {
	for m.raft.HasReady() {
		rd := m.raft.Ready()
		if rd.SoftState != nil {
			m.follow(rd.SoftState)
		}
		for _, message := range rd.Messages {
			switch message.GetType() {
			case raftpb.MsgStorageAppend:
				m.append(r, message)
			case raftpb.MsgStorageApply:
				m.apply(message)
			default:
				r.send(m, message)
			}
		}
	}
}

// follow notes who leads. That this member leads counts once everything before its term has been applied.
func (m *member) follow(s *raft.SoftState) {
	leading := s.RaftState == raft.StateLeader
	if leading == m.leading {
		return
	}
	m.leading, m.told = leading, false
	m.mu.Lock()
	m.following = !leading
	if !leading { // whoever proposed finds the new leader
		m.waiting, m.flight = nil, 0
	}
	m.mu.Unlock()
	if leading {
		m.term = m.raft.BasicStatus().HardState.GetTerm()
		return
	}
	m.applier.do(func() { m.applier.machine.Lead(false) })
}

// append writes entries and hard state.
func (m *member) append(r *round, message *raftpb.Message) {
	if message.Snapshot != nil && !raft.IsEmptySnap(message.Snapshot) {
		bug("group %d: a snapshot came, but there is nobody to send one", m.group)
	}
	b := r.write(m)
	if list := message.GetEntries(); len(list) > 0 {
		if first, last := list[0].GetIndex(), m.log.last; first <= last {
			m.entries.TruncateTo(b, first, last)
		}
		for _, e := range list {
			m.entries.AppendTo(b, &entries.Entry{Index: e.GetIndex(), Term: e.GetTerm(), Kind: entries.Kind(e.GetType()), Data: e.GetData()})
		}
		m.log.append(list)
		if last := list[len(list)-1]; !m.leading && last.GetType() == raftpb.EntryNormal {
			m.time.follow(last.GetData())
		}
	}
	if message.Term != nil || message.Vote != nil || message.Commit != nil {
		m.log.hard = entries.HardState{Term: message.GetTerm(), Vote: message.GetVote(), Commit: message.GetCommit()}
		m.entries.SetHardState(b, m.log.hard)
	}
	if len(message.GetResponses()) > 0 {
		r.synced = true
		r.answers = append(r.answers, step{member: m, messages: message.GetResponses()})
	}
}

// apply hands committed entries to the applier.
func (m *member) apply(message *raftpb.Message) {
	list := message.GetEntries()
	m.applier.push(list, message.GetResponses())
	if m.leading && !m.told && list[len(list)-1].GetTerm() == m.term {
		m.told = true
		m.applier.do(func() { m.applier.machine.Lead(true) })
	}
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

// confState is the group's configuration as a snapshot keeps it.
func (m *member) confState() []byte {
	data, err := proto.Marshal(m.log.conf)
	if err != nil {
		bug("group %d: %v", m.group, err)
	}
	return data
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
	if m.log.alone(m.host.Node) && (waiting || m.raft.BasicStatus().Applied < m.log.last) {
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
		close(done)
	})
	<-done
	m.host.forget(m.group)
	return nil
}
