package queue

import (
	"cmp"
	"fmt"
	"slices"
)

func (m *model) attach(c *Attach) {
	q := m.live(c.Queue)
	if q == nil {
		m.answer(c.Request, NoQueue, 0)
		return
	}
	if m.consumer(c.Consumer) != nil {
		m.answer(c.Request, InUse, 0)
		return
	}
	exclusive := c.Exclusive && q.c.Type == Classic
	taken := slices.ContainsFunc(q.consumers, func(o *modelConsumer) bool { return o.exclusive })
	if taken || exclusive && (len(q.consumers) > 0 || q.c.SingleActive) {
		m.answer(c.Request, ExclusiveUse, 0)
		return
	}
	con := &modelConsumer{
		key: m.from, id: c.Consumer, q: q, attached: true, noAck: c.NoAck, exclusive: exclusive, channel: c.Channel,
		prefetch: int(c.Prefetch), window: int64(c.Window), priority: c.Priority, next: 1, timeout: c.TimeoutMs,
	}
	if q.c.Type == Stream {
		m.seek(con, c)
	}
	m.session().consumers[con.id] = con
	q.consumers = append(q.consumers, con)
	q.used = true
	m.answer(c.Request, Done, q.count())
	m.elect(q)
	m.hasRoom(con)
}

// hasRoom lets a consumer that may have room get something.
func (m *model) hasRoom(c *modelConsumer) {
	c.comeForward()
	m.settle(c.q)
}

// elect names the single active consumer: the first of the highest priority. It stays as long as it is there; but in a
// quorum queue one of higher priority replaces it as soon as it holds nothing, and until then it gets nothing.
func (m *model) elect(q *modelQueue) {
	q.quiescing = false
	if !q.c.SingleActive || len(q.consumers) == 0 {
		q.single = nil
		return
	}
	best := slices.MaxFunc(q.consumers, func(a, b *modelConsumer) int { return cmp.Compare(a.priority, b.priority) })
	if old := q.single; old != nil && slices.Contains(q.consumers, old) {
		if !q.quorum() || best.priority <= old.priority {
			return
		}
		if len(old.unacked) > 0 {
			q.quiescing = true
			return
		}
		m.seen.add(fmt.Sprint("active q", q.id), "%v %d no more", old.key, old.id)
	}
	q.single = best
	m.seen.add(fmt.Sprint("active q", q.id), "%v %d", best.key, best.id)
}

func (m *model) detach(c *Detach) {
	con := m.consumer(c.Consumer)
	if con != nil && con.attached {
		q := con.q
		m.leave(con)
		if m.abandoned(q) {
			m.remove(q)
			m.seen.add("gone", "q%d %d", q.id, Unused)
		} else {
			m.elect(q)
			m.settle(q)
		}
	}
	m.answer(c.Request, Done, 0)
}

// leave takes a consumer off its queue; what it holds it keeps.
func (m *model) leave(c *modelConsumer) {
	c.attached = false
	c.q.consumers = slices.DeleteFunc(c.q.consumers, func(o *modelConsumer) bool { return o == c })
	c.q.standBack(c)
	c.q.lastUse = m.now
	c.q.strays = append(c.q.strays, c)
	m.forget(c)
}

// forget drops what neither consumes nor holds anything.
func (m *model) forget(c *modelConsumer) {
	if s := m.sessions[c.key]; s != nil && !c.attached && len(c.unacked) == 0 && s.consumers[c.id] == c {
		delete(s.consumers, c.id)
		c.q.strays = slices.DeleteFunc(c.q.strays, func(o *modelConsumer) bool { return o == c })
	}
}

func (m *model) abandoned(q *modelQueue) bool {
	return q.c.AutoDelete && q.used && len(q.consumers) == 0
}

func (m *model) get(c *Get) {
	q := m.live(c.Queue)
	if q == nil {
		m.answer(c.Request, NoQueue, 0)
		return
	}
	if q.quorum() && q.c.SingleActive {
		m.answer(c.Request, SingleActive, 0)
		return
	}
	holder := m.consumer(c.Consumer)
	if holder != nil && (!holder.getter || holder.q != q) {
		m.answer(c.Request, InUse, 0)
		return
	}
	q.lastUse = m.now
	m.expire(q)
	head := q.head()
	if head == nil {
		q.stats.GotEmpty++
		m.answer(c.Request, Empty, 0)
		return
	}
	if holder == nil {
		holder = &modelConsumer{key: m.from, id: c.Consumer, q: q, getter: true, next: 1}
		m.session().consumers[holder.id] = holder
		q.strays = append(q.strays, holder)
	}
	q.take(head)
	m.expire(q)
	holder.noAck, holder.channel = c.NoAck, c.Channel
	m.seen.add(fmt.Sprint("replies ", m.from), "got %d: c%d ch%d #%d %s, %d left", c.Request, c.Consumer, c.Channel,
		holder.next, q.describe(head, c.NoAck), q.count())
	holder.hand(head, m.now)
	m.forget(holder)
}

// letGo takes messages out of a consumer's hands.
func (m *model) letGo(id uint32, from, to uint64, settles bool, visit func(*modelQueue, *modelMessage)) {
	c := m.consumer(id)
	if c == nil {
		return
	}
	if c.q.c.Type == Stream { // what was read stays where it is
		m.empty(c, from, to, func(q *modelQueue, msg *modelMessage) {
			if settles {
				visit(q, msg)
			}
		})
	} else {
		m.empty(c, from, to, visit)
	}
	m.forget(c)
	m.tooMany(c.q)
	m.elect(c.q)
	m.hasRoom(c)
}

func (m *model) empty(c *modelConsumer, from, to uint64, visit func(*modelQueue, *modelMessage)) {
	held := c.unacked
	c.unacked = nil
	for _, u := range held {
		if u.number < from || u.number > to {
			c.unacked = append(c.unacked, u)
		}
	}
	for _, u := range held {
		if u.number >= from && u.number <= to {
			visit(c.q, u.m)
		}
	}
}

// tooMany drops what is too much in a classic queue before anybody gets it.
func (m *model) tooMany(q *modelQueue) {
	if !q.quorum() {
		m.limit(q)
	}
}

// comeBack makes a message ready again, unless it has failed too often or is to be held back for a while.
func (m *model) comeBack(q *modelQueue, msg *modelMessage, cause Cause) {
	if q.c.Type == Stream {
		return
	}
	msg.cameBack = true
	if cause != CauseUndelivered {
		msg.again = true
		if cause == CauseReject || cause == CauseClosed {
			msg.failed++
		}
		if q.quorum() {
			msg.acquired++
			if q.c.DeliveryLimit >= 0 && int64(msg.failed) > q.c.DeliveryLimit {
				m.die(q, msg, DeliveryLimit)
				return
			}
			if delay := q.retryDelay(msg, cause); delay > 0 {
				q.holdBack(msg, m.now+delay)
				return
			}
		}
	}
	if q.quorum() {
		q.returned = append(q.returned, msg)
		return
	}
	q.put(msg)
}

// reject makes a message a dead letter. It begins anew, but for its failures, of which this may be another.
func (m *model) reject(q *modelQueue, msg *modelMessage, cause Cause) {
	msg.acquired = 0
	if cause == CauseReject {
		msg.failed++
	}
	m.die(q, msg, Rejected)
}

// leaveChannel ends what a session has on a channel. What it has not seen of it was never delivered.
func (m *model) leaveChannel(l *Leave) {
	seen := map[uint32]uint64{}
	for _, s := range l.Seen {
		seen[s.Consumer] = s.Number
	}
	if m.sessions[m.from] != nil {
		m.end(m.consumersOf(m.from, func(c *modelConsumer) bool { return c.channel == l.Channel }), func(c *modelConsumer) {
			m.empty(c, 0, seen[c.id], func(q *modelQueue, msg *modelMessage) { m.comeBack(q, msg, CauseClosed) })
			m.empty(c, 0, Everything, func(q *modelQueue, msg *modelMessage) { m.comeBack(q, msg, CauseUndelivered) })
		})
	}
	m.answer(l.Request, Done, 0)
}

// consumersOf gives a session's consumers and holders, in the order of their numbers.
func (m *model) consumersOf(key SessionKey, which func(*modelConsumer) bool) (list []*modelConsumer) {
	for _, c := range m.sessions[key].consumers {
		if which(c) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *modelConsumer) int { return cmp.Compare(a.id, b.id) })
	return list
}

// down ends sessions.
func (m *model) down(d *Down) {
	cause := CauseClosed
	if d.Lost {
		cause = CauseLost
	}
	var gone []SessionKey
	for key := range m.sessions {
		if key.Node == d.Node && key.Session >= d.First && key.Session <= d.Last {
			gone = append(gone, key)
		}
	}
	slices.SortFunc(gone, func(a, b SessionKey) int { return cmp.Compare(a.Session, b.Session) })
	var all []*modelConsumer
	for _, key := range gone {
		all = append(all, m.consumersOf(key, func(*modelConsumer) bool { return true })...)
	}
	m.end(all, func(c *modelConsumer) {
		m.empty(c, 0, Everything, func(q *modelQueue, msg *modelMessage) { m.comeBack(q, msg, cause) })
	})
	for _, key := range gone {
		delete(m.sessions, key)
	}
	m.answer(d.Request, Done, 0)
}

// end empties the hands of consumers, takes them off their queues, and only then brings these to rest.
func (m *model) end(consumers []*modelConsumer, empty func(*modelConsumer)) {
	touched := map[ID]bool{}
	for _, c := range consumers {
		empty(c)
		if c.attached {
			m.leave(c)
		}
		m.forget(c)
		touched[c.q.id] = true
	}
	for _, id := range sortedIDs(touched) {
		q := m.queues[id]
		if m.abandoned(q) {
			m.remove(q)
			m.seen.add("gone", "q%d %d", q.id, Unused)
			continue
		}
		m.elect(q)
		m.tooMany(q)
		m.settle(q)
	}
}
