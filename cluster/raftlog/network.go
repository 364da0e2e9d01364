package raftlog

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// Network carries what members of different nodes have to say to each other.
type Network interface {
	// Send gives bytes away, for Receive of another node's Host, which only borrows them. It does not block; what it loses raft
	// sends again.
	Send(to uint64, data []byte)
	// Stream lets something long be written, for ReceiveStream of another node's Host, and waits for what that returns. It must
	// return, with an error, when the connection is lost or the network is closed; a Host is closed behind its Network.
	Stream(to uint64, write func(io.Writer) error) error
}

// tickEvery is the unit of elections and heartbeats.
const tickEvery = 50 * time.Millisecond

// A member that has lost its leader campaigns after a time between these: not all at once.
const (
	campaignLeast = 20 * time.Millisecond
	campaignMost  = 100 * time.Millisecond
)

// outbox is what a round has to send to other nodes, by node, in pieces: of each message its address 8 bytes, the length 4 bytes,
// and the message. Short ones share a piece.
type outbox map[uint64][][]byte

// pieceLeast is the room in a piece.
const pieceLeast = 4 << 10

func (o outbox) add(of address, message *raftpb.Message) {
	to, size := message.GetTo(), proto.Size(message)
	pieces := o[to]
	if last := len(pieces) - 1; last < 0 || cap(pieces[last])-len(pieces[last]) < 12+size {
		pieces = append(pieces, make([]byte, 0, max(12+size, pieceLeast)))
		o[to] = pieces
	}
	piece := &pieces[len(pieces)-1]
	data := binary.LittleEndian.AppendUint64(*piece, uint64(of))
	data = binary.LittleEndian.AppendUint32(data, uint32(size))
	data, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(data, message)
	if err != nil {
		bug("group %d: a message cannot be written: %v", of.group(), err)
	}
	*piece = data
}

// Receive takes what another node's Network was given, and keeps none of it. What is no message, or of a group that is not here, is dropped.
func (h *Host) Receive(from uint64, data []byte) {
	var steps []step
	for len(data) >= 12 {
		at, n := address(binary.LittleEndian.Uint64(data)), binary.LittleEndian.Uint32(data[8:])
		group := at.group()
		data = data[12:]
		if uint64(n) > uint64(len(data)) {
			h.Logger.Error().Uint64("from", from).Msg("a message between nodes is cut off")
			return
		}
		message := &raftpb.Message{}
		if err := proto.Unmarshal(data[:n], message); err != nil || message.GetFrom() != from || message.GetTo() != h.Node {
			h.Logger.Error().Err(err).Uint64("from", from).Uint64("group", group).Msg("a message between nodes is none")
			return
		}
		data = data[n:]
		if message.GetType() == raftpb.MsgSnap {
			h.Logger.Error().Uint64("from", from).Uint64("group", group).Msg("a state comes as a stream, and not as a message")
			continue
		}
		h.mu.Lock()
		m := h.open[group]
		h.mu.Unlock()
		if m != nil && m.address() == at {
			steps = append(steps, step{member: m, messages: []*raftpb.Message{message}})
		}
	}
	for _, s := range steps {
		s.member.worker.answered([]step{s})
	}
}

// Lost tells that a node cannot be reached any more. Members that followed one there look for another leader soon.
func (h *Host) Lost(node uint64) {
	for _, w := range h.workers {
		w.call(func() {
			for _, m := range w.members {
				m.lost(node)
			}
		})
	}
}

// lost forgets a leader that cannot be reached, and campaigns unless somebody else does first. A leader no longer assumes
// that what it has sent has arrived.
func (m *member) lost(node uint64) {
	if m.leading {
		m.raft.ReportUnreachable(node)
		return
	}
	if m.raft.BasicStatus().Lead != node {
		return
	}
	if err := m.raft.ForgetLeader(); err != nil {
		m.logger.Error().Err(err).Msg("the leader is not forgotten")
		return
	}
	m.changed = true
	m.worker.goRoundFor(m)
	m.host.soon(func() {
		m.worker.call(func() {
			if m.closed || m.dismissed || m.worker.disk.stalled || m.Damage() != nil || m.raft.BasicStatus().Lead != raft.None {
				return
			}
			m.campaign()
		})
	})
}

// afterAWhile runs f after a time of chance.
func afterAWhile(f func()) {
	time.AfterFunc(campaignLeast+rand.N(campaignMost-campaignLeast), f)
}

func (m *member) campaign() {
	if err := m.raft.Campaign(); err != nil {
		m.logger.Error().Err(err).Msg("a member cannot campaign")
	}
	m.worker.goRoundFor(m)
}

// tick lets a tick pass for all members that are not alone.
func (w *worker) tick() {
	w.ticks++
	w.disk.tick(w.ticks)
	var r round
	for _, m := range w.members {
		if m.closed {
			continue
		}
		if !m.leading || !m.log.alone(m.host.Node) {
			m.tick()
			r.touch(m)
		}
		if len(m.wish) > 0 && m.leading {
			m.reach()
			r.touch(m)
		}
	}
	if len(r.touched) > 0 {
		w.goRound(&r)
	}
}

// tick lets a tick pass. A member whose disk hangs does not seek to lead, and leads no longer than it must.
func (m *member) tick() {
	unfit := m.worker.disk.stalled || m.Damage() != nil // to lead
	if (unfit || m.dismissed) && !m.leading {
		return
	}
	m.raft.Tick()
	m.giveUpHanding()
	if unfit {
		m.yield(nil)
	}
	if m.worker.ticks%viewTicks == 0 {
		m.changed = true
	}
}

// drive ticks until the host is closed. Ticks that a worker is too busy for are not made up for: it would think that all
// others were silent.
func (h *Host) drive() {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			for _, w := range h.workers {
				if w.ticking.CompareAndSwap(false, true) {
					w.call(func() {
						w.ticking.Store(false)
						w.tick()
					})
				}
			}
		case <-h.closed:
			return
		}
	}
}
