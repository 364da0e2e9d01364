package raftlog

import (
	"encoding/binary"
	"errors"
	"io"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/warrenmq/warren/store/entries"
)

// A member that lacks what its leader's log no longer has is sent a state and what lives, as one stream: first its address, 8
// bytes, and raft's own message with its length, 4 bytes, in front; then what entries.View.Send writes. To each node one
// stream is under way at a time; the others wait.

// errStreamEnded is returned for streams that nobody needs any more.
var errStreamEnded = errors.New("raftlog: the stream is no longer needed")

// streamMessageMax is more than raft's message in front of a stream has: it carries no entries.
const streamMessageMax = 1 << 20

// sending is a state that is to be sent.
type sending struct {
	member  *member
	message *raftpb.Message
}

// sendState sends what raft's message announces. It does not wait.
func (m *member) sendState(message *raftpb.Message) {
	h, to := m.host, message.GetTo()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended || h.Network == nil {
		return
	}
	list, running := h.streams[to]
	h.streams[to] = append(list, sending{m, message})
	if !running {
		h.start("raftlog.stream", to, func() { h.stream(to) })
	}
}

// stream sends what is to be sent to a node, until nothing is left. Groups wait for each other here; of each there is one at
// most, since raft sends a member nothing else meanwhile.
func (h *Host) stream(to uint64) {
	defer h.nudge()
	for {
		h.mu.Lock()
		list := h.streams[to]
		if len(list) == 0 || h.ended {
			delete(h.streams, to)
			h.mu.Unlock()
			return
		}
		h.streams[to] = list[1:]
		h.mu.Unlock()
		m := list[0].member
		err := h.streamOne(m, list[0].message)
		status := raft.SnapshotFinish
		if err != nil {
			status = raft.SnapshotFailure
			m.damaged(err)
			m.logger.Warn().Err(err).Uint64("to", to).Msg("the state of the group could not be sent")
		}
		m.worker.call(func() {
			if !m.closed {
				m.raft.ReportSnapshot(to, status)
				m.worker.goRoundFor(m)
			}
		})
	}
}

func (h *Host) streamOne(m *member, message *raftpb.Message) error {
	view, ok, err := entries.New(h.Store, m.group).View()
	if err != nil {
		return err
	}
	if !ok {
		return errStreamEnded
	}
	defer func() { _ = view.Close() }()
	snapshot, conf, err := describe(&view.Head) // perhaps a newer one than when raft asked
	if err != nil {
		return err
	}
	if !isMember(conf, message.GetTo()) || !m.leads() {
		return errStreamEnded
	}
	message.Snapshot = snapshot
	return h.Network.Stream(message.GetTo(), func(w io.Writer) error {
		data, err := proto.Marshal(message)
		if err != nil {
			return err
		}
		head := binary.LittleEndian.AppendUint64(nil, uint64(m.address()))
		head = binary.LittleEndian.AppendUint32(head, uint32(len(data)))
		if _, err := w.Write(append(head, data...)); err != nil {
			return err
		}
		return view.Send(leaderWriter{m, w})
	})
}

// leads tells whether the member leads, and will for a while. From any goroutine.
func (m *member) leads() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.following && !m.closing
}

// leaderWriter writes for as long as the member leads.
type leaderWriter struct {
	member *member
	w      io.Writer
}

// Write implements io.Writer.
func (l leaderWriter) Write(p []byte) (int, error) {
	if !l.member.leads() {
		return 0, errStreamEnded
	}
	return l.w.Write(p)
}
