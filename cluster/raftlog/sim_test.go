package raftlog

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/oplog"
)

// crashes is how many crashes TestCrashes goes through; `make sim` asks for more.
var (
	crashes = flag.Int("crashes", 1000, "how many crashes TestCrashes goes through")
	seed    = flag.Uint64("seed", 1, "the first seed of TestCrashes")
)

const (
	simGroups    = 2
	simProducers = 3
	// chain is how many crashes follow one another in one life of a disk.
	chain = 10
)

// life is a disk and what happens to it: a process opens it, works, and ends at some write; what was not synced is there
// or not, at random; the next process goes on from what is left.
type life struct {
	seed      uint64
	random    *rand.Rand
	disk      *vfs.MemFS
	told      *oracle
	published [simGroups]map[byte]uint32 // what was proposed, at most
	underway  [simGroups]map[name]bool   // settling that was proposed and not seen applied

	ops     atomic.Int64 // writes left until the end
	left    *vfs.MemFS   // what the crash leaves
	dropped uint64       // seed for it
	percent int
	ended   sync.Once
	groups  []*recorder
}

func newLife(seed uint64) *life {
	l := &life{seed: seed, random: rand.New(rand.NewPCG(seed, 1)), disk: vfs.NewCrashableMem(), told: newOracle()}
	for g := range simGroups {
		l.published[g], l.underway[g] = map[byte]uint32{}, map[name]bool{}
	}
	return l
}

// write is called before each change that is made to the disk: the process may end here.
func (l *life) write(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && l.ops.Add(-1) == 0 {
		l.crash()
	}
	return nil
}

// crash ends the process: what the world was told by now must be on what is left of the disk.
func (l *life) crash() {
	l.ended.Do(func() {
		l.told.mu.Lock()
		l.told.ended = true
		l.told.mu.Unlock()
		l.left = l.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: l.percent, RNG: rand.New(rand.NewPCG(l.dropped, 2))})
		for _, r := range l.groups {
			go r.wake() // whoever ends the process may be the applier
		}
	})
}

// process is one opened disk.
type process struct {
	store *store.Store
	host  *Host
	logs  []oplog.Log
}

func (l *life) open(fs vfs.FS, fatal func(error)) (*process, error) {
	p := &process{}
	var err error
	p.store, err = store.Open("data", store.Options{FS: fs, MemTableBytes: 32 << 10, CacheBytes: 128 << 10, Fatal: fatal})
	if err != nil {
		return nil, err
	}
	p.host = NewHost(Options{
		Node: 1, Store: p.store, Clock: func() int64 { return 1 }, Fatal: fatal, Logger: zerolog.Nop(),
		SnapshotBytes: 4 << 10, GarbageBytes: 4 << 10, PartBytes: 64,
	})
	for g := range simGroups {
		r := l.groups[g]
		opened, err := p.host.Open(uint64(g+1), []uint64{1}, r)
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		r.log = opened
		close(r.opened)
		p.logs = append(p.logs, opened)
	}
	return p, nil
}

func (p *process) close() error {
	var err error
	for _, log := range p.logs {
		err = errors.Join(err, log.Close())
	}
	return errors.Join(err, p.host.Close(), p.store.Close())
}

// next is one process: it is held against what the processes before it told the world, works, and ends.
func (l *life) next() error {
	l.groups = nil
	for g := range simGroups {
		l.groups = append(l.groups, newRecorder(g, l.told))
	}
	l.ended, l.left, l.told.ended = sync.Once{}, nil, false
	l.dropped, l.percent = l.random.Uint64(), []int{0, 50, 100, l.random.IntN(101)}[l.random.IntN(4)]
	l.ops.Store(1 + int64(l.random.ExpFloat64()*150))
	var failed error
	p, err := l.open(errorfs.Wrap(l.disk, errorfs.InjectorFunc(l.write)), func(err error) { failed = err; runtime.Goexit() })
	if err != nil {
		return fmt.Errorf("the disk cannot be opened: %w", err)
	}
	err = l.work(p, 60)
	if err == nil {
		l.crash() // if nothing has happened so far
	}
	if err := errors.Join(err, p.close(), failed); err != nil {
		return err
	}
	l.disk = l.left
	return nil
}

// work checks what was found, then publishes and settles until the end, or so many steps.
func (l *life) work(p *process, steps int) error {
	for g, r := range l.groups {
		if err := r.wait(func() bool { return r.leading }); err != nil {
			return err
		}
		if l.told.over() {
			return nil
		}
		if err := l.told.judge(r, l.underway[g], l.published[g]); err != nil {
			return err
		}
		if err := r.readAll(); err != nil {
			return err
		}
		clear(l.underway[g])
		r.mu.Lock()
		l.published[g] = maps.Clone(r.last) // what was under way and is lost may be said again
		r.mu.Unlock()
	}
	for range steps {
		g := l.random.IntN(simGroups)
		if err := l.step(g, p.logs[g]); err != nil || l.told.over() {
			return err
		}
	}
	return nil
}

// step proposes a batch to a group, and perhaps waits until all is applied.
func (l *life) step(g int, log oplog.Log) error {
	r := l.groups[g]
	var data []byte
	if l.random.IntN(3) > 0 {
		producer := byte(l.random.IntN(simProducers))
		for range 1 + l.random.IntN(4) {
			l.published[g][producer]++
			n := name{producer, l.published[g][producer]}
			data = appendCommand(data, publish, n, bodyOf(n, 1<<l.random.IntN(12)))
		}
	} else {
		r.mu.Lock()
		names := sortedKeys(r.live, compareNames)
		r.mu.Unlock()
		for _, n := range names {
			if l.random.IntN(4) > 0 { // some are left behind, among many that go
				l.underway[g][n] = true
				data = appendCommand(data, settle, n, nil)
			}
		}
	}
	if len(data) == 0 {
		return nil
	}
	if err := log.Propose(oplog.Batch{Data: data}); err != nil {
		return err
	}
	if l.random.IntN(2) > 0 {
		return nil
	}
	return r.wait(func() bool {
		for producer, last := range l.published[g] {
			if r.last[producer] < last {
				return false
			}
		}
		return true
	})
}

// TestCrashes: whatever the moment at which the process ends, and whatever of what was not synced is lost, everything that
// was confirmed is there, nothing that was settled comes back, nothing is there that nobody published, and every
// producer's messages are in order and without a gap.
func TestCrashes(t *testing.T) {
	var lives sync.WaitGroup
	var next atomic.Uint64
	for range 4 * runtime.GOMAXPROCS(0) { // a life waits more than it works
		lives.Go(func() {
			for {
				n := next.Add(1) - 1
				if int(n)*chain >= *crashes || t.Failed() {
					return
				}
				l := newLife(*seed + n)
				for i := range chain {
					if err := l.next(); err != nil {
						t.Errorf("seed %d, crash %d: %v", l.seed, i, err)
						return
					}
				}
			}
		})
	}
	lives.Wait()
	t.Logf("%d crashes", *crashes)
}
