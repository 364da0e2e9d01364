package raftlog

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/pebble/v2"

	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/keys"
	"github.com/warrenmq/warren/store/oplog"
)

// TestScripts plays testdata/*.txt: members whose messages a script carries by hand.
//
//	group (1 2 3) ...                nodes that begin a group together; bytes=N: after so many bytes of log a snapshot is taken
//	join 4                           a node with an empty disk that joins
//	tick 1 n=20                      lets ticks pass on a node, carrying nothing; without a node: on all
//	run n=5                          so many times: a tick on all, and everything is carried until nothing is under way
//	carry, carry 1 2                 all that is under way, or what is from 1 to 2; n=N: only the oldest so many messages
//	drop 1 2                         what is under way from 1 to 2 is lost
//	stream 1 2, stream 1 2 bytes=N   carries a stream, or so much of it
//	cut 1 2, mend 1 2                one way; without a second node: all ways to and from it
//	lost 1                           tells the others that the connections to a node are lost
//	propose 1 n=N size=N             hands batches of one session to a node
//	retry 1 from=N                   the session says one of them again
//	reach 1 2 3                      tells everybody who should vote
//	transfer 2                       asks the leader to hand over
//	crash 1 keep=N, start 1          keep: how much of what was not synced is kept, in percent
//	release 1 3 term=N               asks 1, which leads, to do without 3, whose copy is damaged and which is closed
//	wipe 1, drop-group 1             after a crash: the disk is empty, or the group is removed from it
//	hang 1, unhang 1                 the disk's syncs wait
//	lag 1, unlag 1                   its machine applies nothing for a while
//	status                           what each node applies and knows
//	spaces 1                         what lies where on its disk
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		seeded(t, 1)
		p := &play{t: t, random: rand.New(rand.NewPCG(1, 1))}
		t.Cleanup(func() {
			if p.stage != nil {
				must(t, p.stage.end())
			}
		})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			text, err := p.do(d)
			if err != nil {
				return "error: " + err.Error() + "\n"
			}
			return cmp.Or(text, "ok\n")
		})
	})
}

// play is a script that is being played.
type play struct {
	t      *testing.T
	stage  *stage
	random *rand.Rand
	seq    uint64
}

// nodesOf gives the arguments that are nodes, and scan the others.
func nodesOf(d *datadriven.TestData) (ids []uint64) {
	for _, a := range d.CmdArgs {
		var id uint64
		if _, err := fmt.Sscan(a.Key, &id); err == nil && len(a.Vals) == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

func (p *play) scan(d *datadriven.TestData, name string, otherwise int) int {
	n := otherwise
	d.MaybeScanArgs(p.t, name, &n)
	return n
}

func (p *play) do(d *datadriven.TestData) (string, error) {
	ids := nodesOf(d)
	switch d.Cmd {
	case "group":
		p.stage = newStage(Options{SnapshotBytes: int64(p.scan(d, "bytes", 1<<30)), GarbageBytes: 2000, PartBytes: 64}, newHistory())
		for _, id := range ids {
			p.stage.add(id, ids)
		}
		return "", p.each(ids, (*actor).start)
	case "join":
		p.stage.add(ids[0], nil)
		return "", p.stage.actors[ids[0]].start()
	case "status":
		return p.status(), nil
	case "run":
		return "", p.run(p.scan(d, "n", 1))
	case "carry":
		return p.carry(ids, p.scan(d, "n", 1<<20))
	case "tick":
		if len(ids) == 0 {
			ids = p.stage.ids()
		}
		for range p.scan(d, "n", 1) {
			if err := p.each(ids, (*actor).tick); err != nil {
				return "", err
			}
		}
		return "", nil
	case "drop":
		l := p.stage.link(ids[0], ids[1])
		n := len(l.messages)
		l.messages = nil
		return fmt.Sprintf("%d dropped\n", n), nil
	case "stream":
		return p.streamed(ids[0], ids[1], p.scan(d, "bytes", 1<<30))
	case "cut", "mend":
		p.cut(ids, d.Cmd == "cut")
		return "", nil
	case "lost":
		return "", p.stage.lost(ids[0])
	case "reach":
		for _, a := range p.stage.actors {
			if a.host != nil {
				if err := a.host.Reach(theGroup, ids); err != nil {
					return "", err
				}
			}
		}
		return "", p.stage.settle()
	case "transfer":
		return "", p.transfer(ids[0])
	case "release":
		return p.release(ids[0], ids[1], p.scan(d, "term", 0))
	default:
		return p.toOne(d, ids[0])
	}
}

// toOne does what concerns one node.
func (p *play) toOne(d *datadriven.TestData, id uint64) (string, error) {
	a := p.stage.actors[id]
	switch d.Cmd {
	case "propose":
		for range p.scan(d, "n", 1) {
			p.seq++
			data := fmt.Sprintf("%d ", p.seq) + strings.Repeat("x", p.scan(d, "size", 1))
			if err := a.propose(oplog.Batch{From: oplog.Origin{Node: 1, Session: 1, Seq: p.seq}, Data: []byte(data)}); err != nil {
				p.seq--
				return "", err
			}
		}
		return "", nil
	case "retry":
		from := p.scan(d, "from", 1)
		return "", a.propose(oplog.Batch{From: oplog.Origin{Node: 1, Session: 1, Seq: uint64(from)}, Data: fmt.Appendf(nil, "%d x", from)})
	case "crash":
		return "", a.crash(p.random, p.scan(d, "keep", 0))
	case "start":
		return "", a.start()
	case "wipe":
		delete(p.stage.actors, id)
		return "", nil
	case "drop-group":
		if err := a.crash(p.random, 100); err != nil {
			return "", err
		}
		a.begins = nil
		return "", a.dropGroup()
	case "lag", "unlag":
		a.lags = d.Cmd == "lag"
		return "", p.stage.settle()
	case "spaces":
		return p.spaces(a)
	case "hang":
		a.hang.set(true)
		return "", nil
	case "unhang":
		return "", a.unhang()
	}
	return "", errors.New("what is " + d.Cmd + "?")
}

// release tells whether the group does without a member.
func (p *play) release(leader, node uint64, term int) (string, error) {
	said := make(chan bool, 1)
	p.stage.actors[leader].host.Release(theGroup, node, uint64(term), true, func(free bool) { said <- free })
	err := p.stage.settle()
	return fmt.Sprintln(<-said), err
}

func (p *play) each(ids []uint64, f func(*actor) error) error {
	for _, id := range ids {
		if err := f(p.stage.actors[id]); err != nil {
			return err
		}
	}
	return nil
}

// run lets time pass with everything carried.
func (p *play) run(n int) error {
	for range n {
		if err := p.each(p.stage.ids(), (*actor).tick); err != nil {
			return err
		}
		if _, err := p.carry(nil, 1<<20); err != nil {
			return err
		}
	}
	return nil
}

// carry carries what is under way between nodes, or from one to another, and streams too if it is everything.
func (p *play) carry(ids []uint64, many int) (string, error) {
	if len(ids) == 2 {
		return "", p.stage.carry(ids[0], ids[1], many)
	}
	for range 100 {
		under := false
		for _, from := range p.stage.ids() {
			for _, to := range p.stage.ids() {
				under = under || len(p.stage.link(from, to).messages) > 0 || p.stage.isStreaming(from, to)
				if err := errors.Join(p.stage.carry(from, to, many), p.stage.carryStream(from, to, 1<<30)); err != nil {
					return "", err
				}
			}
		}
		if !under {
			return "", nil
		}
	}
	return "", errors.New("it does not end")
}

func (p *play) streamed(from, to uint64, bytes int) (string, error) {
	if !p.stage.isStreaming(from, to) {
		return "there is none\n", nil
	}
	return "", p.stage.carryStream(from, to, bytes)
}

func (p *play) cut(ids []uint64, cut bool) {
	pairs := [][2]uint64{}
	if len(ids) == 2 {
		pairs = append(pairs, [2]uint64{ids[0], ids[1]})
	} else {
		for _, id := range p.stage.ids() {
			pairs = append(pairs, [2]uint64{id, ids[0]}, [2]uint64{ids[0], id})
		}
	}
	for _, at := range pairs {
		p.stage.link(at[0], at[1]).cutOff(cut)
	}
}

func (p *play) transfer(to uint64) error {
	for _, id := range p.stage.ids() {
		if a := p.stage.actors[id]; a.host != nil && a.host.Transfer(theGroup, to) == nil {
			return p.stage.settle()
		}
	}
	return oplog.ErrNotLeading
}

// status prints how each node stands.
func (p *play) status() string {
	var b strings.Builder
	for _, id := range p.stage.ids() {
		a := p.stage.actors[id]
		if a.host == nil {
			fmt.Fprintf(&b, "%d: down\n", id)
			continue
		}
		a.member.look()
		s := a.host.Status()[0]
		fmt.Fprintf(&b, "%d: term %d, ", id, s.Term)
		switch {
		case a.machine.leading:
			b.WriteString("leads")
		case s.Leader == 0:
			b.WriteString("knows no leader")
		default:
			fmt.Fprintf(&b, "follows %d", s.Leader)
		}
		voters, learners := slices.Sorted(slices.Values(s.Voters)), slices.Sorted(slices.Values(s.Learners))
		fmt.Fprintf(&b, ", log to %d, committed %d, applied %d batches", s.Last, s.Committed, a.machine.state.Count)
		if fmt.Fprintf(&b, ", voters %v", voters); len(learners) > 0 {
			fmt.Fprintf(&b, ", learners %v", learners)
		}
		if head, ok, err := entries.New(a.store, theGroup).SnapshotHead(); ok && err == nil {
			fmt.Fprintf(&b, ", snapshot in space %d", head.Space)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// spaces prints what there is in each space of a node's group.
func (p *play) spaces(a *actor) (string, error) {
	var b strings.Builder
	for n := range uint64(10) {
		s := entries.New(a.store, theGroup).In(n)
		parts, count := 0, 0
		for i, bounds := range (keys.Space{Group: theGroup, Number: n}).Bounds() {
			it, err := a.store.DB.NewIter(&pebble.IterOptions{LowerBound: bounds[0], UpperBound: bounds[1]})
			if err != nil {
				return "", err
			}
			for ok := it.First(); ok; ok = it.Next() {
				if _, err := keys.EntryIndex(it.Key()); err == nil {
					count++
				} else {
					parts++
				}
			}
			if err := it.Close(); err != nil {
				return "", fmt.Errorf("range %d: %w", i, err)
			}
		}
		if parts+count > 0 {
			fmt.Fprintf(&b, "space %d: snapshot %v, entries %v\n", s.Space(), parts > 0, count > 0)
		}
	}
	return b.String(), nil
}
