package link

import (
	"testing"

	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/store/oplog"
)

// sends hands in as much as a session may that waits as a Door does, and tells how much of it there is.
func (s *session) sends(h dispatch.Handle, octets int, sent func(from oplog.Origin) error) (waiting int) {
	s.w.t.Helper()
	for waiting == 0 || waiting <= h.Share() {
		s.seq++
		s.w.must(sent(oplog.Origin{Node: s.key.Node, Session: s.key.Session, Seq: s.seq}))
		waiting += octets
	}
	return waiting
}

// TestManySendersShareWhatMayWait: behind a leader that takes nothing for a while each sends as much as it may, one after the
// other. However many there are, what waits stays within the bound, but for a batch of each.
func TestManySendersShareWhatMayWait(t *testing.T) {
	const limit, octets = 4 << 20, 1 << 10
	for _, senders := range []int{1, 10, 300, 3000} {
		w := newWorld(t, func(env *Env) { env.Backlog = limit })
		id := w.declare("q")
		first := w.session(4, 100)
		first.publish(id, 1, 1)
		first.until("a confirm", func() bool { return len(first.confirmed) == 1 })
		w.log.hold(true)
		for n := range senders {
			s := w.session(4, uint64(200+n))
			number := uint64(0)
			s.sends(w.links[4].known(1), octets, func(from oplog.Origin) error {
				number++
				return s.publishTo(id, number, octets, from)
			})
		}
		if waiting, most := w.standing(4).Waiting, limit/2+(senders+1)*(octets+2*pendingCost); waiting > most {
			t.Errorf("%d octets wait of %d senders, %d at most", waiting, senders, most)
		}
		w.log.hold(false)
		w.eventually("an empty backlog", func() bool { return w.standing(4).Waiting == 0 })
		if share := w.links[4].known(1).Share(); share != limit/2 {
			t.Errorf("of %d senders none has anything there, and a share is %d", senders, share)
		}
	}
}

// TestNobodyWaitsForWhatNobodyLeads: what is still taken for a group that has had no leader for too long is not waited for; with
// a leader it is.
func TestNobodyWaitsForWhatNobodyLeads(t *testing.T) {
	const limit = 1 << 20
	w := newWorld(t, func(env *Env) { env.Backlog = limit })
	id := w.declare("q")
	s := w.session(4, 100)
	s.publish(id, 1, 1)
	s.until("a confirm", func() bool { return len(s.confirmed) == 1 })
	route := w.links[4].known(1)
	w.leaderless(s)
	w.clocks.pass()
	if got := route.Share(); got != dispatch.Unbounded {
		t.Errorf("sessions wait for more than %d octets", got)
	}
	w.log.lead(2, 0)
	w.eventually("a leader", func() bool { return !w.standing(4).Refuses })
	if got := route.Share(); got != limit/2 {
		t.Errorf("with a leader a share is %d", got)
	}
}
