package link

import (
	"slices"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
)

// What ends a session (queue.Down) comes behind everything that the session has handed in, and not before that is known to be
// applied: once the group has forgotten the session, it would take a batch that comes again for one that is new.
//
// And a session that ends does not wait for a group that has had no leader for too long: it is told at once that it is not
// known any more, and the route goes on without it.

// among tells whether something holds of a caller that d ends.
func (r *route) among(d *queue.Down, holds func(*caller) bool) bool {
	if d.Last-d.First < 8 {
		for session := d.First; session <= d.Last; session++ {
			if c := r.callers[queue.SessionKey{Node: d.Node, Session: session}]; c != nil && holds(c) {
				return true
			}
		}
		return false
	}
	for key, c := range r.callers {
		if key.Node == d.Node && key.Session >= d.First && key.Session <= d.Last && holds(c) {
			return true
		}
	}
	return false
}

// early tells whether a batch must wait: it ends sessions of which something before it is not applied.
func (r *route) early(of *caller, p *pending) bool {
	return p.down != nil && r.among(p.down, func(c *caller) bool {
		return slices.ContainsFunc(c.pending, func(other pending) bool {
			return !other.applied && (c != of || other.batch.From.Seq < p.batch.From.Seq)
		})
	})
}

// handInFrom hands in a caller's batches from one on, up to one that must wait.
func (r *route) handInFrom(c *caller, from int) {
	c.held = 0
	for i := from; i < len(c.pending) && r.ready; i++ {
		p := &c.pending[i]
		if r.early(c, p) {
			c.held = p.batch.From.Seq
			r.holds = append(r.holds, c)
			return
		}
		r.handIn(p)
	}
}

// handInHeld hands in what need not wait any more.
func (r *route) handInHeld() {
	if len(r.holds) == 0 || !r.ready {
		return
	}
	holds := r.holds
	r.holds = nil
	for _, c := range holds {
		if at := slices.IndexFunc(c.pending, func(p pending) bool { return c.held != 0 && p.batch.From.Seq == c.held }); at >= 0 {
			r.handInFrom(c, at)
		}
	}
}

// forget is told that a session has ended. What it has handed in still takes effect.
func (r *route) forget(key queue.SessionKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.callers[key]
	if c == nil {
		return
	}
	if c.left = true; c.pending == nil || r.dead {
		r.drop(c)
	}
}

// drop forgets a caller.
func (r *route) drop(c *caller) {
	c.drop()
	delete(r.callers, c.key)
	if r.ready && r.leader != r.links.Node && c.key.Node != queue.Forwarders {
		_ = r.links.Peers.Send(r.leader, appendGone(nil, r.group, r.epoch, c.key)) // a way that is lost is forgotten there as a whole
	}
}

// letLeave answers a session, or a channel, that ends: nobody waits for a group that has had no leader for too long.
func (c *caller) letLeave(id uint64) (said []group.Event) {
	for i := range c.pending {
		p := &c.pending[i]
		if len(p.requests) == 0 {
			continue
		}
		_ = queue.Commands(p.batch.Data, func(command queue.Command) { // which were read when they came
			switch command.(type) {
			case *queue.Leave, *queue.Down:
				said = append(said, c.answer(id, p, queue.RequestOf(command), queue.Done)...)
			}
		})
	}
	return said
}

// answer answers a request that is pending, unless it has been.
func (c *caller) answer(id uint64, p *pending, request uint32, outcome queue.Outcome) []group.Event {
	at := slices.Index(p.requests, request)
	if at < 0 {
		return nil
	}
	p.requests = slices.Delete(p.requests, at, at+1)
	return []group.Event{{Effect: queue.Effect{Kind: queue.Answer, To: c.key, Request: request, Outcome: outcome}, Group: id}}
}

// refuseRequests takes the requests out of the batches that no leader was ever given, and answers them.
func (c *caller) refuseRequests(id uint64, count *Tally) (said []group.Event) {
	for i := range c.pending {
		p := &c.pending[i]
		if p.handed || len(p.requests) == 0 {
			continue
		}
		rest, turned, err := queue.TurnAway(p.batch.Data, false, true, func(e queue.Effect) {
			if consumer, is := p.attaches[e.Request]; is {
				delete(p.attaches, e.Request)
				delete(c.consumers, consumer)
			}
			delete(p.detaches, e.Request)
			said = append(said, c.answer(id, p, e.Request, e.Outcome)...)
		})
		if err != nil || turned.Requests == 0 {
			continue
		}
		count.Requests += turned.Requests
		if len(rest) == 0 { // its number is taken
			var nothing queue.Batch
			nothing.Add(&queue.Credit{})
			rest = nothing.Bytes()
		}
		p.batch.Data = rest
	}
	return said
}
