package archive

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/broker/message"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/metadb"
	"github.com/warrenmq/warren/store/oplog"
)

// catalog reads the metadata: it has the names of queues whose machine is lost.
func catalog(s *store.Store) (*topology.Catalog, error) {
	metadata, err := metadb.Open(context.Background(), s)
	if err != nil {
		return topology.NewCatalog(), err
	}
	editor, err := topology.Open(context.Background(), metadata, topology.Options{Node: 1})
	if err != nil {
		return topology.NewCatalog(), errors.Join(err, metadata.Close())
	}
	return editor.Catalog(), metadata.Close()
}

// salvage visits the messages of a group whose snapshot cannot be read: all that are in its log. Which of them were settled
// nobody knows any more.
func (r *Result) salvage(log *entries.Store, names *topology.Catalog, visit func(*Message) error) error {
	queues := map[string]bool{}
	var failed error
	show := func(vhost, name string, record []byte) {
		m := Message{VHost: vhost, Queue: name, Uncertain: true}
		if err := message.Parse(record, &m.Message); err != nil {
			r.Missed++
			return
		}
		if name == "" && len(m.Exchange) == 0 {
			m.Queue = string(m.RoutingKey) // of the default exchange; its vhost is not known
		}
		if id := m.VHost + "\x00" + m.Queue; !queues[id] {
			queues[id] = true
			r.Queues++
		}
		r.Messages++
		r.Bytes += len(m.Body)
		if failed == nil {
			failed = visit(&m)
		}
	}
	err := log.Salvage(func(e entries.Remains) bool {
		switch {
		case e.Err != nil:
			r.Damage = append(r.Damage, e.Err)
		case e.Kind != entries.Normal || len(e.Data) == 0 && e.Rest == nil:
		case e.Rest != nil:
			for _, rest := range e.Rest {
				r.records(rest, func(record []byte) { show("", "", record) })
			}
		default:
			if err := published(e, names, show); err != nil {
				r.Damage = append(r.Damage, fmt.Errorf("entry %d: %w", e.Index, err))
			}
		}
		return failed == nil
	})
	if err != nil {
		r.Damage = append(r.Damage, err)
	}
	return failed
}

// records cuts what is left of a packed entry into messages, each behind its length.
func (r *Result) records(rest []byte, show func([]byte)) {
	for len(rest) >= queue.RecordGap {
		end := queue.RecordGap + uint64(binary.LittleEndian.Uint32(rest))
		if end > uint64(len(rest)) {
			r.Missed++
			return
		}
		show(rest[queue.RecordGap:end])
		rest = rest[end:]
	}
}

// published shows the messages of an entry that is whole, once for each queue that there still is.
func published(e entries.Remains, names *topology.Catalog, show func(vhost, name string, record []byte)) error {
	parsed, err := oplog.ParseEntry(e.Index, e.Data, nil)
	if err != nil {
		return err
	}
	return queue.Published(&parsed, func(to queue.ID, span oplog.Span) {
		if q := names.QueueByID(uint64(to)); q != nil {
			show(q.VHost, q.Name, e.Data[span.Offset:span.Offset+span.Length])
		}
	})
}
