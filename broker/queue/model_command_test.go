package queue

import (
	"fmt"
	"maps"
	"slices"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/store/oplog"
)

// burst is a publish command: messages for the same queues. number is that of the first, 0 without confirms.
type burst struct {
	channel  uint16
	number   uint64
	targets  []ID
	messages []message.Message
}

// begin starts an entry: time passes.
func (m *model) begin(entry uint64, now int64) {
	m.entry, m.now, m.seen = entry, now, sights{}
	for _, id := range m.ids() {
		q := m.queues[id]
		switch at, ends := q.outlives(); {
		case q.deleted:
		case ends && now >= at:
			m.remove(q)
			m.seen.add("gone", "q%d %d", id, Expired)
		default:
			m.endSlow(q)
			m.settle(q)
		}
	}
}

// play applies an entry.
func (m *model) play(e *oplog.Entry, batches []batchSteps) sights {
	m.begin(e.Index, e.Time)
	for _, b := range batches {
		m.batch(b.from, b.seq, b.steps)
	}
	return m.seen
}

// batch applies a session's commands and bursts, unless it was applied before.
func (m *model) batch(from SessionKey, seq uint64, steps []any) {
	m.from, m.seq = from, seq
	repeated := false
	if seq != 0 {
		s := m.session()
		if seq > s.last+1 {
			return
		}
		repeated = seq <= s.last
		s.last = max(s.last, seq)
	}
	for _, step := range steps {
		switch b, ok := step.(*burst); {
		case ok && repeated:
			m.answerAgain(b)
		case ok:
			m.publish(b)
		case repeated:
			m.commandAgain(step.(Command))
		default:
			m.command(step.(Command))
		}
	}
	m.applied(from, seq)
}

func (m *model) session() *modelSession {
	s := m.sessions[m.from]
	if s == nil {
		s = &modelSession{consumers: map[uint32]*modelConsumer{}}
		m.sessions[m.from] = s
	}
	return s
}

func (m *model) consumer(id uint32) *modelConsumer {
	if s := m.sessions[m.from]; s != nil {
		return s.consumers[id]
	}
	return nil
}

func (m *model) answer(request uint32, outcome Outcome, ready int) {
	if request != 0 {
		m.seen.add(fmt.Sprint("replies ", m.from), "answer %d: %d, %d", request, outcome, ready)
	}
}

func (m *model) confirm(b *burst, i int, refused bool) {
	if b.number != 0 {
		m.seen.add(fmt.Sprint("confirms ", m.from, b.channel), "%d refused=%v", b.number+uint64(i), refused)
	}
}

// publish puts messages into all their queues. Where one of these may turn a publish away, the next message finds what the
// one before left; else they come all at once.
func (m *model) publish(b *burst) {
	careful := slices.ContainsFunc(b.targets, m.mayTurnAway)
	for i := range b.messages {
		msg := &b.messages[i]
		m.arrived++
		refused := slices.ContainsFunc(b.targets, func(id ID) bool { return m.turnsAway(m.queues[id], msg) })
		unknown := m.hand(b, i, refused, careful)
		if refused || !unknown {
			m.confirm(b, i, refused)
		}
	}
	for _, id := range b.targets {
		if q := m.queues[id]; q != nil {
			m.settle(q)
		}
	}
}

// hand gives a message to its queues, and tells whether some of them are not here.
func (m *model) hand(b *burst, i int, refused, careful bool) (unknown bool) {
	msg := &b.messages[i]
	for _, id := range b.targets {
		q := m.queues[id]
		switch {
		case q == nil:
			m.hold(b, i, id, !unknown && !refused)
			unknown = true
		case q.deleted:
		case m.turnsAway(q, msg):
			if q.c.Overflow == RejectPublishDLX || m.duplicate(q, msg) {
				letter := m.enter(q, msg)
				letter.failed = 0
				m.die(q, letter, MaxLength)
			}
		default:
			m.takeIn(q, msg)
			if careful {
				m.settle(q)
			}
		}
	}
	return unknown
}

// enter makes the queue's record of a message.
func (m *model) enter(q *modelQueue, msg *message.Message) *modelMessage {
	r := &modelMessage{
		id: string(msg.RoutingKey), entry: m.entry, arrived: m.arrived, cost: int64(msg.Length()) + 4, size: q.sizeOf(msg),
		priority: q.priorityOf(msg), again: msg.Flags&message.FlagRedelivered != 0,
	}
	if q.c.Type != Stream && q.c.Type != Relay && msg.Flags&message.FlagCounts != 0 {
		r.failed = msg.Deliveries
		r.again = r.again || r.failed > 0
	}
	if msg.Flags&message.FlagFilter != 0 {
		r.filter = string(msg.Filter)
	}
	ttl := q.c.MessageTTLMs
	if msg.Flags&message.FlagExpiration != 0 && (ttl == None || int64(msg.Expiration) < ttl) {
		ttl = int64(msg.Expiration)
	}
	if ttl != None {
		r.expires = m.now + ttl
	}
	return r
}

func (m *model) command(c Command) {
	switch c := c.(type) {
	case *Declare:
		m.declare(c)
	case *Configure:
		if q := m.live(c.Queue); q != nil {
			if c.Config.ExpiresMs != q.c.ExpiresMs && !q.quorum() {
				q.lastUse = m.now
			}
			q.configure(c.Config)
			m.endSlow(q)
			m.settle(q)
		}
	case *Delete:
		m.delete(c)
	case *Purge:
		m.purge(c)
	case *Attach:
		m.attach(c)
	case *Detach:
		m.detach(c)
	case *Credit:
		if con := m.consumer(c.Consumer); con != nil && con.attached {
			con.window += int64(c.Bytes)
			m.hasRoom(con)
		}
	case *Get:
		m.get(c)
	case *Settle:
		m.letGo(c.Consumer, c.From, c.To, true, func(q *modelQueue, _ *modelMessage) { q.stats.Acked++ })
	case *Return:
		m.letGo(c.Consumer, c.From, c.To, false, func(q *modelQueue, msg *modelMessage) { m.comeBack(q, msg, c.Cause) })
	case *Reject:
		m.letGo(c.Consumer, c.From, c.To, false, func(q *modelQueue, msg *modelMessage) { m.reject(q, msg, c.Cause) })
	case *Down:
		m.down(c)
	case *Forwarded:
		m.forwarded(c)
	case *Leave:
		m.leaveChannel(c)
	case *Adjust:
		if con := m.consumer(c.Consumer); con != nil && con.attached {
			con.prefetch = int(c.Prefetch)
			m.hasRoom(con)
		}
	}
}

func (m *model) declare(c *Declare) {
	switch q := m.queues[c.Queue]; {
	case q == nil:
		q = &modelQueue{id: c.Queue, lastUse: m.now, c: c.Config}
		q.configure(c.Config)
		m.queues[c.Queue] = q
		m.arrive(q)
	case !q.quorum():
		q.lastUse = m.now
	}
	m.answer(c.Request, Done, 0)
}

func (m *model) delete(c *Delete) {
	switch q := m.live(c.Queue); {
	case q == nil:
		m.turnBack(c.Queue)
		m.answer(c.Request, NoQueue, 0)
	case c.IfEmpty && q.count() > 0:
		m.answer(c.Request, NotEmpty, q.count())
	case c.IfUnused && len(q.consumers) > 0 && q.c.Type != Stream:
		m.answer(c.Request, InUse, q.count())
	default:
		ready := q.count()
		m.remove(q)
		m.answer(c.Request, Done, ready)
	}
}

func (m *model) purge(c *Purge) {
	q := m.live(c.Queue)
	if q == nil {
		m.answer(c.Request, NoQueue, 0)
		return
	}
	count := q.count() + len(q.waiting)
	q.begins += len(q.stream)
	q.returned, q.ready, q.waiting, q.stream, q.segments = nil, nil, nil, nil, nil
	if q.c.AtLeastOnce {
		count += len(q.outbox)
		q.outbox = nil
	}
	m.answer(c.Request, Done, count)
}

// remove ends a queue: its consumers are told, and nothing of it is left but what is on its way to the dead-letter exchange.
func (m *model) remove(q *modelQueue) {
	for _, c := range q.consumers {
		m.seen.add("cancelled", "%v %d of q%d", c.key, c.id, q.id)
	}
	for _, s := range m.sessions {
		maps.DeleteFunc(s.consumers, func(_ uint32, c *modelConsumer) bool { return c.q == q })
	}
	q.consumers, q.strays, q.line, q.returned, q.ready, q.waiting, q.stream, q.deleted = nil, nil, nil, nil, nil, nil, nil, true
	if len(q.outbox) == 0 {
		delete(m.queues, q.id)
	}
}

func (m *model) forwarded(c *Forwarded) {
	q := m.queues[c.Queue]
	if q == nil {
		return
	}
	q.outbox = slices.DeleteFunc(q.outbox, func(d modelDead) bool { return d.number >= c.From && d.number <= c.To })
	if q.deleted && len(q.outbox) == 0 {
		delete(m.queues, q.id)
	}
	m.settle(q)
}
