package clustered

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/warrenmq/warren/cluster/etcdmeta"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/store/meta"
)

// spread is the metadata with one promise more: what is committed is known on every node that can be reached before Commit
// returns. So whoever declared a queue here may use it there.
//
// A node that is asked for a revision answers when it has reached it. One that does not answer in time is not waited for
// again until it does.
//
// Messages between nodes: what it is, 1 byte, and the revision, 8 bytes.
type spread struct {
	*etcdmeta.Store
	node *Node

	mu      sync.Mutex // guards what follows
	reached map[uint64]int64
	slow    map[uint64]bool
	rises   chan struct{} // closed when somebody has reached more
}

// spreadTime is how long a commit waits for a node.
const spreadTime = time.Second

const (
	askRevision     = 1
	reachedRevision = 2
)

func newSpread(store *etcdmeta.Store, n *Node) *spread {
	return &spread{Store: store, node: n, reached: map[uint64]int64{}, slow: map[uint64]bool{}, rises: make(chan struct{})}
}

// Commit implements meta.Store.
func (s *spread) Commit(ctx context.Context, t meta.Txn, durable func(error)) (int64, error) {
	revision, err := s.Store.Commit(ctx, t, nil)
	if err != nil {
		return revision, err
	}
	s.everywhere(ctx, revision)
	if durable != nil {
		durable(nil)
	}
	return revision, nil
}

// everywhere waits until the nodes that can be reached have a revision.
func (s *spread) everywhere(ctx context.Context, revision int64) {
	var asked []uint64
	question := binary.LittleEndian.AppendUint64([]byte{askRevision}, uint64(revision))
	v := s.node.registry.View()
	for id := range v.Alive {
		if id != s.node.Self.ID && s.node.network.Send(id, transport.Notes, question) == nil {
			asked = append(asked, id)
		}
	}
	if len(asked) == 0 {
		return
	}
	over := time.NewTimer(spreadTime)
	defer over.Stop()
	for {
		missing, rises := s.missing(asked, revision)
		if len(missing) == 0 {
			return
		}
		select {
		case <-rises:
		case <-ctx.Done():
			return
		case <-over.C:
			s.mu.Lock()
			for _, id := range missing {
				s.slow[id] = true
			}
			s.mu.Unlock()
			s.node.Logger.Warn().Uints64("nodes", missing).Msg("nodes that do not follow the metadata")
			return
		}
	}
}

// missing gives those that are waited for.
func (s *spread) missing(asked []uint64, revision int64) (missing []uint64, rises chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range asked {
		if s.reached[id] < revision && !s.slow[id] {
			missing = append(missing, id)
		}
	}
	return missing, s.rises
}

// receive takes what another node asks or says.
func (s *spread) receive(from uint64, data []byte) {
	if len(data) != 9 {
		return
	}
	revision := int64(binary.LittleEndian.Uint64(data[1:]))
	if data[0] == askRevision {
		s.Reached(revision, func() {
			_ = s.node.network.Send(from, transport.Notes, binary.LittleEndian.AppendUint64([]byte{reachedRevision}, uint64(revision)))
		})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reached[from] = max(s.reached[from], revision)
	delete(s.slow, from)
	close(s.rises)
	s.rises = make(chan struct{})
}
