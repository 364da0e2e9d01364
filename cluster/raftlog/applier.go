package raftlog

import (
	"fmt"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/oplog"
)

// applier runs the machine of a group. owner: run, but for the inbox
type applier struct {
	member   *member
	machine  oplog.Machine
	entries  *entries.Store
	conf     *raftpb.ConfState // at index
	segments entries.Segments
	cache    *lru.LRU[uint64, entries.Bytes] // data of entries
	cached   int                             // bytes in it
	index    uint64                          // applied
	term     uint64
	time     int64 // of the newest entry that was applied
	progress progress
	compaction
	list    []oplog.Entry
	batches []oplog.Batch
	changes []confChange

	mu      sync.Mutex // guards the inbox
	arrived *sync.Cond
	tasks   []task
	stopped bool
}

// task is committed entries, or something to be done between entries.
type task struct {
	entries   []*raftpb.Entry
	responses []*raftpb.Message
	do        func()
}

// cacheEntries bounds the number of entries that a group keeps in memory.
const cacheEntries = 1 << 16

func newApplier(m *member, machine oplog.Machine) *applier {
	a := &applier{member: m, machine: machine, entries: m.entries, conf: m.log.conf}
	a.arrived = sync.NewCond(&a.mu)
	cache, err := lru.NewLRU(cacheEntries, func(_ uint64, b entries.Bytes) { a.cached -= b.Size() })
	if err != nil {
		bug("%v", err)
	}
	a.cache = cache
	a.index, a.base = m.log.compacted.index, m.log.base
	if head := m.log.head; head != nil {
		a.stand(head)
	}
	return a
}

// stand notes that the machine's state is that of a snapshot.
func (a *applier) stand(head *entries.Head) {
	a.head, a.since = head, 0
	a.index, a.term, a.time = head.Index, head.Term, head.Time
	a.progress.committed.Store(max(a.progress.committed.Load(), head.Index))
	a.progress.snapshot.Store(head.Index)
	a.progress.applied.Store(head.Index)
}

// reckon counts what lives after a restart.
func (a *applier) reckon(head *entries.Head) {
	a.segments.Restore(head.Segments)
	a.machine.Live(0, ^uint64(0), func(s oplog.Span) { a.segments.Account(s.Index, int64(s.Length)) })
	a.spared = a.segments.Dead()
}

// push hands in committed entries; responses are for raft once they have been applied.
func (a *applier) push(list []*raftpb.Entry, responses []*raftpb.Message) {
	if n := len(list); n > 0 {
		a.progress.committed.Store(list[n-1].GetIndex())
	}
	a.add(task{entries: list, responses: responses})
}

// do runs f between entries.
func (a *applier) do(f func()) { a.add(task{do: f}) }

func (a *applier) add(t task) {
	a.mu.Lock()
	a.tasks = append(a.tasks, t)
	a.mu.Unlock()
	a.arrived.Signal()
	a.member.host.nudge()
}

// stop ends the applier once its tasks are done, and waits for the last snapshot.
func (a *applier) stop() {
	done := make(chan struct{})
	a.add(task{do: func() {
		a.ending = true
		a.snapshot(func() { close(done) })
	}})
	<-done
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	a.arrived.Signal()
}

func (a *applier) run() {
	var tasks []task
	for {
		a.mu.Lock()
		for len(a.tasks) == 0 && !a.stopped {
			a.arrived.Wait()
		}
		a.mu.Unlock()
		if !a.pass(&tasks) {
			return
		}
	}
}

// pass carries out what is in the inbox, and tells whether there was something.
func (a *applier) pass(tasks *[]task) bool {
	a.mu.Lock()
	*tasks, a.tasks = a.tasks, (*tasks)[:0]
	a.mu.Unlock()
	list := *tasks
	for i := range list {
		a.carryOut(&list[i])
		list[i] = task{}
	}
	return len(list) > 0
}

func (a *applier) carryOut(t *task) {
	if t.do != nil {
		t.do()
		return
	}
	a.changes = nil
	bytes := a.apply(t.entries)
	a.progress.applied.Store(a.index)
	a.progress.entries.Add(uint64(len(t.entries)))
	a.progress.bytes.Add(uint64(bytes))
	a.member.landed(bytes)
	a.member.worker.answered([]step{{member: a.member, changes: a.changes, messages: t.responses}})
	a.since, a.total = a.since+bytes, a.total+bytes
	if a.snapshotDue() {
		a.snapshot(nil)
	}
}

// apply runs the machine on committed entries and gives their bytes.
func (a *applier) apply(committed []*raftpb.Entry) (bytes int64) {
	a.list, a.batches = a.list[:0], a.batches[:0]
	for _, e := range committed {
		a.index, a.term = e.GetIndex(), e.GetTerm()
		data := e.GetData()
		a.segments.Add(a.index, len(data))
		a.reconfigure(e)
		if e.GetType() != raftpb.EntryNormal || len(data) == 0 {
			continue // a new leader's first entry says nothing
		}
		before := len(a.batches)
		parsed, err := oplog.ParseEntry(a.index, data, a.batches)
		if err != nil {
			a.member.host.Fatal(fmt.Errorf("group %d, entry %d: %w", a.member.group, a.index, err))
			return bytes
		}
		a.batches = parsed.Batches
		parsed.Batches = parsed.Batches[before:]
		a.time = parsed.Time
		a.list = append(a.list, parsed)
		a.remember(a.index, entries.Whole(data))
		bytes += int64(len(data))
	}
	if len(a.list) > 0 {
		a.machine.Apply(a.list)
	}
	clear(a.list)
	clear(a.batches)
	return bytes
}

func (a *applier) remember(index uint64, b entries.Bytes) {
	a.cached += b.Size()
	a.cache.Add(index, b)
	most := a.member.host.cacheShare()
	for int64(a.cached) > most && a.cache.Len() > 1 {
		a.cache.RemoveOldest()
	}
}

// near gives a span of an entry that is in memory.
func (a *applier) near(s oplog.Span) ([]byte, bool) {
	b, ok := a.cache.Get(s.Index)
	if !ok {
		return nil, false
	}
	data, err := b.Read(s.Offset, s.Length)
	return data, err == nil
}

// read gives a span of an entry.
func (a *applier) read(s oplog.Span) ([]byte, error) {
	b, ok := a.cache.Get(s.Index)
	if !ok {
		var err error
		a.progress.coldReads.Add(1)
		if b, err = a.entries.Bytes(s.Index); err != nil {
			a.member.damaged(err)
			return nil, err
		}
		a.remember(s.Index, b)
	}
	data, err := b.Read(s.Offset, s.Length)
	if err != nil {
		return nil, fmt.Errorf("group %d, entry %d: %w", a.member.group, s.Index, err)
	}
	return data, nil
}
