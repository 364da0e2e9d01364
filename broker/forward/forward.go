// Package forward owns messages that leave a queue for an exchange: dead letters.
//
// A queue's machine keeps its dead letters in an outbox until they are where they belong. The Forwarder of the group that
// leads the queue publishes them, each marked with the queue and its number in the outbox (message.Letter): if it is sent
// again, after a crash, a change of leader or a refusal, its target recognises it. So a dead letter is in its target exactly
// once, without a transaction across groups.
//
//  1. Wake tells that a queue has dead letters.
//  2. The forwarder fetches some from the outbox, with their bytes, on the goroutine of the group.
//  3. Each is rewritten (x-death and its relatives), routed on the newest Catalog, and proposed to every group on its route.
//  4. When all of these have confirmed, the outbox is told to forget it.
package forward

import (
	"sync"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/store/oplog"
)

// Node is the node id in the Origin of what forwarders publish: it belongs to no node, because any may lead the queue.
const Node = queue.Forwarders

// Env is what forwarders need of the broker.
type Env struct {
	Catalog func() *topology.Catalog
	Groups  dispatch.Groups
	Inboxes *group.Inboxes
	Clock   func() int64 // milliseconds since the epoch
	// Reply delivers a message to the channel that waits for direct replies under its routing key, and tells whether one does.
	Reply  func(m *message.Message) bool
	Logger zerolog.Logger
}

// Forwarder forwards for the queues of one group. owner: run, but for the inbox
type Forwarder struct {
	env    *Env
	group  *group.Group
	queues map[queue.ID]*outbox
	room   int    // so many of these, and those that rest are forgotten
	number uint64 // of the last batch

	mu      sync.Mutex // guards what follows
	arrived *sync.Cond
	woken   []queue.ID
	letters []batch
	events  []group.Event
	retries []queue.ID
	closed  bool
}

// outbox is what is under way from one queue.
type outbox struct {
	next     uint64            // number of the first letter that was not fetched
	fetching bool              // a fetch has been asked for
	more     bool              // there is more than was fetched
	flight   map[uint64]letter // that wait for confirms, by number
	bytes    int               // of these, that it waits for
	share    int               // how many bytes it may have under way, as the group said to which something went last
	stuck    map[uint64]bool   // refused, to be tried again, by number
	waiting  bool              // a retry is due, or under way
	tried    uint64            // number of the last letter that was tried again in this round
	done     []span            // confirmed, not told to the machine yet
}

// letter is one dead letter under way.
type letter struct {
	answers int  // confirms to come
	refused bool // by some queue
	keep    bool // a refusal is no reason to forget it
	bytes   int  // that count as under way
	share   int  // the smallest of the groups that it goes to
}

// span is numbers first..last.
type span struct{ first, last uint64 }

// fetchMax is how many letters are fetched at once, fetchBytes of how many bytes all but the last; flightMax is how many may
// be under way for a queue. What is above its share of the way to a group waits in the outbox, in order: what is refused comes
// behind what is not.
const (
	fetchMax   = 256
	fetchBytes = 8 << 20
	flightMax  = 2048
)

// shareFirst is the share of an outbox of which nothing went anywhere yet. Bytes.
const shareFirst = 64 << 10

// restingMax is how many outboxes of which nothing is under way are remembered, beside as many as have been busy.
const restingMax = 1024

// New makes the forwarder of a group and starts it.
func New(env *Env, g *group.Group, run func(func())) *Forwarder {
	f := &Forwarder{env: env, group: g, queues: map[queue.ID]*outbox{}, room: restingMax}
	f.arrived = sync.NewCond(&f.mu)
	run(f.run)
	return f
}

// Wake tells that a queue has dead letters. It does not wait.
func (f *Forwarder) Wake(id queue.ID) {
	f.mu.Lock()
	f.woken = append(f.woken, id)
	f.mu.Unlock()
	f.arrived.Signal()
}

// Post implements group.Inbox: the confirms of what was published.
func (f *Forwarder) Post(events []group.Event) {
	f.mu.Lock()
	for i := range events {
		switch events[i].Kind {
		case queue.Confirm, queue.Refuse, queue.Adrift:
			f.events = append(f.events, events[i])
		}
	}
	f.mu.Unlock()
	f.arrived.Signal()
}

// Room implements group.Inbox: nothing is delivered to a forwarder.
func (f *Forwarder) Room(queue.SessionKey, group.Waker) bool { return true }

// Close ends the forwarder; what is under way stays in its outbox.
func (f *Forwarder) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.arrived.Signal()
}

func (f *Forwarder) run() {
	for {
		f.mu.Lock()
		for len(f.woken)+len(f.letters)+len(f.events)+len(f.retries) == 0 && !f.closed {
			f.arrived.Wait()
		}
		woken, letters, events, retries := f.woken, f.letters, f.events, f.retries
		f.woken, f.letters, f.events, f.retries = nil, nil, nil, nil
		closed := f.closed
		f.mu.Unlock()
		if closed {
			f.leave()
			return
		}
		for _, id := range woken {
			f.outbox(id).more = true
			f.fetch(id)
		}
		for _, id := range retries {
			f.fetchStuck(id)
		}
		for i := range letters {
			f.send(&letters[i])
		}
		for i := range events {
			f.answered(&events[i])
		}
		f.settle()
	}
}

// leave lets nobody find the forwarder any more.
func (f *Forwarder) leave() {
	for id := range f.queues {
		f.env.Inboxes.RemoveFor(queue.SessionKey{Node: Node, Session: uint64(id)}, f)
	}
}

func (f *Forwarder) outbox(id queue.ID) *outbox {
	o := f.queues[id]
	if o == nil {
		if len(f.queues) >= f.room {
			f.forgetResting()
		}
		o = &outbox{flight: map[uint64]letter{}, stuck: map[uint64]bool{}, share: shareFirst}
		f.queues[id] = o
		f.env.Inboxes.AddFor(queue.SessionKey{Node: Node, Session: uint64(id)}, f)
	}
	return o
}

// forgetResting forgets the outboxes of which nothing is under way: their queues may be long gone. What they send later
// begins with what is in the outbox then.
func (f *Forwarder) forgetResting() {
	for id, o := range f.queues {
		if !o.fetching && !o.more && !o.waiting && len(o.flight)+len(o.stuck)+len(o.done) == 0 {
			delete(f.queues, id)
			f.env.Inboxes.RemoveFor(queue.SessionKey{Node: Node, Session: uint64(id)}, f)
		}
	}
	f.room = 2*len(f.queues) + restingMax
}

// batch is letters that were fetched from a queue's outbox.
type batch struct {
	from    queue.Origin
	letters []fetched
	more    bool
	again   map[uint64]bool // these were wanted, because they were refused before
	lost    bool            // another node leads the group
}

type fetched struct {
	queue.DeadLetter
	data []byte // the record
}

// fetch asks the group for the next letters of a queue, unless enough are under way.
func (f *Forwarder) fetch(id queue.ID) {
	o := f.queues[id]
	if o.fetching || !o.more || len(o.flight)+len(o.stuck) >= flightMax || o.bytes > o.share {
		return
	}
	o.fetching, o.more = true, false // what comes meanwhile wakes it again
	next, most := o.next, min(fetchBytes, o.share-o.bytes)
	err := f.group.Do(func(s *queue.Set) {
		b := f.collect(s, id, next, most, func(uint64) bool { return true })
		f.mu.Lock()
		f.letters = append(f.letters, b)
		f.mu.Unlock()
		f.arrived.Signal()
	})
	if err != nil {
		f.env.Logger.Debug().Err(err).Msg("no dead letters can be fetched")
	}
}

// collect takes those letters out of the machine that are wanted, with their bytes, all but the last of at most so many. It
// runs on the group's goroutine.
func (f *Forwarder) collect(s *queue.Set, id queue.ID, from uint64, most int, wanted func(uint64) bool) batch {
	b, size := batch{}, 0
	b.from, _ = s.Origin(id)
	b.from.ID = id
	if b.lost = !f.group.Leading(); b.lost {
		return b
	}
	s.Outbox(id, from, func(d queue.DeadLetter) bool {
		for ; d.Count > 0; d.Number, d.Count, d.Offset = d.Number+1, d.Count-1, d.Offset+d.Stride {
			if !wanted(d.Number) {
				continue
			}
			if len(b.letters) == fetchMax || size > most {
				b.more = true
				return false
			}
			data, err := f.group.Read(oplog.Span{Index: d.Index, Offset: d.Offset, Length: d.Stride - queue.RecordGap})
			if err != nil {
				f.env.Logger.Error().Err(err).Uint64("entry", d.Index).Str("queue", b.from.Name).Msg("a dead letter cannot be read")
				b.more = true
				return false
			}
			b.letters = append(b.letters, fetched{DeadLetter: d, data: data})
			size += len(data)
		}
		return true
	})
	return b
}

// send publishes what was fetched.
func (f *Forwarder) send(b *batch) {
	o := f.outbox(b.from.ID)
	if b.lost { // whoever leads begins anew, and what has arrived will be recognised
		delete(f.queues, b.from.ID)
		return
	}
	if b.again != nil {
		f.sendAgain(o, b)
		return
	}
	o.fetching, o.more = false, o.more || b.more
	for i := range b.letters {
		l := &b.letters[i]
		if l.Number < o.next {
			continue
		}
		o.next = l.Number + 1
		f.begin(o, &b.from, l)
	}
	if b.more && len(b.letters) == 0 {
		return // something cannot be read: the next wake-up tries again
	}
	f.fetch(b.from.ID)
}

// begin publishes one letter.
func (f *Forwarder) begin(o *outbox, from *queue.Origin, l *fetched) {
	sent := f.publish(from, l)
	if sent.answers > 0 {
		sent.bytes, o.share = len(l.data), sent.share
		o.bytes += sent.bytes
		o.flight[l.Number] = sent
		return
	}
	f.finish(from.ID, o, l.Number, sent)
}

// answered counts a confirm or a refusal. Where a group has had no leader for too long, nobody waits for what is under way.
func (f *Forwarder) answered(e *group.Event) {
	id := queue.ID(e.To.Session)
	o := f.queues[id]
	if o == nil {
		return
	}
	if e.Kind == queue.Adrift {
		for number, l := range o.flight {
			l.bytes = 0
			o.flight[number] = l
		}
		o.bytes = 0
	}
	for number := e.Number; number < e.Number+uint64(e.Count); number++ {
		l, known := o.flight[number]
		if !known {
			continue
		}
		l.answers--
		l.refused = l.refused || e.Kind == queue.Refuse
		o.flight[number] = l
		if l.answers == 0 {
			o.bytes -= l.bytes
			delete(o.flight, number)
			f.finish(id, o, number, l)
		}
	}
	f.fetch(id)
}

// finish forgets a letter that is where it belongs, or nowhere to go; one that has to arrive is tried again.
func (f *Forwarder) finish(id queue.ID, o *outbox, number uint64, l letter) {
	if l.refused && l.keep {
		f.later(id, o, number)
		return
	}
	if n := len(o.done); n > 0 && o.done[n-1].last+1 == number {
		o.done[n-1].last = number
		return
	}
	o.done = append(o.done, span{number, number})
}

// settle tells the machine which letters it may forget.
func (f *Forwarder) settle() {
	var b queue.Batch
	for id, o := range f.queues {
		for _, s := range o.done {
			b.Add(&queue.Forwarded{Queue: id, From: s.first, To: s.last})
		}
		o.done = o.done[:0]
	}
	if b.Len() == 0 {
		return
	}
	if err := f.group.Propose(oplog.Batch{Data: b.Bytes()}); err != nil {
		f.env.Logger.Debug().Err(err).Msg("dead letters were not settled; they will be recognised")
	}
}
