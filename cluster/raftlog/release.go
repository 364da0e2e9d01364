package raftlog

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/store/entries"
)

// A member whose copy is damaged cannot just drop it and be sent another: the leader counts on what the member has said it
// has, and sends it nothing of that again; and what it had may have been the second copy of something that is confirmed. So it
// is removed first, which takes a majority that has everything without it; then it joins like anybody who is new.

// Release asks the leader of a group to do without a member whose copy is damaged. done is told, by the worker, whether it
// can: with closed, which says that the member is closed there, that nobody counts on anything it has had, and it may drop it;
// without, that the group would go on if it closed. It is told no at first, while the member is being removed, and by whoever
// does not lead. term is the newest that the member knows of: who leads in an older one does not know what it was since.
func (h *Host) Release(group, node, term uint64, closed bool, done func(free bool)) {
	m, err := h.member(group)
	if err != nil {
		done(false)
		return
	}
	m.worker.call(func() {
		free := !m.closed && m.leading && m.told && m.raft.BasicStatus().GetTerm() >= term && m.release(node, closed)
		done(free)
		if !m.closed {
			m.worker.goRoundFor(m)
		}
	})
}

// release does the next step towards doing without a member, and tells whether that is done. owner: worker
func (m *member) release(node uint64, closed bool) bool {
	known := m.progress()
	pr, there := known[node]
	switch {
	case node == m.host.Node:
		m.yield(nil)
		return false
	case !there, closed && pr.IsLearner && pr.Match == 0: // since it was made a learner, it has not had anything
		return true
	case !pr.IsLearner && !m.canDoWithout(node, known):
		return false
	case !closed:
		return true
	case m.awaiting > m.worker.ticks:
		return false
	}
	if err := m.raft.ProposeConfChange(&raftpb.ConfChange{Type: raftpb.ConfChangeRemoveNode.Enum(), NodeId: &node}); err != nil {
		m.logger.Debug().Err(err).Msg("a damaged member cannot be removed yet")
		return false
	}
	m.awaiting = m.worker.ticks + awaitTicks
	m.logger.Info().Uint64("node", node).Msg("a member whose copy is damaged is to be removed, and to join anew")
	return false
}

// Term gives the newest term that this node knows of a group, open or not.
func (h *Host) Term(group uint64) (uint64, error) {
	hard, _, err := entries.New(h.Store, group).HardState()
	if err != nil {
		return 0, fmt.Errorf("group %d: %w", group, damage(err))
	}
	return hard.Term, nil
}
