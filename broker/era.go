package broker

// A group that has lost most of its members for good begins anew, when an operator says so: that is another era of it. Whatever
// was stored of an era before is not the group's any more, but for the copy with which it goes on.

// advance ends this node's part in an era of a group that is over. What is to have a member here is opened again afterwards. Its
// sessions hear of it first, so that none asks a leader of the era before.
func (b *Broker) advance(id uint64, l *layout) {
	g := &b.groups
	era := l.groups[id].Era
	if era == 0 {
		return
	}
	if g.eras[id] != era {
		g.eras[id] = era
		g.links.Renewed(id)
	}
	opened := g.at(id)
	switch {
	case opened != nil:
		if b.config.Cluster.Era(id) >= era {
			return
		}
		if err := g.leave(id); err != nil {
			g.start.logger.Debug().Err(err).Uint64("group", id).Msg("closing what is of an era that is over")
		}
	case g.refuses(id) == nil:
		return
	}
	if advanced, err := g.enter(id); err != nil || !advanced {
		return // what is damaged is met again, and noted, where it is opened
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.damaged, id)
}

// enter makes what is stored of a group that is not open part of its era, and tells whether it was not.
func (g *groups) enter(id uint64) (advanced bool, err error) {
	if g.cluster == nil {
		return false, nil
	}
	l := g.layout.Load()
	of := l.groups[id]
	if of.Era == 0 {
		return false, nil
	}
	return g.cluster.Advance(id, of.Era, of.Kept == g.node, l.begins(id, g.node))
}
