package placement

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/cluster/membership"
	"github.com/warrenmq/warren/cluster/raftlog"
	"github.com/warrenmq/warren/store/meta"
)

// Host is what the Controller carries out on this node: cluster/raftlog.Host.
type Host interface {
	Reach(group uint64, wish []uint64) error
	Transfer(group, to uint64) error
	Status() []raftlog.Status
}

// Controller keeps a node in the cluster, and the cluster in order. On the one node that decides it places groups; on every
// node it leads the groups that are led there towards their place.
type Controller struct {
	Registry *membership.Registry
	Self     membership.Node
	Host     Host
	Wishes   Wishes
	// Arrange is called, one call at a time, so that this node opens the groups it is to hold and closes those it has left.
	Arrange func(*membership.View)
	// Forgotten is called when the node does not belong to the cluster any more.
	Forgotten func(error)
	// Again has it look at once, and not in a second. Nil: nothing does.
	Again  <-chan struct{}
	Logger zerolog.Logger

	news  chan struct{}
	since map[uint64]stable
}

// stable is since when a group has had the same voters.
type stable struct {
	voters []uint64
	at     time.Time
}

// rest is how long a group keeps its voters before its leadership is handed over: who was just made one may not know yet,
// and while a transfer fails nothing is proposed.
const rest = 3 * time.Second

// near is how many entries the next leader may lack when it is asked to lead: under load it always lacks some.
const near = 16

// every is how often the Controller looks though it has heard nothing.
const every = time.Second

// attempt bounds what it asks of the metadata store.
const attempt = 5 * time.Second

// Run looks after the cluster until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	c.news, c.since = make(chan struct{}, 1), map[uint64]stable{}
	c.Registry.Listen(func(*membership.View) {
		select {
		case c.news <- struct{}{}:
		default:
		}
	})
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		c.Step(ctx)
		select {
		case <-ctx.Done():
			return
		case <-c.news:
		case <-c.Again:
		case <-ticker.C:
		}
	}
}

// Step does what is to be done now.
func (c *Controller) Step(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	v := c.Registry.View()
	err := c.decide(ctx, v)
	if errors.Is(err, membership.ErrForgotten) {
		c.Forgotten(err)
		return
	}
	if err != nil && !errors.Is(err, meta.ErrConflict) && ctx.Err() == nil {
		c.Logger.Warn().Err(err).Msg("the cluster's metadata cannot be changed")
	}
	c.Arrange(v)
	list := c.Host.Status()
	c.carryOut(v, list)
	if done := arrivals(v, c.Self.ID, list); len(done) > 0 {
		if err := c.Registry.Place(ctx, v, done); err != nil {
			c.Logger.Debug().Err(err).Msg("not noted that groups are complete where they were to go")
		}
	}
}

// arrivals gives groups that one node alone had, and are complete where they were to go, as their leader on this node knows.
// One that was on its way to a node which does not live stays where it is.
func arrivals(v *membership.View, self uint64, list []raftlog.Status) map[uint64]membership.Group {
	done := map[uint64]membership.Group{}
	for _, s := range list {
		g, ok := v.Groups[s.Group]
		if !ok || g.From == 0 || s.Leader != self {
			continue
		}
		switch {
		case len(s.Learners) == 0 && alike(g.Members, s.Voters):
		case g.From == self && alike(s.Voters, []uint64{self}) && len(g.Members) == 1 && !v.Alive[g.Members[0]]:
			g.Members = []uint64{self}
		default:
			continue
		}
		g.From = 0
		done[s.Group] = g
	}
	return done
}

// alike tells whether two lists have the same nodes.
func alike(a, b []uint64) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// decide shows that the node lives, and places groups if that is its part.
func (c *Controller) decide(ctx context.Context, v *membership.View) error {
	if v.Lives[c.Self.ID] != c.Self.Life { // the lease was lost, or is an earlier life's
		return c.Registry.Live(ctx, c.Self)
	}
	if v.Controller == 0 {
		return c.Registry.Control(ctx, c.Self.ID)
	}
	if v.Controller != c.Self.ID {
		return nil
	}
	wishes := c.Wishes
	wishes.Even = c.settled(v)
	changed := Assign(v, wishes)
	if len(changed) == 0 {
		return nil
	}
	c.Logger.Info().Int("groups", len(changed)).Msg("placing groups")
	return c.Registry.Place(ctx, v, changed)
}

// settled tells whether the groups of this node are where they should be: one move is carried out before the next.
func (c *Controller) settled(v *membership.View) bool {
	for _, s := range c.Host.Status() {
		if g, ok := v.Groups[s.Group]; ok && (len(s.Learners) > 0 || !alike(g.Members, s.Voters)) {
			return false
		}
	}
	return true
}

// carryOut moves the groups of this node towards their place: their members, then their leaders, one at a time.
func (c *Controller) carryOut(v *membership.View, list []raftlog.Status) {
	moved, leaders := false, Leaders(v)
	for _, s := range list {
		g, ok := v.Groups[s.Group]
		if !ok {
			continue
		}
		if err := c.Host.Reach(s.Group, g.Members); err != nil {
			c.Logger.Debug().Err(err).Uint64("group", s.Group).Msg("not told where to go")
		}
		if s.Leader == c.Self.ID && !moved {
			moved = c.handOver(v, leaders[s.Group], &s)
		}
	}
}

// handOver gives a group to the node that should lead it, if that one has all of it.
func (c *Controller) handOver(v *membership.View, to uint64, s *raftlog.Status) bool {
	if before := c.since[s.Group]; !slices.Equal(before.voters, s.Voters) {
		c.since[s.Group] = stable{slices.Clone(s.Voters), time.Now()}
		return false
	} else if time.Since(before.at) < rest {
		return false
	}
	if to == c.Self.ID || !v.Alive[to] || !slices.Contains(s.Voters, to) {
		return false
	}
	for _, p := range s.Peers {
		if p.Node == to && p.State == "StateReplicate" && p.Match+near >= s.Last {
			c.Logger.Info().Uint64("group", s.Group).Uint64("to", to).Msg("handing over the leadership")
			return c.Host.Transfer(s.Group, to) == nil
		}
	}
	return false
}
