package link

import (
	"cmp"
	"slices"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// caller is a session as the route to one group knows it. owner: the route
type caller struct {
	key       queue.SessionKey
	pending   []pending
	last      uint64 // number of the last batch that was applied
	base      uint64 // number of the session's last batch before its numbers began anew, see mortal.go
	newest    uint64 // and of its last one
	stale     bool   // the group may know the session under its old numbers
	consumers map[uint32]*consumer
	resume    []queue.Seen // consumers of which the leader is to say again what they lack
	owed      int          // octets that the leader was not told of yet, as taken
	asking    bool         // the session will say when it has room
	left      bool         // the session has ended: it goes once nothing of it is pending
	held      uint64       // number of the batch that waits for others, see farewell.go; 0: none does
	backlog   *backlog     // of the route
	waiting   int          // what of it is this caller's
}

// consumer is how far the deliveries to a consumer have come.
type consumer struct {
	seen uint64 // the last that reached the session
	lost bool   // what comes next may have a gap before it: the leader is to say again
}

// pending is a batch that is not answered.
type pending struct {
	batch    oplog.Batch
	applied  bool
	handed   bool              // some leader was given it
	again    bool              // it was handed in more than once
	requests []uint32          // without an answer
	attaches map[uint32]uint32 // the consumer that begins, by request
	detaches map[uint32]uint32 // the consumer that ends, by request
	down     *queue.Down       // it ends sessions
	cost     int               // what it counts for in the backlog
}

// note keeps a batch until it is answered.
func (c *caller) note(b oplog.Batch) error {
	p := pending{batch: b, applied: b.From.Seq == 0, cost: len(b.Data) + pendingCost} // 0 is answered by nobody
	c.backlog.note(c, p.cost)
	err := queue.Commands(b.Data, func(command queue.Command) {
		request := queue.RequestOf(command)
		if request != 0 {
			p.requests = append(p.requests, request)
		}
		switch command := command.(type) {
		case *queue.Attach:
			c.consumer(command.Consumer)
			note(&p.attaches, request, command.Consumer)
		case *queue.Detach:
			note(&p.detaches, request, command.Consumer)
		case *queue.Leave:
			for _, seen := range command.Seen {
				delete(c.consumers, seen.Consumer)
			}
		case *queue.Down:
			p.down = command
		}
	})
	c.pending = append(c.pending, p)
	return err
}

func note(of *map[uint32]uint32, request, consumer uint32) {
	if *of == nil {
		*of = map[uint32]uint32{}
	}
	(*of)[request] = consumer
}

func (c *caller) consumer(id uint32) *consumer {
	if c.consumers == nil {
		c.consumers = map[uint32]*consumer{}
	}
	con := c.consumers[id]
	if con == nil {
		con = &consumer{}
		c.consumers[id] = con
	}
	return con
}

// lose gives what a new leader has to know of the session. Its consumers wait for what is said again. One whose Attach is
// not answered is not among them: the client must hear first that it is there.
func (c *caller) lose() group.Caller {
	coming := map[uint32]bool{}
	list := group.Caller{Key: c.key}
	for _, con := range c.consumers {
		con.lost = true
	}
	for i := range c.pending {
		p := &c.pending[i]
		p.again = p.handed
		for _, id := range p.attaches {
			coming[id] = true
			c.consumer(id).lost = p.handed // else nobody has told it anything
		}
	}
	for id, con := range c.consumers {
		if !coming[id] {
			list.Seen = append(list.Seen, queue.Seen{Consumer: id, Number: con.seen})
		}
	}
	slices.SortFunc(list.Seen, func(a, b queue.Seen) int { return cmp.Compare(a.Consumer, b.Consumer) })
	return list
}

// take lets in what is new of a leader's events, and gives that.
func (c *caller) take(events []group.Event) []group.Event {
	kept := events[:0]
	for i := range events {
		if e := &events[i]; saidAgain(e) && !c.awaits(events[i:]) {
			continue
		}
		if c.takes(&events[i]) {
			kept = append(kept, events[i])
		}
	}
	c.trim()
	return kept
}

// saidAgain tells whether an event answers messages of a batch that was applied before.
func saidAgain(e *group.Event) bool {
	return (e.Kind == queue.Confirm || e.Kind == queue.Refuse) && e.Redelivered
}

// awaits tells whether nobody has heard yet that the batch was applied that the first event is about: that it was comes behind
// its answers. Handed in twice to one leader, a batch is answered twice.
func (c *caller) awaits(events []group.Event) bool {
	at := slices.IndexFunc(events, func(e group.Event) bool { return e.Kind == queue.Applied })
	return at < 0 || slices.ContainsFunc(c.pending, func(p pending) bool { return p.batch.From.Seq == events[at].Number && !p.applied })
}

func (c *caller) takes(e *group.Event) bool {
	switch e.Kind {
	case queue.Confirm, queue.Refuse:
		e.Redelivered = false
	case queue.Deliver:
		return c.delivered(e)
	case queue.Resumed:
		con := c.consumers[e.Consumer]
		if con == nil {
			return false
		}
		con.seen, con.lost = e.Number-1, false
		e.Ready += c.credit(e.Consumer)
	case queue.Cancelled:
		if c.consumers[e.Consumer] == nil && e.Outcome != queue.TimedOut { // which may be about what was got
			return false
		}
		delete(c.consumers, e.Consumer)
	case queue.Applied:
		c.applied(e.Number)
		e.Number += c.base
	case queue.Answer, queue.Got:
		return c.answered(e)
	}
	return true
}

// delivered tells whether a delivery has something new, and cuts off what is not.
func (c *caller) delivered(e *group.Event) bool {
	con, last := c.consumer(e.Consumer), e.Number+uint64(e.Count)-1
	if con.lost || last <= con.seen {
		return false
	}
	if old := con.seen + 1 - min(e.Number, con.seen+1); old > 0 {
		skip := uint32(old) * e.Stride
		e.Number += old
		e.Count -= uint32(old)
		e.Offset += skip
		e.Data = e.Data[skip:]
		if e.Stream {
			e.Ready += old
		}
	}
	con.seen = last
	return true
}

// credit is what a consumer was given back in batches that are not applied.
func (c *caller) credit(consumer uint32) (bytes uint64) {
	for i := range c.pending {
		if c.pending[i].applied {
			continue
		}
		_ = queue.Commands(c.pending[i].batch.Data, func(command queue.Command) {
			if credit, ok := command.(*queue.Credit); ok && credit.Consumer == consumer {
				bytes += uint64(credit.Bytes)
			}
		})
	}
	return bytes
}

func (c *caller) applied(number uint64) {
	for i := range c.pending {
		p := &c.pending[i]
		if p.batch.From.Seq == number {
			p.applied, c.last = true, max(c.last, number)
			return
		}
	}
}

// answered notes an answer, and tells whether anybody waits for it.
func (c *caller) answered(e *group.Event) bool {
	for i := range c.pending {
		p := &c.pending[i]
		at := slices.Index(p.requests, e.Request)
		if at < 0 {
			continue
		}
		p.requests = slices.Delete(p.requests, at, at+1)
		if id, ok := p.detaches[e.Request]; ok {
			delete(c.consumers, id)
		}
		if id, ok := p.attaches[e.Request]; ok {
			delete(p.attaches, e.Request)
			c.attached(id, p.again, e.Outcome)
		}
		return true
	}
	return false
}

// attached notes that a consumer is there. If that was said before, some of its deliveries may be lost.
func (c *caller) attached(id uint32, again bool, outcome queue.Outcome) {
	switch {
	case outcome != queue.Done:
		delete(c.consumers, id)
	case again:
		con := c.consumer(id)
		con.lost = true
		c.resume = append(c.resume, queue.Seen{Consumer: id, Number: con.seen})
	}
}

// trim forgets the batches at the front that are answered.
func (c *caller) trim() {
	n := 0
	for n < len(c.pending) && c.pending[n].applied && len(c.pending[n].requests) == 0 {
		n++
	}
	for i := range c.pending[:n] {
		c.backlog.note(c, -c.pending[i].cost)
	}
	clear(c.pending[:n])
	c.pending = c.pending[n:]
	if len(c.pending) == 0 {
		c.pending = nil
	}
}

// drop forgets all batches.
func (c *caller) drop() {
	c.backlog.note(c, -c.waiting)
	c.pending = nil
}

// end answers everything for a session that the groups no longer know.
func (c *caller) end(id uint64) (events []group.Event) {
	for i := range c.pending {
		p := &c.pending[i]
		for _, request := range p.requests {
			events = append(events, group.Event{Effect: queue.Effect{Kind: queue.Answer, To: c.key, Request: request}, Group: id})
		}
		if !p.applied {
			events = append(events, group.Event{Effect: queue.Effect{Kind: queue.Applied, To: c.key, Number: p.batch.From.Seq + c.base}, Group: id})
		}
	}
	c.drop()
	return events
}
