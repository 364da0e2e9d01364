package broker

import (
	"errors"
	"fmt"
	"sync"

	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/forward"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/store/oplog"
)

// groups is the groups of this node.
type groups struct {
	durable   int
	transient int
	node      uint64
	open      map[uint64]*group.Group
	damaged   map[uint64]error // groups that cannot be opened: their queues refuse, the others' serve

	env        *forward.Env
	mu         sync.Mutex // guards what follows
	forwarders map[uint64]*forward.Forwarder
	running    sync.WaitGroup
}

// transientBase is where the ids of groups begin whose queues live and die with their node: 1<<63, the node, the number.
const transientBase = 1 << 63

func (g *groups) transientID(i int) uint64 { return transientBase | g.node<<16 | uint64(i) }

// place spreads queues evenly, and leaves out groups that are damaged.
func (g *groups) place(_ *topology.Catalog, q *topology.Queue) uint64 {
	number := q.ID >> 1 // ids are odd
	if q.Lasting() {
		for i := range uint64(g.durable) {
			if id := 1 + (number+i)%uint64(g.durable); g.damaged[id] == nil {
				return id
			}
		}
		return 1 + number%uint64(g.durable)
	}
	return g.transientID(int(number % uint64(g.transient)))
}

// start opens all groups.
func (g *groups) start(durable, direct oplog.Host, inboxes *group.Inboxes, hooks group.Hooks, c *Config) error {
	g.open, g.damaged = map[uint64]*group.Group{}, map[uint64]error{}
	open := func(id uint64, host oplog.Host) error {
		opened, err := group.Open(id, host, []uint64{g.node}, inboxes, hooks, c.area("queue"))
		switch {
		case err == nil:
			g.open[id] = opened
		case errors.Is(err, oplog.ErrDamaged):
			c.Logger.Error().Err(err).Msg("the queues of this group refuse, the others serve; warren store export writes what can be read")
			g.damaged[id] = err
		default:
			return err
		}
		return nil
	}
	for i := range g.transient {
		if err := open(g.transientID(i), direct); err != nil {
			return err
		}
	}
	for i := range g.durable {
		if err := open(uint64(i)+1, durable); err != nil {
			return err
		}
	}
	return g.waitCurrent()
}

// waitCurrent waits until every group has given back what sessions of an earlier life held: nobody is served before.
func (g *groups) waitCurrent() error {
	var current sync.WaitGroup
	for id, opened := range g.open {
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
	if opened := g.open[id]; opened != nil {
		return opened, nil
	}
	if err := g.damaged[id]; err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("group %d is not on this node", id)
}

// damage gives the groups that refuse, and why.
func (g *groups) damage() (list map[uint64]error) {
	add := func(id uint64, err error) {
		if list == nil {
			list = map[uint64]error{}
		}
		list[id] = err
	}
	for id, err := range g.damaged {
		add(id, err)
	}
	for id, opened := range g.open {
		if err := opened.Damage(); err != nil {
			add(id, err)
		}
	}
	return list
}

// Counts implements session.Groups.
func (g *groups) Counts(id uint64, q queue.ID, done func(queue.Counts, bool)) {
	opened := g.open[id]
	if opened == nil || opened.Ask(func(s *queue.Set) { done(s.Counts(q)) }) != nil {
		done(queue.Counts{}, false)
	}
}

// follow tells the groups what became of their queues.
func (g *groups) follow(change topology.Change) {
	g.replay(change)
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
		if opened := g.open[id]; opened != nil {
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
			if opened := g.open[x.Memory.Group]; opened != nil {
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
		f = forward.New(g.env, from, g.running.Go)
		g.forwarders[from.ID] = f
	}
	g.mu.Unlock()
	f.Wake(id)
}

// tick lets the machines look at the clock.
func (g *groups) tick() {
	for _, opened := range g.open {
		opened.Tick()
	}
}

func (g *groups) close() error {
	g.mu.Lock()
	for _, f := range g.forwarders {
		f.Close()
	}
	g.mu.Unlock()
	g.running.Wait()
	var failed error
	for _, opened := range g.open {
		if err := opened.Close(); err != nil {
			failed = err
		}
	}
	return failed
}
