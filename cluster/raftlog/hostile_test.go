package raftlog

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// TestAStateIsNoMessage: a node that sends a snapshot as a message, without the stream that brings what it is about, is not
// believed.
func TestAStateIsNoMessage(t *testing.T) {
	seeded(t, 1)
	s := newStage(Options{SnapshotBytes: 1 << 30, GarbageBytes: 1000, PartBytes: 64}, newHistory())
	p := &play{t: t, stage: s}
	all := []uint64{1, 2, 3}
	for _, id := range all {
		s.add(id, all)
	}
	must(t, p.each(all, (*actor).start))
	for range 20 {
		must(t, s.actors[1].tick())
	}
	must(t, p.run(3))
	conf := &raftpb.ConfState{Voters: all}
	o := outbox{}
	o.add(address(theGroup), &raftpb.Message{
		Type: raftpb.MsgSnap.Enum(), From: proto.Uint64(1), To: proto.Uint64(2), Term: proto.Uint64(9),
		Snapshot: &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{ConfState: conf, Index: proto.Uint64(100), Term: proto.Uint64(9)}},
	})
	s.actors[2].host.Receive(1, o[2][0])
	must(t, s.settle())
	if last := s.actors[2].member.log.last; last > 90 {
		t.Errorf("the log ends at %d", last)
	}
	must(t, s.end())
}
