package queue

import (
	"hash/crc32"
	"io"

	"github.com/warrenmq/warren/broker/ledger"
)

// Restore replaces the state by one that Snapshot wrote. It does not call account: ask Live.
func (s *Set) Restore(from io.Reader) error {
	data, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	end := len(data) - checksumSize
	if end < 0 || crc32.Checksum(data[:end], checksums) != le.Uint32(data[end:]) {
		return ErrSnapshot
	}
	r := &reader{data: data[:end]}
	version := r.uint8()
	if version != snapshotVersion && version != snapshotVersion-1 {
		return ErrSnapshot
	}
	fresh := NewSet(s.account)
	fresh.index, fresh.now, fresh.woken = r.uint64(), r.int64(), r.int64()
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		ses := fresh.session(SessionKey{Node: r.uint64(), Session: r.uint64()})
		ses.last = r.uint64()
	}
	if version == snapshotVersion {
		fresh.readEarly(r)
	}
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		q := fresh.readQueue(r)
		fresh.queues[q.id] = q
		if at := q.armed; at != 0 {
			q.armed = 0
			fresh.alarms.set(q, at)
		}
	}
	if r.bad || len(r.data) > 0 {
		return ErrSnapshot
	}
	*s = *fresh
	return nil
}

func (s *Set) readQueue(r *reader) *queue {
	id, vhost, name := ID(r.uint64()), r.string(), r.string()
	var config Config
	config.decode(r)
	q := s.newQueue(id, vhost, name, config)
	q.everUsed, q.deleted, q.quiescing = r.bool(), r.bool(), r.bool()
	q.lastUsed, q.armed, q.outboxNext = r.int64(), r.int64(), r.uint64()
	for _, n := range q.stats.all() {
		*n = r.uint64()
	}
	q.lanes.read(r)
	for p := q.lanes.top(); p >= 0; p = q.lanes.below(p) {
		q.ready += q.lanes.list[p].count
		q.bytes += q.lanes.list[p].bytes
	}
	for _, one := range readRuns(r) {
		q.returned.runs = append(q.returned.runs, one)
		q.returned.count += int64(one.count)
		q.returned.bytes += one.bytes()
	}
	q.ready += q.returned.count
	q.bytes += q.returned.bytes
	readLedger(r, &q.outbox, func() (d dead) {
		d.reason, d.flagged = Reason(r.uint8()), r.bool()
		d.run = readRun(r)
		return d
	})
	q.eachDead(func(one *run) { q.outboxBytes += one.bytes() })
	q.stream.read(r)
	q.scanning = r.bool()
	q.waiting.read(r)
	q.keyring.read(r)
	q.producers, q.letters = readProducers(r), readLetters(r)
	q.overdue = r.int64()
	s.readConsumers(r, q)
	return q
}

func readBlock(r *reader) block {
	b := block{runs: int(r.uint32())}
	if b.runs == 0 {
		return b
	}
	b.first, b.last = r.uint64(), r.uint64()
	b.data = append([]byte(nil), r.bytes()...)
	return b
}

func readRuns(r *reader) []run {
	b := readBlock(r)
	if r.bad || b.runs == 0 {
		return nil
	}
	return unpack(b, nil)
}

func readRun(r *reader) run {
	if runs := readRuns(r); len(runs) == 1 {
		return runs[0]
	}
	r.bad = true
	return run{}
}

func (l *lanes) read(r *reader) {
	for i := range l.filled {
		l.filled[i] = r.uint64()
	}
	for p := range l.list {
		if l.filled[p>>6]&(1<<(p&63)) != 0 {
			l.lane(p).read(r)
		}
	}
}

func (l *lane) read(r *reader) {
	l.head = readRuns(r)
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		l.blocks = append(l.blocks, readBlock(r))
	}
	l.tail = readRuns(r)
	if r.bad {
		return
	}
	l.each(func(one *run) {
		l.count += int64(one.count)
		l.bytes += one.bytes()
	})
}

func readLedger[T any](r *reader, l *ledger.Ledger[T], item func() T) {
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		c := ledger.Chunk[T]{First: r.uint64(), Open: r.uint64()}
		c.Item = item()
		l.Restore(c)
	}
}

func (s *Set) readConsumers(r *reader, q *queue) {
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		q.consumers = append(q.consumers, s.readConsumer(r, q))
	}
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		q.strays = append(q.strays, s.readConsumer(r, q))
	}
	place := func(n uint32) *consumer {
		if n == 0 || int(n) > len(q.consumers) {
			return nil
		}
		return q.consumers[n-1]
	}
	q.single, q.exclusive = place(r.uint32()), place(r.uint32())
	for n := r.uint32(); n > 0 && !r.bad; n-- {
		if c := place(r.uint32()); c != nil {
			q.enter(c)
		}
	}
}

func (s *Set) readConsumer(r *reader, q *queue) *consumer {
	ses := s.session(SessionKey{Node: r.uint64(), Session: r.uint64()})
	c := &consumer{session: ses, queue: q, id: r.uint32(), channel: r.uint16(), tag: r.string()}
	c.arguments = append([]byte(nil), r.bytes()...)
	c.priority, c.prefetch, c.window, c.timeout = r.int64(), r.uint32(), r.int64(), r.int64()
	c.next = r.uint64()
	c.noAck, c.exclusive, c.getter, c.gone, c.unfiltered = r.bool(), r.bool(), r.bool(), r.bool(), r.bool()
	c.cursor, c.filters = r.uint64(), r.hashes()
	readLedger(r, &c.unacked, func() handed {
		since := r.int64()
		return handed{run: readRun(r), since: since}
	})
	c.eachUnacked(func(one *run) {
		q.unacked += int64(one.count)
		q.held += one.bytes()
	})
	ses.consumers[c.id] = c
	return c
}
