package session

import (
	"maps"
	"slices"
	"sync"

	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// Registry is the open connections of a node, and the limits on their number. How those of other nodes are counted stands in
// tallies.go.
type Registry struct {
	Limit int // connections on the node; 0: no limit
	Board *stats.Board

	mu       sync.Mutex
	arriving map[*Session]struct{} // not open yet
	open     map[*Session]struct{}
	here     tallies
	closed   *protocol.Error // why nobody is admitted any more
	sharing
}

// NewRegistry makes an empty registry.
func NewRegistry(limit int) *Registry {
	return &Registry{
		Limit: limit, Board: stats.NewBoard(), arriving: map[*Session]struct{}{}, open: map[*Session]struct{}{}, here: newTallies(),
	}
}

// arrive notes a connection that was accepted. It gives false if none is any more.
func (g *Registry) arrive(s *Session) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		return false
	}
	g.arriving[s] = struct{}{}
	return true
}

// enter admits a connection to a vhost, or says which limit forbids it.
func (g *Registry) enter(c *topology.Catalog, s *Session, vhost string) *protocol.Error {
	limited, refusal := g.admit(c, s, vhost)
	g.tellAtOnce(limited && refusal == nil)
	return refusal
}

// admit tells whether the connection counts toward a limit.
func (g *Registry) admit(c *topology.Catalog, s *Session, vhost string) (limited bool, refusal *protocol.Error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	user := s.principal.Name()
	if g.closed != nil {
		return false, g.closed
	}
	if s.local {
		s.entered = vhost
		return false, nil
	}
	if g.Limit > 0 && len(g.open) >= g.Limit {
		return false, protocol.Errorf(protocol.CodeNotAllowed, "connection refused: node connection limit (%d) is reached", g.Limit)
	}
	limit, limited := c.VHost(vhost).Limit("max-connections")
	if limited && g.everywhere(ofVHost, vhost) >= limit {
		return true, protocol.Errorf(protocol.CodeNotAllowed, "access to vhost '%s' refused for user '%s': connection limit (%d) is reached", vhost, user, limit)
	}
	if u := c.User(user); u != nil {
		limit, ok := u.Limit("max-connections")
		limited = limited || ok
		if ok && g.everywhere(ofUser, user) >= limit {
			return true, protocol.Errorf(protocol.CodeNotAllowed, "connection refused for user '%s': user connection limit (%d) is reached", user, limit)
		}
	}
	delete(g.arriving, s)
	g.open[s] = struct{}{}
	g.count(ofVHost, vhost, 1)
	g.count(ofUser, user, 1)
	s.entered = vhost
	g.Board.Churn.ConnectionsCreated.Add(1)
	return limited, nil
}

// leave forgets a connection.
func (g *Registry) leave(s *Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.arriving, s)
	if _, is := g.open[s]; !is {
		return
	}
	delete(g.open, s)
	g.Board.Churn.ConnectionsClosed.Add(1)
	g.count(ofVHost, s.entered, -1)
	g.count(ofUser, s.principal.Name(), -1)
	g.count(channelsOf, s.principal.Name(), -s.opened)
}

// openChannel counts a channel, or says that its user has too many, on all connections together.
func (g *Registry) openChannel(c *topology.Catalog, s *Session) *protocol.Error {
	if s.local {
		return nil
	}
	limited, refusal := g.admitChannel(c.User(s.principal.Name()), s)
	g.tellAtOnce(limited && refusal == nil)
	return refusal
}

// admitChannel tells whether the channel counts toward a limit. The user may be gone.
func (g *Registry) admitChannel(u *topology.User, s *Session) (limited bool, refusal *protocol.Error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	name := s.principal.Name()
	if u != nil {
		var limit int64
		if limit, limited = u.Limit("max-channels"); limited && g.everywhere(channelsOf, name) >= limit {
			return true, protocol.Errorf(protocol.CodeNotAllowed, "number of channels opened for user '%s' has reached the maximum allowed user limit of %d", name, limit)
		}
	}
	g.count(channelsOf, name, 1)
	s.opened++
	return limited, nil
}

// closeChannels counts channels that are closed.
func (g *Registry) closeChannels(s *Session, n int) {
	if s.local {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s.opened -= n
	g.count(channelsOf, s.principal.Name(), -n)
}

// Each visits the open connections, in no order.
func (g *Registry) Each(visit func(*Session)) {
	g.mu.Lock()
	list := make([]*Session, 0, len(g.open))
	for s := range g.open {
		list = append(list, s)
	}
	g.mu.Unlock()
	for _, s := range list {
		visit(s)
	}
}

// Close ends all connections: those that are open are told why, the others are cut. Nobody is admitted any more.
func (g *Registry) Close(refusal *protocol.Error) {
	g.mu.Lock()
	g.closed = refusal
	arriving := slices.Collect(maps.Keys(g.arriving))
	g.mu.Unlock()
	for _, s := range arriving {
		s.Abort()
	}
	g.Each(func(s *Session) { s.Close(refusal) })
}

// Follow ends the connections whose vhost or user is gone. It does not wait for them.
func (g *Registry) Follow(change topology.Change) {
	if len(change.VHosts) == 0 && len(change.Users) == 0 {
		return
	}
	g.Each(func(s *Session) {
		for _, vhost := range change.VHosts {
			if s.entered == vhost {
				s.Close(protocol.Errorf(protocol.CodeConnectionForced, "vhost '%s' is deleted", vhost))
				return
			}
		}
		for _, user := range change.Users {
			if s.principal.Name() == user {
				s.Close(protocol.Errorf(protocol.CodeConnectionForced, "user '%s' is deleted", user))
				return
			}
		}
	})
}

// Full tells whether no connection more would be admitted.
func (g *Registry) Full() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed != nil || g.Limit > 0 && len(g.open) >= g.Limit
}
