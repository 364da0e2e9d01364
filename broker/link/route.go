package link

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// route is the way from this node to one group.
type route struct {
	links *Links
	group uint64
	owner uint64 // the node that the group lives and dies with; 0: there is none

	mu      sync.Mutex         // guards what follows
	epoch   uint64             // of the newest attachment, asked for or made
	leader  uint64             // that it is to
	ready   bool               // it is made
	asked   []queue.SessionKey // the callers that it was asked for with, and the node's grave
	buried  uint64             // how often the group had ended all sessions of this node, when it was made the last time
	known   bool               // which was said
	hint    uint64             // who is said to lead; 0: nobody knows
	callers map[queue.SessionKey]*caller
	seeking bool
	closed  bool
	breaker breaker
	backlog backlog
	holds   []*caller     // with a batch that waits for others
	life    uint64        // of the owner; 0: not known
	dead    bool          // the owner does not live
	news    chan struct{} // one place: something was learned about the leader
}

func newRoute(l *Links, id uint64) *route {
	r := &route{links: l, group: id, callers: map[queue.SessionKey]*caller{}, news: make(chan struct{}, 1)}
	if l.Owner != nil {
		r.owner = l.Owner(id)
	}
	r.backlog.init(l.Backlog)
	r.lives(l.lives)
	return r
}

// Share implements dispatch.Handle.
func (r *route) Share() int { return int(r.backlog.share.Load()) }

// Propose implements dispatch.Handle: the batch takes effect once, whoever leads. What bounds how many wait is the
// session's share of the backlog, and while there is no leader the backlog itself.
func (r *route) Propose(b oplog.Batch) error {
	key := queue.SessionKey{Node: b.From.Node, Session: b.From.Session}
	said, err := r.propose(key, b)
	if len(said) > 0 {
		r.links.Inboxes.Post(key, said)
	}
	return err
}

// propose gives what the session is to be told at once.
func (r *route) propose(key queue.SessionKey, b oplog.Batch) (said []group.Event, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, oplog.ErrClosed
	}
	if b.From.Seq == 0 && r.ready { // nobody waits for it
		r.handIn(&pending{batch: b})
		return nil, nil
	}
	if said, err = r.turnAway(key, &b); err != nil {
		return said, err
	}
	c := r.caller(key)
	c.renumber(&b)
	if err := c.note(b); err != nil {
		return said, fmt.Errorf("group %d: %w", r.group, err)
	}
	switch {
	case r.dead:
		return c.die(r.group), nil
	case r.ready && !c.stale:
		if c.held == 0 {
			r.handInFrom(c, len(c.pending)-1)
		}
	case r.ready:
		r.detach()
	case r.breaker.open:
		said = append(said, c.letLeave(r.group)...)
	default:
		r.seek()
	}
	return said, nil
}

func (r *route) caller(key queue.SessionKey) *caller {
	c := r.callers[key]
	if c == nil {
		c = &caller{key: key, backlog: &r.backlog}
		r.callers[key] = c
		if key.Node == queue.Forwarders {
			r.links.guests.home(r.group, key)
		}
	}
	return c
}

// handIn gives a batch to the leader.
func (r *route) handIn(p *pending) {
	var err error
	b := &p.batch
	p.handed = true
	if r.leader == r.links.Node {
		if local := r.links.Local(r.group); local != nil {
			err = local.Propose(*b)
		} else {
			err = oplog.ErrClosed
		}
	} else {
		err = r.links.Peers.Send(r.leader, proposeParts(r.group, r.epoch, uint64(r.links.Newest()), b)...)
	}
	if err != nil {
		r.links.Logger.Debug().Err(err).Uint64("group", r.group).Uint64("leader", r.leader).Msg("a batch was not taken, and will be handed in again")
		r.detach()
	}
}

// detach ends the attachment, and looks for a leader if somebody needs one.
func (r *route) detach() {
	r.ready, r.leader, r.holds = false, 0, nil
	if len(r.callers) > 0 {
		r.seek()
	}
}

func (r *route) tell() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// leads is told when the group begins or ceases to be led here.
func (r *route) leads(leading bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case leading:
		r.hint = r.links.Node
		if r.ready && r.leader != r.links.Node || !r.ready {
			r.detach()
		}
	case r.leader == r.links.Node:
		r.hint = 0
		r.detach()
	}
	r.tell()
}

// moved is told when another node begins to lead the group.
func (r *route) moved(to uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leader == to && r.ready {
		return
	}
	r.hint = to
	if r.ready {
		r.detach()
	}
	r.tell()
}

// refused is told when a leader that was asked does not lead, or no longer.
func (r *route) refused(from, epoch, hint uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if epoch != r.epoch || from != r.leader {
		return
	}
	r.hint = hint
	r.detach()
	r.tell()
}

// lost is told when the way to a node is broken.
func (r *route) lost(node uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leader == node {
		r.hint = 0
		r.detach()
	}
	r.tell()
}

func (r *route) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.breaker.stop != nil {
		r.breaker.stop()
	}
	r.tell()
}

// pass lets in what the group, if it is led here, says to a session.
func (r *route) pass(to queue.SessionKey, events []group.Event) []group.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ready || r.leader != r.links.Node {
		return nil
	}
	return r.take(to, events)
}

// receive lets in what a leader elsewhere says to a session.
func (r *route) receive(from, epoch uint64, to queue.SessionKey, events []group.Event) {
	bytes := 0
	for i := range events {
		bytes += len(events[i].Data)
	}
	r.mu.Lock()
	if !r.ready || r.leader != from || r.epoch != epoch {
		r.mu.Unlock()
		return
	}
	events = r.take(to, events)
	r.mu.Unlock()
	if len(events) > 0 {
		r.links.Inboxes.Post(to, events)
	}
	if bytes > 0 {
		r.taken(to, bytes)
	}
}

func (r *route) take(to queue.SessionKey, events []group.Event) []group.Event {
	c := r.callers[to]
	if c == nil || c.stale {
		return nil
	}
	events = c.take(events)
	if len(c.resume) > 0 {
		again := group.Caller{Key: c.key, Seen: c.resume}
		c.resume = nil
		r.resume(again)
	}
	if c.pending == nil && (to.Node == queue.Forwarders || c.left) {
		r.drop(c)
	}
	r.handInHeld()
	return events
}

// resume asks the leader for what some consumers lack.
func (r *route) resume(c group.Caller) {
	if r.leader != r.links.Node {
		if err := r.links.Peers.Send(r.leader, appendAttach(nil, kindResume, r.group, r.epoch, 0, []group.Caller{c})); err != nil {
			r.detach()
		}
		return
	}
	if local := r.links.Local(r.group); local != nil {
		epoch := r.epoch
		_ = local.Resume([]group.Caller{c}, func([]uint64) bool { // a closed log has no leader
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.ready && r.epoch == epoch
		})
	}
}

// The search for a leader: who is asked and does not answer is asked again later; nobody is asked without a pause.
const (
	answerTime = time.Second
	askPause   = 20 * time.Millisecond
	askTurns   = 50            // and after so many of them, or once the breaker is open,
	restPause  = 10 * askPause // a longer one: whoever begins to lead says so
)

// seek looks for the leader until the route is attached to it.
func (r *route) seek() {
	if r.closed || r.dead {
		return
	}
	r.watch()
	if !r.seeking {
		r.seeking = true
		r.links.seeks.Go(r.search)
	}
}

func (r *route) search() {
	for turn := 0; ; turn++ {
		wait := r.ask(turn)
		if wait == 0 {
			return
		}
		over := time.NewTimer(wait)
		select {
		case <-r.news:
		case <-over.C:
		}
		over.Stop()
		if r.attached() {
			return
		}
		if wait == answerTime {
			r.pause()
		}
	}
}

// pause keeps two that point at each other from being asked without end.
func (r *route) pause() {
	over := time.NewTimer(askPause)
	defer over.Stop()
	<-over.C
}

func (r *route) attached() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready || r.closed || r.dead {
		r.seeking = false
		return true
	}
	return false
}

// ask asks somebody to be the leader, and tells how long to wait for the answer; 0 ends the search.
func (r *route) ask(turn int) time.Duration {
	r.mu.Lock()
	if r.ready || r.closed || r.dead || len(r.callers) == 0 && !r.breaker.open {
		r.seeking = false
		if len(r.callers) == 0 {
			r.unwatch("nobody uses them")
		}
		r.mu.Unlock()
		return 0
	}
	pause := askPause
	if r.breaker.open || turn >= askTurns {
		pause = restPause
	}
	to := r.candidate(turn)
	if to == 0 {
		r.mu.Unlock()
		return pause
	}
	r.hint = 0
	r.epoch = r.links.nextEpoch()
	r.leader = to
	grave := queue.SessionKey{Node: r.links.Node, Session: queue.Grave}
	callers := append(make([]group.Caller, 0, len(r.callers)+1), group.Caller{Key: grave})
	r.asked = append(r.asked[:0], grave)
	for key, c := range r.callers {
		callers = append(callers, c.lose())
		r.asked = append(r.asked, key)
	}
	epoch := r.epoch
	known, _ := r.links.eras(r.group)
	if to != r.links.Node {
		question := appendAttach(nil, kindAttach, r.group, epoch, r.links.First, callers)
		if known > 0 {
			question = uvarints(question, known)
		}
		err := r.links.Peers.Send(to, question)
		r.mu.Unlock()
		if err != nil {
			return pause
		}
		return answerTime
	}
	r.mu.Unlock()
	local := r.links.Local(r.group)
	if local == nil || r.links.past(r.group, known) || local.Resume(callers, func(last []uint64) bool { return r.attach(r.links.Node, epoch, last) }) != nil {
		return pause
	}
	return answerTime
}

// candidate is who is asked next.
func (r *route) candidate(turn int) uint64 {
	if r.hint != 0 && r.hint != r.links.Node {
		return r.hint
	}
	if r.links.guests.leads(r.group) {
		return r.links.Node
	}
	members := slices.DeleteFunc(slices.Clone(r.links.Members(r.group)), func(node uint64) bool { return node == r.links.Node })
	if len(members) == 0 {
		return 0
	}
	return members[turn%len(members)]
}

// attach makes the attachment: everything that is not answered is handed in again, in order. It tells whether the leader may
// go on.
func (r *route) attach(leader, epoch uint64, last []uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready || r.closed || r.dead || r.leader != leader || r.epoch != epoch || len(last) != len(r.asked) {
		return false
	}
	r.ready, r.holds = true, nil
	r.unwatch("it has a leader")
	r.links.Logger.Debug().Uint64("group", r.group).Uint64("leader", leader).Msg("attached")
	old := map[queue.SessionKey]uint64{}
	for i, key := range r.asked {
		old[key] = last[i]
	}
	buried := r.known && r.buried != last[0]
	r.buried, r.known = last[0], true
	stale := false
	for key, c := range r.callers {
		c.owed = 0
		number, asked := old[key] // 0 for those that came since the question
		if !r.refresh(c, number, asked) {
			stale = true
			continue
		}
		r.handInAgain(c, number, buried)
		if c.left && c.pending == nil {
			r.drop(c)
		}
	}
	r.handInHeld()
	if stale && r.ready { // until the group has forgotten them
		r.detach()
	}
	r.tell()
	return r.ready
}

// handInAgain goes on from what is not answered. A session that the group no longer knows is at its end; so is one that it may
// have known: what it has handed in may have been applied before all sessions of the node were ended, and must not be again.
func (r *route) handInAgain(c *caller, last uint64, buried bool) {
	forgotten := last < c.last || buried && last == 0 && slices.ContainsFunc(c.pending, func(p pending) bool { return p.handed && !p.applied })
	if forgotten && c.key.Node != queue.Forwarders {
		if r.owner != 0 { // the node has come back before anybody has seen that it was gone
			events := c.die(r.group)
			c.stale = last > 0
			go r.links.Inboxes.Post(c.key, events)
			return
		}
		events := c.end(r.group)
		go func() {
			r.links.Inboxes.Post(c.key, events)
			r.links.Ended(c.key)
		}()
		return
	}
	r.handInFrom(c, 0)
	c.trim()
}
