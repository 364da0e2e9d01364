package raftlog

import (
	"fmt"

	"github.com/rs/zerolog"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/oplog"
)

// raftLog is the log as raft reads it: what is behind the newest snapshot, the newest part of it from memory.
// owner: worker
type raftLog struct {
	entries  *entries.Store
	hard     entries.HardState
	conf     *raftpb.ConfState
	snapshot struct{ index, term uint64 } // everything up to here is in the snapshot
	last     uint64
	lastTerm uint64
	time     int64           // of the newest entry when the log was opened
	recent   []*raftpb.Entry // last-len(recent)+1 .. last
	bytes    int             // of recent
}

// recentBytes is how much of the log is kept in memory for raft.
const recentBytes = 1 << 20

// openLog reads a member's log. A group that is new begins with its members as voters.
func openLog(s *entries.Store, members []uint64) (*raftLog, *entries.Head, error) {
	l := &raftLog{entries: s, conf: raftpb.EnsureConfState(&raftpb.ConfState{Voters: members})}
	var err error
	if l.hard, _, err = s.HardState(); err != nil {
		return nil, nil, err
	}
	head, exists, err := s.SnapshotHead()
	if err != nil {
		return nil, nil, err
	}
	if exists {
		l.snapshot.index, l.snapshot.term = head.Index, head.Term
		conf := &raftpb.ConfState{}
		if err := proto.Unmarshal(head.Conf, conf); err != nil {
			return nil, nil, fmt.Errorf("members in a snapshot: %w", err)
		}
		l.conf = raftpb.EnsureConfState(conf)
	}
	l.time = head.Time
	l.last, l.lastTerm = l.snapshot.index, l.snapshot.term
	index, term, any, err := s.Last()
	if err != nil {
		return nil, nil, err
	}
	if any && index > l.last {
		l.last, l.lastTerm = index, term
	}
	if !exists {
		return l, nil, nil
	}
	return l, &head, nil
}

// check reads what will be applied again: damage is found before the group takes part in anything. It learns the time of
// the newest entry.
func (l *raftLog) check() error {
	next := l.snapshot.index + 1
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

// applied is where the machine stands after a restart.
func (l *raftLog) applied() uint64 { return l.snapshot.index }

// alone tells whether node is the only voter.
func (l *raftLog) alone(node uint64) bool {
	return len(l.conf.Voters) == 1 && l.conf.Voters[0] == node && len(l.conf.VotersOutgoing) == 0
}

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

// compact forgets what a snapshot covers.
func (l *raftLog) compact(index, term uint64) {
	if index > l.snapshot.index {
		l.snapshot.index, l.snapshot.term = index, term
	}
}

func (l *raftLog) recentFirst() uint64 { return l.last + 1 - uint64(len(l.recent)) }

// InitialState implements raft.Storage.
func (l *raftLog) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	hard := &raftpb.HardState{Term: &l.hard.Term, Vote: &l.hard.Vote, Commit: &l.hard.Commit}
	if l.hard.Commit < l.snapshot.index { // commits ride lazily, snapshots do not
		hard.Commit = &l.snapshot.index
	}
	return proto.Clone(hard).(*raftpb.HardState), l.conf, nil
}

// Entries implements raft.Storage.
func (l *raftLog) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	if lo <= l.snapshot.index {
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
	case i == l.snapshot.index:
		return l.snapshot.term, nil
	case i < l.snapshot.index:
		return 0, raft.ErrCompacted
	case i > l.last:
		return 0, raft.ErrUnavailable
	case i == l.last:
		return l.lastTerm, nil
	case i >= l.recentFirst():
		return l.recent[i-l.recentFirst()].GetTerm(), nil
	}
	e, err := l.entries.Get(i)
	return e.Term, err
}

// LastIndex implements raft.Storage.
func (l *raftLog) LastIndex() (uint64, error) { return l.last, nil }

// FirstIndex implements raft.Storage.
func (l *raftLog) FirstIndex() (uint64, error) { return l.snapshot.index + 1, nil }

// Snapshot implements raft.Storage.
func (l *raftLog) Snapshot() (*raftpb.Snapshot, error) {
	return nil, raft.ErrSnapshotTemporarilyUnavailable
}

// raftLogger passes raft's log on: what raft calls info is detail here.
type raftLogger struct{ zerolog.Logger }

// The methods of raft.Logger.
func (l raftLogger) Debug(v ...any)                   {}
func (l raftLogger) Debugf(format string, v ...any)   {}
func (l raftLogger) Info(v ...any)                    { l.Logger.Debug().Msg(fmt.Sprint(v...)) }
func (l raftLogger) Infof(format string, v ...any)    { l.Logger.Debug().Msgf(format, v...) }
func (l raftLogger) Warning(v ...any)                 { l.Warn().Msg(fmt.Sprint(v...)) }
func (l raftLogger) Warningf(format string, v ...any) { l.Warn().Msgf(format, v...) }
func (l raftLogger) Error(v ...any)                   { l.Logger.Error().Msg(fmt.Sprint(v...)) }
func (l raftLogger) Errorf(format string, v ...any)   { l.Logger.Error().Msgf(format, v...) }
func (l raftLogger) Fatal(v ...any)                   { bug("%s", fmt.Sprint(v...)) }
func (l raftLogger) Fatalf(format string, v ...any)   { bug(format, v...) }
func (l raftLogger) Panic(v ...any)                   { bug("%s", fmt.Sprint(v...)) }
func (l raftLogger) Panicf(format string, v ...any)   { bug(format, v...) }

func bug(format string, values ...any) { panic("raftlog: " + fmt.Sprintf(format, values...)) }
