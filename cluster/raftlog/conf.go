package raftlog

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"github.com/warrenmq/warren/store/oplog"
)

// Members change one at a time, through the log: first a learner, which gets everything and has no vote; when it has nearly
// all, a voter. The configuration counts from the moment at which the change is applied; the applier computes it for its
// snapshots, raft is told by the worker, and both come to the same.

// confChange is a change of members that was applied.
type confChange struct {
	index  uint64
	change *raftpb.ConfChange
}

const (
	// promoteLag is how many entries a learner may lack when it becomes a voter.
	promoteLag = 256
	// awaitTicks is after how long a change that was proposed and not applied is given up: it got lost with a leader.
	awaitTicks = 2 * electionTicks
)

// reconfigure notes what an entry changes in the group's configuration. owner: the applier's goroutine
func (a *applier) reconfigure(e *raftpb.Entry) {
	if e.GetType() != raftpb.EntryConfChange || len(e.GetData()) == 0 {
		return
	}
	cc := &raftpb.ConfChange{}
	err := proto.Unmarshal(e.GetData(), cc)
	if err == nil {
		a.conf, err = changed(a.conf, cc, a.index)
	}
	if err != nil {
		a.member.host.Fatal(fmt.Errorf("group %d, entry %d: a change of members: %w", a.member.group, a.index, err))
		return
	}
	a.changes = append(a.changes, confChange{a.index, cc})
}

// changed gives a configuration after a change.
func changed(conf *raftpb.ConfState, cc *raftpb.ConfChange, index uint64) (*raftpb.ConfState, error) {
	c := confchange.Changer{Tracker: tracker.MakeProgressTracker(1, 0), LastIndex: index}
	var err error
	if c.Tracker.Config, c.Tracker.Progress, err = confchange.Restore(c, conf); err != nil {
		return nil, err
	}
	if c.Tracker.Config, c.Tracker.Progress, err = c.Simple(cc.AsV2().Changes...); err != nil {
		return nil, err
	}
	return c.Tracker.ConfState(), nil
}

// confBytes is the configuration as a snapshot keeps it.
func (a *applier) confBytes() []byte {
	data, err := proto.Marshal(a.conf)
	if err != nil {
		bug("group %d: %v", a.member.group, err)
	}
	return data
}

// change tells raft of changes that were applied, but for those that a snapshot had brought already.
func (m *member) change(list []confChange) {
	for _, c := range list {
		if c.index <= m.log.confIndex {
			continue
		}
		m.log.conf, m.log.confIndex = m.raft.ApplyConfChange(c.change), c.index
		m.changed, m.awaiting = true, 0
		if !isMember(m.log.conf, m.host.Node) {
			m.logger.Info().Msg("this node is no longer a member of the group")
		}
	}
}

// Reach tells which nodes should be a group's voters; nil: those that are. Every member is to be told: whoever leads goes
// there, one step at a time, and no step is taken that could leave the group without a majority that answers. What was told
// is forgotten when the log is closed.
func (h *Host) Reach(group uint64, wish []uint64) error {
	m, err := h.member(group)
	if err == nil {
		wish = slices.Clone(wish)
		m.worker.call(func() { m.wish = wish })
	}
	return err
}

// Transfer hands the leadership of a group over, if this node has it and the other is a voter that can be reached. It does
// not wait; Status tells.
func (h *Host) Transfer(group, to uint64) error {
	m, err := h.member(group)
	if err != nil {
		return err
	}
	if s := m.view.Load(); s == nil || s.Leader != h.Node {
		return oplog.ErrNotLeading
	}
	m.worker.call(func() {
		if !m.closed && m.leading {
			m.raft.TransferLeader(to)
			m.worker.goRoundFor(m)
		}
	})
	return nil
}

// Members tells of a group that is open here: who votes, who learns, and who leads as far as is known, or 0.
func (h *Host) Members(group uint64) (voters, learners []uint64, leader uint64) {
	m, err := h.member(group)
	if err != nil {
		return nil, nil, 0
	}
	if s := m.view.Load(); s != nil {
		return s.Voters, s.Learners, s.Leader
	}
	return nil, nil, 0
}

func (h *Host) member(group uint64) (*member, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m := h.open[group]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("group %d is not open", group)
}

// reach takes the next step of a leader towards the voters that are wished for, if one is due. owner: worker
func (m *member) reach() {
	now := m.worker.ticks
	if !m.told || m.awaiting > now {
		return
	}
	m.awaiting = 0
	kind, node, due := m.step()
	if !due {
		return
	}
	if err := m.raft.ProposeConfChange(&raftpb.ConfChange{Type: kind.Enum(), NodeId: &node}); err != nil {
		m.logger.Debug().Err(err).Msg("a change of members was not proposed")
		return
	}
	m.awaiting = now + awaitTicks
	m.logger.Info().Uint64("node", node).Stringer("change", kind).Msg("a change of the group's members was proposed")
}

// step decides what to do next: in this order, whoever is missing learns, whoever has learned votes, who should not learn
// goes, and once all who should vote do, so do those who should not.
func (m *member) step() (kind raftpb.ConfChangeType, node uint64, due bool) {
	conf := m.log.conf
	for _, id := range m.wish {
		if isMember(conf, id) {
			continue
		}
		if m.log.compacted.index == 0 { // from before there were several members: it could not be told who they are
			m.applier.do(m.applier.snapshotWanted)
			return 0, 0, false
		}
		return raftpb.ConfChangeAddLearnerNode, id, true
	}
	known := m.progress()
	for _, id := range conf.Learners {
		if pr := known[id]; !slices.Contains(m.wish, id) {
			return raftpb.ConfChangeRemoveNode, id, true
		} else if pr.RecentActive && pr.State == tracker.StateReplicate && pr.Match+promoteLag > m.log.last {
			return raftpb.ConfChangeAddNode, id, true
		}
	}
	for _, id := range m.wish {
		if !slices.Contains(conf.Voters, id) {
			return 0, 0, false // it is still learning
		}
	}
	for _, id := range conf.Voters {
		if slices.Contains(m.wish, id) || !m.canDoWithout(id, known) {
			continue
		}
		if id == m.host.Node {
			m.yield(m.wish)
			return 0, 0, false
		}
		return raftpb.ConfChangeRemoveNode, id, true
	}
	return 0, 0, false
}

// progress is what the leader knows of the members.
func (m *member) progress() map[uint64]tracker.Progress { return m.raft.Status().Progress }

// canDoWithout tells whether a majority of the other voters was heard of late.
func (m *member) canDoWithout(node uint64, known map[uint64]tracker.Progress) bool {
	active, others := 0, 0
	for _, id := range m.log.conf.Voters {
		if id == node {
			continue
		}
		others++
		if id == m.host.Node || known[id].RecentActive {
			active++
		}
	}
	return active > others/2
}

// handTicks is how long a handover may take. Nothing is proposed meanwhile, and who was just made a voter may not know it yet.
const handTicks = 4

// giveUpHanding ends a handover that takes too long: the leader goes on.
func (m *member) giveUpHanding() {
	if m.raft.BasicStatus().LeadTransferee == 0 {
		m.handing = 0
		return
	}
	if m.handing++; m.handing > handTicks {
		m.raft.TransferLeader(m.host.Node) // which takes the other one back
	}
}

// yield hands leadership over to the one of the voters among the given ones (nil: any) that has the most, unless that is
// under way.
func (m *member) yield(among []uint64) {
	if m.raft.BasicStatus().LeadTransferee != 0 {
		return
	}
	best, match := uint64(0), uint64(0)
	for id, pr := range m.progress() {
		if id == m.host.Node || pr.IsLearner || !pr.RecentActive || among != nil && !slices.Contains(among, id) {
			continue
		}
		if best == 0 || pr.Match > match || pr.Match == match && id < best {
			best, match = id, pr.Match
		}
	}
	if best != 0 {
		m.raft.TransferLeader(best)
	}
}
