package raftlog

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/store/entries"
)

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
			case raftpb.MsgSnap:
				m.sendState(message)
			case raftpb.MsgHeartbeat:
				if !m.worker.disk.stalled {
					r.send(m, message)
				}
			default:
				r.send(m, message)
			}
		}
	}
	if m.log.wanted {
		m.log.wanted = false
		m.applier.do(m.applier.snapshotWanted)
	}
}

// follow notes who leads. That this member leads counts once everything before its term has been applied.
func (m *member) follow(s *raft.SoftState) {
	leading := s.RaftState == raft.StateLeader
	m.changed, m.dismissed = true, m.dismissed && s.Lead == raft.None
	if leading == m.leading {
		return
	}
	m.awaiting = 0
	m.leading, m.told, m.probe, m.since = leading, false, probe{}, m.worker.ticks
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
	b := r.write(m)
	placed := m.place(b, message.Snapshot)
	if list := message.GetEntries(); len(list) > 0 {
		if first, last := list[0].GetIndex(), m.log.last; first <= last {
			m.entries.TruncateTo(b, first, last)
		}
		for _, e := range list {
			m.entries.AppendTo(b, &entries.Entry{Index: e.GetIndex(), Term: e.GetTerm(), Kind: entries.Kind(e.GetType()), Data: e.GetData()})
		}
		m.log.append(list)
		if m.leading {
			m.probe.begin(m.log.last)
		} else {
			m.followTime(list)
		}
	}
	if message.Term != nil || message.Vote != nil || message.Commit != nil {
		m.log.hard = entries.HardState{Term: message.GetTerm(), Vote: message.GetVote(), Commit: message.GetCommit()}
		m.entries.SetHardState(b, m.log.hard)
		m.applier.progress.term.Store(m.log.hard.Term)
	}
	if len(message.GetResponses()) > 0 {
		r.synced = true
		r.answers = append(r.answers, step{member: m, placed: placed, messages: message.GetResponses()})
	}
}

// followTime goes along with the newest entry that has a time: a leader's first one and changes of members have none.
func (m *member) followTime(list []*raftpb.Entry) {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].GetType() == raftpb.EntryNormal && len(list[i].GetData()) > 0 {
			m.time.follow(list[i].GetData())
			return
		}
	}
}

// apply hands committed entries to the applier.
func (m *member) apply(message *raftpb.Message) {
	list := message.GetEntries()
	m.probe.end(list[len(list)-1].GetIndex(), &m.applier.progress)
	m.applier.push(list, message.GetResponses())
	if m.leading && !m.told && list[len(list)-1].GetTerm() == m.term {
		m.told = true
		m.applier.do(func() { m.applier.machine.Lead(true) })
	}
}
