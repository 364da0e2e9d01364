package queue

import "github.com/warrenmq/warren/broker/ledger"

// queue is one queue's state. owner: Set
type queue struct {
	id     ID
	vhost  string
	name   string
	config *Config // shared with other queues: it is never changed

	lanes    lanes   // never delivered
	returned returns // delivered before, and put back
	ready    int64   // messages in lanes and returned
	bytes    int64   // of these
	unacked  int64
	held     int64 // bytes of unacked

	consumers   []*consumer // in the order they came
	strays      []*consumer // holders: detached ones, and those that only get
	levels      []level     // those that may be served now, highest priority first
	single      *consumer   // of a queue with a single active consumer
	exclusive   *consumer
	quiescing   bool  // single gets nothing more: a better one waits for it to finish
	everUsed    bool  // had a consumer: auto-delete may strike
	scanning    bool  // some reader of the stream has more to pass over
	deleted     bool  // lives on only until its outbox is empty
	lastUsed    int64 // log time of the last sign of use, for expiry
	stream      stream
	waiting     wheel   // held back until their time
	keyring     keyring // for deduplication
	producers   producers
	letters     letters // that came out of other queues' outboxes
	overdue     int64   // when a consumer may have been too slow, at the earliest; 0: no such limit
	outbox      ledger.Ledger[dead]
	outboxNext  uint64
	outboxBytes int64
	told        uint64 // entry of the last DeadLetters effect

	armed int64 // log time at which the alarms call it; 0: never
	place int   // among the alarms, if armed
	stats Stats
}

// Stats counts what happened to a queue since it was declared. Messages.
type Stats struct {
	Published, Delivered, DeliveredNoAck, Got, GotNoAck, GotEmpty, Redelivered, Acked, Dropped, Expired, DeadLettered uint64
}

// level is the consumers of one priority that have room, in the order in which they are served.
type level struct {
	priority int64
	waiting  []*consumer
	at       int // waiting[:at] is free
}

func (s *Set) newQueue(id ID, vhost, name string, config Config) *queue {
	q := &queue{id: id, vhost: vhost, name: name, outboxNext: 1}
	s.configure(q, config)
	return q
}

// configure sets the configuration, without what cannot be: a quorum queue does not dead-letter what it turns away, a
// stream turns nothing away, and dead letters wait for their targets only in a quorum queue that turns publishes away. What a queue is by its
// declaration stays: no policy can set it.
func (s *Set) configure(q *queue, config Config) {
	if old := q.config; old != nil {
		config.Type, config.Durable, config.AutoDelete = old.Type, old.Durable, old.AutoDelete
		config.Exclusive, config.SingleActive, config.MaxPriority = old.Exclusive, old.SingleActive, old.MaxPriority
	}
	config.AtLeastOnce = config.AtLeastOnce && config.DeadLetter && config.Type == Quorum && config.Overflow == RejectPublish
	if config.Type == Quorum && config.Overflow == RejectPublishDLX || config.Type == Stream {
		config.Overflow = DropHead
	}
	if s.shared == nil || *s.shared != config {
		own := config
		s.shared = &own
	}
	q.config = s.shared
	if q.lanes.list == nil {
		q.lanes = newLanes(q.priorities())
	}
}

// priorities is the number of lanes.
func (q *queue) priorities() int {
	switch {
	case q.config.Type == Quorum:
		return quorumPriorities
	case q.config.MaxPriority > 0:
		return int(q.config.MaxPriority) + 1
	}
	return 1
}

// A quorum queue has priorities without asking.
const (
	quorumPriorities       = 32
	quorumDefaultPriority  = 4
	classicDefaultPriority = 0
	absentPriority         = 255
)

// lane gives the lane for a message's priority.
func (q *queue) lane(priority uint8) uint8 {
	if priority == absentPriority {
		priority = classicDefaultPriority
		if q.config.Type == Quorum {
			priority = quorumDefaultPriority
		}
	}
	return min(priority, uint8(len(q.lanes.list)-1))
}

// add makes r ready, behind all others of its priority.
func (q *queue) add(r run) {
	q.ready += int64(r.count)
	q.bytes += r.bytes()
	q.lanes.push(r)
}

// putBack makes r ready again: at its old place, or behind what came back before.
func (q *queue) putBack(r run) {
	q.ready += int64(r.count)
	q.bytes += r.bytes()
	if q.config.Type == Quorum {
		q.returned.append(r)
		return
	}
	q.returned.insert(r)
}

// front is the run to be delivered next, and where it is: a lane's number, or fromReturned.
func (q *queue) front() (r *run, from int) {
	top := q.lanes.top()
	if back := q.returned.front(); back != nil && (q.config.Type == Quorum || int(back.priority) >= top) {
		return back, fromReturned
	}
	if top < 0 {
		return nil, 0
	}
	return q.lanes.list[top].front(), top
}

const fromReturned = -1

// takeFront removes the first n messages of the run that front gave.
func (q *queue) takeFront(from int, n uint32) run {
	var r run
	if from == fromReturned {
		r = q.returned.take(n)
	} else {
		r = q.lanes.take(from, n)
	}
	q.ready -= int64(n)
	q.bytes -= r.bytes()
	return r
}

// takeAll empties the ready messages and visits them.
func (q *queue) takeAll(visit func(*run)) {
	q.stream.within(0, Everything, visit)
	q.stream = stream{next: q.stream.next}
	q.returned.each(visit)
	q.returned = returns{}
	q.lanes.within(0, Everything, visit)
	q.lanes = newLanes(len(q.lanes.list))
	q.waiting.each(visit)
	q.waiting = wheel{}
	q.ready, q.bytes = 0, 0
}

// each visits every run that keeps bytes alive: ready, unacked and dead.
func (q *queue) each(visit func(*run)) {
	q.within(0, Everything, visit)
}

// within is each for the entries from <= index < to.
func (q *queue) within(from, to uint64, visit func(*run)) {
	some := func(r *run) {
		if r.index >= from && r.index < to {
			visit(r)
		}
	}
	q.stream.within(from, to, visit)
	q.lanes.within(from, to, visit)
	q.returned.each(some)
	q.waiting.each(some)
	q.eachDead(some)
	if q.config.Type == Stream {
		return // what its readers hold is the stream's
	}
	for _, c := range q.consumers {
		c.eachUnacked(some)
	}
	for _, c := range q.strays {
		c.eachUnacked(some)
	}
}

// eachDead visits the dead letters.
func (q *queue) eachDead(visit func(*run)) {
	q.outbox.Each(func(c *ledger.Chunk[dead]) { openRuns(c.Item.run, c.Open, func(r run) { visit(&r) }) })
}
