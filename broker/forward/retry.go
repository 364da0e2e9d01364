package forward

import (
	"time"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// retryNode is the node id in the Origin of letters that were refused and are tried again. Each try has an Origin of its
// own, because what was refused is known not to be there.
const retryNode = Node - 1

// retryPause is how long a refused letter waits.
const retryPause = time.Second

// later puts a refused letter aside for a while.
func (f *Forwarder) later(id queue.ID, o *outbox, number uint64) {
	o.stuck[number] = true
	if o.waiting {
		return
	}
	o.waiting = true
	time.AfterFunc(retryPause, func() {
		f.mu.Lock()
		f.retries = append(f.retries, id)
		f.mu.Unlock()
		f.arrived.Signal()
	})
}

// fetchStuck fetches the letters that were put aside.
func (f *Forwarder) fetchStuck(id queue.ID) {
	o := f.queues[id]
	o.waiting = false
	f.env.Inboxes.AddFor(queue.SessionKey{Node: retryNode, Session: uint64(id)}, f)
	numbers := make(map[uint64]bool, len(o.stuck))
	for number := range o.stuck {
		numbers[number] = true
	}
	err := f.group.Do(func(s *queue.Set) {
		all := f.collect(s, id, 0)
		b := batch{from: all.from, again: true}
		for _, l := range all.letters {
			if numbers[l.Number] {
				b.letters = append(b.letters, l)
			}
		}
		f.mu.Lock()
		f.letters = append(f.letters, b)
		f.mu.Unlock()
		f.arrived.Signal()
	})
	if err != nil {
		f.env.Logger.Debug().Err(err).Msg("refused dead letters cannot be fetched")
	}
}

// sendAgain publishes letters that were refused.
func (f *Forwarder) sendAgain(o *outbox, b *batch) {
	sent := map[uint64]bool{}
	for i := range b.letters {
		l := &b.letters[i]
		if !o.stuck[l.Number] {
			continue
		}
		delete(o.stuck, l.Number)
		sent[l.Number] = true
		f.tries++
		f.begin(o, &b.from, l, oplog.Origin{Node: retryNode, Session: uint64(b.from.ID), Seq: f.tries})
	}
	for number := range o.stuck { // not in the outbox any more: purged
		if !sent[number] && len(b.letters) < fetchMax {
			delete(o.stuck, number)
		}
	}
	f.fetch(b.from.ID)
}
