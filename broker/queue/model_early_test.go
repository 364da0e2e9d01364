package queue

import (
	"fmt"
	"slices"

	"github.com/warrenmq/warren/broker/message"
)

// hold lets a message wait for a queue that is not here. The first such queue answers for it.
func (m *model) hold(b *burst, i int, id ID, answers bool) {
	number := uint64(0)
	if answers && b.number != 0 {
		number = b.number + uint64(i)
	}
	if len(m.early[id]) == 0 {
		m.seen.add("unknown", "q%d", id)
	}
	m.early[id] = append(m.early[id], modelEarly{b.messages[i], m.entry, m.from, b.channel, number, m.seq})
}

// arrive puts what has waited into its queue.
func (m *model) arrive(q *modelQueue) {
	from, entry := m.from, m.entry
	waiting := m.early[q.id]
	delete(m.early, q.id)
	for _, e := range waiting {
		m.from, m.entry = e.from, e.entry
		m.arrived++
		b := &burst{channel: e.channel, number: e.number, targets: []ID{q.id}, messages: []message.Message{e.msg}}
		refused := m.turnsAway(q, &e.msg)
		m.hand(b, 0, refused, m.mayTurnAway(q.id))
		m.confirm(b, 0, refused)
	}
	m.from, m.entry = from, entry
	m.answered(waiting)
	if len(waiting) > 0 {
		m.settle(q)
	}
}

// turnBack answers for what has waited for a queue that does not come.
func (m *model) turnBack(id ID) {
	from := m.from
	for _, e := range m.early[id] {
		m.from = e.from
		m.confirm(&burst{channel: e.channel, number: e.number}, 0, false)
	}
	m.from = from
	waiting := m.early[id]
	delete(m.early, id)
	m.answered(waiting)
}

// answered says which batches are applied now that messages are answered for that have waited.
func (m *model) answered(messages []modelEarly) {
	said := map[batchKey]bool{}
	for _, e := range messages {
		batch := batchKey{e.from, e.seq}
		if e.number != 0 && !said[batch] {
			m.applied(e.from, e.seq)
		}
		said[batch] = said[batch] || e.number != 0
	}
}

// applied says that a batch is, unless some of it waits for an answer.
func (m *model) applied(from SessionKey, seq uint64) {
	for _, waiting := range m.early {
		if slices.ContainsFunc(waiting, func(e modelEarly) bool { return e.from == from && e.seq == seq && e.number != 0 }) {
			return
		}
	}
	if seq != 0 {
		m.seen.add(fmt.Sprint("replies ", from), "applied %d", seq)
	}
}

// answerAgain answers for messages that were published before, unless they wait: for what a queue may have turned away, with a
// refusal.
func (m *model) answerAgain(b *burst) {
	refused := slices.ContainsFunc(b.targets, m.mayTurnAway)
	for i := range b.messages {
		if b.number == 0 || !m.waits(b.channel, b.number+uint64(i)) {
			m.confirm(b, i, refused)
		}
	}
}

func (m *model) waits(channel uint16, number uint64) bool {
	for _, waiting := range m.early {
		if slices.ContainsFunc(waiting, func(e modelEarly) bool { return e.from == m.from && e.channel == channel && e.number == number }) {
			return true
		}
	}
	return false
}
