package raftlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/warrenmq/warren/store/oplog"
)

// history is what happened on all nodes, and says when it must not have happened:
//
//   - every member applies the same entries, at the same index, with the same time, and none is left out;
//   - log time never goes back;
//   - what a leader has applied, and so told its session, is never applied elsewhere or not at all;
//   - nothing takes effect twice;
//   - a term has one leader.
type history struct {
	mu        sync.Mutex
	entries   map[uint64]happened // by index
	effects   map[oplog.Origin]uint64
	confirmed map[oplog.Origin]uint64 // by a leader: at which index
	leaders   map[uint64]uint64       // of each term
	wrong     error
	applied   int // entries, on all nodes
}

// happened is an entry as the first to apply it saw it.
type happened struct {
	by   uint64 // node
	time int64
	data string
}

func newHistory() *history {
	return &history{
		entries: map[uint64]happened{}, effects: map[oplog.Origin]uint64{}, confirmed: map[oplog.Origin]uint64{}, leaders: map[uint64]uint64{},
	}
}

func (h *history) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.wrong
}

func (h *history) fail(format string, values ...any) {
	if h.wrong == nil {
		h.wrong = fmt.Errorf(format, values...)
	}
}

// entry notes that a node applies an entry, behind the one at an index.
func (h *history) entry(node uint64, e *oplog.Entry, behind uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.applied++
	if e.Index <= behind {
		h.fail("node %d applies entry %d behind entry %d", node, e.Index, behind)
	}
	for i := behind + 1; i < e.Index; i++ {
		if _, known := h.entries[i]; known {
			h.fail("node %d leaves out entry %d", node, i)
		}
	}
	first, known := h.entries[e.Index]
	if !known {
		h.entries[e.Index] = happened{node, e.Time, string(e.Data)}
		return
	}
	if first.data != string(e.Data) || first.time != e.Time {
		h.fail("entry %d: node %d applied %q, node %d applies %q", e.Index, first.by, first.data, node, e.Data)
	}
}

// effect notes that a batch takes effect; a leader tells whoever asked.
func (h *history) effect(node uint64, from oplog.Origin, index uint64, leading bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if at, ok := h.effects[from]; ok && at != index {
		h.fail("batch %v takes effect at entry %d, and on node %d at %d", from, at, node, index)
	}
	h.effects[from] = index
	if leading {
		h.confirmed[from] = index
	}
}

// leader notes who leads a term.
func (h *history) leader(term, node uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if other, ok := h.leaders[term]; ok && other != node {
		h.fail("nodes %d and %d lead term %d", other, node, term)
	}
	h.leaders[term] = node
}

// confirm notes that a session was told that its batch took effect.
func (h *history) confirm(from oplog.Origin) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.confirmed[from] = h.effects[from]
}

// isConfirmed tells whether a session was told that its batch took effect.
func (h *history) isConfirmed(from oplog.Origin) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.confirmed[from]
	return ok
}

// judge holds the states of the members at the end against each other and against what sessions were told.
func (h *history) judge(members []*scribe) error {
	for _, m := range members[1:] {
		if a, b := members[0].image(), m.image(); a != b {
			return fmt.Errorf("at the end node %d has %s, and node %d %s", members[0].node, a, m.node, b)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for from, index := range h.confirmed {
		if members[0].state.Last[from.Session] < from.Seq {
			return fmt.Errorf("batch %v was confirmed at entry %d, and is lost", from, index)
		}
	}
	indexes := slices.Sorted(maps.Keys(h.entries))
	for i := 1; i < len(indexes); i++ {
		if before, now := h.entries[indexes[i-1]], h.entries[indexes[i]]; now.time < before.time {
			return fmt.Errorf("log time goes back from %d at entry %d to %d at entry %d", before.time, indexes[i-1], now.time, indexes[i])
		}
	}
	return h.wrong
}

// scribe is a machine that lets each batch take effect once, in its session's order, as the broker's does, and keeps the
// newest batches alive. It reports to the history.
type scribe struct {
	node    uint64
	told    *history
	log     oplog.Log
	leading bool
	state   scribed

	planted bugs

	mu    sync.Mutex
	ended bool
}

// scribed is a scribe's state.
type scribed struct {
	Index uint64            // of the newest entry
	Count int               // batches that took effect
	Last  map[uint64]uint64 // the newest number of each session
	Live  []oplog.Span
	Texts []string // of these
}

// scribeKeeps is how many batches stay alive.
const scribeKeeps = 12

func newScribe(node uint64, told *history, planted bugs) *scribe {
	return &scribe{node: node, told: told, planted: planted, state: scribed{Last: map[uint64]uint64{}}}
}

// over tells that the node has crashed: what its machine does from now on happens nowhere.
func (s *scribe) over() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// Apply implements oplog.Machine.
func (s *scribe) Apply(list []oplog.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	for i := range list {
		e := &list[i]
		if s.planted.skipsEntries && e.Index%50 == s.node {
			continue
		}
		s.told.entry(s.node, e, s.state.Index)
		s.state.Index = e.Index
		for _, b := range e.Batches {
			s.batch(e.Index, b)
		}
	}
}

func (s *scribe) batch(index uint64, b oplog.Batch) {
	last, known := s.state.Last[b.From.Session]
	if b.From.Seq != last+1 && (known || !s.planted.forgetsOrigins) {
		return // it was applied before, or one in front of it is missing and will be asked for again
	}
	s.state.Last[b.From.Session] = b.From.Seq
	s.state.Count++
	s.told.effect(s.node, b.From, index, s.leading)
	span := oplog.Span{Index: index, Offset: b.At, Length: uint32(len(b.Data))}
	s.log.Account(index, int64(span.Length))
	s.state.Live, s.state.Texts = append(s.state.Live, span), append(s.state.Texts, string(b.Data))
	if len(s.state.Live) > scribeKeeps {
		dead := s.state.Live[0]
		s.log.Account(dead.Index, -int64(dead.Length))
		s.state.Live, s.state.Texts = s.state.Live[1:], s.state.Texts[1:]
	}
}

// Lead implements oplog.Machine.
func (s *scribe) Lead(leading bool) { s.leading = leading }

// Snapshot implements oplog.Machine.
func (s *scribe) Snapshot(w io.Writer) error { return json.NewEncoder(w).Encode(s.state) }

// Restore implements oplog.Machine.
func (s *scribe) Restore(r io.Reader) error {
	s.state = scribed{}
	err := json.NewDecoder(r).Decode(&s.state)
	if s.planted.forgetsOrigins {
		clear(s.state.Last)
	}
	if s.planted.garblesState {
		s.state.Count--
	}
	return err
}

// Live implements oplog.Machine.
func (s *scribe) Live(from, to uint64, visit func(oplog.Span)) {
	for _, span := range s.state.Live {
		if span.Index >= from && span.Index < to {
			visit(span)
		}
	}
}

// read reads all that lives. On the machine's goroutine.
func (s *scribe) read() error {
	var wrong []error
	for i, span := range s.state.Live {
		if data, err := s.log.Read(span); err != nil || string(data) != s.state.Texts[i] {
			wrong = append(wrong, fmt.Errorf("node %d: %+v is %q, should be %q: %w", s.node, span, data, s.state.Texts[i], err))
		}
	}
	return errors.Join(wrong...)
}

func (s *scribe) image() string { return fmt.Sprintf("%+v", s.state) }
