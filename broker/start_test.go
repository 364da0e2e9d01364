package broker_test

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/store/meta"
	"github.com/warrenmq/warren/store/oplog"
)

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

// TestMain looks, at the very end, for goroutines that a broker has left behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := leftGoroutines(); left != "" {
			os.Stderr.WriteString("goroutines of the broker are left:\n" + left)
			code = 1
		}
	}
	os.Exit(code)
}

// leftGoroutines gives the stacks of goroutines that run code of this module, once they have had the time to end.
func leftGoroutines() string {
	left := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); runtime.Gosched() {
		var all bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&all, 2)
		left = ""
		for i, stack := range strings.Split(all.String(), "\n\n") {
			if i > 0 && strings.Contains(stack, "warrenmq/warren/") && !strings.Contains(stack, "leftGoroutines") {
				left += stack + "\n\n"
			}
		}
		if left == "" {
			return ""
		}
	}
	return left
}

// start starts a broker on a free port that ends with the test. A bug that it logs fails the test.
func start(t testing.TB, change ...func(*broker.Config)) *broker.Broker {
	t.Helper()
	logger := zerolog.New(&bugs{t: t})
	c := broker.Config{Listen: "127.0.0.1:0", Logger: &logger}
	for _, f := range change {
		f(&c)
	}
	b, err := broker.Start(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("closing the broker: %v", err)
		}
	})
	return b
}

// bugs is where a broker logs to.
type bugs struct {
	t testing.TB
}

func (b *bugs) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(`"bug"`)) || bytes.Contains(line, []byte(`"level":"error"`)) {
		b.t.Errorf("the broker logged %s", line)
	}
	return len(line), nil
}

// eventually polls until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("does not happen: %s", what)
		}
	}
}

// gate is logs in memory that can be made to hold back what is proposed.
type gate struct {
	inner oplog.Host

	mu     sync.Mutex
	shut   bool
	behind []func()
}

// newGate makes an open gate, for Config.Log.
func newGate() *gate {
	return &gate{inner: oplog.DirectHost{Clock: func() int64 { return time.Now().UnixMilli() }}}
}

func (g *gate) Open(group uint64, members []uint64, m oplog.Machine) (oplog.Log, error) {
	log, err := g.inner.Open(group, members, m)
	return &gatedLog{Log: log, gate: g}, err
}

// Shut holds back what is proposed from now on.
func (g *gate) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
}

// Lift lets through what was held back, in order, and everything from now on.
func (g *gate) Lift() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
	for _, propose := range g.behind {
		propose()
	}
	g.behind = nil
}

// Behind is how many batches wait.
func (g *gate) Behind() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.behind)
}

type gatedLog struct {
	oplog.Log
	gate *gate
}

func (l *gatedLog) Propose(b oplog.Batch) error {
	l.gate.mu.Lock()
	defer l.gate.mu.Unlock()
	if !l.gate.shut {
		return l.Log.Propose(b)
	}
	l.gate.behind = append(l.gate.behind, func() { _ = l.Log.Propose(b) })
	return nil
}

// slowDisk is metadata in memory that is durable only when the test says so.
type slowDisk struct {
	*meta.Memory

	mu      sync.Mutex
	shut    bool
	waiting []func()
}

// newSlowDisk makes a fast one, for Config.Meta.
func newSlowDisk() *slowDisk {
	d := &slowDisk{Memory: meta.NewMemory(nil, 0)}
	d.Persist = func(_ int64, _ []meta.Op, durable func(error)) {
		d.mu.Lock()
		defer d.mu.Unlock()
		switch {
		case durable == nil:
		case d.shut:
			d.waiting = append(d.waiting, func() { durable(nil) })
		default:
			go durable(nil)
		}
	}
	return d
}

// Shut holds back the news that something is durable.
func (d *slowDisk) Shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = true
}

// Lift tells all that was held back.
func (d *slowDisk) Lift() {
	d.mu.Lock()
	d.shut = false
	waiting := d.waiting
	d.waiting = nil
	d.mu.Unlock()
	for _, durable := range waiting {
		durable()
	}
}
