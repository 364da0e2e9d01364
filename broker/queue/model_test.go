package queue

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/warrenmq/warren/broker/message"
)

// model is the queue machine as one would explain it: a record for every message, plain lists, one message after another,
// and each rule once, as the broker's users know it. What it says happens, the Set has to say too.
type model struct {
	now      int64
	entry    uint64
	queues   map[ID]*modelQueue
	sessions map[SessionKey]*modelSession
	from     SessionKey
	seq      uint64
	arrived  int
	early    map[ID][]modelEarly // by the queue that they wait for
	seen     sights
}

// sights is what happened in an entry, told apart by who sees it.
type sights map[string][]string

func (s sights) add(stream, format string, values ...any) {
	s[stream] = append(s[stream], fmt.Sprintf(format, values...))
}

type modelSession struct {
	last      uint64
	consumers map[uint32]*modelConsumer
}

type modelMessage struct {
	id       string
	entry    uint64
	arrived  int   // place in the queue
	cost     int64 // bytes in the log
	size     int64 // bytes for limits
	expires  int64 // 0: never
	priority int
	again    bool // the next delivery says redelivered
	failed   uint32
	acquired uint32
	cameBack bool
	due      int64  // held back until then
	key      string // deduplication key that it holds in its queue
	filter   string // of a message in a stream
}

// modelEarly is a message that has come before its queue.
type modelEarly struct {
	msg     message.Message
	entry   uint64
	from    SessionKey
	channel uint16
	number  uint64 // 0: this queue does not answer for it
	seq     uint64
}

type modelUnacked struct {
	number uint64
	m      *modelMessage
	since  int64
}

type modelConsumer struct {
	key       SessionKey
	id        uint32
	q         *modelQueue
	attached  bool
	getter    bool
	noAck     bool
	exclusive bool
	channel   uint16
	prefetch  int
	window    int64
	priority  int64
	next      uint64
	unacked   []modelUnacked
	timeout   int64
	cursor    int // of a stream's reader
	wants     func(m *modelMessage) bool
}

type modelDead struct {
	number  uint64
	m       *modelMessage
	reason  Reason
	flagged bool
}

type modelQueue struct {
	id        ID
	c         Config
	returned  []*modelMessage // quorum queues: what came back, in the order of return
	ready     []*modelMessage // by priority, then by place
	consumers []*modelConsumer
	strays    []*modelConsumer // who only gets, or has left, and holds something; in the order of getting so
	line      []*modelConsumer // who has room, in the order in which they are served
	single    *modelConsumer
	quiescing bool
	used      bool // had a consumer
	lastUse   int64
	outbox    []modelDead
	buried    uint64
	deleted   bool
	stats     Stats
	waiting   []*modelMessage // held back, by the time they are due
	producers map[uint64]uint64
	letters   map[message.Letter]bool // that have come
	floors    map[uint64]uint64       // below which a source has none left
	cache     []cached                // of a relay
	stream    []*modelMessage
	begins    int // offset of the first in stream
	segments  []modelSegment
}

// cached is a key that a relay has seen.
type cached struct {
	key   string
	until int64
}

func newModel() *model {
	return &model{queues: map[ID]*modelQueue{}, sessions: map[SessionKey]*modelSession{}, early: map[ID][]modelEarly{}}
}

func (m *model) ids() []ID {
	ids := make([]ID, 0, len(m.queues))
	for id := range m.queues {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// live gives a queue that is there for clients.
func (m *model) live(id ID) *modelQueue {
	if q := m.queues[id]; q != nil && !q.deleted {
		return q
	}
	return nil
}

func (q *modelQueue) quorum() bool { return q.c.Type == Quorum }

// configure takes what a policy can set, without what cannot be.
func (q *modelQueue) configure(c Config) {
	c.Type, c.SingleActive, c.AutoDelete, c.MaxPriority = q.c.Type, q.c.SingleActive, q.c.AutoDelete, q.c.MaxPriority
	c.Durable, c.Exclusive = q.c.Durable, q.c.Exclusive
	if c.Type == Quorum && c.Overflow == RejectPublishDLX || c.Type == Stream {
		c.Overflow = DropHead
	}
	if c.Type != Quorum || c.Overflow != RejectPublish || !c.DeadLetter {
		c.AtLeastOnce = false
	}
	q.c = c
}

// outlives is when the queue ends by itself. Quorum queues are looked at every five seconds only.
func (q *modelQueue) outlives() (at int64, ends bool) {
	at = q.lastUse + q.c.ExpiresMs
	if q.quorum() {
		at += 5000
	}
	return at, q.c.ExpiresMs != None && len(q.consumers) == 0
}

// head is the message to be delivered next.
func (q *modelQueue) head() *modelMessage {
	switch {
	case len(q.returned) > 0:
		return q.returned[0]
	case len(q.ready) > 0:
		return q.ready[0]
	}
	return nil
}

// take removes a ready message.
func (q *modelQueue) take(m *modelMessage) {
	is := func(o *modelMessage) bool { return o == m }
	q.returned = slices.DeleteFunc(q.returned, is)
	q.ready = slices.DeleteFunc(q.ready, is)
	q.waiting = slices.DeleteFunc(q.waiting, is)
}

// put makes a message ready at its place.
func (q *modelQueue) put(m *modelMessage) {
	at, _ := slices.BinarySearchFunc(q.ready, m, func(a, b *modelMessage) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.arrived, b.arrived))
	})
	q.ready = slices.Insert(q.ready, at, m)
}

func (q *modelQueue) count() int { return len(q.returned) + len(q.ready) }

// limited is what counts for limits.
func (q *modelQueue) limited() (count, bytes int64) {
	for _, m := range slices.Concat(q.returned, q.ready, q.waiting) {
		count, bytes = count+1, bytes+m.size
	}
	if q.c.AtLeastOnce {
		for _, d := range q.outbox {
			count, bytes = count+1, bytes+d.m.size
		}
	}
	return count, bytes
}

func (q *modelQueue) over(more, bytesMore int64) bool {
	if q.c.MaxLength == None && q.c.MaxLengthBytes == None {
		return false
	}
	count, bytes := q.limited()
	return q.c.MaxLength != None && count+more > q.c.MaxLength ||
		q.c.MaxLengthBytes != None && bytes+bytesMore > q.c.MaxLengthBytes
}

func (q *modelQueue) refuses() bool {
	return !q.deleted && q.c.Overflow != DropHead && (q.c.MaxLength != None || q.c.MaxLengthBytes != None)
}

func (q *modelQueue) sizeOf(m *message.Message) int64 {
	if q.quorum() || q.c.Type == Stream {
		return int64(len(m.Body) + len(m.Props))
	}
	return int64(len(m.Body))
}

// priorityOf gives the priority a message has in the queue.
func (q *modelQueue) priorityOf(m *message.Message) int {
	absent, most := 0, int(q.c.MaxPriority)
	if q.quorum() {
		absent, most = 4, 31
	}
	if m.Priority == message.NoPriority {
		return min(absent, most)
	}
	return min(int(m.Priority), most)
}

func (c *modelConsumer) room() bool {
	return c.attached && c.window > 0 && (c.noAck || c.prefetch == 0 || len(c.unacked) < c.prefetch)
}

// comeForward puts a consumer that has room at the end of the line, if it is not in it.
func (c *modelConsumer) comeForward() {
	if c.q.c.Type != Stream && c.room() && !slices.Contains(c.q.line, c) {
		c.q.line = append(c.q.line, c)
	}
}

// turn is the consumer whose turn it is: the one of the highest priority that has waited longest.
func (q *modelQueue) turn() *modelConsumer {
	if q.c.SingleActive {
		if q.single != nil && q.single.room() && !q.quiescing {
			return q.single
		}
		return nil
	}
	for len(q.line) > 0 {
		best := slices.MaxFunc(q.line, func(a, b *modelConsumer) int { return cmp.Compare(a.priority, b.priority) })
		if best.room() {
			return best
		}
		q.standBack(best) // its prefetch count was lowered meanwhile
	}
	return nil
}

func (q *modelQueue) standBack(c *modelConsumer) {
	q.line = slices.DeleteFunc(q.line, func(o *modelConsumer) bool { return o == c })
}

// settle brings a queue to rest.
func (m *model) settle(q *modelQueue) {
	if q.deleted {
		return
	}
	if q.c.Type == Stream {
		m.feed(q)
		m.trim(q)
		return
	}
	m.release(q)
	for {
		head := q.head()
		if head == nil {
			break
		}
		if expired(head, m.now) && !head.fresh(m.entry) {
			m.die(q, head, ExpiredTTL)
			continue
		}
		c := q.turn()
		if c == nil {
			break
		}
		q.take(head)
		m.deliver(q, c, head)
	}
	m.expire(q)
	m.limit(q)
}

// fresh is a message that only now came: one without time is delivered if that can be done at once.
func (m *modelMessage) fresh(entry uint64) bool { return m.entry == entry && !m.cameBack }

func expired(m *modelMessage, now int64) bool { return m.expires != 0 && m.expires <= now }

func (m *model) deliver(q *modelQueue, c *modelConsumer, msg *modelMessage) {
	q.standBack(c)
	c.window -= msg.cost + 64
	m.seen.add(fmt.Sprint("deliver ", c.key, c.id), "ch%d #%d %s", c.channel, c.next, c.q.describe(msg, c.noAck))
	c.hand(msg, m.now)
	c.comeForward()
}

func (c *modelConsumer) hand(msg *modelMessage, now int64) {
	switch st := &c.q.stats; {
	case c.getter && c.noAck:
		st.GotNoAck++
	case c.getter:
		st.Got++
	case c.noAck:
		st.DeliveredNoAck++
	default:
		st.Delivered++
	}
	if msg.again {
		c.q.stats.Redelivered++
	}
	if !c.noAck {
		c.unacked = append(c.unacked, modelUnacked{number: c.next, m: msg, since: now})
	}
	c.next++
}

func (q *modelQueue) describe(m *modelMessage, noAck bool) string {
	failed := m.failed
	if !q.quorum() {
		failed = 0 // only a quorum queue says so
	}
	return fmt.Sprintf("%s again=%v failed=%d acquired=%d noAck=%v", m.id, m.again, failed, m.acquired, noAck)
}

// expire drops what is too old at the head; a quorum queue looks at the head of every priority.
func (m *model) expire(q *modelQueue) {
	if !q.quorum() {
		for head := q.head(); head != nil && expired(head, m.now); head = q.head() {
			m.die(q, head, ExpiredTTL)
		}
		return
	}
	for len(q.returned) > 0 && expired(q.returned[0], m.now) {
		m.die(q, q.returned[0], ExpiredTTL)
	}
	for i := 0; i < len(q.ready); {
		head := i == 0 || q.ready[i-1].priority != q.ready[i].priority
		if head && expired(q.ready[i], m.now) {
			m.die(q, q.ready[i], ExpiredTTL)
		} else {
			i++
		}
	}
}

// limit drops from the head what is too much, and what is too old when it comes to the head.
func (m *model) limit(q *modelQueue) {
	for !q.refuses() && q.head() != nil && q.over(0, 0) {
		if expired(q.head(), m.now) {
			m.die(q, q.head(), ExpiredTTL)
			continue
		}
		m.die(q, q.head(), MaxLength)
		m.expire(q)
	}
}

// die takes a message out of a queue, into the outbox if there is a dead-letter exchange.
func (m *model) die(q *modelQueue, msg *modelMessage, reason Reason) {
	q.take(msg)
	if reason == ExpiredTTL {
		q.stats.Expired++
	}
	if !q.c.DeadLetter {
		q.stats.Dropped++
		return
	}
	q.stats.DeadLettered++
	if told := fmt.Sprint("q", q.id); !slices.Contains(m.seen["dead letters"], told) {
		m.seen.add("dead letters", "%s", told)
	}
	q.buried++
	q.outbox = append(q.outbox, modelDead{number: q.buried, m: msg, reason: reason, flagged: msg.failed > 0})
}

// due is the next moment at which time alone changes something; ok is false if there is none.
func (m *model) due() (at int64, ok bool) {
	sooner := func(t int64) {
		if !ok || t < at {
			at, ok = t, true
		}
	}
	for _, q := range m.queues {
		if q.deleted {
			continue
		}
		heads := map[int]bool{}
		for i, msg := range q.ready {
			head := q.quorum() && !heads[msg.priority] || !q.quorum() && i == 0
			if heads[msg.priority] = true; head && msg.expires != 0 {
				sooner(msg.expires)
			}
		}
		if len(q.returned) > 0 && q.returned[0].expires != 0 {
			sooner(q.returned[0].expires)
		}
		if len(q.waiting) > 0 {
			sooner(q.waiting[0].due)
		}
		for _, c := range slices.Concat(q.consumers, q.strays) {
			if at, limited := c.slow(); limited {
				sooner(at)
			}
		}
		if len(q.segments) > 1 && q.c.MaxAgeMs != None {
			sooner(q.segments[0].newest + q.c.MaxAgeMs)
		}
		if at, ends := q.outlives(); ends {
			sooner(at)
		}
	}
	return at, ok
}

// alive adds up the bytes of each entry that are still needed.
func (m *model) alive() map[uint64]int64 {
	alive := map[uint64]int64{}
	for _, waiting := range m.early {
		for i := range waiting {
			alive[waiting[i].entry] += int64(waiting[i].msg.Length()) + 4
		}
	}
	for _, q := range m.queues {
		for _, msg := range slices.Concat(q.returned, q.ready, q.waiting, q.stream) {
			alive[msg.entry] += msg.cost
		}
		for _, d := range q.outbox {
			alive[d.m.entry] += d.m.cost
		}
	}
	for _, s := range m.sessions {
		for _, c := range s.consumers {
			for _, u := range c.unacked {
				if c.q.c.Type != Stream {
					alive[u.m.entry] += u.m.cost
				}
			}
		}
	}
	return alive
}
