package raftlog

import (
	"slices"
	"time"
)

// Peer is what the leader of a group knows of another member.
type Peer struct {
	Node    uint64
	Learner bool
	Match   uint64        // it has the log up to here
	State   string        // StateProbe, StateReplicate, StateSnapshot
	Silent  time.Duration // since when nothing was heard of it, about
}

// Status is how a group stands, seen from here. Who leads and who is a member is as of now; the rest is at most a second old.
type Status struct {
	Group     uint64
	Era       uint64 // how often the group has begun anew, see Host.Advance
	Leader    uint64 // 0: not known
	Term      uint64
	Voters    []uint64
	Learners  []uint64
	Last      uint64        // index of the newest entry
	LastTerm  uint64        // and its term
	Committed uint64        // and of the newest that is
	Silent    time.Duration // since when nothing was heard of the leader, if that is another node
	Peers     []Peer        // by the leader alone
}

// viewTicks is after how many ticks a view is made anew.
const viewTicks = 20

// Status tells of the open groups, in no order. It waits for nobody.
func (h *Host) Status() []Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Status, 0, len(h.open))
	for _, m := range h.open {
		if s := m.view.Load(); s != nil {
			list = append(list, *s)
		}
	}
	return list
}

// look makes the view that others see. owner: worker
func (m *member) look() {
	m.changed = false
	b := m.raft.BasicStatus()
	s := &Status{
		Group: m.group, Era: m.era, LastTerm: m.log.lastTerm, Leader: b.Lead, Term: b.GetTerm(), Voters: m.log.conf.Voters, Learners: m.log.conf.Learners, Last: m.log.last,
		Committed: b.GetCommit(),
	}
	if m.dismissed {
		s.Voters = slices.DeleteFunc(slices.Clone(s.Voters), func(id uint64) bool { return id == m.host.Node })
		s.Learners = slices.DeleteFunc(slices.Clone(s.Learners), func(id uint64) bool { return id == m.host.Node })
	}
	if b.Lead != m.host.Node && b.Lead != 0 {
		s.Silent = m.silent(b.Lead)
	}
	if m.leading && !m.log.alone(m.host.Node) {
		for id, pr := range m.progress() {
			if id != m.host.Node {
				s.Peers = append(s.Peers, Peer{
					Node: id, Learner: pr.IsLearner, Match: pr.Match, State: pr.State.String(), Silent: m.silent(id),
				})
			}
		}
	}
	m.view.Store(s)
}

// silent is since when nothing was heard of another member. A leader hears of the others as long as it leads: before, it may
// have had no reason to.
func (m *member) silent(node uint64) time.Duration {
	heard := m.heard[node]
	if m.leading {
		heard = max(heard, m.since)
	}
	return time.Duration(m.worker.ticks-heard) * tickEvery
}
