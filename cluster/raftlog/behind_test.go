package raftlog

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/oplog"
)

// TestWhatComesLateDoesNotCountAgain: while a state is about to take the place of a member's log, entries of before are still
// applied, among them a change of members that the state has already, and enough to take a snapshot of.
func TestWhatComesLateDoesNotCountAgain(t *testing.T) {
	seeded(t, 1)
	s := newStage(Options{SnapshotBytes: 1000, GarbageBytes: 1000, PartBytes: 64}, newHistory())
	p := &play{t: t, stage: s}
	all := []uint64{1, 2, 3}
	for _, id := range all {
		s.add(id, all)
	}
	must(t, p.each(all, (*actor).start))
	s.add(4, nil)
	must(t, s.actors[4].start())
	for range 20 {
		must(t, s.actors[1].tick())
	}
	must(t, p.run(3))
	seq := uint64(0)
	propose := func(n int) {
		for range n {
			seq++
			batch := oplog.Batch{From: oplog.Origin{Session: 1, Seq: seq}, Data: fmt.Appendf(nil, "%0100d", seq)}
			must(t, s.actors[1].propose(batch))
			for _, id := range []uint64{2, 4} {
				must(t, s.carry(1, id, 1<<20))
				must(t, s.carry(id, 1, 1<<20))
			}
		}
	}
	withoutThree := func(n int) {
		for range n {
			must(t, p.each([]uint64{1, 2, 4}, (*actor).tick))
			for range 5 {
				for _, way := range [][2]uint64{{1, 2}, {2, 1}, {1, 4}, {4, 1}} {
					must(t, s.carry(way[0], way[1], 1<<20))
				}
				must(t, s.carryStream(1, 4, 1<<30))
			}
		}
	}
	// What is said to 3 from now on is late: a new member learns, and there is more to apply than a snapshot waits for.
	must(t, s.actors[1].host.Reach(theGroup, []uint64{1, 2, 3, 4}))
	must(t, s.settle())
	withoutThree(1)
	propose(20)
	late := appends(s.link(1, 3).messages)
	s.link(1, 3).messages = nil
	withoutThree(10)
	if voters, _, _ := s.actors[1].host.Members(theGroup); len(voters) != 4 {
		t.Fatalf("the voters are %v", voters)
	}
	propose(200)
	s.actors[1].host.Lost(3) // whose log is no longer that far back
	s.link(1, 3).messages = nil
	for range 3 {
		must(t, s.actors[1].tick())
		must(t, s.carry(1, 3, 1<<20))
		must(t, s.carry(3, 1, 1<<20))
	}
	if !s.isStreaming(1, 3) {
		t.Fatal("no state is sent")
	}
	// 3 gets the entries, and does not hear that they are committed before the state has come.
	a := s.actors[3]
	last := uint64(0)
	hand := func(m *raftpb.Message, commit uint64) {
		m.Commit = proto.Uint64(commit)
		o := outbox{}
		o.add(address(theGroup), m)
		a.host.Receive(1, o[3][0])
	}
	for _, m := range late {
		hand(m, 0)
		last = max(last, m.GetIndex()+uint64(len(m.GetEntries())))
	}
	must(t, s.settle())
	a.lags = true
	must(t, s.carryStream(1, 3, 1<<30))
	term := a.member.raft.BasicStatus().GetTerm()
	hand(&raftpb.Message{Type: raftpb.MsgHeartbeat.Enum(), From: proto.Uint64(1), To: proto.Uint64(3), Term: &term}, last)
	if a.member.log.last != last || a.member.applier.index >= last {
		t.Fatalf("%d of %d is applied, %d came", a.member.applier.index, a.member.log.last, last)
	}
	a.member.applier.pass(&a.tasks)
	a.lags = false
	must(t, s.settle())
	s.link(3, 1).messages = nil // else the leader hears of what is old before it hears of the state, and sends another
	must(t, p.run(3))
	conf := a.member.log.conf
	if got := slices.Sorted(slices.Values(conf.Voters)); !slices.Equal(got, []uint64{1, 2, 3, 4}) || len(conf.Learners) > 0 {
		t.Errorf("3 thinks that %v vote, and %v learn", got, conf.Learners)
	}
	must(t, a.crash(rand.New(rand.NewPCG(1, 1)), 0))
	must(t, a.start())
	must(t, p.run(3))
	head, _, err := entries.New(a.store, theGroup).SnapshotHead()
	if err != nil || head.Space != 1 || a.machine.state.Count != int(seq) {
		t.Errorf("space %d, %d of %d batches: %v", head.Space, a.machine.state.Count, seq, err)
	}
	must(t, a.machine.read())
	must(t, s.end())
}

// appends gives the messages with entries of what lies on a link.
func appends(list [][]byte) (messages []*raftpb.Message) {
	for _, data := range list {
		for len(data) > 0 {
			n := 12 + binary.LittleEndian.Uint32(data[8:])
			m := &raftpb.Message{}
			if err := proto.Unmarshal(data[12:n], m); err == nil && len(m.GetEntries()) > 0 {
				messages = append(messages, m)
			}
			data = data[n:]
		}
	}
	return messages
}
