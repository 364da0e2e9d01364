package raftlog

import (
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/oplog"
)

// TestDiskUse writes so much; `make disk` asks for 20 GiB through a store that holds 1 GiB.
var (
	through = flag.Int64("through", 96<<20, "how many bytes TestDiskUse writes")
	holds   = flag.Int64("holds", 16<<20, "how many of them are alive")
	diskDir = flag.String("disk", "", "where, if not in a temporary directory")
)

const (
	diskMessage = 4 << 10
	diskBurst   = 16 // messages
	// diskReach is how many times as old as all others a straggler becomes.
	diskReach = 8
)

// belt is a machine whose messages live for a while, and one of each burst much longer. Some live for ever: nobody reads
// them.
type belt struct {
	log    oplog.Log
	opened chan struct{}
	room   chan struct{}
	window int // bursts

	mu     sync.Mutex
	bursts []oplog.Span // those of which something lives, and that are not kept for ever
	short  int          // of these, so many have only their straggler left
	kept   []oplog.Span // nobody reads them
}

func (m *belt) straggler(s oplog.Span) oplog.Span {
	return oplog.Span{Index: s.Index, Offset: s.Offset, Length: diskMessage}
}

func (m *belt) account(s oplog.Span, sign int64) { m.log.Account(s.Index, sign*int64(s.Length)) }

// Apply implements oplog.Machine.
func (m *belt) Apply(list []oplog.Entry) {
	<-m.opened
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range list {
		for _, b := range list[i].Batches {
			span := oplog.Span{Index: list[i].Index, Offset: b.At, Length: uint32(len(b.Data))}
			m.account(span, 1)
			if b.From.Session == 0 {
				m.kept = append(m.kept, span)
			} else {
				m.bursts = append(m.bursts, span)
			}
			<-m.room
		}
	}
	for len(m.bursts)-m.short > m.window {
		s := m.bursts[m.short]
		m.account(oplog.Span{Index: s.Index, Length: s.Length - diskMessage}, -1)
		m.short++
	}
	for m.short > diskReach*m.window {
		m.account(m.straggler(m.bursts[0]), -1)
		m.bursts, m.short = m.bursts[1:], m.short-1
	}
}

// Lead implements oplog.Machine.
func (m *belt) Lead(bool) {}

// Restore implements oplog.Machine.
func (m *belt) Restore(io.Reader) error { return errors.ErrUnsupported }

// Snapshot implements oplog.Machine.
func (m *belt) Snapshot(w io.Writer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var dst []byte
	for _, s := range m.bursts {
		dst = binary.LittleEndian.AppendUint64(dst, s.Index)
	}
	_, err := w.Write(append(dst, 0))
	return err
}

// Live implements oplog.Machine.
func (m *belt) Live(from, to uint64, visit func(oplog.Span)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	some := func(s oplog.Span) {
		if s.Index >= from && s.Index < to {
			visit(s)
		}
	}
	for _, s := range m.kept {
		some(s)
	}
	for i, s := range m.bursts {
		if i < m.short {
			s = m.straggler(s)
		}
		some(s)
	}
}

// bytesOn gives what the files of a directory take.
func bytesOn(t *testing.T, dir string) (sum int64) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			sum += info.Size()
		}
		return err
	}))
	return sum
}

// TestDiskUse: what lies on the disk stays near what is alive, though every burst leaves a straggler behind, and a part of
// all is read by nobody.
func TestDiskUse(t *testing.T) {
	dir := *diskDir
	if dir == "" {
		dir = t.TempDir()
	}
	s, err := store.Open(dir, store.Options{Log: t.Logf})
	must(t, err)
	h := NewHost(Options{Node: 1, Store: s, Clock: func() int64 { return 1 }, Fatal: func(err error) { t.Error(err) }, Logger: zerolog.Nop()})
	const groups = 2
	size := int64(diskMessage * diskBurst)
	random := rand.New(rand.NewPCG(1, 1))
	bodies := make([]byte, 32<<20)
	for i := 0; i < len(bodies); i += 8 {
		binary.LittleEndian.PutUint64(bodies[i:], random.Uint64())
	}
	var list [groups]*belt
	for g := range list {
		m := &belt{opened: make(chan struct{}), room: make(chan struct{}, 32)}
		m.window = int(*holds / groups / 2 / size * diskBurst / (diskBurst + diskReach)) // the other half is read by nobody
		m.log, err = h.Open(uint64(g+1), []uint64{1}, m)
		must(t, err)
		close(m.opened)
		list[g] = m
	}
	began, most, sum := time.Now(), 0.0, 0.0
	var samples, written int64
	for written = 0; written < *through; written += size {
		m := list[written/size%groups]
		session := uint64(1)
		if written < *holds/2 {
			session = 0
		}
		at := random.IntN(len(bodies) - int(size))
		m.room <- struct{}{}
		must(t, m.log.Propose(oplog.Batch{From: oplog.Origin{Session: session}, Data: bodies[at : at+int(size)]}))
		if written > 4**holds && written%max(*through/100, 4<<20) < size {
			live := h.live(t, groups)
			on := float64(bytesOn(t, dir))
			most, sum, samples = max(most, on-1.3*float64(live)), sum+on/float64(live), samples+1
			if on > 1.3*float64(live)+512<<20 {
				t.Errorf("%.1f GB written: %.0f MB on the disk, %.0f MB alive", float64(written)/1e9, on/1e6, float64(live)/1e6)
			}
		}
	}
	took := time.Since(began)
	metrics := s.DB.Metrics()
	t.Logf("%.1f GB in %v (%.0f MB/s), %.0f MB alive; on the disk %.2f times that on average, at most 1.3 times and %.0f MB",
		float64(written)/1e9, took.Round(time.Millisecond), float64(written)/1e6/took.Seconds(), float64(h.live(t, groups))/1e6, sum/float64(max(samples, 1)), most/1e6)
	total := metrics.Total()
	t.Logf("log %.2f GB, flushed %.2f GB and %.2f GB of values, compacted %.2f GB and %.2f GB", float64(metrics.WAL.BytesWritten)/1e9,
		float64(total.TableBytesFlushed)/1e9, float64(total.BlobBytesFlushed)/1e9, float64(total.TableBytesCompacted)/1e9, float64(total.BlobBytesCompacted)/1e9)
	for _, m := range list {
		must(t, m.log.Close())
	}
	must(t, errors.Join(h.Close(), s.Close()))
}

// live gives the live bytes of all groups.
func (h *Host) live(t *testing.T, groups uint64) (sum int64) {
	t.Helper()
	for g := uint64(1); g <= groups; g++ {
		_, _, live := (&node{t: t, host: h}).account(g)
		sum += live
	}
	return sum
}
