package raftlog

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/store/oplog"
)

// simulations is how many seeds TestSimulation plays; `make sim-cluster` asks for 1,000.
var (
	simulations = flag.Int("simulations", 60, "how many seeds TestSimulation plays")
	simSeed     = flag.Uint64("simulation", 1, "the first seed of TestSimulation")
)

const (
	simRounds   = 120 // of chance
	simHealing  = 400 // at most, until everybody has everything again
	simSessions = 3
	simAhead    = 4 // batches that a session has under way at most
	simNodes    = 6 // that there ever are
)

// simulation is nodes on a stage, sessions that hand in batches until they are confirmed, and chance, which decides what is
// carried, delayed and cut, who crashes, whose disk hangs, and who shall be a member.
type simulation struct {
	*stage
	random   *rand.Rand
	sessions [simSessions]struct{ next, confirmed uint64 } // numbers: of the next batch, and up to where they are
	slow     map[[2]uint64]int                             // links on which nothing moves for so many rounds
	down     map[uint64]int                                // nodes that rest for so many rounds more
	hung     map[uint64]int
	lag      map[uint64]int        // nodes whose machines apply nothing
	kept     map[uint64]*vfs.MemFS // what the disks were a while ago
	voters   []uint64              // who shall be
	next     uint64                // number of the next node
	crashes  int
	changes  int
}

func newSimulation(seed uint64, planted bugs) *simulation {
	s := &simulation{
		stage:  newStage(Options{SnapshotBytes: 1500, GarbageBytes: 1500, PartBytes: 256}, newHistory()),
		random: rand.New(rand.NewPCG(seed, 7)), slow: map[[2]uint64]int{}, down: map[uint64]int{}, hung: map[uint64]int{}, lag: map[uint64]int{}, kept: map[uint64]*vfs.MemFS{},
		voters: []uint64{1, 2, 3}, next: 4,
	}
	s.planted = planted
	s.looks = func(a *actor) {
		if m := a.member; m.leading {
			s.told.leader(m.term, a.id)
			if planted.ownTime {
				m.time.last = 0
				m.time.skew.Store(0)
			}
		}
	}
	for id := range uint64(3) {
		a := s.add(id+1, []uint64{1, 2, 3})
		a.now += s.random.Int64N(100_000)
	}
	return s
}

// play lets chance do its worst, and then holds what came of it against what must be.
func (s *simulation) play() (err error) {
	defer func() { err = cmp.Or(err, s.end()) }()
	for _, id := range s.ids() {
		if err := s.actors[id].start(); err != nil {
			return err
		}
	}
	for n := range simRounds {
		if s.planted.losesSynced && n == simRounds/3 {
			s.keep()
		}
		if s.planted.losesSynced && n == simRounds/2 {
			if err := s.goBack(); err != nil {
				return err
			}
		}
		if err := errors.Join(s.fault(), s.round(3), s.propose()); err != nil {
			return err
		}
	}
	return s.heal()
}

// chance tells, so many times in a thousand, yes.
func (s *simulation) chance(perMille int) bool { return s.random.IntN(1000) < perMille }

func (s *simulation) someone() *actor {
	ids := s.ids()
	return s.actors[ids[s.random.IntN(len(ids))]]
}

// round lets ticks pass and carries what is not held up, in an order of chance.
func (s *simulation) round(passes int) error {
	for _, id := range s.ids() {
		if s.chance(900) { // clocks do not run alike
			if err := s.actors[id].tick(); err != nil {
				return err
			}
		}
	}
	for at, rounds := range s.slow {
		if rounds <= 1 {
			delete(s.slow, at)
		} else {
			s.slow[at]--
		}
	}
	var ways [][2]uint64
	for range passes {
		ways = ways[:0]
		for _, from := range s.ids() {
			for _, to := range s.ids() {
				if from != to && s.slow[[2]uint64{from, to}] == 0 {
					ways = append(ways, [2]uint64{from, to})
				}
			}
		}
		s.random.Shuffle(len(ways), func(i, j int) { ways[i], ways[j] = ways[j], ways[i] })
		for _, at := range ways {
			if err := s.carrySome(at); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *simulation) carrySome(at [2]uint64) error {
	many := 1 << 20
	if s.chance(100) {
		many = 1
	}
	if err := s.carry(at[0], at[1], many); err != nil || !s.isStreaming(at[0], at[1]) {
		return err
	}
	long := 1 << 30
	switch s.random.IntN(8) {
	case 0:
		return nil // later
	case 1:
		long = s.random.IntN(2000)
	}
	if err := s.carryStream(at[0], at[1], long); err != nil {
		return err
	}
	return nil
}

// propose lets sessions hand in batches, and say again what was not confirmed.
func (s *simulation) propose() error {
	for n := range s.sessions {
		session := &s.sessions[n]
		for session.confirmed < session.next && s.told.isConfirmed(s.origin(n, session.confirmed+1)) {
			session.confirmed++
		}
		leader := s.leader()
		if leader == nil {
			continue
		}
		first := session.next + 1
		if s.chance(200) {
			first = session.confirmed + 1
		}
		if s.chance(600) && session.next-session.confirmed < simAhead {
			session.next++
		}
		for seq := first; seq <= session.next; seq++ {
			data := fmt.Appendf(nil, "session %d batch %d %s", n, seq, "................................................................"[:s.random.IntN(64)])
			if err := leader.propose(oplog.Batch{From: s.origin(n, seq), Data: data}); err != nil {
				if errors.Is(err, oplog.ErrNotLeading) {
					break
				}
				return err
			}
			if s.planted.confirmsEarly {
				s.told.confirm(s.origin(n, seq))
			}
		}
	}
	return nil
}

func (s *simulation) origin(session int, seq uint64) oplog.Origin {
	return oplog.Origin{Node: 9, Session: uint64(session), Seq: seq}
}

// leader is a node that says that it leads: perhaps not the only one.
func (s *simulation) leader() *actor {
	ids := s.ids()
	at := s.random.IntN(len(ids))
	for i := range ids {
		if a := s.actors[ids[(at+i)%len(ids)]]; a.host != nil && a.machine.leading {
			return a
		}
	}
	return nil
}

// fault lets something go wrong, or be mended.
func (s *simulation) fault() error {
	for _, id := range s.ids() {
		a := s.actors[id]
		if a.host == nil {
			if s.down[id]--; s.down[id] <= 0 {
				if err := s.startOne(a); err != nil {
					return err
				}
			}
			continue
		}
		if s.lag[id]--; a.lags && s.lag[id] <= 0 {
			a.lags = false
			if err := s.settle(); err != nil {
				return err
			}
		}
		if a.hang.on() {
			if s.hung[id]--; s.hung[id] <= 0 {
				if err := a.unhang(); err != nil {
					return err
				}
			}
		}
	}
	a := s.someone()
	switch {
	case s.chance(25):
		s.down[a.id] = s.random.IntN(40)
		if err := s.crashOne(a); err != nil || s.chance(500) {
			return err
		}
		return s.lost(a.id)
	case s.chance(25):
		s.link(a.id, s.someone().id).cutOff(true)
	case s.chance(20):
		for _, other := range s.ids() {
			s.link(a.id, other).cutOff(true)
			s.link(other, a.id).cutOff(true)
		}
	case s.chance(60):
		for _, l := range s.links {
			l.cutOff(false)
		}
	case s.chance(50):
		s.slow[[2]uint64{a.id, s.someone().id}] = 1 + s.random.IntN(20)
	case s.chance(15) && a.host != nil:
		a.hang.set(true)
		s.hung[a.id] = 1 + s.random.IntN(30)
	case s.chance(25) && a.host != nil:
		a.lags = true
		s.lag[a.id] = 1 + s.random.IntN(20)
	case s.chance(10):
		return s.lost(a.id)
	case s.chance(10) && a.host != nil:
		if err := a.host.Transfer(theGroup, s.someone().id); err != nil && !errors.Is(err, oplog.ErrNotLeading) {
			return err
		}
		return s.settle()
	case s.chance(20):
		return s.reorganise()
	case s.chance(20):
		return s.lose(a)
	case s.chance(50):
		return s.dismiss(a)
	}
	return nil
}

// crashOne ends a node: what was not synced is lost, or all of it is there. Anything between depends on the order in which
// Pebble writes its files behind the stage, and so on more than the seed; TestCrashes goes through it.
func (s *simulation) crashOne(a *actor) error {
	s.crashes++
	return a.crash(s.random, 100*s.random.IntN(2))
}

// goBack ends all nodes, and gives them the disks of a while ago.
func (s *simulation) goBack() (err error) {
	for id, disk := range s.kept {
		if a := s.actors[id]; a != nil {
			err = errors.Join(err, a.crash(s.random, 100))
			a.disk, s.down[id] = disk, 1
		}
	}
	return err
}

// keep notes what lies on the disks.
func (s *simulation) keep() {
	clear(s.kept)
	for id, a := range s.actors {
		s.kept[id] = a.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	}
}

func (s *simulation) startOne(a *actor) error {
	if s.planted.forgetsVote {
		if err := a.forgetVote(); err != nil {
			return err
		}
	}
	if err := a.start(); err != nil {
		return fmt.Errorf("node %d: %w", a.id, err)
	}
	return nil
}

// lose takes a disk away for good, if all others have everything: another node takes its place.
func (s *simulation) lose(a *actor) error {
	if len(s.agreed()) != 3 || !slices.Contains(s.voters, a.id) || s.next > simNodes {
		return nil
	}
	if err := a.crash(s.random, 0); err != nil {
		return err
	}
	delete(s.actors, a.id)
	s.voters = slices.DeleteFunc(s.voters, func(id uint64) bool { return id == a.id })
	return s.welcome()
}

// welcome adds a node with an empty disk, which shall vote.
func (s *simulation) welcome() error {
	a := s.add(s.next, nil)
	s.next++
	s.voters = append(s.voters, a.id)
	if err := a.start(); err != nil {
		return err
	}
	return s.wish()
}

// dismiss empties a node that is a member no longer, as all know; it may be one again.
func (s *simulation) dismiss(a *actor) error {
	if len(s.agreed()) == 0 || slices.Contains(s.voters, a.id) || a.host == nil {
		return nil
	}
	if err := a.crash(s.random, 100); err != nil {
		return err
	}
	a.begins = nil
	return errors.Join(a.dropGroup(), a.start())
}

// reorganise says who shall vote: two or three of all nodes, or two and one that is new.
func (s *simulation) reorganise() error {
	s.changes++
	ids := s.ids()
	s.random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	s.voters = ids[:min(2+s.random.IntN(2), len(ids))]
	if s.chance(300) && s.next <= simNodes {
		s.voters = s.voters[:2]
		return s.welcome()
	}
	return s.wish()
}

func (s *simulation) wish() error {
	slices.Sort(s.voters)
	for _, id := range s.ids() {
		if a := s.actors[id]; a.host != nil {
			if err := a.host.Reach(theGroup, s.voters); err != nil {
				return err
			}
		}
	}
	return s.settle()
}

// heal mends everything, and waits until all who shall vote do and have everything. Then it is judged.
func (s *simulation) heal() error {
	clear(s.slow)
	for _, l := range s.links {
		l.cutOff(false)
	}
	for _, id := range s.ids() {
		a := s.actors[id]
		if a.host == nil {
			if err := s.startOne(a); err != nil {
				return err
			}
		}
		a.lags = false
		if err := a.unhang(); err != nil {
			return err
		}
	}
	if err := s.wish(); err != nil {
		return err
	}
	for range simHealing {
		if err := s.round(2); err != nil {
			return err
		}
		if len(s.agreed()) > 0 {
			break
		}
	}
	members := s.agreed()
	if len(members) == 0 {
		return fmt.Errorf("everything is mended, and the members do not agree: %s", s.describe())
	}
	for _, m := range members {
		if err := m.read(); err != nil {
			return err
		}
	}
	return s.told.judge(members)
}

// agreed gives the machines of the members, if all who shall vote do, know it, and have applied as much.
func (s *simulation) agreed() (list []*scribe) {
	last := uint64(0)
	for _, id := range s.voters {
		m := s.actors[id].member
		if m == nil || s.actors[id].hang.on() {
			return nil
		}
		voters := slices.Sorted(slices.Values(m.log.conf.Voters))
		if !slices.Equal(voters, s.voters) || len(m.log.conf.Learners) > 0 || m.raft.BasicStatus().Lead == 0 {
			return nil
		}
		if m.applier.index != m.log.last || last != 0 && m.log.last != last {
			return nil
		}
		last = m.log.last
		list = append(list, s.actors[id].machine)
	}
	return list
}

func (s *simulation) describe() (text string) {
	for _, id := range s.ids() {
		m := s.actors[id].member
		m.look()
		text += fmt.Sprintf("\nnode %d: %+v applied %d", id, *m.view.Load(), m.applier.index)
	}
	return fmt.Sprintf("%v should vote%s", s.voters, text)
}

// TestSimulation: whatever happens to nodes, disks and links, the history is one that may be.
func TestSimulation(t *testing.T) {
	var applied, confirmed, terms, streams, crashes, changes int
	for n := range uint64(*simulations) {
		seeded(t, *simSeed+n)
		s := newSimulation(*simSeed+n, bugs{})
		if err := s.play(); err != nil {
			t.Fatalf("seed %d: %v", *simSeed+n, err)
		}
		applied, confirmed, terms = applied+s.told.applied, confirmed+len(s.told.confirmed), terms+len(s.told.leaders)
		streams, crashes, changes = streams+s.streams, crashes+s.crashes, changes+s.changes
	}
	t.Logf("%d seeds: %d batches confirmed, %d entries applied, %d terms with a leader, %d states sent, %d crashes, %d wishes for other members",
		*simulations, confirmed, applied, terms, streams, crashes, changes)
	if min(confirmed, terms, streams, crashes, changes) < *simulations {
		t.Error("that is too little to show anything")
	}
}

// TestASeedIsPlayedTheSameAgain: who is told of a seed can look for what went wrong.
func TestASeedIsPlayedTheSameAgain(t *testing.T) {
	for seed := range uint64(10) {
		var before *history
		for range 2 {
			seeded(t, seed)
			s := newSimulation(seed, bugs{})
			must(t, s.play())
			if before != nil && (!maps.Equal(before.entries, s.told.entries) || !maps.Equal(before.leaders, s.told.leaders)) {
				t.Errorf("seed %d has another history", seed)
			}
			before = s.told
		}
	}
}
