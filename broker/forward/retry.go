package forward

import (
	"time"

	"github.com/warrenmq/warren/broker/queue"
)

// retryPause is how long refused letters wait.
const retryPause = time.Second

// later puts a refused letter aside for a while.
func (f *Forwarder) later(id queue.ID, o *outbox, number uint64) {
	o.stuck[number] = true
	if !o.waiting {
		f.pause(id, o)
	}
}

// pause begins a round of tries, in a while.
func (f *Forwarder) pause(id queue.ID, o *outbox) {
	o.waiting, o.tried = true, 0
	time.AfterFunc(retryPause, func() {
		f.mu.Lock()
		f.retries = append(f.retries, id)
		f.mu.Unlock()
		f.arrived.Signal()
	})
}

// fetchStuck fetches some of the letters that were put aside, in the order of their numbers.
func (f *Forwarder) fetchStuck(id queue.ID) {
	o := f.outbox(id)
	numbers := make(map[uint64]bool, len(o.stuck))
	for number := range o.stuck {
		numbers[number] = true
	}
	from := o.tried + 1
	err := f.group.Do(func(s *queue.Set) {
		b := f.collect(s, id, from, fetchBytes, func(number uint64) bool { return numbers[number] })
		b.again = numbers
		f.mu.Lock()
		f.letters = append(f.letters, b)
		f.mu.Unlock()
		f.arrived.Signal()
	})
	if err != nil {
		f.env.Logger.Debug().Err(err).Msg("refused dead letters cannot be fetched")
	}
}

// sendAgain publishes letters that were refused, and goes on with the next of them. What was wanted and is not there has left
// the outbox: it was purged.
func (f *Forwarder) sendAgain(o *outbox, b *batch) {
	last := uint64(queue.Everything)
	if n := len(b.letters); b.more && n > 0 {
		last = b.letters[n-1].Number
	} else if b.more {
		last = o.tried // nothing could be read: the next round tries again
	}
	for number := range b.again {
		if number > o.tried && number <= last {
			delete(o.stuck, number)
		}
	}
	o.tried = last
	for i := range b.letters {
		f.begin(o, &b.from, &b.letters[i])
	}
	if b.more && len(b.letters) > 0 {
		f.fetchStuck(b.from.ID)
		return
	}
	o.waiting = false
	if len(o.stuck) > 0 {
		f.pause(b.from.ID, o)
	}
	f.fetch(b.from.ID)
}
