package raftlog

import (
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3/raftpb"
)

// worker runs the raft nodes of its groups. owner: run, but for the inbox
type worker struct {
	host    *Host
	wake    chan struct{} // one place
	members map[uint64]*member

	mu      sync.Mutex // guards the inbox
	calls   []func()
	dirty   []*member // with batches that wait
	steps   []step
	stopped bool

	ticks   uint64      // so many have passed
	ticking atomic.Bool // one waits in the inbox
	disk    diskWatch
}

// step is messages that raft is to hear, from other nodes or as the answers to writes that are done. What stands before the
// messages here is done before them.
type step struct {
	member   *member
	placed   *incoming    // what another member has sent is on the disk, and counts
	changes  []confChange // were applied
	arrived  *incoming    // what another member has sent is here
	messages []*raftpb.Message
}

func newWorker(h *Host) *worker {
	return &worker{host: h, wake: make(chan struct{}, 1), members: map[uint64]*member{}}
}

func (w *worker) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
	w.host.nudge()
}

// call runs f on the worker.
func (w *worker) call(f func()) {
	w.mu.Lock()
	w.calls = append(w.calls, f)
	w.mu.Unlock()
	w.signal()
}

// proposal tells that a member has batches waiting.
func (w *worker) proposal(m *member) {
	w.mu.Lock()
	w.dirty = append(w.dirty, m)
	w.mu.Unlock()
	w.signal()
}

// answered tells raft that writes are done.
func (w *worker) answered(steps []step) {
	w.mu.Lock()
	w.steps = append(w.steps, steps...)
	w.mu.Unlock()
	w.signal()
}

func (w *worker) stop() {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.signal()
}

// round is what one pass over the dirty groups wants written.
type round struct {
	batch   *pebble.Batch
	answers []step
	touched []*member
	synced  bool // somebody waits for the write
	out     outbox
}

// send gives a message to the member's peer.
func (r *round) send(m *member, message *raftpb.Message) {
	if m.host.Network == nil {
		m.logger.Debug().Stringer("message", message.GetType()).Msg("nobody to send to")
		return
	}
	if r.out == nil {
		r.out = outbox{}
	}
	r.out.add(m.address(), message)
}

// tray is what came into the inbox until somebody looked.
type tray struct {
	calls []func()
	dirty []*member
	steps []step
}

// run goes round whenever there is something to do.
func (w *worker) run() {
	var t tray
	for range w.wake {
		if _, stopped := w.pass(&t); stopped {
			return
		}
	}
}

// pass does what is in the inbox; the tray is used again and again.
func (w *worker) pass(t *tray) (any, stopped bool) {
	w.mu.Lock()
	t.calls, w.calls = w.calls, t.calls[:0]
	t.dirty, w.dirty = w.dirty, t.dirty[:0]
	t.steps, w.steps = w.steps, t.steps[:0]
	stopped = w.stopped
	w.mu.Unlock()
	if stopped {
		return false, true
	}
	any = len(t.calls)+len(t.dirty)+len(t.steps) > 0
	var r round
	for _, f := range t.calls {
		f()
	}
	clear(t.calls)
	for i := range t.steps {
		w.hear(&r, &t.steps[i])
	}
	clear(t.steps)
	for _, m := range t.dirty {
		r.touch(m)
	}
	w.goRound(&r)
	return any, false
}

func (w *worker) hear(r *round, s *step) {
	m := s.member
	if m.closed {
		return
	}
	if placed := s.placed; placed != nil {
		m.applier.do(func() { m.applier.install(placed) })
	}
	m.change(s.changes)
	if s.arrived != nil {
		m.offer(r, s.arrived)
	}
	for _, message := range s.messages {
		if message.GetTo() != w.host.Node {
			r.send(m, message)
			continue
		}
		if !m.listens(r, message) {
			continue
		}
		if err := m.raft.Step(message); err != nil {
			m.logger.Debug().Err(err).Stringer("message", message.GetType()).Msg("raft did not take a message")
		}
		if message.GetType() == raftpb.MsgStorageAppendResp && message.GetIndex() > 0 {
			m.applier.progress.written.Store(message.GetIndex())
		}
	}
	r.touch(m)
}

func (r *round) touch(m *member) {
	if !m.touched {
		m.touched = true
		r.touched = append(r.touched, m)
	}
}

// goRound proposes what waits and writes what raft wants written, for all touched groups together.
func (w *worker) goRound(r *round) {
	for _, m := range r.touched {
		m.touched = false
		if m.closed {
			continue
		}
		m.propose()
		m.ready(r)
		m.endIfDrained()
		if m.changed {
			m.look()
		}
	}
	for to, pieces := range r.out {
		for _, data := range pieces {
			w.host.Network.Send(to, data)
		}
	}
	switch {
	case r.batch == nil:
	case r.synced:
		answers := r.answers
		w.disk.begin()
		w.host.Store.Commit(r.batch, func() {
			w.answered(answers)
			w.disk.ended.Add(1)
			w.host.nudge()
		})
	default:
		w.host.Store.CommitLazily(r.batch)
	}
}

// goRoundFor does the same for one member.
func (w *worker) goRoundFor(m *member) {
	var r round
	r.touch(m)
	w.goRound(&r)
}

func (r *round) write(m *member) *pebble.Batch {
	if r.batch == nil {
		r.batch = m.entries.NewBatch()
	}
	return r.batch
}
