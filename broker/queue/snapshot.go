package queue

import (
	"errors"
	"hash/crc32"
	"io"
	"slices"

	"github.com/warrenmq/warren/broker/ledger"
)

// snapshotVersion is the form in which a Set is written. Restore reads the one before too, in which no messages wait for
// queues, and refuses others.
const snapshotVersion = 3

// ErrSnapshot is returned for bytes that are not a whole snapshot of a known version.
var ErrSnapshot = errors.New("queue: not a snapshot of a known version")

// A snapshot ends in 4 bytes, the checksum of all before them.
const checksumSize = 4

var checksums = crc32.MakeTable(crc32.Castagnoli)

// checked writes to w and keeps the checksum of what it wrote.
type checked struct {
	w   io.Writer
	sum uint32
}

func (c *checked) Write(p []byte) (int, error) {
	c.sum = crc32.Update(c.sum, checksums, p)
	return c.w.Write(p)
}

// Snapshot writes the whole state. Two sets that applied the same entries write the same bytes.
func (s *Set) Snapshot(to io.Writer) error {
	w := &checked{w: to}
	dst := append(make([]byte, 0, snapshotChunk+snapshotChunk/4), snapshotVersion)
	dst = le.AppendUint64(dst, s.index)
	dst = le.AppendUint64(dst, uint64(s.now))
	dst = le.AppendUint64(dst, uint64(s.woken))
	dst = s.appendEarly(s.appendSessions(dst))
	ids := s.ids()
	dst = le.AppendUint32(dst, uint32(len(ids)))
	for _, id := range ids {
		dst = s.queues[id].append(dst)
		if len(dst) >= snapshotChunk {
			if _, err := w.Write(dst); err != nil {
				return err
			}
			dst = dst[:0]
		}
	}
	if _, err := w.Write(dst); err != nil {
		return err
	}
	_, err := to.Write(le.AppendUint32(nil, w.sum))
	return err
}

// snapshotChunk is how much is gathered before it is written.
const snapshotChunk = 256 << 10

func (s *Set) appendSessions(dst []byte) []byte {
	list := make([]*session, 0, len(s.sessions))
	for _, ses := range s.sessions {
		list = append(list, ses)
	}
	sortSessions(list)
	dst = le.AppendUint32(dst, uint32(len(list)))
	for _, ses := range list {
		dst = appendKey(dst, ses.key)
		dst = le.AppendUint64(dst, ses.last)
	}
	return dst
}

func appendKey(dst []byte, key SessionKey) []byte {
	return le.AppendUint64(le.AppendUint64(dst, key.Node), key.Session)
}

func appendRuns(dst []byte, runs []run) []byte {
	if len(runs) == 0 {
		return le.AppendUint32(dst, 0)
	}
	return appendBlock(dst, pack(runs))
}

func appendBlock(dst []byte, b block) []byte {
	dst = le.AppendUint32(dst, uint32(b.runs))
	dst = le.AppendUint64(dst, b.first)
	dst = le.AppendUint64(dst, b.last)
	return appendBytes(dst, b.data)
}

func (q *queue) append(dst []byte) []byte {
	dst = le.AppendUint64(dst, uint64(q.id))
	dst = appendString(appendString(dst, q.vhost), q.name)
	dst = q.config.append(dst)
	for _, b := range []bool{q.everUsed, q.deleted, q.quiescing} {
		dst = appendBool(dst, b)
	}
	dst = le.AppendUint64(dst, uint64(q.lastUsed))
	dst = le.AppendUint64(dst, uint64(q.armed))
	dst = le.AppendUint64(dst, q.outboxNext)
	for _, n := range q.stats.all() {
		dst = le.AppendUint64(dst, *n)
	}
	dst = q.lanes.append(dst)
	dst = appendRuns(dst, q.returned.runs[q.returned.at:])
	dst = appendLedger(dst, &q.outbox, func(dst []byte, d *dead) []byte {
		return appendRuns(appendBool(append(dst, byte(d.reason)), d.flagged), []run{d.run})
	})
	dst = appendBool(q.stream.append(dst), q.scanning)
	dst = q.waiting.append(dst)
	dst = q.keyring.append(dst)
	dst = q.letters.append(q.producers.append(dst))
	dst = le.AppendUint64(dst, uint64(q.overdue))
	return q.appendConsumers(dst)
}

func (st *Stats) all() []*uint64 {
	return []*uint64{
		&st.Published, &st.Delivered, &st.DeliveredNoAck, &st.Got, &st.GotNoAck, &st.GotEmpty, &st.Redelivered,
		&st.Acked, &st.Dropped, &st.Expired, &st.DeadLettered,
	}
}

func (l *lanes) append(dst []byte) []byte {
	for _, word := range l.filled {
		dst = le.AppendUint64(dst, word)
	}
	for p := range l.list {
		if l.filled[p>>6]&(1<<(p&63)) != 0 {
			dst = l.list[p].append(dst)
		}
	}
	return dst
}

func (l *lane) append(dst []byte) []byte {
	dst = appendRuns(dst, l.head[l.at:])
	dst = le.AppendUint32(dst, uint32(len(l.blocks)))
	for _, b := range l.blocks {
		dst = appendBlock(dst, b)
	}
	return appendRuns(dst, l.tail)
}

func appendLedger[T any](dst []byte, l *ledger.Ledger[T], item func([]byte, *T) []byte) []byte {
	n := 0
	l.Each(func(*ledger.Chunk[T]) { n++ })
	dst = le.AppendUint32(dst, uint32(n))
	l.Each(func(c *ledger.Chunk[T]) {
		dst = le.AppendUint64(dst, c.First)
		dst = le.AppendUint64(dst, c.Open)
		dst = item(dst, &c.Item)
	})
	return dst
}

func (q *queue) appendConsumers(dst []byte) []byte {
	for _, list := range [][]*consumer{q.consumers, q.strays} {
		dst = le.AppendUint32(dst, uint32(len(list)))
		for _, c := range list {
			dst = c.append(dst)
		}
	}
	place := func(c *consumer) uint32 { return uint32(slices.Index(q.consumers, c) + 1) }
	dst = le.AppendUint32(dst, place(q.single))
	dst = le.AppendUint32(dst, place(q.exclusive))
	order := q.servingOrder()
	dst = le.AppendUint32(dst, uint32(len(order)))
	for _, c := range order {
		dst = le.AppendUint32(dst, place(c))
	}
	return dst
}

// servingOrder is who stands in the levels, in order.
func (q *queue) servingOrder() []*consumer {
	var order []*consumer
	for i := range q.levels {
		order = append(order, q.levels[i].waiting[q.levels[i].at:]...)
	}
	return order
}

func (c *consumer) append(dst []byte) []byte {
	dst = appendKey(dst, c.session.key)
	dst = le.AppendUint32(dst, c.id)
	dst = le.AppendUint16(dst, c.channel)
	dst = appendBytes(appendString(dst, c.tag), c.arguments)
	dst = le.AppendUint64(dst, uint64(c.priority))
	dst = le.AppendUint32(dst, c.prefetch)
	dst = le.AppendUint64(dst, uint64(c.window))
	dst = le.AppendUint64(dst, uint64(c.timeout))
	dst = le.AppendUint64(dst, c.next)
	for _, b := range []bool{c.noAck, c.exclusive, c.getter, c.gone, c.unfiltered} {
		dst = appendBool(dst, b)
	}
	dst = appendHashes(le.AppendUint64(dst, c.cursor), c.filters)
	return appendLedger(dst, &c.unacked, func(dst []byte, h *handed) []byte {
		return appendRuns(le.AppendUint64(dst, uint64(h.since)), []run{h.run})
	})
}
