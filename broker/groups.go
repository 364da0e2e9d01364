package broker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/forward"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/link"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/store/oplog"
)

// groups is the groups of this node, and the way to those of others.
type groups struct {
	layout    atomic.Pointer[layout] // of the groups for durable queues
	transient int
	node      uint64
	open      atomic.Pointer[map[uint64]*group.Group]
	links     *link.Links // nil: there are no other nodes
	cluster   *Cluster    // nil: this node belongs to none
	alive     atomic.Pointer[map[uint64]uint64]
	start     opening

	env        *forward.Env
	mu         sync.Mutex // guards what follows, and changes of open
	forwarders map[uint64]*forward.Forwarder
	damaged    map[uint64]error // groups that cannot be opened: their queues refuse, the others' serve
	renewal
	running  sync.WaitGroup
	complete chan struct{} // closed once all groups serve: before, a target would not be found, or would not answer
}

// opening is what it takes to open a group.
type opening struct {
	durable, direct oplog.Host
	inboxes         *group.Inboxes
	hooks           group.Hooks
	logger          zerolog.Logger
}

// at gives a group that has a member here, nil if it has none.
func (g *groups) at(id uint64) *group.Group { return (*g.open.Load())[id] }

// transientBase is where the ids of groups begin whose queues live and die with their node: 1<<63, the node, the number.
const transientBase = 1 << 63

func (g *groups) transientID(i int) uint64 { return transientBase | g.node<<16 | uint64(i) }

// place spreads queues evenly over the groups of the size they are to have, and leaves out groups that are damaged, and those
// that wait for nodes. Those that are to be led where they were declared go to groups that are led here, if there are any.
func (g *groups) place(c *topology.Catalog, q *topology.Queue) uint64 {
	number := q.ID >> 1 // ids are odd
	if !q.Lasting() {
		return g.transientID(int(number % uint64(g.transient)))
	}
	ids := g.fitting(q.Copies(c))
	if len(ids) == 0 {
		return 0
	}
	sound := func(id uint64) bool { return g.refuses(id) == nil && g.most(id) }
	if g.links != nil && q.LeaderLocator(c) == "client-local" {
		if id, ok := choose(ids, number, func(id uint64) bool { return sound(id) && g.links.Leading(id) }); ok {
			return id
		}
	}
	if id, ok := choose(ids, number, sound); ok {
		return id
	}
	return ids[number%uint64(len(ids))]
}

// choose gives one of those that fit: the same for the same number, and all alike often.
func choose(ids []uint64, number uint64, fits func(uint64) bool) (id uint64, ok bool) {
	fitting := slices.DeleteFunc(slices.Clone(ids), func(id uint64) bool { return !fits(id) })
	if len(fitting) == 0 {
		return 0, false
	}
	return fitting[number%uint64(len(fitting))], true
}

// begin opens all groups that have a member here.
func (g *groups) begin(o opening) error {
	g.start, g.damaged, g.renewal = o, map[uint64]error{}, newRenewal()
	g.complete = make(chan struct{})
	defer close(g.complete)
	for i := range g.transient {
		if err := g.openOne(g.transientID(i), o.direct, []uint64{g.node}); err != nil {
			return err
		}
	}
	layout := g.layout.Load()
	for _, id := range layout.ids {
		if layout.holds(id, g.node) {
			if err := g.openOne(id, o.durable, layout.begins(id, g.node)); err != nil {
				return err
			}
		}
	}
	return g.waitCurrent()
}

// openOne opens a group. One that is damaged is noted.
func (g *groups) openOne(id uint64, host oplog.Host, members []uint64) error {
	var opened *group.Group
	_, err := g.enter(id)
	if err == nil {
		opened, err = group.Open(id, host, members, g.start.inboxes, g.start.hooks, g.start.logger)
	}
	if errors.Is(err, oplog.ErrDamaged) {
		g.start.logger.Error().Err(err).Msg("the queues of this group refuse, the others serve; warren store export writes what can be read")
		g.mu.Lock()
		defer g.mu.Unlock()
		g.damaged[id] = err
		return nil
	}
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	all := maps.Clone(*g.open.Load())
	all[id] = opened
	g.open.Store(&all)
	return nil
}

// waitCurrent waits until every group that is this node's alone has given back what sessions of an earlier life held: nobody
// is served before. What others lead or may lead is waited for by whoever needs it.
func (g *groups) waitCurrent() error {
	var current sync.WaitGroup
	for id, opened := range *g.open.Load() {
		if g.links != nil && id < transientBase {
			continue
		}
		current.Add(1)
		if err := opened.Ask(func(*queue.Set) { current.Done() }); err != nil {
			return fmt.Errorf("starting group %d: %w", id, err)
		}
	}
	current.Wait()
	return nil
}

// Handle implements dispatch.Groups.
func (g *groups) Handle(id uint64) (dispatch.Handle, error) {
	opened := g.at(id)
	if opened != nil && (g.links == nil || id >= transientBase) {
		return dispatch.Whole{Group: opened}, nil
	}
	if g.links != nil {
		return g.links.Handle(id)
	}
	if err := g.refuses(id); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("group %d is not on this node", id)
}

// refuses tells why a group could not be opened, nil if it could.
func (g *groups) refuses(id uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.damaged[id]
}

// damage gives the groups that refuse, and why.
func (g *groups) damage() (list map[uint64]error) {
	add := func(id uint64, err error) {
		if list == nil {
			list = map[uint64]error{}
		}
		list[id] = err
	}
	g.mu.Lock()
	for id, err := range g.damaged {
		add(id, err)
	}
	g.mu.Unlock()
	for id, opened := range *g.open.Load() {
		if err := opened.Damage(); err != nil {
			add(id, err)
		}
	}
	return list
}

// Counts implements session.Groups.
func (g *groups) Counts(id uint64, q queue.ID, done func(queue.Counts, bool)) {
	opened := g.at(id)
	if g.links != nil && (opened == nil || id < transientBase) {
		g.askCounts(id, q, done)
		return
	}
	if opened == nil || opened.Ask(func(s *queue.Set) { c, _ := s.Counts(q); done(c, true) }) != nil {
		done(queue.Counts{}, true)
	}
}

// follow tells the groups what became of their queues.
func (g *groups) follow(change topology.Change) {
	g.replay(change)
	for _, opened := range *g.open.Load() {
		opened.Advanced()
	}
	if len(change.Queues) == 0 {
		return
	}
	touched := map[uint64]bool{}
	for _, c := range change.Queues {
		for _, q := range []*topology.Queue{c.Before, c.After} {
			if q != nil {
				touched[q.Group] = true
			}
		}
	}
	for id := range touched {
		if opened := g.at(id); opened != nil {
			opened.Follow(change.Queues)
		}
	}
}

// replay gives new bindings of recent-history exchanges what these remember.
func (g *groups) replay(change topology.Change) {
	for _, e := range change.Bound {
		v := change.Catalog.VHost(e.VHost)
		if v == nil {
			continue
		}
		if x := v.Exchange(e.Source); x != nil && x.Memory != nil {
			if opened := g.at(x.Memory.Group); opened != nil && g.leads(x.Memory.Group) {
				forward.Replay(g.env, opened, x, e)
			}
		}
	}
}

// deadLetters wakes the forwarder of a group, which is made when it is first needed.
func (g *groups) deadLetters(from *group.Group, id queue.ID) {
	g.mu.Lock()
	f := g.forwarders[from.ID]
	if f == nil {
		f = forward.New(g.env, from, func(run func()) {
			g.running.Go(func() {
				<-g.complete
				run()
			})
		})
		g.forwarders[from.ID] = f
	}
	g.mu.Unlock()
	f.Wake(id)
}

// tick lets the machines look at the clock.
func (g *groups) tick() {
	for _, opened := range *g.open.Load() {
		opened.Tick()
	}
}

func (g *groups) close() error {
	if g.links != nil {
		g.links.Close()
	}
	g.mu.Lock()
	for _, f := range g.forwarders {
		f.Close()
	}
	g.mu.Unlock()
	g.running.Wait()
	var failed error
	for _, opened := range *g.open.Load() {
		if err := opened.Close(); err != nil {
			failed = err
		}
	}
	return failed
}
