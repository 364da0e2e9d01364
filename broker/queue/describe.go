package queue

// Info is what there is to know of a queue. Messages and bytes.
type Info struct {
	Counts
	Returned, Delayed, Dead  int64 // of the ready: delivered before; held back until their time; on their way as dead letters
	ReadyBytes, UnackedBytes int64
	DeadBytes                int64
	Priorities               []int64 // ready messages that were never delivered, by priority, where there are several
	First, Segments          uint64  // of a stream: its oldest offset, and how many stretches it has
	Stats                    Stats
	Single, Exclusive        *ConsumerKey // the single active consumer, and the exclusive one
	SingleTag, ExclusiveTag  string
	Open                     int // consumers that have room for a message now
}

// MemoryBytes is about what a queue takes of the memory: bodies are not there but in the log and its cache.
func (i *Info) MemoryBytes() uint64 {
	const empty, consumer, unacked = 1 << 10, 512, 16
	return empty + consumer*uint64(i.Consumers) + unacked*i.Unacked + i.Ready
}

// ConsumerKey names a consumer.
type ConsumerKey struct {
	Session  SessionKey
	Consumer uint32
}

// Info describes a queue; ok is false if it is not here.
func (s *Set) Info(id ID) (i Info, ok bool) {
	q := s.live(id)
	if q == nil {
		return i, false
	}
	return q.info(), true
}

func (q *queue) counts() Counts {
	return Counts{
		Ready: uint64(q.ready + q.waiting.count + q.stream.count()), Unacked: uint64(q.unacked), Consumers: uint32(len(q.consumers)),
	}
}

func (q *queue) info() Info {
	i := Info{
		Counts: q.counts(), Returned: q.returned.count, Delayed: q.waiting.count, Dead: int64(q.outbox.Len()),
		ReadyBytes: q.bytes + q.waiting.bytes + q.stream.bytes, UnackedBytes: q.held, DeadBytes: q.outboxBytes,
		First: q.stream.first(), Segments: uint64(len(q.stream.segments)), Stats: q.stats,
	}
	for _, c := range q.consumers {
		if c.open() {
			i.Open++
		}
	}
	if c := q.single; c != nil {
		i.Single, i.SingleTag = c.key(), c.tag
	}
	if c := q.exclusive; c != nil {
		i.Exclusive, i.ExclusiveTag = c.key(), c.tag
	}
	if len(q.lanes.list) > 1 {
		i.Priorities = make([]int64, len(q.lanes.list))
		for p, lane := range q.lanes.list {
			if lane != nil {
				i.Priorities[p] = lane.count
			}
		}
	}
	return i
}

func (c *consumer) key() *ConsumerKey { return &ConsumerKey{c.session.key, c.id} }

// ConsumerInfo is what there is to know of a consumer.
type ConsumerInfo struct {
	Key       ConsumerKey
	Queue     ID
	Channel   uint16
	Tag       string
	Arguments []byte // a field table
	Prefetch  uint32
	Priority  int64
	NoAck     bool
	Exclusive bool
	Active    bool // it would be served
	Waiting   bool // another is the single active one
	TimeoutMs int64
	Unacked   int
}

// Consumers describes the consumers of a queue, in the order in which they came.
func (s *Set) Consumers(id ID, visit func(ConsumerInfo)) {
	q := s.live(id)
	if q == nil {
		return
	}
	for _, c := range q.consumers {
		waiting := q.config.SingleActive && q.single != c
		visit(ConsumerInfo{
			Key: *c.key(), Queue: id, Channel: c.channel, Tag: c.tag, Arguments: c.arguments, Prefetch: c.prefetch,
			Priority: c.priority, NoAck: c.noAck, Exclusive: c.exclusive, Active: !waiting, Waiting: waiting,
			TimeoutMs: c.timeout, Unacked: c.unacked.Len(),
		})
	}
}

// Stats gives the numbers of a queue; ok is false if it is not here. It costs less than Info.
func (s *Set) Stats(id ID) (c Counts, st Stats, ok bool) {
	q := s.live(id)
	if q == nil {
		return c, st, false
	}
	return q.counts(), q.stats, true
}

// EachStats visits the numbers of all queues, in no order. It costs less than Info.
func (s *Set) EachStats(visit func(id ID, vhost string, c Counts, st *Stats)) {
	for id, q := range s.queues {
		if !q.deleted {
			visit(id, q.vhost, q.counts(), &q.stats)
		}
	}
}
