package link

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/warrenmq/warren/broker/queue"
)

// pair is the two sessions of a connection: one publishes, the other consumes and ends both.
type pair struct {
	publisher, consumer *session
	sent                uint64
}

// TestSessionsComeAndGoWhateverBreaks: connections publish and end, while leaders and ways change and the group is without a
// leader for too long now and then. Each hears that it has ended. What was confirmed is there once, what was refused is not,
// what was never answered is there once at most; and in the end no node keeps anything for who has gone.
func TestSessionsComeAndGoWhateverBreaks(t *testing.T) {
	for n := *seed; n < *seed+*seeds; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) { comeAndGo(t, rand.New(rand.NewPCG(n, 3))) })
	}
}

func comeAndGo(t *testing.T, random *rand.Rand) {
	w := newWorld(t, func(env *Env) { env.Backlog = 4 << 10 })
	w.ended = func(queue.SessionKey) {} // one whose end was applied, and the answer lost, is not known any more
	id := w.declare("q")
	all, open := []*pair{}, []*pair{}
	begin := func() {
		node, number := 1+random.Uint64N(4), 100+10*uint64(len(all))
		p := &pair{publisher: w.session(node, number+1), consumer: w.session(node, number)}
		all, open = append(all, p), append(open, p)
	}
	end := func(p *pair) {
		key := p.consumer.key
		p.consumer.do(&queue.Down{Node: key.Node, First: key.Session, Last: key.Session + 1, Request: 9})
		open = slices.DeleteFunc(open, func(o *pair) bool { return o == p })
	}
	begin()
	for range 150 {
		p := open[random.IntN(len(open))]
		switch random.IntN(14) {
		case 0:
			w.log.lead(1+random.Uint64N(3), random.IntN(3))
		case 1:
			a := 1 + random.Uint64N(4)
			w.network.cut(a, 1+(a+random.Uint64N(3))%4)
		case 2:
			w.log.lead(0, random.IntN(3))
			w.clocks.pass()
		case 3, 4:
			if end(p); len(open) == 0 {
				begin()
			}
		case 5, 6:
			begin()
		case 7:
			p.consumer.do(&queue.Get{Queue: id, Consumer: 1, Request: 5})
		default:
			p.sent++
			p.publisher.publish(id, 1000*p.publisher.key.Session+p.sent, 1000*p.publisher.key.Session+p.sent)
		}
	}
	for len(open) > 0 {
		end(open[0])
	}
	w.log.lead(1+random.Uint64N(3), 0)
	for _, p := range all {
		p.consumer.answer(9)
		w.inboxes[p.consumer.key.Node].Remove(p.publisher.key.Session)
		w.inboxes[p.consumer.key.Node].Remove(p.consumer.key.Session)
	}
	w.eventually("nobody to be known any more", func() bool {
		for node := range w.links {
			if r := w.links[node].known(1); r != nil && !r.rests() {
				return false
			}
		}
		return true
	})
	there := map[string]int{}
	for _, body := range w.drain(id) {
		there[body]++
	}
	for _, p := range all {
		p.check(there)
	}
}

// rests tells whether nothing is kept of any session.
func (r *route) rests() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.callers) == 0 && r.backlog.bytes == 0 && r.backlog.callers == 0
}

// drain gives all messages of a queue.
func (w *world) drain(id queue.ID) []string {
	last := w.session(4, 90_000)
	last.do(&queue.Attach{Queue: id, Consumer: 1, Request: 1, Channel: 1, NoAck: true, Window: 1 << 30})
	last.answer(1)
	last.publish(id, 7, 7)
	last.until("the last message", func() bool { return slices.Contains(last.got, "7") })
	return last.got
}

func (p *pair) check(there map[string]int) {
	s := p.publisher
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := uint64(1); n <= p.sent; n++ {
		number := 1000*s.key.Session + n
		count := there[fmt.Sprint(number)]
		switch {
		case count > 1, s.confirmed[number] > 0 && !s.turned[number] && count != 1, s.turned[number] && count != 0:
			s.w.t.Errorf("message %d is there %d times; answered %d times, refused: %v", number, count, s.confirmed[number], s.turned[number])
		}
	}
}
