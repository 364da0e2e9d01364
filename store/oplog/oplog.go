// Package oplog is the contract of an ordered log of commands, and its simplest form, Direct.
//
// A log orders the batches that sessions propose for one group of queues and applies them to the group's Machine, one
// entry after another, on one goroutine. It also is the message store: an entry stays readable for as long as the machine
// says that some of its bytes are live. The package knows nothing of queues: a batch is bytes.
//
// In use:
//  1. Host.Open gives a Log for a group and starts to drive the group's Machine;
//  2. Propose hands in a batch; the log merges what waits into an Entry and orders it;
//  3. Machine.Apply gets the entry, changes its state and calls Log.Account with the bytes that came to life or died;
//  4. Read gives the bytes of a live Span, now or after a restart;
//  5. what nobody needs any more is freed by the log, and the rest of a sparse entry is packed.
package oplog

import (
	"errors"
	"io"
)

// ErrClosed is returned by a log that was closed.
var ErrClosed = errors.New("oplog: log is closed")

// ErrNotLeading is returned by Propose on a member that does not lead its group: the batch was not taken.
var ErrNotLeading = errors.New("oplog: this node does not lead the group")

// ErrGone is returned by Read for bytes that are not there: they were released, or never written.
var ErrGone = errors.New("oplog: no such bytes in the log")

// ErrDamaged is returned, wrapped, by a log whose stored bytes are not what was written. It serves nothing any more.
var ErrDamaged = errors.New("the log of the group is damaged")

// Origin says who asked: the answer goes back to it, and a batch whose Origin was already applied is not applied again
// (a retry after a leader change is harmless). Seq counts the batches of one session for one group from 1.
type Origin struct{ Node, Session, Seq uint64 }

// Batch is what one session had for this group after one burst: encoded commands.
type Batch struct {
	From Origin
	At   uint32 // where Data begins in its entry; set by the log
	Data []byte
}

// Entry is one committed item of the log: the batches that were waiting when the log was ready for more.
// A byte of it is addressed by (Index, offset in Data) for ever.
type Entry struct {
	Index uint64
	// Time is the leader's clock in milliseconds since the epoch, never less than in the entry before; a machine has no
	// other clock.
	Time    int64
	Data    []byte // all bytes of the entry, as stored
	Batches []Batch
}

// Span is a stretch of an entry's Data.
type Span struct {
	Index          uint64
	Offset, Length uint32
}

// Machine is applied on one goroutine, in index order, each entry once.
type Machine interface {
	Apply(entries []Entry)
	// Lead tells whether this member leads; only while leading are effects performed.
	Lead(leading bool)
	Snapshot(w io.Writer) error
	// Restore replaces the state. It does not call Account; Live is asked instead.
	Restore(r io.Reader) error
	// Live visits the live spans in entries from <= index < to, in any order. Together they are as long as Account was told:
	// a span that several queues share is visited several times, perhaps in pieces.
	Live(from, to uint64, visit func(Span))
}

// Log orders the commands of one group.
type Log interface {
	// Propose gives a batch away. A nil error means "on its way"; that it took effect is learned from Apply.
	Propose(b Batch) error
	// Read gives the bytes of a live span, or of several that touch. What dies while entries are applied can be read until
	// that Apply returns. The bytes are borrowed for ever: nobody writes to them. Only from the machine's goroutine.
	Read(s Span) ([]byte, error)
	// Near is Read for what is in memory; ok tells whether it was. Only from the machine's goroutine.
	Near(s Span) (data []byte, ok bool)
	// Now is the log's time, in milliseconds since the epoch: about what the next entry's will be.
	Now() int64
	// Account adds bytes (or takes them away) to what is live of an entry. Only from the machine's goroutine.
	Account(index uint64, bytes int64)
	// Damage tells why the log refuses: what is stored is not what was written. Nil: as far as is known it is. From anywhere.
	Damage() error
	// Do runs f on the machine's goroutine, between entries. It does not wait.
	Do(f func()) error
	Close() error
}

// Host opens logs. members are node ids, and count once: when this node opens a group that it has nothing of. Then the group
// begins with them, this node among them, and every one of them says the same; a log of one member has no peers. Without any,
// the node joins a group that others have begun: it follows, without a vote, until the group's leader makes it a member and
// sends it everything. Later the log itself knows who its members are.
type Host interface {
	Open(group uint64, members []uint64, m Machine) (Log, error)
}
