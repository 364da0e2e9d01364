package broker

import (
	"encoding/binary"
	"slices"
)

// renew gives up this node's copy of a group if it is damaged, and lets the other members send theirs. It takes more than one
// call: the copy is only dropped when a majority of the others has shown that it serves the group without it.
func (b *Broker) renew(id uint64, l *layout) error {
	g := &b.groups
	if others := slices.DeleteFunc(slices.Clone(l.groups[id].Members), func(node uint64) bool { return node == g.node }); len(others) < 2 {
		return nil
	}
	if opened := g.at(id); opened != nil {
		err := opened.Damage()
		if err == nil {
			return nil
		}
		g.start.logger.Error().Err(err).Uint64("group", id).Msg("this node's copy of the group is damaged, and is no longer used")
		g.mu.Lock()
		g.damaged[id] = err
		g.mu.Unlock()
		if err := g.leave(id); err != nil {
			g.start.logger.Debug().Err(err).Uint64("group", id).Msg("closing what is damaged")
		}
	}
	if g.refuses(id) == nil {
		return nil
	}
	if !g.elsewhere(id) {
		return nil
	}
	if err := b.config.Cluster.Drop(id); err != nil {
		return err
	}
	g.start.logger.Warn().Uint64("group", id).Msg("the damaged copy of the group was dropped; the others send theirs")
	g.mu.Lock()
	delete(g.damaged, id)
	delete(g.served, id)
	g.mu.Unlock()
	return g.openOne(id, g.start.durable, nil)
}

// elsewhere tells whether somebody else has led the group since its copy here was found damaged. If that is not known, it is
// found out until the next time.
func (g *groups) elsewhere(id uint64) bool {
	g.mu.Lock()
	served := g.served[id]
	g.mu.Unlock()
	if served {
		return true
	}
	g.links.Ask(id, binary.LittleEndian.AppendUint64(nil, 0), func(_ []byte, err error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if err == nil {
			g.served[id] = true
		}
	})
	return false
}
