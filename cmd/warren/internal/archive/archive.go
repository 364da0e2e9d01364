// Package archive owns what `warren store` does with a data directory that no broker has open: verify it, and write out the
// messages that can be read. It changes nothing.
//
//  1. Read opens a directory for looking, damaged or not.
//  2. The machine of each group is made again: from its snapshot, and the entries behind it.
//     Where the snapshot cannot be read, what is in the log is shown instead.
//  3. Every message that a queue of the machine holds is read from the log, and handed to whoever asked.
package archive

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/keys"
	"github.com/warrenmq/warren/store/oplog"
)

// Result is what was seen.
type Result struct {
	Logs, Tables            int // files
	Groups, Queues          int
	Messages, Bytes, Missed int
	Damage                  []error
}

// Message is one message of a queue; its slices are borrowed.
type Message struct {
	VHost, Queue string
	// Uncertain: the state of the group is lost, and the message may have been settled. VHost is empty if it is lost too.
	Uncertain bool
	message.Message
}

// Read visits all messages of a directory that can be read, until visit fails. What cannot be read is in the result.
func Read(dir string, visit func(*Message) error) (r Result, err error) {
	found, err := store.Verify(vfs.Default, dir)
	if err != nil {
		return r, err
	}
	r.Logs, r.Tables, r.Damage = found.Logs, found.Tables, found.Damage
	s, err := store.Open(dir, store.Options{ReadOnly: true, Salvage: true})
	if err != nil {
		r.Damage = append(r.Damage, err)
		return r, nil
	}
	ids, damage := groups(s)
	if damage != nil {
		r.Damage = append(r.Damage, damage)
	}
	names, unknown := catalog(s)
	if unknown != nil {
		r.Damage = append(r.Damage, unknown)
	}
	for _, id := range ids {
		r.Groups++
		if err = r.readGroup(entries.New(s, id).Current(), id, names, visit); err != nil {
			break
		}
	}
	return r, errors.Join(err, s.Close())
}

// groups gives the groups of a directory.
func groups(s *store.Store) (ids []uint64, err error) {
	from, to := keys.Groups()
	it, err := s.DB.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, store.Explain(err)
	}
	for ok := it.First(); ok; {
		id, next, known := keys.NextGroup(it.Key())
		if !known {
			break
		}
		ids = append(ids, id)
		ok = it.SeekGE(next)
	}
	return ids, store.Explain(errors.Join(it.Error(), it.Close()))
}

// readGroup makes the machine of a group again and visits what its queues hold. Only what visit says is returned.
func (r *Result) readGroup(log *entries.Store, id uint64, names *topology.Catalog, visit func(*Message) error) error {
	set := queue.NewSet(func(uint64, int64) {})
	if err := replay(log, set); err != nil {
		r.Damage = append(r.Damage, fmt.Errorf("group %d: %w", id, err))
		if errors.Is(err, errSnapshot) {
			return r.salvage(log, names, visit)
		}
	}
	var cached struct {
		index uint64
		bytes entries.Bytes
		err   error
	}
	for _, q := range set.IDs() {
		r.Queues++
		origin, _ := set.Origin(q)
		m := Message{VHost: origin.VHost, Queue: origin.Name}
		var failed error
		set.Messages(q, func(span oplog.Span) {
			if failed != nil {
				return
			}
			if cached.index != span.Index {
				cached.index = span.Index
				if cached.bytes, cached.err = log.Bytes(span.Index); cached.err != nil {
					r.Damage = append(r.Damage, fmt.Errorf("queue %q in vhost %q: %w", origin.Name, origin.VHost, cached.err))
				}
			}
			err := cached.err
			var record []byte
			if err == nil {
				record, err = cached.bytes.Read(span.Offset, span.Length)
			}
			if err == nil {
				err = message.Parse(record, &m.Message)
			}
			if err != nil {
				if cached.err == nil {
					r.Damage = append(r.Damage, fmt.Errorf("group %d, entry %d, byte %d: %w", id, span.Index, span.Offset, err))
				}
				r.Missed++
				return
			}
			r.Messages++
			r.Bytes += len(m.Body)
			failed = visit(&m)
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// errSnapshot: the state of a group is lost.
var errSnapshot = errors.New("its snapshot cannot be read: messages that were settled may be among those that are shown")

// replay restores a machine as far as it can be.
func replay(log *entries.Store, set *queue.Set) error {
	head, ok, err := log.SnapshotHead()
	if err != nil {
		return fmt.Errorf("%w: %w", errSnapshot, err)
	}
	if ok {
		if err := set.Restore(log.SnapshotReader(head)); err != nil {
			return fmt.Errorf("%w: %w", errSnapshot, err)
		}
	}
	last, _, ok, err := log.Last()
	if err != nil || !ok || last <= head.Index {
		return err
	}
	var failed error
	err = log.Range(head.Index+1, last+1, func(e entries.Entry) bool {
		if e.Kind != entries.Normal || len(e.Data) == 0 {
			return true
		}
		parsed, err := oplog.ParseEntry(e.Index, e.Data, nil)
		if err == nil {
			_, err = set.Apply(&parsed, nil)
		}
		if err != nil {
			failed = fmt.Errorf("entry %d: %w", e.Index, err)
		}
		return err == nil
	})
	return errors.Join(err, failed)
}
