package broker

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/store/oplog"
)

// renewal is what a node does about damage on its disk. owner: Arrange, but for asked
type renewal struct {
	asked   map[uint64]*asking // about copies that are given up; guarded by groups.mu
	met     map[uint64]bool    // the groups whose damage is known
	stays   error              // what the node cannot be rid of
	givesUp error              // why it gives up all its groups; nil: it does not
	given   map[uint64]bool    // those it has given up
	next    uint64             // the one that it gives up now; 0: none
	said    bool               // the log says what keeps it from that
	left    bool               // it was told that everything is given up
	eras    map[uint64]uint64  // of groups, as the sessions have heard of them
}

func newRenewal() renewal {
	return renewal{asked: map[uint64]*asking{}, met: map[uint64]bool{}, given: map[uint64]bool{}, eras: map[uint64]uint64{}}
}

// asking is what the leader of a group was asked about this node's copy of it, which is damaged.
type asking struct {
	closed bool // the copy is
	said   bool // there is an answer
	free   bool // the group does without it
}

// renew gives up this node's copy of a group if it is damaged, and lets the other members send theirs. It takes several calls:
// the copy is closed once the group would go on without it, and dropped once nobody counts on what it has had.
func (b *Broker) renew(id uint64, l *layout) error {
	g := &b.groups
	opened, refused := g.at(id), g.refuses(id)
	if opened != nil {
		refused = opened.Damage()
	}
	if refused == nil && g.turn(id) {
		refused = g.givesUp
	}
	if refused == nil || len(l.groups[id].Members) < 3 || !g.released(b.config.Cluster, id, opened == nil) {
		return nil
	}
	if opened != nil {
		g.start.logger.Error().Err(refused).Uint64("group", id).Msg("this node's copy of the group is no longer used")
		g.mu.Lock()
		g.damaged[id] = refused
		g.mu.Unlock()
		if err := g.leave(id); err != nil {
			g.start.logger.Debug().Err(err).Uint64("group", id).Msg("closing what is damaged")
		}
		b.config.Cluster.Look()
		return nil
	}
	err := b.config.Cluster.Drop(id)
	if err != nil && !errors.Is(err, oplog.ErrDamaged) {
		return err
	}
	if err != nil && g.givesUp == nil {
		g.stays = cmp.Or(g.stays, err)
		return nil
	}
	if g.givesUp == nil {
		g.start.logger.Warn().Uint64("group", id).Msg("the damaged copy of the group was dropped; the others send theirs")
	}
	g.mu.Lock()
	delete(g.damaged, id)
	delete(g.met, id)
	g.mu.Unlock()
	if g.givesUp != nil {
		if g.given[id] = true; g.next == id {
			g.next = 0
		}
		b.config.Cluster.Look()
		return nil
	}
	err = g.openOne(id, g.start.durable, nil)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stays == nil { // nothing of it was left, and it is met again
		g.stays = g.damaged[id]
	}
	return err
}

// turn tells whether a group that is whole is the next that a node gives up which gives up all: one at a time, so that the
// others have a majority of each even if another node ends.
func (g *groups) turn(id uint64) bool {
	if g.givesUp == nil || g.given[id] || g.next != 0 && g.next != id {
		return false
	}
	g.next = id
	return true
}

// giveUp lets the node begin anew, under another number, if it cannot be rid of damage: it stands in the way of everything
// that lies beside it on the disk, or hides what the node has promised. First all groups are given up, so that nobody counts
// on what they have here. It is called by Arrange alone.
func (g *groups) giveUp(c *Cluster, l *layout) {
	if g.stays == nil {
		g.stays = c.Stuck()
	}
	if g.stays == nil {
		return
	}
	if g.givesUp == nil {
		if g.needed(c, l) {
			return
		}
		g.givesUp = g.stays
		g.start.logger.Error().Err(g.stays).Msg("the node cannot be rid of this: it gives up all its groups, and then begins anew")
	}
	for _, id := range l.ids {
		if l.holds(id, g.node) && !g.given[id] {
			return
		}
	}
	if !g.left {
		g.left = true
		c.Anew(g.givesUp)
	}
}

// needed tells whether the groups that are here have too few other members to do without this node. Those that are whole and
// that nobody else has go to other nodes first, if that is all that is in the way.
func (g *groups) needed(c *Cluster, l *layout) (needed bool) {
	damage, moving := g.damage(), false
	for _, id := range l.ids {
		members := len(l.groups[id].Members)
		if !l.holds(id, g.node) || members >= 3 {
			continue
		}
		if members > 1 || damage[id] != nil {
			if !g.said {
				g.said = true
				g.start.logger.Error().Err(g.stays).Uint64("group", id).
					Msg("this node cannot be rid of its damage as long as the group has too few other members: add nodes, or delete the queues in it")
			}
			return true
		}
		moving = true
	}
	for id := range *g.open.Load() { // what is on its way has not left yet
		moving = moving || id < transientBase && !l.holds(id, g.node)
	}
	if moving {
		c.Spare()
	}
	return moving
}

// search looks for more as soon as something damaged is met. It is called by Arrange alone.
func (g *groups) search(c *Cluster) {
	found := false
	for id := range g.damage() {
		found, g.met[id] = found || !g.met[id], true
	}
	if !found {
		return
	}
	g.start.logger.Warn().Msg("something stored here is damaged: everything else is read too")
	c.Search(slices.Sorted(maps.Keys(*g.open.Load())), func() {
		g.start.logger.Warn().Int("damaged", len(g.damage())).Msg("everything stored here was read")
	})
}

// released tells whether a group does without this node's copy. If that is not known, its leader is asked until the next time.
func (g *groups) released(c *Cluster, id uint64, closed bool) bool {
	g.mu.Lock()
	asked := g.asked[id]
	if asked != nil && asked.closed == closed && !asked.said {
		g.mu.Unlock()
		return false
	}
	delete(g.asked, id)
	if asked != nil && asked.closed == closed && asked.free {
		g.mu.Unlock()
		return true
	}
	asked = &asking{closed: closed}
	g.asked[id] = asked
	g.mu.Unlock()
	term, err := c.Term(id)
	if err != nil && g.givesUp == nil { // as the node that it is it cannot go on without knowing what it has promised
		g.mu.Lock()
		delete(g.asked, id)
		g.mu.Unlock()
		g.stays = cmp.Or(g.stays, err)
		return false
	}
	g.links.Ask(id, appendRelease(g.node, term, closed), func(said []byte, err error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if asked.said, asked.free = true, err == nil && len(said) == 1 && said[0] == 1; asked.free {
			c.Look()
		}
	})
	return false
}

// releaseSize is the length of the question whether a group does without a member: its node, 8 bytes, the newest term it knows
// of, 8 bytes, and 1 if it is closed there. The answer is 1 or 0.
const releaseSize = 17

func appendRelease(node, term uint64, closed bool) []byte {
	question := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, node), term)
	if closed {
		return append(question, 1)
	}
	return append(question, 0)
}

// answer says something about a group that is led here to another node.
func (b *Broker) answer(of *group.Group, question []byte, done func([]byte, bool)) {
	if len(question) != releaseSize {
		answerCounts(of, question, done)
		return
	}
	node, term := binary.LittleEndian.Uint64(question), binary.LittleEndian.Uint64(question[8:])
	b.config.Cluster.Release(of.ID, node, term, question[16] == 1, func(free bool) {
		if free {
			done([]byte{1}, true)
			return
		}
		done([]byte{0}, true)
	})
}
