package link

import (
	"sync"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// guests is the sessions of other nodes, as the groups that are led here know them.
type guests struct {
	links *Links

	mu       sync.Mutex // guards what follows
	leading  map[uint64]bool
	asked    map[visit]uint64 // the newest epoch that was asked for
	visitors map[visit]*visitor
	homes    map[home]uint64 // the node of a forwarder, if it is not this one
}

// visit is a node at a group.
type visit struct{ group, node uint64 }

// home is where a forwarder's answers from a group go.
type home struct {
	group uint64
	key   queue.SessionKey
}

// visitor is the attachment of a node to a group that is led here.
type visitor struct {
	epoch  uint64
	guests map[queue.SessionKey]*guest
	held   []*proposeMessage // that know more of the metadata than this node
}

// guest is a session.
type guest struct {
	proposed uint64      // number of its last batch
	flight   int         // octets that it was sent and has not taken
	waker    group.Waker // has more for it
}

// guestRoom is how many octets may be on their way to a session of another node.
const guestRoom = 1 << 20

func (s *guests) init(l *Links) {
	*s = guests{
		links: l, leading: map[uint64]bool{}, asked: map[visit]uint64{}, visitors: map[visit]*visitor{}, homes: map[home]uint64{},
	}
}

// attach lets a node in, once what its sessions have not seen can be said again.
func (s *guests) attach(from uint64, m *attachMessage) {
	at := visit{m.group, from}
	local := s.links.Local(m.group)
	if s.links.past(m.group, m.era) { // who leads it then is not for this node to say
		s.send(at, appendRefused(nil, at.group, m.epoch, 0))
		return
	}
	s.mu.Lock()
	if local == nil || !s.leading[m.group] {
		s.mu.Unlock()
		s.refuse(at, m.epoch)
		return
	}
	s.asked[at] = m.epoch
	s.mu.Unlock()
	if m.first > 0 {
		var b queue.Batch
		b.Add(&queue.Down{Node: from, Last: m.first - 1, Lost: true})
		if err := local.Propose(oplog.Batch{Data: b.Bytes()}); err != nil {
			s.refuse(at, m.epoch)
			return
		}
	}
	if local.Resume(m.callers, func(last []uint64) bool { return s.welcome(at, m, last) }) != nil {
		s.refuse(at, m.epoch)
	}
}

func (s *guests) welcome(at visit, m *attachMessage, last []uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked[at] != m.epoch {
		return false
	}
	v := &visitor{epoch: m.epoch, guests: map[queue.SessionKey]*guest{}}
	for i := range m.callers {
		if m.callers[i].Key.Session == queue.Grave {
			continue
		}
		v.guests[m.callers[i].Key] = &guest{proposed: last[i]}
	}
	s.drop(at)
	s.visitors[at] = v
	return s.send(at, appendAttached(nil, at.group, m.epoch, last))
}

// resume says again what some consumers of a session lack.
func (s *guests) resume(from uint64, m *attachMessage) {
	at := visit{m.group, from}
	if local := s.links.Local(m.group); local != nil {
		_ = local.Resume(m.callers, func([]uint64) bool { // a closed log has no leader
			s.mu.Lock()
			defer s.mu.Unlock()
			v := s.visitors[at]
			return v != nil && v.epoch == m.epoch
		})
	}
}

// refuse tells a node that this one does not lead.
func (s *guests) refuse(at visit, epoch uint64) {
	s.send(at, appendRefused(nil, at.group, epoch, s.links.Leader(at.group)))
}

func (s *guests) send(at visit, parts ...[]byte) bool {
	if err := s.links.Peers.Send(at.node, parts...); err != nil {
		s.links.Logger.Debug().Err(err).Uint64("node", at.node).Uint64("group", at.group).Msg("not sent")
		return false
	}
	return true
}

// propose takes a batch of a session elsewhere.
func (s *guests) propose(from uint64, m *proposeMessage) {
	at := visit{m.group, from}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.visitors[at]
	if v == nil || v.epoch != m.epoch {
		s.refuse(at, m.epoch) // it may not know yet that it has to ask again
		return
	}
	if !s.holds(at, v, m) {
		s.proposeNow(at, v, m)
	}
}

// drop forgets an attachment. Nothing is kept back for its sessions any more: what goes to them is lost.
func (s *guests) drop(at visit) {
	v := s.visitors[at]
	if v == nil {
		return
	}
	delete(s.visitors, at)
	for key, g := range v.guests {
		if g.waker != nil {
			g.waker.HasRoom(key)
		}
	}
}

// gone forgets a session that has ended.
func (s *guests) gone(from uint64, m *tookMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.visitors[visit{m.group, from}]
	if v == nil || v.epoch != m.epoch {
		return
	}
	if g := v.guests[m.key]; g != nil {
		delete(v.guests, m.key)
		if g.waker != nil {
			g.waker.HasRoom(m.key)
		}
	}
}

// proposeNow hands a batch to the group.
func (s *guests) proposeNow(at visit, v *visitor, m *proposeMessage) {
	key := queue.SessionKey{Node: m.batch.From.Node, Session: m.batch.From.Session}
	g := v.guests[key]
	if g == nil {
		g = &guest{}
		v.guests[key] = g
	}
	local := s.links.Local(m.group)
	if key.Node == queue.Forwarders {
		s.homes[home{m.group, key}] = at.node
	} else if m.batch.From.Seq > g.proposed+1 {
		local = nil // one is missing: it has to ask again
	}
	if local == nil || local.Propose(m.batch) != nil {
		s.drop(at)
		s.refuse(at, m.epoch)
		return
	}
	g.proposed = max(g.proposed, m.batch.From.Seq)
}

// home notes that a forwarder is here.
func (s *guests) home(id uint64, key queue.SessionKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.homes, home{id, key})
}

// where gives the node of a session; elsewhere is false if it is this one.
func (s *guests) where(id uint64, key queue.SessionKey) (at visit, elsewhere bool) {
	node := key.Node
	if node == queue.Forwarders {
		node = s.homes[home{id, key}]
	}
	return visit{id, node}, node != 0 && node != s.links.Node
}

// pass sends events to a session of another node, and tells whether it is one.
func (s *guests) pass(id uint64, to queue.SessionKey, events []group.Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, elsewhere := s.where(id, to)
	if !elsewhere {
		return false
	}
	v := s.visitors[at]
	if v == nil {
		return true
	}
	if g := v.guests[to]; g != nil {
		for i := range events {
			g.flight += len(events[i].Data)
		}
	}
	if !s.send(at, eventParts(id, v.epoch, to, events)...) {
		s.drop(at)
	}
	return true
}

func (s *guests) room(id uint64, to queue.SessionKey, w group.Waker) (room, elsewhere bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, elsewhere := s.where(id, to)
	if !elsewhere {
		return false, false
	}
	if v := s.visitors[at]; v != nil {
		if g := v.guests[to]; g != nil && g.flight >= guestRoom {
			g.waker = w
			return false, true
		}
	}
	return true, true
}

// took notes that a session has taken octets.
func (s *guests) took(from uint64, m *tookMessage) {
	s.mu.Lock()
	var waker group.Waker
	if v := s.visitors[visit{m.group, from}]; v != nil && v.epoch == m.epoch {
		if g := v.guests[m.key]; g != nil {
			if g.flight -= m.bytes; g.flight < guestRoom {
				waker, g.waker = g.waker, nil
			}
		}
	}
	s.mu.Unlock()
	if waker != nil {
		waker.HasRoom(m.key)
	}
}

// leads tells whether a group is led here.
func (s *guests) leads(id uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leading[id]
}

// lead notes whether a group is led here; if it no longer is, everybody is told.
func (s *guests) lead(id uint64, leading bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leading[id] = leading
	if leading {
		return
	}
	for at := range s.asked {
		if at.group == id {
			delete(s.asked, at)
		}
	}
	for at, v := range s.visitors {
		if at.group == id {
			delete(s.visitors, at)
			s.refuse(at, v.epoch)
		}
	}
	for h := range s.homes { // who leads next hears from them anew
		if h.group == id {
			delete(s.homes, h)
		}
	}
}

// dismiss ends the attachment of a node that was taken for gone: if it lives, it has to begin anew.
func (s *guests) dismiss(at visit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.asked, at)
	if v := s.visitors[at]; v != nil {
		s.drop(at)
		s.refuse(at, v.epoch)
	}
}

// lost forgets a node that cannot be reached: what was on its way to it is not kept back any more.
func (s *guests) lost(node uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := range s.asked {
		if at.node == node {
			delete(s.asked, at)
		}
	}
	for at := range s.visitors {
		if at.node == node {
			s.drop(at)
		}
	}
}
