package raftlog

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// msgNoMember tells another node that the group has it no more. A member that was away when it was removed would not hear of
// it: nobody sends it anything, and what it asks is not answered. The type is one that raft sends to no other node.
const msgNoMember = raftpb.MsgUnreachable

// listens tells whether a message from another node is for raft. owner: worker
func (m *member) listens(r *round, message *raftpb.Message) bool {
	from := message.GetFrom()
	if raft.IsLocalMsgTarget(from) {
		return true
	}
	if from != m.host.Node {
		m.heard[from] = m.worker.ticks
	}
	switch message.GetType() {
	case msgNoMember:
		m.dismiss(message.GetTerm())
		return false
	case raftpb.MsgPreVote, raftpb.MsgVote:
		if m.log.blank() {
			return false // what an earlier member of that number had promised is not known to this one
		}
		m.tellStranger(r, from)
	case raftpb.MsgHeartbeat:
		if m.log.blank() { // nor has it what the leader may think that it has
			message.Commit = proto.Uint64(min(message.GetCommit(), m.log.last))
		}
	}
	return true
}

// tellStranger answers a node that wants to be elected and is no member, if a leader is known, who has it so.
func (m *member) tellStranger(r *round, node uint64) {
	now := m.raft.BasicStatus()
	if isMember(m.log.conf, node) || !isMember(m.log.conf, m.host.Node) || now.Lead == raft.None {
		return
	}
	r.send(m, &raftpb.Message{Type: msgNoMember.Enum(), From: &m.host.Node, To: &node, Term: proto.Uint64(now.GetTerm())})
}

// dismiss notes that the group has this node no more: it does not seek to lead again. Should a leader send it something, it
// is a member again.
func (m *member) dismiss(term uint64) {
	now := m.raft.BasicStatus()
	if now.Lead != raft.None || term < now.GetTerm() || !isMember(m.log.conf, m.host.Node) {
		return
	}
	m.dismissed, m.changed = true, true
	m.logger.Info().Msg("this node is no longer a member of the group")
}
