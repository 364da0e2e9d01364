package raftlog

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/oplog"
)

// raftLog is the log as raft reads it: what is behind the newest snapshot, and what of the rest other members may still
// lack; the newest part of it from memory. owner: worker
type raftLog struct {
	entries   *entries.Store
	hard      entries.HardState
	conf      *raftpb.ConfState
	confIndex uint64                       // up to here conf has all changes
	head      *entries.Head                // newest snapshot
	base      uint64                       // the log begins behind it
	compacted struct{ index, term uint64 } // entries up to here can no longer be had
	last      uint64
	lastTerm  uint64
	time      int64           // of the newest entry when the log was opened
	recent    []*raftpb.Entry // last-len(recent)+1 .. last
	bytes     int             // of recent
	wanted    bool            // raft asked for a snapshot, and there was none to give
}

// recentBytes is how much of the log is kept in memory for raft.
const recentBytes = 1 << 20

// The log of a group that begins with several members begins behind this index and term, which nobody wrote: so a member
// that joins later never finds its leader's log complete, and always begins with a snapshot, which says who the members are.
const (
	firstIndex = 1
	firstTerm  = 1
)

// openLog reads a member's log. A group that nothing is known of begins with members as voters; without any, this node joins
// one that others have begun.
func openLog(s *entries.Store, members []uint64) (*raftLog, error) {
	l := &raftLog{}
	head, exists, err := s.SnapshotHead()
	if err != nil {
		return nil, err
	}
	l.entries = s.In(head.Space)
	if err := l.entries.ClearOthers(); err != nil {
		return nil, err
	}
	if l.hard, _, err = s.HardState(); err != nil {
		return nil, err
	}
	if err := l.begin(members); err != nil {
		return nil, err
	}
	if exists {
		l.head, l.time = &head, head.Time
		l.compacted.index, l.compacted.term = head.Index, head.Term
		if l.conf, err = parseConf(head.Conf); err != nil {
			return nil, err
		}
	}
	l.confIndex = l.compacted.index
	l.last, l.lastTerm = l.compacted.index, l.compacted.term
	index, term, any, err := l.entries.Last()
	if err != nil {
		return nil, err
	}
	if any && index > l.last {
		l.last, l.lastTerm = index, term
	}
	return l, nil
}

// begin finds out how the group began, or decides it, once and for all.
func (l *raftLog) begin(members []uint64) error {
	how, known, err := l.entries.Beginning()
	if err != nil {
		return err
	}
	if !known {
		how = entries.Beginning{Voters: members}
		b := l.entries.NewBatch()
		l.entries.SetBeginning(b, how)
		l.entries.WriteLazily(b) // whatever follows from it is written behind it
	}
	l.conf = raftpb.EnsureConfState(&raftpb.ConfState{Voters: how.Voters})
	if len(how.Voters) > 1 {
		l.base = firstIndex
		l.compacted.index, l.compacted.term = firstIndex, firstTerm
		l.hard.Term, l.hard.Commit = max(l.hard.Term, firstTerm), max(l.hard.Commit, firstIndex)
	}
	return nil
}

func parseConf(data []byte) (*raftpb.ConfState, error) {
	conf := &raftpb.ConfState{}
	if err := proto.Unmarshal(data, conf); err != nil {
		return nil, fmt.Errorf("members in a snapshot: %w", err)
	}
	return raftpb.EnsureConfState(conf), nil
}

// check reads what will be applied again: damage is found before the group takes part in anything. It learns the time of
// the newest entry.
func (l *raftLog) check() error {
	next := l.compacted.index + 1
	err := l.entries.Range(next, l.last+1, func(e entries.Entry) bool {
		next = e.Index + 1
		if t, ok := oplog.EntryTime(e.Data); ok && e.Kind == entries.Normal {
			l.time = t
		}
		return true
	})
	if err == nil && next <= l.last {
		err = fmt.Errorf("%w: entry %d is not there", entries.ErrDamaged, next)
	}
	return err
}

// blank tells whether nothing has come yet to a member that joins.
func (l *raftLog) blank() bool { return len(l.conf.Voters) == 0 }

// decides tells whether node is the only voter.
func (l *raftLog) decides(node uint64) bool {
	return len(l.conf.Voters) == 1 && l.conf.Voters[0] == node
}

// alone tells whether node is the only member.
func (l *raftLog) alone(node uint64) bool { return l.decides(node) && len(l.conf.Learners) == 0 }

// append adds entries, in place of those they contradict.
func (l *raftLog) append(list []*raftpb.Entry) {
	first := list[0].GetIndex()
	for n := len(l.recent); n > 0 && l.recent[n-1].GetIndex() >= first; n-- {
		l.bytes -= len(l.recent[n-1].GetData())
		l.recent = l.recent[:n-1]
	}
	if first > l.last+1 {
		bug("entry %d does not follow %d", first, l.last)
	}
	l.recent = append(l.recent, list...)
	for _, e := range list {
		l.bytes += len(e.GetData())
	}
	end := list[len(list)-1]
	l.last, l.lastTerm = end.GetIndex(), end.GetTerm()
	drop := 0
	for l.bytes > recentBytes && drop < len(l.recent)-1 {
		l.bytes -= len(l.recent[drop].GetData())
		drop++
	}
	if drop > 0 {
		l.recent = append(l.recent[:0:0], l.recent[drop:]...)
	}
}

// compact forgets what a snapshot covers, up to an index of which raft needs no more.
func (l *raftLog) compact(index uint64) error {
	if index <= l.compacted.index {
		return nil
	}
	term, err := l.Term(index)
	if err == nil {
		l.compacted.index, l.compacted.term = index, term
	}
	return err
}

// replace begins anew behind a snapshot that another member has sent.
func (l *raftLog) replace(s *entries.Store, head *entries.Head, conf *raftpb.ConfState) {
	l.entries, l.head, l.conf, l.confIndex = s, head, conf, head.Index
	l.compacted.index, l.compacted.term = head.Index, head.Term
	l.last, l.lastTerm, l.time = head.Index, head.Term, head.Time
	l.recent, l.bytes = nil, 0
}

func (l *raftLog) recentFirst() uint64 { return l.last + 1 - uint64(len(l.recent)) }

// InitialState implements raft.Storage.
func (l *raftLog) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	hard := &raftpb.HardState{Term: &l.hard.Term, Vote: &l.hard.Vote, Commit: &l.hard.Commit}
	if l.hard.Commit < l.compacted.index { // commits ride lazily, snapshots do not
		hard.Commit = &l.compacted.index
	}
	return proto.Clone(hard).(*raftpb.HardState), l.conf, nil
}

// Entries implements raft.Storage.
func (l *raftLog) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	if lo <= l.compacted.index {
		return nil, raft.ErrCompacted
	}
	if hi > l.last+1 {
		return nil, raft.ErrUnavailable
	}
	var list []*raftpb.Entry
	size := uint64(0)
	add := func(e *raftpb.Entry) bool {
		size += uint64(len(e.GetData()))
		if len(list) > 0 && size > maxSize {
			return false
		}
		list = append(list, e)
		return true
	}
	if first := l.recentFirst(); lo < first {
		err := l.entries.Range(lo, min(hi, first), func(e entries.Entry) bool { return add(toRaft(e)) })
		if err != nil {
			return nil, err
		}
		if lo+uint64(len(list)) < min(hi, first) {
			return list, nil
		}
		lo = first
	}
	for i := lo; i < hi; i++ {
		if !add(l.recent[i-l.recentFirst()]) {
			break
		}
	}
	return list, nil
}

func toRaft(e entries.Entry) *raftpb.Entry {
	kind := raftpb.EntryType(e.Kind)
	return &raftpb.Entry{Term: &e.Term, Index: &e.Index, Type: &kind, Data: e.Data}
}

// Term implements raft.Storage.
func (l *raftLog) Term(i uint64) (uint64, error) {
	switch {
	case i == l.compacted.index:
		return l.compacted.term, nil
	case i < l.compacted.index:
		return 0, raft.ErrCompacted
	case i > l.last:
		return 0, raft.ErrUnavailable
	case i == l.last:
		return l.lastTerm, nil
	case l.head != nil && i == l.head.Index:
		return l.head.Term, nil
	case i >= l.recentFirst():
		return l.recent[i-l.recentFirst()].GetTerm(), nil
	}
	e, err := l.entries.Get(i)
	return e.Term, err
}

// LastIndex implements raft.Storage.
func (l *raftLog) LastIndex() (uint64, error) { return l.last, nil }

// FirstIndex implements raft.Storage.
func (l *raftLog) FirstIndex() (uint64, error) { return l.compacted.index + 1, nil }

// Snapshot implements raft.Storage. It gives what describes the newest snapshot; the rest is sent beside raft's messages.
// One that does not know all of today's members is not sent: who joins has to find itself in it.
func (l *raftLog) Snapshot() (*raftpb.Snapshot, error) {
	if l.head == nil {
		l.wanted = true
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	snapshot, conf, err := describe(l.head)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Concat(l.conf.Voters, l.conf.Learners) {
		if !isMember(conf, id) {
			l.wanted = true
			return nil, raft.ErrSnapshotTemporarilyUnavailable
		}
	}
	return snapshot, nil
}

// describe gives a snapshot's head in raft's words.
func describe(head *entries.Head) (*raftpb.Snapshot, *raftpb.ConfState, error) {
	conf, err := parseConf(head.Conf)
	if err != nil {
		return nil, nil, err
	}
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{ConfState: conf, Index: &head.Index, Term: &head.Term}}, conf, nil
}

func isMember(conf *raftpb.ConfState, id uint64) bool {
	return slices.Contains(conf.Voters, id) || slices.Contains(conf.Learners, id)
}

func bug(format string, values ...any) { panic("raftlog: " + fmt.Sprintf(format, values...)) }
