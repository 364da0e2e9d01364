package raftlog

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/oplog"
)

// A group that has lost most of its members for good begins anew: with what one node still has, or with nothing. That is
// another era of the group. To raft it is another group under the same number: members hear only those of their own era, so one
// that was given up and comes back neither votes nor leads, and what it has is dropped as soon as it knows of the era.

// address says what a message between members is of: the number of the group, and, from eraShift on, its era.
type address uint64

const eraShift = 48

func (a address) group() uint64 { return uint64(a) & (1<<eraShift - 1) }
func (a address) era() uint64   { return uint64(a) >> eraShift }

func (m *member) address() address { return address(m.era<<eraShift | m.group) }

// errNothingKept is returned where a node is to keep what it has of a group, and has nothing.
var errNothingKept = fmt.Errorf("%w: the group is to go on with what this node has, and that is nothing", oplog.ErrDamaged)

// Advance makes what this node has of a group, which must not be open, part of an era. Where that is so already, it does
// nothing. Otherwise it keeps all that is in the log, committed or not, and makes this node the only member; or, if it is not to
// be kept, drops all, as Drop does: then the group begins with the first members if there are any, or the node joins it.
func (h *Host) Advance(group, era uint64, keep bool, first []uint64) (advanced bool, err error) {
	if _, err := h.member(group); err == nil {
		return false, fmt.Errorf("group %d is open", group)
	}
	s := entries.New(h.Store, group)
	is, err := s.Era()
	if is == era && err == nil {
		return false, nil
	}
	if is > era {
		h.Logger.Error().Uint64("group", group).Uint64("era", is).Uint64("known", era).Msg("this node knows of a newer era of the group than the cluster: its metadata is an old copy")
		return false, nil
	}
	b := s.NewBatch()
	if err == nil && keep {
		err = h.keep(s, b)
	} else if err == nil {
		err = s.DropTo(b)
		s.SetBeginning(b, entries.Beginning{Voters: first})
	}
	if err != nil {
		return false, errors.Join(fmt.Errorf("group %d: %w", group, damage(err)), b.Close())
	}
	s.SetEra(b, era)
	done := make(chan struct{})
	h.Store.Commit(b, func() { close(done) })
	<-done
	what := "what this node had of the group is given up: the group has begun anew without it"
	if keep {
		what = "the group begins anew with what this node has: it is the only member now"
	}
	h.Logger.Warn().Uint64("group", group).Uint64("era", era).Uints64("first", first).Msg(what)
	return true, nil
}

// keep adds to a batch what makes this node the only member, behind all that is in its log. Nobody else has a vote on that, so
// all of it is committed.
func (h *Host) keep(s *entries.Store, b *pebble.Batch) error {
	l, err := openLog(s, nil)
	if err != nil {
		return err
	}
	conf, err := l.newestConf()
	if err != nil {
		return err
	}
	if len(conf.Voters) == 0 {
		return errNothingKept
	}
	index, term := l.last, max(l.hard.Term, l.lastTerm)+1
	for _, cc := range toBeAlone(conf, h.Node) {
		data, err := proto.Marshal(cc)
		if err != nil {
			bug("%v", err)
		}
		index++
		l.entries.AppendTo(b, &entries.Entry{Index: index, Term: term, Kind: entries.ConfChange, Data: data})
	}
	l.entries.SetHardState(b, entries.HardState{Term: term, Commit: index})
	return nil
}

// newestConf gives the members as of the newest entry, whether that is committed or not.
func (l *raftLog) newestConf() (*raftpb.ConfState, error) {
	conf := l.conf
	var failed error
	err := l.entries.Range(l.compacted.index+1, l.last+1, func(e entries.Entry) bool {
		if e.Kind != entries.ConfChange || len(e.Data) == 0 {
			return true
		}
		cc := &raftpb.ConfChange{}
		if failed = proto.Unmarshal(e.Data, cc); failed == nil {
			conf, failed = changed(conf, cc, e.Index)
		}
		return failed == nil
	})
	return conf, errors.Join(err, failed)
}

// toBeAlone gives the changes, one member at a time, that leave a node as the only one.
func toBeAlone(conf *raftpb.ConfState, node uint64) (list []*raftpb.ConfChange) {
	if !slices.Contains(conf.Voters, node) {
		list = append(list, &raftpb.ConfChange{Type: raftpb.ConfChangeAddNode.Enum(), NodeId: &node})
	}
	for _, other := range slices.Concat(conf.Learners, conf.Voters) {
		if other != node {
			list = append(list, &raftpb.ConfChange{Type: raftpb.ConfChangeRemoveNode.Enum(), NodeId: &other})
		}
	}
	return list
}

// Era is which era of a group is open here; 0 is the first.
func (h *Host) Era(group uint64) uint64 {
	if m, err := h.member(group); err == nil {
		return m.era
	}
	return 0
}
